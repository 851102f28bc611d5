use super::*;
use crate::keyspace::{Credentials, TlsOptions};
use crate::props;

fn read(properties: Properties) -> EtcdConfig {
    EtcdConfig::from_properties(&properties).unwrap().unwrap()
}

fn refused(properties: Properties) -> String {
    EtcdConfig::from_properties(&properties)
        .unwrap_err()
        .to_string()
}

fn addresses(config: &EtcdConfig) -> Vec<String> {
    config
        .connect
        .endpoints
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn defaults_are_those_of_both_peers() {
    let config = read(props! {});
    assert_eq!(
        addresses(&config),
        addresses(&EtcdConfig::new("localhost:2379").unwrap())
    );
    assert_eq!(config.top_key, TopKey::default());
    assert_eq!(config.lease_ttl, Duration::from_secs(30));
    assert_eq!(config.connect.call_timeout, Duration::from_secs(3));
    assert_eq!(config.disconnect_timeout, Duration::from_secs(5));
    assert_ne!(config.session_id, read(props! {}).session_id);
}

#[test]
fn names_of_ipopo_are_read() {
    let config = read(props! {
        "etcd.hostname" => "127.0.0.1", "etcd.port" => 4001_i32, "etcd.top_key" => "top",
        "etcd.session_id" => "4469111c-91c2-4dba-b64f-750d14243fda", "etcd.lease_ttl" => 7_i32,
        "etcd.keepalive_interval" => "2", "etcd.call_timeout" => 4_i64,
        "etcd.disconnect_timeout" => 6_i32, "etcd.hostip" => "10.0.0.1",
    });
    assert_eq!(
        addresses(&config),
        addresses(&EtcdConfig::new("127.0.0.1:4001").unwrap())
    );
    assert_eq!(config.top_key.as_str(), "top");
    assert_eq!(
        config.session_id.as_str(),
        "4469111c-91c2-4dba-b64f-750d14243fda"
    );
    assert_eq!(config.lease_ttl, Duration::from_secs(7));
    assert_eq!(config.keepalive_interval, Some(Duration::from_secs(2)));
    assert_eq!(config.connect.call_timeout, Duration::from_secs(4));
    assert_eq!(config.disconnect_timeout, Duration::from_secs(6));
    assert_eq!(config.host_ip, "10.0.0.1");
}

#[test]
fn names_of_ecf_are_read() {
    let config = read(props! {
        "ecf.discovery.etcd3.hostname" => "h1, h2:5000,[::1]",
        "ecf.discovery.etcd3.port" => "4001",
        "ECF.discovery.etcd3.keyprefix" => "top",
        "ecf.discovery.etcd3.sessionid" => "4469111c-91c2-4dba-b64f-750d14243fda",
        "ecf.discovery.etcd3.ttl" => 7_i32,
        "ecf.discovery.etcd3.keepAliveUpdateTime" => 2_i32,
        "ecf.discovery.etcd3.protocol" => "http",
        "ecf.discovery.etcd3.usePlaintext" => true,
    });
    let expected = EtcdConfig::new("h1:4001,h2:5000,[::1]:4001").unwrap();
    assert_eq!(addresses(&config), addresses(&expected));
    assert_eq!(config.top_key.as_str(), "top");
    assert_eq!(config.lease_ttl, Duration::from_secs(7));
}

#[test]
fn discovery_can_be_disabled() {
    let disabled = props! { "ecf.discovery.etcd3.disabled" => "true" };
    assert!(EtcdConfig::from_properties(&disabled).unwrap().is_none());
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    for (properties, part) in [
        (
            props! { "etcd.port" => "abc" },
            "etcd.port is 'abc': it must be a port",
        ),
        (props! { "etcd.port" => 0_i32 }, "etcd.port is '0'"),
        (props! { "etcd.port" => 70_000_i32 }, "etcd.port is '70000'"),
        (props! { "etcd.port" => true }, "etcd.port is 'true'"),
        (
            props! { "etcd.top_key" => "a/b" },
            "etcd.top_key: top key 'a/b' holds a '/'",
        ),
        (
            props! { "etcd.session_id" => "me" },
            "session id 'me' is no UUID",
        ),
        (
            props! { "etcd.lease_ttl" => 0_i32 },
            "etcd.lease_ttl is '0'",
        ),
        (props! { "etcd.hostname" => "a b" }, "a b"),
        (
            props! { "ecf.discovery.etcd3.protocol" => "ftp" },
            "must be http or https",
        ),
        (
            props! { "ecf.discovery.etcd3.disabled" => "maybe" },
            "true or false",
        ),
    ] {
        let error = refused(properties);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn two_values_for_one_setting_are_refused() {
    let error = refused(props! { "etcd.port" => 1_i32, "ecf.discovery.etcd3.port" => 2_i32 });
    assert!(
        error.starts_with("etcd.port and ecf.discovery.etcd3.port"),
        "{error}"
    );
    read(props! { "etcd.port" => 1_i32, "ecf.discovery.etcd3.port" => "1" });
}

fn variables(variables: &[(&str, &str)]) -> Environment {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

fn with_env(properties: Properties, env: &[(&str, &str)]) -> Result<EtcdConfig, String> {
    EtcdConfig::from_properties_and_env(&properties, &variables(env))
        .map(Option::unwrap)
        .map_err(|error| error.to_string())
}

#[test]
fn variables_of_etcdctl_are_read() {
    let config = with_env(
        props! {},
        &[
            ("ETCDCTL_ENDPOINTS", "https://h1:1,h2"),
            ("ETCDCTL_CACERT", "ca.pem"),
            ("ETCDCTL_CERT", "cert.pem"),
            ("ETCDCTL_KEY", "key.pem"),
            ("ETCDCTL_USER", "ada:pass:word"),
            ("ETCDCTL_DIAL_TIMEOUT", "1500ms"),
            ("ETCDCTL_COMMAND_TIMEOUT", "7s"),
        ],
    )
    .unwrap();
    assert_eq!(addresses(&config), ["https://h1:1", "h2:2379"]);
    let tls = TlsOptions::new()
        .ca_file("ca.pem")
        .identity_files("cert.pem", "key.pem");
    assert_eq!(config.connect.tls, Some(tls));
    let user = Credentials::new("ada", "pass:word");
    assert_eq!(config.connect.user, Some(user));
    assert_eq!(config.connect.dial_timeout, Duration::from_millis(1500));
    assert_eq!(config.connect.call_timeout, Duration::from_secs(7));
}

#[test]
fn properties_say_all_that_the_variables_do_and_win() {
    let config = with_env(
        props! {
            "etcd.hostname" => "h", "etcd.port" => "1", "etcd.grpc_credentials" => "ca.pem",
            "etcd.cert" => "cert.pem", "etcd.key" => "key.pem", "etcd.server_name" => "etcd",
            "etcd.user" => "ada", "etcd.password" => "word", "etcd.dial_timeout" => "500ms",
            "etcd.call_timeout" => 4_i32, "etcd.max_message_size" => 1000_i64,
        },
        &[
            ("ETCDCTL_ENDPOINTS", "other"),
            ("ETCDCTL_CACERT", "other"),
            ("ETCDCTL_CERT", "other"),
            ("ETCDCTL_KEY", "other"),
            ("ETCDCTL_USER", "other:other"),
            ("ETCDCTL_PASSWORD", "other"),
            ("ETCDCTL_DIAL_TIMEOUT", "1s"),
            ("ETCDCTL_COMMAND_TIMEOUT", "1s"),
        ],
    )
    .unwrap();
    assert_eq!(addresses(&config), ["h:1"]);
    let tls = TlsOptions::new()
        .ca_file("ca.pem")
        .identity_files("cert.pem", "key.pem")
        .domain_name("etcd");
    assert_eq!(config.connect.tls, Some(tls));
    let user = Credentials::new("ada", "word");
    assert_eq!(config.connect.user, Some(user));
    assert_eq!(config.connect.dial_timeout, Duration::from_millis(500));
    assert_eq!(config.connect.call_timeout, Duration::from_secs(4));
    assert_eq!(config.connect.max_message_size, 1000);
}

#[test]
fn a_variable_completes_the_name_of_a_property_but_does_not_replace_its_password() {
    let env = [("ETCDCTL_PASSWORD", "from env")];
    let user = |name: &str| {
        let config = with_env(props! { "etcd.user" => name }, &env).unwrap();
        config.connect.user.unwrap()
    };
    assert_eq!(user("ada"), Credentials::new("ada", "from env"));
    assert_eq!(user("ada:own"), Credentials::new("ada", "own"));
}

#[test]
fn whatever_asks_for_tls_gets_the_systems_roots() {
    let tls = Some(TlsOptions::new());
    for properties in [
        props! { "ecf.discovery.etcd3.protocol" => "HTTPS" },
        props! { "ecf.discovery.etcd3.usePlaintext" => false },
    ] {
        assert_eq!(read(properties).connect.tls, tls);
    }
    let insecure = |value| with_env(props! {}, &[("ETCDCTL_INSECURE_TRANSPORT", value)]).unwrap();
    assert_eq!(insecure("false").connect.tls, tls);
    assert_eq!(insecure("true").connect.tls, None);
}

#[test]
fn settings_that_do_not_go_together_are_refused_by_name_and_without_a_value() {
    let plain = || props! { "ecf.discovery.etcd3.usePlaintext" => true };
    for (properties, env, part) in [
        (
            plain().with("etcd.cacert", "ca.pem"),
            ("", ""),
            "etcd.cacert asks for TLS while",
        ),
        (
            plain(),
            ("ETCDCTL_CACERT", "ca.pem"),
            "ETCDCTL_CACERT asks for TLS while",
        ),
        (
            plain().with("ecf.discovery.etcd3.protocol", "https"),
            ("", ""),
            "protocol asks for TLS while",
        ),
        (
            props! { "etcd.cert" => "cert.pem" },
            ("", ""),
            "etcd.cert needs its private key",
        ),
        (
            props! {},
            ("ETCDCTL_KEY", "key.pem"),
            "ETCDCTL_KEY needs its certificate",
        ),
        (
            props! { "etcd.user" => "ada" },
            ("", ""),
            "etcd.user needs a password",
        ),
        (
            props! { "etcd.password" => "s3cret" },
            ("", ""),
            "etcd.password needs a user",
        ),
        (
            props! {},
            ("ETCDCTL_USER", ":s3cret"),
            "ETCDCTL_USER has no name",
        ),
        (
            props! { "etcd.cacert" => "a", "etcd.grpc_credentials" => "b" },
            ("", ""),
            "etcd.cacert and etcd.grpc_credentials",
        ),
        (
            props! { "etcd.max_message_size" => 0_i32 },
            ("", ""),
            "a number of bytes",
        ),
        (
            props! {},
            ("ETCDCTL_DIAL_TIMEOUT", "soon"),
            "ETCDCTL_DIAL_TIMEOUT is 'soon'",
        ),
        (
            props! {},
            ("ETCDCTL_COMMAND_TIMEOUT", "0s"),
            "ETCDCTL_COMMAND_TIMEOUT is '0s'",
        ),
    ] {
        let error = with_env(properties, &[env]).unwrap_err();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
