//! Starting, connecting and ending.

use std::net::{IpAddr, TcpListener};
use std::sync::mpsc;

use crate::support::process::ReservedPort;
use crate::*;
use osgi_remote::framework::Connected;

on_each_server!([embedded, etcd_3_5](
    the_callback_is_told_once_of_the_session_and_lease_that_are_in_etcd,
    a_shutdown_leaves_no_key_no_lease_no_task_and_no_port,
    dropping_a_framework_leaves_no_task_either,
    a_dead_server_in_the_list_does_not_keep_a_framework_from_starting,
    bound_to_all_addresses_it_advertises_one_that_can_be_reached_and_says_why,
    announced_means_announced_with_the_properties_of_now,
));

/// Tasks of this test's runtime, which is its own.
fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn tasks_end(before: usize) {
    eventually(SOON, "all tasks have ended", async || match tasks() {
        left if left == before => Ok(()),
        left => Err(format!("{left} tasks and not {before}")),
    })
    .await;
}

async fn told_of_the_session(etcd: &Store, connected: &Connected) {
    let key = format!(
        "{}/{}",
        osgi_remote::names::TopKey::DEFAULT,
        connected.session_id
    );
    let kv = etcd.get(&key).await.unwrap();
    assert_eq!(kv.lease, connected.lease);
    assert_eq!(kv.value_text(), connected.session_id.as_str());
    assert_eq!(etcd.leases().await, [connected.lease]);
}

async fn the_callback_is_told_once_of_the_session_and_lease_that_are_in_etcd(etcd: Server) {
    for disconnected in [false, true] {
        let (sender, told) = mpsc::channel();
        let mut builder = builder(&etcd).on_connected(move |connected| {
            sender.send(connected).unwrap();
        });
        if disconnected {
            builder = builder.start_disconnected();
        }
        let framework = builder.start().await.unwrap();
        let connected = eventually(SOON, "the callback", async || told.try_recv()).await;
        assert_eq!(
            &connected.session_id,
            framework.etcd().unwrap().session_id()
        );
        told_of_the_session(&etcd, &connected).await;
        framework.shutdown().await.unwrap();
        // The sender is gone, and said nothing more.
        assert_eq!(
            told.try_recv().err(),
            Some(mpsc::TryRecvError::Disconnected)
        );
    }
}

async fn a_shutdown_leaves_no_key_no_lease_no_task_and_no_port(etcd: Server) {
    let before = tasks();
    let host = start(&etcd).await;
    let export = export(&host, props! {});
    let url = url(&export).await;
    let guest = start(&etcd).await;
    let proxy = guest.wait_for::<dyn Bench>("", SOON).await.unwrap();
    proxy.echo("x".to_owned()).await.unwrap();
    assert!(tasks() > before);

    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
    let port = url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0;
    TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    assert_eq!(keys(&etcd).await, [""; 0]);
    assert_eq!(etcd.leases().await, [0; 0]);
    // Channels of the libraries end with a turn of their own.
    tasks_end(before).await;
}

async fn dropping_a_framework_leaves_no_task_either(etcd: Server) {
    let before = tasks();
    let host = start(&etcd).await;
    let export = export(&host, props! {});
    soon(export.announced()).await.unwrap();
    let guest = start(&etcd).await;
    let proxy = guest.wait_for::<dyn Bench>("", SOON).await.unwrap();
    proxy.echo("x".to_owned()).await.unwrap();
    drop((host, guest));
    // Not even while somebody holds what came from them.
    tasks_end(before).await;
    drop((export, proxy));
}

#[tokio::test]
async fn a_cancelled_start_leaves_no_task() {
    let etcd = etcd().await;
    let before = tasks();
    etcd.pause();
    let begun = eventually(SOON, "the start began", async || {
        if tasks() > before {
            Ok(())
        } else {
            Err(tasks())
        }
    });
    tokio::select! {
        biased;
        started = builder(&etcd).start() => panic!("{started:?}"),
        () = begun => {}
    }
    tasks_end(before).await;
    etcd.resume();
}

async fn a_dead_server_in_the_list_does_not_keep_a_framework_from_starting(etcd: Server) {
    let dead = ReservedPort::any();
    let endpoints = format!("127.0.0.1:{},{}", dead.number, etcd.endpoint());
    let framework = Framework::builder()
        .etcd(endpoints)
        .connect_timeout(SOON)
        .start()
        .await
        .unwrap();
    let export = export(&framework, props! {});
    soon(export.announced()).await.unwrap();
    assert_eq!(endpoint_keys(&etcd).await.len(), 1);
    framework.shutdown().await.unwrap();
}

/// Rule P19.
async fn bound_to_all_addresses_it_advertises_one_that_can_be_reached_and_says_why(etcd: Server) {
    let log = Log::of_all_tests();
    let host = builder(&etcd).xmlrpc("0.0.0.0:0").start().await.unwrap();
    let export = export(&host, props! {});
    let url = url(&export).await;
    let authority = url
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/xml-rpc"))
        .unwrap();
    let address: std::net::SocketAddr = authority.parse().unwrap();
    assert!(!address.ip().is_unspecified(), "{url}");
    let others = osgi_remote::distribution::xmlrpc::address::local_addresses().unwrap();
    let outside: Vec<IpAddr> = others
        .iter()
        .map(|a| a.ip)
        .filter(|ip| ip.is_ipv4() && !ip.is_loopback())
        .collect();
    if outside.is_empty() {
        assert!(address.ip().is_loopback(), "{url}");
    } else {
        assert!(outside.contains(&address.ip()), "{url}");
    }

    let guest = start(&etcd).await;
    let proxy = guest.wait_for::<dyn Bench>("", SOON).await.unwrap();
    assert_eq!(proxy.echo("reached".to_owned()).await.unwrap(), "reached");

    let line = &log.lines(&format!("url=\"{url}\""))[0];
    assert!(line.contains("XML-RPC server listens"), "{line}");
    let why = if outside.is_empty() {
        "configure a hostname"
    } else {
        "the server is bound to all addresses, and "
    };
    assert!(line.contains(why), "{line}");
}

async fn announced_means_announced_with_the_properties_of_now(etcd: Server) {
    let host = start(&etcd).await;
    let export = export(&host, props! { "n" => 0_i32 });
    for n in 0..20_i32 {
        export.set_properties(props! { "n" => n }).unwrap();
        let endpoints = soon(export.announced()).await.unwrap();
        assert_eq!(endpoints[0].properties().get("n"), Some(&n.into()));
        let key = &endpoint_keys(&etcd).await[0];
        let value = etcd.get(key).await.unwrap().value_text().to_owned();
        let expected = format!("\"name\":\"n\",\"value\":\"{n}\"");
        assert!(value.contains(&expected), "{value}");
    }
    host.shutdown().await.unwrap();
}
