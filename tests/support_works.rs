//! The test harness itself: what it starts runs, and what it ends is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use support::{Etcd, EtcdVersion, eventually};
use tokio::net::TcpStream;

#[tokio::test]
async fn etcd_of_each_version_answers_and_keeps_its_data_over_a_restart() {
    for version in EtcdVersion::ALL {
        let mut etcd = Etcd::start(version).await;
        let expected = match version {
            EtcdVersion::V3_4 => "3.4.",
            EtcdVersion::V3_5 => "3.5.",
        };
        let status = etcd.etcdctl(&["endpoint", "status", "-w", "simple"]).await;
        assert!(
            status.split(", ").nth(2).unwrap().starts_with(expected),
            "{status}"
        );

        etcd.etcdctl(&["put", "prefix/a", "first"]).await;
        etcd.etcdctl(&["put", "prefix/b", ""]).await;
        etcd.etcdctl(&["put", "other", "x"]).await;
        let before = etcd.get_prefix("prefix/").await;
        let texts: Vec<_> = before
            .iter()
            .map(|kv| (kv.key_text(), kv.value_text()))
            .collect();
        assert_eq!(
            texts,
            [
                ("prefix/a".into(), "first".into()),
                ("prefix/b".into(), String::new())
            ]
        );
        assert!(before[0].mod_revision < before[1].mod_revision);
        assert_eq!((before[0].version, before[0].lease), (1, 0));

        let endpoint = etcd.endpoint();
        etcd.restart().await;
        assert_eq!(etcd.endpoint(), endpoint);
        assert_eq!(etcd.get_prefix("prefix/").await, before, "after SIGKILL");
        etcd.stop().await;
        etcd.restart().await;
        assert_eq!(etcd.get_prefix("prefix/").await, before, "after SIGTERM");
        etcd.wipe();
        etcd.restart().await;
        assert_eq!(etcd.get_prefix("prefix/").await, [], "after a wipe");
    }
}

#[tokio::test]
async fn a_lease_of_one_second_is_granted_as_asked_for() {
    for version in EtcdVersion::ALL {
        let etcd = Etcd::start(version).await;
        let granted = etcd.etcdctl(&["lease", "grant", "1"]).await;
        assert!(granted.contains("TTL(1s)"), "{granted}");
        let id = granted.split_whitespace().nth(1).unwrap();
        assert_eq!(etcd.leases().await, [i64::from_str_radix(id, 16).unwrap()]);
        eventually(Duration::from_secs(20), "the lease to expire", async || {
            let leases = etcd.leases().await;
            if leases.is_empty() {
                Ok(())
            } else {
                Err(format!("{leases:?}"))
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_paused_etcd_is_silent_and_a_dropped_one_is_gone() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let (address, pid) = (etcd.address(), etcd.pid());
    etcd.pause();
    let silent = etcd
        .try_etcdctl(&["--command-timeout", "300ms", "get", "x"])
        .await;
    assert!(silent.unwrap_err().contains("deadline exceeded"));
    etcd.resume();
    etcd.etcdctl(&["get", "x"]).await;

    etcd.pause();
    drop(etcd);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "the process is still there"
    );
    TcpStream::connect(address)
        .await
        .expect_err("the port is still served");
}
