//! What discovery says of itself, against what is true.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::discovery::etcd::{EtcdConfig, EtcdDiscovery, EtcdObserver, Health};
use osgi_remote::discovery::{Advertiser, Subscriber};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed::Change;
use osgi_remote::keyspace::SessionPhase;
use osgi_remote::props;
use support::{Etcd, EtcdVersion, Server, Store, on_each_server};

on_each_server!(
    rejected_keys_are_in_the_health_with_their_reason,
    a_session_that_closes_takes_its_endpoints_back_before_its_lease,
    an_observer_hears_of_every_session_and_writes_nothing,
);

const SECONDS: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(40);

fn config(etcd: &Store) -> EtcdConfig {
    let mut config = EtcdConfig::new(&etcd.endpoint()).unwrap();
    config.lease_ttl = 2 * SECONDS;
    config.connect.call_timeout = SECONDS;
    config.connect.dial_timeout = SECONDS;
    config
}

async fn start(config: EtcdConfig) -> EtcdDiscovery {
    let discovery = EtcdDiscovery::start(config).unwrap();
    discovery.connected(PATIENCE).await.unwrap();
    discovery
}

fn endpoint(id: &str) -> EndpointDescription {
    EndpointDescription::new(props! {
        "objectClass" => ["org.example.Greeter"], "endpoint.id" => id,
        "endpoint.service.id" => 1_i64, "endpoint.framework.uuid" => "fw",
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "ecf.endpoint.id" => "http://127.0.0.1:1/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc",
        "ecf.rsvc.id" => 1_i64, "ecf.endpoint.ts" => 1_i64,
    })
    .unwrap()
}

async fn wait_for(discovery: &EtcdDiscovery, wanted: impl Fn(&Health) -> bool) -> Health {
    let mut updates = discovery.health_updates();
    match tokio::time::timeout(PATIENCE, updates.wait_for(wanted)).await {
        Ok(health) => health.unwrap(),
        Err(_) => panic!("health stays at {:#?}", updates.current()),
    }
}

#[tokio::test]
async fn health_tells_the_truth_while_etcd_is_stopped_and_after() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let discovery = start(config(&etcd)).await;
    discovery.advertise(&endpoint("e")).unwrap().await.unwrap();
    let health = wait_for(&discovery, Health::is_connected).await;
    assert_eq!((health.announced, health.pending), (1, 0));
    assert!(etcd.leases().await.contains(&health.lease.unwrap()));
    assert!(
        health.to_string().starts_with("registered for "),
        "{health}"
    );

    etcd.pause();
    let health = wait_for(&discovery, |h| !h.is_registered()).await;
    assert_ne!(health.session, SessionPhase::Held);
    let health = wait_for(&discovery, |h| h.stale_since.is_some()).await;
    assert!(health.to_string().contains("STALE"), "{health}");
    assert!(health.session_error.is_some());

    etcd.resume();
    let health = wait_for(&discovery, Health::is_connected).await;
    assert!(health.counts.reconnects > 0);
    assert_eq!(health.announced, 1);
    discovery.close().await.unwrap();
}

async fn an_observer_hears_of_every_session_and_writes_nothing(etcd: Server) {
    let config = config(&etcd);
    let rubbish = format!("{}/no-uuid/e", config.top_key);
    let exporter = start(config.clone()).await;
    exporter.advertise(&endpoint("e")).unwrap().await.unwrap();
    etcd.etcdctl(&["put", &rubbish, "rubbish"]).await;
    let before = etcd.get_prefix("").await;
    let leases = etcd.leases().await;

    // Given the exporter's own session id too, which is of no meaning to it.
    let observer = EtcdObserver::start(&config).unwrap();
    observer.synced_within(PATIENCE).await.unwrap();
    let mut news = observer.endpoints().listen(|_| true);
    let told = tokio::time::timeout(PATIENCE, news.next()).await.unwrap();
    assert!(
        matches!(&told, Some(Change::Added(id, _)) if id.as_str() == "e"),
        "{told:?}"
    );
    let status = observer.view_status().borrow().clone();
    assert_eq!((status.endpoints, status.sessions), (1, 1));
    assert!(status.rejected.contains_key(&rubbish), "{status:?}");
    assert_eq!(etcd.get_prefix("").await, before);
    assert_eq!(etcd.leases().await, leases);

    exporter.close().await.unwrap();
    let told = tokio::time::timeout(PATIENCE, news.next()).await.unwrap();
    assert!(matches!(&told, Some(Change::Removed(..))), "{told:?}");
    observer.close().await.unwrap();
    let after = tokio::time::timeout(PATIENCE, news.next()).await.unwrap();
    assert!(after.is_none(), "{after:?}");
    observer.close().await.unwrap();
}

async fn rejected_keys_are_in_the_health_with_their_reason(etcd: Server) {
    let config = config(&etcd);
    let key = format!("{}/no-uuid/e", config.top_key);
    let discovery = start(config).await;
    etcd.etcdctl(&["put", &key, "rubbish"]).await;
    let health = wait_for(&discovery, |h| !h.rejected.is_empty()).await;
    assert!(
        health.rejected[&key].contains("no UUID"),
        "{:?}",
        health.rejected
    );
    etcd.etcdctl(&["del", &key]).await;
    wait_for(&discovery, |h| h.rejected.is_empty()).await;
    discovery.close().await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_starts_while_etcd_is_down_begins_with_what_it_saw_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let with_memory = || {
        let mut config = config(&etcd);
        config.last_known = Some(folder.path().join("view"));
        config
    };
    let exporter = start(config(&etcd)).await;
    for id in ["stays", "goes"] {
        exporter.advertise(&endpoint(id)).unwrap().await.unwrap();
    }
    let first = start(with_memory()).await;
    wait_for(&first, |h| h.endpoints == 2).await;
    first.close().await.unwrap();
    let later = with_memory();

    etcd.kill9();
    let consumer = EtcdDiscovery::start(later).unwrap();
    let health = consumer.health();
    assert_eq!((health.endpoints, health.suspects.len()), (2, 2));
    assert!(health.stale_since.is_some());
    let mut listener = consumer.endpoints().listen(|_| true);
    while listener.try_next().is_some() {}

    drop(exporter.withdraw(&"goes".parse().unwrap()));
    etcd.restart().await;
    let all_known = |h: &Health| h.is_connected() && h.suspects.is_empty() && h.endpoints == 1;
    wait_for(&consumer, all_known).await;
    let told: Vec<_> = std::iter::from_fn(|| listener.try_next()).collect();
    assert_eq!(told.len(), 1, "only what went is news: {told:?}");
    assert_eq!(told[0].key().as_str(), "goes");
    consumer.close().await.unwrap();
    exporter.close().await.unwrap();
}

async fn a_session_that_closes_takes_its_endpoints_back_before_its_lease(etcd: Server) {
    let observer = start(config(&etcd)).await;
    // So many that the guard would keep them, had they vanished.
    let mut sessions = Vec::new();
    for n in 0..4 {
        let session = start(config(&etcd)).await;
        let endpoint = endpoint(&format!("e{n}"));
        session.advertise(&endpoint).unwrap().await.unwrap();
        sessions.push(Arc::new(session));
    }
    wait_for(&observer, |h| h.endpoints == 4 && h.sessions == 4).await;
    for session in sessions {
        session.close().await.unwrap();
    }
    let health = wait_for(&observer, |h| h.endpoints == 0).await;
    assert!(health.suspects.is_empty());
    observer.close().await.unwrap();
}

/// The exception that invariant I7 allows.
#[tokio::test]
async fn past_the_limit_on_staleness_nothing_is_shown_until_etcd_is_read_again() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let exporter = start(config(&etcd)).await;
    exporter.advertise(&endpoint("e")).unwrap().await.unwrap();
    let unlimited = start(config(&etcd)).await;
    let mut config = config(&etcd);
    config.stale_limit = Some(SECONDS);
    let limited = start(config).await;
    wait_for(&limited, |h| h.endpoints == 1).await;
    assert_eq!(limited.endpoints().snapshot().len(), 1);

    etcd.pause();
    let health = wait_for(&limited, |h| h.withheld).await;
    assert!(health.to_string().contains("WITHHELD"), "{health}");
    assert!(limited.endpoints().snapshot().is_empty());
    wait_for(&unlimited, |h| h.stale_since.is_some()).await;
    assert_eq!(unlimited.endpoints().snapshot().len(), 1);

    etcd.resume();
    wait_for(&limited, |h| !h.withheld && h.is_connected()).await;
    // A stopped etcd gives leases their time again, but the exporter's may have run out.
    let mut endpoints = limited.endpoints().listen(|_| true);
    tokio::time::timeout(PATIENCE, endpoints.next())
        .await
        .unwrap();
    for discovery in [exporter, unlimited, limited] {
        discovery.close().await.unwrap();
    }
}
