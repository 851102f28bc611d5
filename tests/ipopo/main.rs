//! Interoperability with real iPOPO, over the embedded registry and real etcd 3.4 and 3.5.
//!
//! What both sides see of each other, what crosses a call, and which keys and
//! bytes stand in between.
#![cfg(feature = "xmlrpc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod decoder;
mod exporter;
mod ipopo_exports;
mod lint;
mod rust_exports;
mod services;
mod unharmed;
mod wire;

use std::time::Duration;

use osgi_remote::{Export, Framework};
use serde_json::Value;
use support::{Ipopo, Store};

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(40);

/// The top key of ECF and iPOPO, with its slash.
const PREFIX: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/";

/// A framework that announces on this etcd and serves on loopback.
async fn framework(etcd: &Store) -> Framework {
    with_ttl(etcd, 30).await
}

/// As [`framework`], with a time to live in seconds.
async fn with_ttl(etcd: &Store, ttl: i64) -> Framework {
    Framework::builder()
        .etcd(etcd.endpoint())
        .xmlrpc("127.0.0.1:0")
        .property("etcd.lease_ttl", ttl)
        .connect_timeout(SOON)
        .start()
        .await
        .unwrap()
}

/// The id of the one endpoint of an export, once it is announced.
async fn announced(export: &Export) -> String {
    let endpoints = tokio::time::timeout(SOON, export.announced()).await;
    let endpoints = endpoints.expect("announced in time").unwrap();
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    endpoints[0].id().to_string()
}

/// Waits until iPOPO has a proxy of an endpoint in its registry.
async fn imported(ipopo: &Ipopo, endpoint_id: &str) {
    let what = format!("iPOPO to import {endpoint_id}");
    ipopo
        .next_event(&what, SOON, |event| {
            event["event"] == "service"
                && event["kind"] == "registered"
                && event["endpoint_id"] == endpoint_id
        })
        .await;
}

/// How often iPOPO's discovery told of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Told {
    added: usize,
    modified: usize,
    removed: usize,
}

impl Told {
    fn by(ipopo: &Ipopo, endpoint_id: &str) -> Self {
        let mut told = Self::default();
        for event in ipopo.events() {
            if event["event"] != "endpoint" || event["endpoint_id"] != endpoint_id {
                continue;
            }
            match event["kind"].as_str() {
                Some("added") => told.added += 1,
                Some("modified") => told.modified += 1,
                Some("removed") => told.removed += 1,
                other => panic!("an endpoint event of kind {other:?}"),
            }
        }
        told
    }
}

/// Checks that iPOPO's discovery works, with the lease that it began with.
fn assert_sound(health: &Value, lease: &Value) {
    for part in ["connected", "watching", "keeping_alive"] {
        assert_eq!(health[part], true, "iPOPO is harmed: {health}");
    }
    assert_eq!(
        health["lease"], *lease,
        "iPOPO had to connect again: {health}"
    );
}
