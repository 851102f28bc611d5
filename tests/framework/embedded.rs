//! Frameworks that run the registry themselves.

use osgi_remote::FrameworkError;
use osgi_remote::embedded::Registry;
use tokio::net::TcpListener;

use crate::*;

fn serving(address: &str) -> FrameworkBuilder {
    let registry = Registry::builder().listen(address);
    Framework::builder()
        .embedded_with(registry)
        .connect_timeout(SOON)
}

#[tokio::test]
async fn one_process_serves_and_others_join_by_its_address() {
    let host = serving("127.0.0.1:0").start().await.unwrap();
    let address = host.embedded().unwrap().address().unwrap();
    let export = export(&host, props! { "colour" => "red" });
    soon(export.announced()).await.unwrap();
    let guest = Framework::builder().etcd(address.to_string());
    let guest = guest.connect_timeout(SOON).start().await.unwrap();
    let proxy = guest
        .wait_for::<dyn Bench>("(&(service.imported=*)(colour=red))", SOON)
        .await
        .unwrap();
    assert_eq!(proxy.echo("hello".to_owned()).await.unwrap(), "hello");

    export.close();
    no_proxies(&guest).await;
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
    TcpListener::bind(address).await.expect("the port is free");
}

#[tokio::test]
async fn a_framework_alone_needs_no_port() {
    let framework = Framework::builder().embedded().start().await.unwrap();
    assert!(framework.embedded().unwrap().addresses().is_empty());
    let export = export(&framework, props! {});
    let endpoints = soon(export.announced()).await.unwrap();

    let mut client = framework.embedded().unwrap().client().await.unwrap();
    let session = framework.etcd().unwrap().session_id();
    let key = format!(
        "{}/{session}/{}",
        osgi_remote::names::TopKey::DEFAULT,
        endpoints[0].id()
    );
    let found = client.get(key, None).await.unwrap();
    assert_eq!(found.count(), 1);
    framework.shutdown().await.unwrap();
}

#[tokio::test]
async fn guests_outlive_the_framework_that_serves_and_find_the_next_one() {
    let host = serving("127.0.0.1:0").start().await.unwrap();
    let address = host.embedded().unwrap().address().unwrap().to_string();
    let guest = Framework::builder().etcd(&address).start().await.unwrap();
    let export = export(&guest, props! {});
    soon(export.announced()).await.unwrap();
    host.shutdown().await.unwrap();

    // Its registry is empty, and of another cluster.
    let host = serving(&address).start().await.unwrap();
    let proxy = host
        .wait_for::<dyn Bench>("(service.imported=*)", SOON)
        .await
        .unwrap();
    assert_eq!(proxy.echo("again".to_owned()).await.unwrap(), "again");
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named_and_nothing_is_left() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = serving(&address).start().await.unwrap_err();
    assert!(
        matches!(error, FrameworkError::Embedded(_)),
        "another error: {error:?}"
    );
    let text = error.to_string();
    assert!(text.contains(&address), "{text}");
    assert!(text.contains("in use"), "{text}");
}

#[tokio::test]
async fn a_registry_of_ones_own_and_an_etcd_together_are_refused() {
    for builder in [
        Framework::builder().etcd("etcd.example:2379"),
        Framework::builder().property("etcd.hostname", "etcd.example:2379"),
    ] {
        let error = builder.embedded().start().await.unwrap_err().to_string();
        assert!(error.contains("etcd.example:2379"), "{error}");
        assert!(error.contains("leave one of them away"), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_other_hosts_reach_without_tls_is_warned_of() {
    let log = Log::of_all_tests();
    for (address, warned) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
        let registry = Registry::start(address).await.unwrap();
        let address = registry.address().unwrap().to_string();
        let lines = log.lines(&address);
        let warns = |line: &String| line.contains("WARN") && line.contains("without TLS");
        assert_eq!(lines.iter().any(warns), warned, "{lines:?}");
        registry.shutdown().await;
    }
}
