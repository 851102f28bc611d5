//! Servers that speak TLS, and certificates.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::doctor;
use crate::certificates::Authority;
use crate::support::{Etcd, EtcdVersion};

#[tokio::test]
async fn trouble_with_certificates_is_told_with_its_cure() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"], "etcd");
    let etcd = Etcd::start_tls(EtcdVersion::V3_4, &authority.server(&identity), &[]).await;
    let ca = authority.file("trusted.pem", &authority.cert);
    let other = Authority::new();
    let wrong = other.file("other.pem", &other.cert);

    let sound = doctor(&etcd.endpoint(), &["--cacert", ca.to_str().unwrap()]).await;
    assert_eq!(sound.found("tls", "is for 127.0.0.1").0, "ok");
    assert_eq!(sound.found("clock", "agrees with ours").0, "ok");
    let server = "the server's certificate ends on 2100-01-01";
    assert_eq!(sound.found("certificate", server).0, "ok");
    assert_eq!(sound.code, 0);

    let strange = doctor(&etcd.endpoint(), &["--cacert", wrong.to_str().unwrap()]).await;
    let (result, cure) = strange.found("etcd", "TLS with etcd");
    assert_eq!(result, "error");
    assert!(cure.contains("give the one that signed it"), "{cure}");
    assert_eq!(strange.code, 4);

    let identity = authority.issue(&["etcd.example"], "etcd");
    let named = Etcd::start_tls(EtcdVersion::V3_4, &authority.server(&identity), &[]).await;
    let named = doctor(&named.endpoint(), &["--cacert", ca.to_str().unwrap()]).await;
    let (result, cure) = named.found("etcd", "the server's certificate is for other names");
    assert_eq!(result, "error");
    assert_eq!(cure, "write one of them as the address");
}

/// A way to a server on which whoever does not ask for TLS is hung up on, without a word.
async fn hangs_up_on_plain_text(server: SocketAddr) -> (SocketAddr, AbortOnDropHandle<()>) {
    const HANDSHAKE: u8 = 0x16;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut first = [0];
                if stream.peek(&mut first).await.is_ok() && first[0] == HANDSHAKE {
                    let mut etcd = TcpStream::connect(server).await.unwrap();
                    // Either side may end it as it likes.
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut etcd).await);
                }
            });
        }
    });
    (address, AbortOnDropHandle::new(task))
}

#[tokio::test]
async fn a_server_that_wants_tls_and_is_asked_in_plain_text_is_known_even_if_it_says_nothing() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"], "etcd");
    let etcd = Etcd::start_tls(EtcdVersion::V3_4, &authority.server(&identity), &[]).await;
    let (silent, _task) = hangs_up_on_plain_text(etcd.address()).await;
    for endpoint in [etcd.endpoint(), silent.to_string()] {
        let plain = doctor(&endpoint, &[]).await;
        let (result, cure) = plain.found("etcd", "speaks TLS, and was asked in plain text");
        assert_eq!(result, "error");
        assert!(cure.contains("https://"), "{cure}");
        assert_eq!(plain.code, 4);
    }
    // What speaks neither is told as what it is.
    let neither = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = neither.local_addr().unwrap().to_string();
    let closes = tokio::spawn(async move {
        while let Ok((stream, _)) = neither.accept().await {
            drop(stream);
        }
    });
    let _closes = AbortOnDropHandle::new(closes);
    let diagnosis = doctor(&address, &[]).await;
    assert_eq!(diagnosis.code, 3, "{:#?}", diagnosis.findings);
}

#[tokio::test]
async fn certificates_are_looked_at_on_both_sides() {
    let authority = Authority::new();
    let identity = authority.issue_until(&["127.0.0.1"], "etcd", 2098);
    let server = authority.mutual_server(&identity);
    let etcd = Etcd::start_tls(EtcdVersion::V3_5, &server, &[]).await;
    let ca = authority.file("trusted.pem", &authority.cert);
    let own = authority.issue_until(&[], "ada", 2099);
    let cert = authority.file("own.pem", &own.cert);
    let key = authority.file("own.key", &own.key);
    let [ca, cert, key] = [ca, cert, key].map(|path| path.to_str().unwrap().to_owned());
    let diagnosis = doctor(
        &etcd.endpoint(),
        &["--cacert", &ca, "--cert", &cert, "--key", &key],
    )
    .await;
    assert_eq!(diagnosis.found("read", "allowed").0, "ok");
    let server = "the server's certificate ends on 2098-01-01";
    assert_eq!(diagnosis.found("certificate", server).0, "ok");
    assert_eq!(diagnosis.found("clock", "agrees with ours").0, "ok");
    let own = format!("the own certificate {cert} ends on 2099-01-01");
    assert_eq!(diagnosis.found("certificate", &own).0, "ok");

    // Without one, the server hangs up.
    let without = doctor(&etcd.endpoint(), &["--cacert", &ca]).await;
    let (result, cure) = without.found("etcd", "TLS with etcd");
    assert_eq!(result, "error");
    assert!(cure.contains("--cert, --key"), "{cure}");
    assert_eq!(without.code, 4);
}
