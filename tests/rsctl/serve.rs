//! `rsctl serve`.

use std::net::SocketAddr;

use snapbox::{assert_data_eq, str};

use crate::certificates::Authority;
use crate::support::{EtcdVersion, Ipopo, IpopoOptions, Store};
use crate::tool::{Running, Tool};

/// The address that a registry says it listens on.
async fn listening(running: &Running, scheme: &str) -> SocketAddr {
    let line = running.line().await;
    let address = line.strip_prefix(&format!("listening on {scheme}://"));
    let address = address.unwrap_or_else(|| panic!("{line}"));
    address.parse().unwrap()
}

#[tokio::test]
async fn etcdctl_ipopo_and_rsctl_use_what_serve_serves() {
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
    ];
    let running = Tool::alone().args(args).start();
    let first = listening(&running, "http").await;
    let second = listening(&running, "http").await;
    assert_ne!(first, second);
    for version in [EtcdVersion::V3_4, EtcdVersion::V3_5] {
        let store = Store::new(first, version);
        store.etcdctl(&["put", "colour", "red"]).await;
        let other = Store::new(second, version);
        assert_eq!(other.get("colour").await.unwrap().value_text(), "red");
    }
    let store = Store::new(first, EtcdVersion::V3_5);
    let mut ipopo = Ipopo::start(IpopoOptions::new(&store)).await;
    ipopo.install_sample().await;
    let hello = "org.eclipse.ecf.examples.hello.IHello";
    let args = ["call", hello, "sayHello", "--string", "Ada", "hi"];
    let answer = Tool::new(&store).args(args).run().await.json();
    assert!(
        answer
            .as_str()
            .is_some_and(|text| text.contains("Howdy Ada")),
        "{answer}"
    );
    ipopo.stop().await;
    let ran = running.stop("TERM").await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(ran.stderr, "stopping; what is registered here goes\n");
}

#[tokio::test]
async fn an_interrupt_ends_it_well_and_frees_the_port() {
    let running = Tool::alone()
        .args(["serve", "--listen", "127.0.0.1:0", "-o", "json"])
        .start();
    let line = running.line().await;
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["event"], "listening");
    let url = told["url"].as_str().unwrap();
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(running.stop("INT").await.code(), 0);
    drop(std::net::TcpListener::bind(address).unwrap());
}

#[tokio::test]
async fn what_serve_cannot_do_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = Tool::alone()
        .args(["serve", "--listen", &address])
        .run()
        .await
        .bad(5);
    assert!(
        line.contains(&address) && line.contains("the address is in use"),
        "{line}"
    );
    assert_data_eq!(
        Tool::alone()
            .args(["serve", "--listen", "nonsense"])
            .run()
            .await
            .bad(2),
        str![
            "rsctl: `nonsense` is no address to listen on: [..]; give HOST:PORT, as 127.0.0.1:2379"
        ]
    );
    let args = [
        "serve",
        "--cert-file",
        "no.pem",
        "--key-file",
        "no.key",
        "--listen",
        "127.0.0.1:0",
    ];
    let line = Tool::alone().args(args).run().await.bad(2);
    assert!(line.contains("no.pem cannot be read"), "{line}");
    let ran = Tool::alone()
        .args(["serve", "--cert-file", "a.pem"])
        .run()
        .await;
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("--key-file"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_serve_may_take_is_bounded_as_it_is_told() {
    let running = Tool::alone()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--quota-backend-bytes", "100000", "--keep-bytes", "1000"])
        .args([
            "--grpc-keepalive-interval",
            "1m",
            "--grpc-keepalive-timeout",
            "5",
        ])
        .start();
    let address = listening(&running, "http").await.to_string();
    let mut client = etcd_client::Client::connect([address], None).await.unwrap();
    client.put("key", vec![b'v'; 90_000], None).await.unwrap();
    let full = client.put("other", vec![b'v'; 20_000], None).await;
    let full = full.unwrap_err().to_string();
    assert!(full.contains("database space exceeded"), "{full}");
    client.delete("key", None).await.unwrap();
    client.put("other", vec![b'v'; 20_000], None).await.unwrap();
    // What was deleted is no longer kept.
    let old = etcd_client::GetOptions::new().with_revision(2);
    let old = client.get("key", Some(old)).await.unwrap_err().to_string();
    assert!(old.contains("compacted"), "{old}");
    assert_eq!(running.stop("TERM").await.code(), 0);
}

#[tokio::test]
async fn open_to_other_hosts_without_tls_is_warned_of() {
    let running = Tool::alone()
        .args(["serve", "--listen", "0.0.0.0:0"])
        .start();
    running.notes("without TLS").await;
    running.line().await;
    assert_eq!(running.stop("TERM").await.code(), 0);
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"], "rsctl");
    let ca = authority.file("ca.pem", &authority.cert);
    let cert = authority.file("cert.pem", &identity.cert);
    let key = authority.file("key.pem", &identity.key);
    let running = Tool::alone()
        .args(["serve", "--listen", "127.0.0.1:0", "--cert-file"])
        .args([cert.as_os_str()])
        .args(["--key-file"])
        .args([key.as_os_str()])
        .start();
    let address = listening(&running, "https").await;
    let endpoint = format!("https://localhost:{}", address.port());
    let call = || Tool::alone().args(["--endpoints", &endpoint, "call", "a.A", "m"]);
    let trusting = call()
        .args(["--cacert"])
        .args([ca.as_os_str()])
        .run()
        .await
        .bad(1);
    assert!(trusting.contains("none is registered"), "{trusting}");
    let line = call().run().await.bad(4);
    assert!(line.contains("TLS"), "{line}");
    assert_eq!(running.stop("TERM").await.code(), 0);
}
