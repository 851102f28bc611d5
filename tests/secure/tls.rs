//! TLS: who trusts whom, and what is said when nobody does.

use osgi_remote::Framework;
use osgi_remote::keyspace::{ConnectOptions, Error, Session, TlsOptions};

use super::certificates::Authority;
use super::support::{Etcd, EtcdVersion};
use super::{config, told, trouble, works};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

fn options(etcd: &Etcd, tls: TlsOptions) -> ConnectOptions {
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.tls = Some(tls);
    options
}

/// The error is one of TLS, and says all of this.
fn assert_says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    assert!(matches!(error, Error::Tls { .. }), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_ca_and_no_other() {
    let authority = Authority::new();
    let server = authority.server(&authority.issue(&NAMES, "etcd"));
    for version in EtcdVersion::ALL {
        let etcd = Etcd::start_tls(version, &server, &[]).await;
        works(&options(&etcd, authority.trusted())).await;

        // Of the same name: a certificate authority that was made anew.
        let error = trouble(options(&etcd, Authority::new().trusted())).await;
        assert_says(&error, &["BadSignature", "etcd.cacert"]);
        // The system's roots do not know it either.
        let https = ConnectOptions::parse(&format!("https://{}", etcd.endpoint())).unwrap();
        let error = trouble(https).await;
        assert_says(
            &error,
            &["UnknownIssuer", "https://127.0.0.1", "etcd.cacert"],
        );
    }
}

#[tokio::test]
async fn the_name_in_the_servers_certificate_is_checked() {
    let authority = Authority::new();
    let server = authority.server(&authority.issue(&["etcd.example"], "etcd"));
    let etcd = Etcd::start_tls(EtcdVersion::V3_5, &server, &[]).await;
    let error = trouble(options(&etcd, authority.trusted())).await;
    assert_says(&error, &["etcd.example", "the domain name to be checked"]);
    works(&options(
        &etcd,
        authority.trusted().domain_name("etcd.example"),
    ))
    .await;
}

#[tokio::test]
async fn an_expired_server_is_not_trusted() {
    let authority = Authority::new();
    let server = authority.server(&authority.issue_until(&NAMES, "etcd", 2020));
    let etcd = Etcd::start_tls(EtcdVersion::V3_5, &server, &[]).await;
    let error = trouble(options(&etcd, authority.trusted())).await;
    assert_says(&error, &["certificate expired", "renewed"]);
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_it_and_takes_no_other() {
    let authority = Authority::new();
    let server = authority.mutual_server(&authority.issue(&NAMES, "etcd"));
    for version in EtcdVersion::ALL {
        let etcd = Etcd::start_tls(version, &server, &[]).await;
        let good = authority.issue(&[], "hello");
        let with = |identity: &super::certificates::Identity| {
            let (cert, key) = (identity.cert.clone(), identity.key.clone());
            options(&etcd, authority.trusted().identity(cert, key))
        };
        works(&with(&good)).await;

        let none = trouble(options(&etcd, authority.trusted())).await;
        assert_says(&none, &["client certificate", "etcd.cert"]);
        let expired = trouble(with(&authority.issue_until(&[], "hello", 2020))).await;
        assert_says(&expired, &["client certificate", "expired"]);
        let stranger = trouble(with(&Authority::new().issue(&[], "hello"))).await;
        assert_says(&stranger, &["client certificate", "signed"]);
    }
}

#[tokio::test]
async fn a_renewed_client_certificate_is_used_by_the_next_connection() {
    let authority = Authority::new();
    let server = authority.mutual_server(&authority.issue(&NAMES, "etcd"));
    let etcd = Etcd::start_tls(EtcdVersion::V3_5, &server, &[]).await;
    let expired = authority.issue_until(&[], "hello", 2020);
    let cert = authority.file("client.pem", &expired.cert);
    let key = authority.file("client.key", &expired.key);
    let tls = authority.trusted().identity_files(&cert, &key);
    let session = Session::open(options(&etcd, tls), config(10)).unwrap();
    super::first_error(&session).await;

    let renewed = authority.issue(&[], "hello");
    std::fs::write(&key, &renewed.key).unwrap();
    std::fs::write(&cert, &renewed.cert).unwrap();
    session.ready_within(super::SOON).await.unwrap();
    session.close(super::SOON).await.unwrap();
}

#[tokio::test]
async fn plain_text_to_a_tls_port_and_the_reverse_are_told_apart() {
    let authority = Authority::new();
    let server = authority.server(&authority.issue(&NAMES, "etcd"));
    for version in EtcdVersion::ALL {
        let secure = Etcd::start_tls(version, &server, &[]).await;
        let plain_options = ConnectOptions::parse(&secure.endpoint()).unwrap();
        told(plain_options, "write https://").await;

        // Whether the server's plain answer or its hanging up is seen first is
        // up to the system; the advice is in both.
        let plain = Etcd::start(version).await;
        told(options(&plain, authority.trusted()), "write http://").await;
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused_at_once() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&[], "a"), authority.issue(&[], "b"));
    let mut options = ConnectOptions::parse("localhost:1").unwrap();
    options.tls = Some(TlsOptions::new().identity(one.cert, other.key));
    let error = Session::open(options, config(10)).unwrap_err().to_string();
    assert!(error.starts_with("TLS cannot be used"), "{error}");
}

#[tokio::test]
async fn a_framework_reaches_etcd_by_properties_by_variables_and_by_methods() {
    let authority = Authority::new();
    let server = authority.mutual_server(&authority.issue(&["etcd.example", "127.0.0.1"], "etcd"));
    let mut etcd = Etcd::start_tls(EtcdVersion::V3_4, &server, &[]).await;
    super::users::require_users(&mut etcd).await;
    // Its common name is no user, so that name and password must arrive as well.
    let client = authority.issue(&[], "nobody");
    let path = |name: &str, text: &str| authority.file(name, text).display().to_string();
    let ca = path("client-ca.pem", &authority.cert);
    let (cert, key) = (path("c.pem", &client.cert), path("c.key", &client.key));
    let (name, password) = super::ADMIN.split_once(':').unwrap();

    let by_properties = Framework::builder()
        .property("etcd.hostname", etcd.endpoint())
        .property("etcd.grpc_credentials", &*ca)
        .property("etcd.cert", &*cert)
        .property("etcd.key", &*key)
        .property("etcd.server_name", "etcd.example")
        .property("etcd.user", name)
        .property("etcd.password", password);
    assert!(!format!("{by_properties:?}").contains(password));

    let endpoint = etcd.endpoint();
    let variables = [
        ("ETCDCTL_ENDPOINTS", endpoint.as_str()),
        ("ETCDCTL_CACERT", &ca),
        ("ETCDCTL_CERT", &cert),
        ("ETCDCTL_KEY", &key),
        ("ETCDCTL_USER", super::ADMIN),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let by_variables = Framework::builder()
        .environment(variables.into_iter().map(owned).collect())
        .property("etcd.server_name", "etcd.example");
    assert!(!format!("{by_variables:?}").contains(password));

    let tls = authority.trusted().identity(client.cert, client.key);
    let by_methods = Framework::builder()
        .etcd(format!("https://{}", etcd.endpoint()))
        .etcd_tls(tls.domain_name("etcd.example"))
        .etcd_user(name, password);

    for builder in [by_properties, by_variables, by_methods] {
        let framework = builder.start().await.unwrap();
        framework.shutdown().await.unwrap();
    }
}
