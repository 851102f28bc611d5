//! The keys and bytes in etcd, entry by entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use osgi_remote::props;
use serde_json::Value;

use crate::services::{Greeter, Hello};
use crate::support::{Kv, Server, Store, eventually, on_each_server};
use crate::{PREFIX, SOON, announced, framework, with_ttl};

on_each_server!(
    an_export_is_two_keys_under_one_lease_and_nothing_is_left_of_it,
    in_a_steady_state_nothing_is_put,
);

/// One that iPOPO wrote for the same service.
const IPOPO: &str = include_str!("../fixtures/ipopo_hello_endpoint.json");

async fn an_export_is_two_keys_under_one_lease_and_nothing_is_left_of_it(etcd: Server) {
    let host = framework(&etcd).await;
    let session = host.etcd().unwrap().session_id().to_string();
    let timeout = props! { "osgi.basic.timeout" => "60000" };
    let export = host.export::<dyn Hello>(Arc::new(Greeter("Rust")), timeout);
    let export = export.unwrap();
    let id = announced(&export).await;

    let found = etcd.get_prefix("").await;
    let keys: Vec<String> = found.iter().map(Kv::key_text).collect();
    let expected = [
        format!("{PREFIX}{session}"),
        format!("{PREFIX}{session}/{id}"),
    ];
    assert_eq!(keys, expected);
    assert_eq!(found[0].value_text(), session);
    let leases = etcd.leases().await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    for kv in &found {
        assert_eq!((kv.lease, kv.version), (leases[0], 1), "{}", kv.key_text());
    }
    let ours: Value = serde_json::from_slice(&found[1].value).unwrap();
    assert_same_shape(&ours, &serde_json::from_str(IPOPO).unwrap());
    let entries = entries(&ours);
    assert_eq!(entries["endpoint.id"], id);
    assert_eq!(entries["endpoint.framework.uuid"], host.id().as_str());

    // A service that goes leaves the session behind, a framework nothing.
    drop(export);
    let rest = eventually(SOON, "the endpoint's key to go", async || {
        match etcd.get_prefix("").await {
            rest if rest.len() == 1 => Ok(rest),
            rest => Err(format!("{rest:?}")),
        }
    })
    .await;
    assert_eq!(rest[0], found[0]);
    host.shutdown().await.unwrap();
    assert_eq!(etcd.get_prefix("").await, []);
    assert_eq!(etcd.leases().await, [0_i64; 0]);
}

/// The entries by name; every one must be text, and no name come twice.
fn entries(endpoint: &Value) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    for entry in endpoint["properties"].as_array().unwrap() {
        assert_eq!(entry.as_object().unwrap().len(), 3, "{entry}");
        assert_eq!(entry["type"], "string", "{entry}");
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        let twice = entries.insert(text("name"), text("value"));
        assert_eq!(twice, None, "{entry}");
    }
    entries
}

fn assert_same_shape(ours: &Value, theirs: &Value) {
    let fields = |endpoint: &Value| {
        let mut names: Vec<String> = endpoint.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(fields(ours), fields(theirs));
    for same in ["priority", "weight", "ttl", "servicetype"] {
        assert_eq!(ours[same], theirs[same], "{same}");
    }
    let name = ours["servicename"].as_str().unwrap();
    assert!(name.starts_with("osgirsvc_"), "{name}");
    // The scheme is ECF's, which iPOPO reads as well as its own.
    let location = format!("ecfosgirsvc://127.0.0.1:32565/{name}");
    assert_eq!(ours["location"], location);

    let (ours, theirs) = (entries(ours), entries(theirs));
    let names = |entries: &BTreeMap<String, String>| entries.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (name, theirs) in &theirs {
        let ours = &ours[name];
        match name.as_str() {
            // What names one endpoint, and no other, is alike in form only.
            "endpoint.id" | "endpoint.framework.uuid" => {
                for text in [ours, theirs] {
                    assert!(text.parse::<uuid::Uuid>().is_ok(), "{name}: {text}");
                }
            }
            "endpoint.service.id" | "ecf.rsvc.id" | "ecf.endpoint.ts" => {
                for text in [ours, theirs] {
                    let number: i64 = text.parse().unwrap();
                    assert_eq!(
                        (number > 0, number.to_string()),
                        (true, text.clone()),
                        "{name}"
                    );
                }
                assert!(
                    name != "ecf.endpoint.ts" || ours.len() == theirs.len(),
                    "{ours}"
                );
            }
            "ecf.endpoint.id" => {
                for text in [ours, theirs] {
                    let port = text.strip_prefix("http://127.0.0.1:");
                    let port = port.and_then(|rest| rest.strip_suffix("/xml-rpc"));
                    let port = port.and_then(|port| port.parse::<u16>().ok());
                    assert!(port.is_some_and(|port| port > 0), "{text}");
                }
            }
            // iPOPO's provider has no endpoints at private addresses, and does not look at this.
            "remote.intents.supported" => assert_eq!(*ours, format!("{theirs} osgi.private")),
            _ => assert_eq!(ours, theirs, "{name}"),
        }
    }
}

/// I11: renewals of the lease are no writes.
async fn in_a_steady_state_nothing_is_put(etcd: Server) {
    const RENEWALS: u64 = 4;
    let host = with_ttl(&etcd, 1).await;
    let guest = with_ttl(&etcd, 1).await;
    let export = host.export::<dyn Hello>(Arc::new(Greeter("Rust")), props! {});
    let export = export.unwrap();
    announced(&export).await;
    guest.wait_for::<dyn Hello>("", SOON).await.unwrap();

    let renewals = || [&host, &guest].map(|f| f.etcd().unwrap().session_status().counts.renewals);
    let (before, revision) = (etcd.get_prefix("").await, store_revision(&etcd).await);
    assert_eq!(before.len(), 3, "two sessions and an endpoint: {before:?}");
    let begun = renewals();
    eventually(SOON, "some renewals", async || {
        let now = renewals();
        let enough = now
            .iter()
            .zip(begun)
            .all(|(now, begun)| *now >= begun + RENEWALS);
        if enough {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    assert_eq!(etcd.get_prefix("").await, before);
    assert_eq!(store_revision(&etcd).await, revision);
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
}

/// The revision that grows with every write to the store.
async fn store_revision(etcd: &Store) -> i64 {
    let answer = etcd
        .etcdctl(&["get", "no-such-key", "--write-out", "json"])
        .await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["header"]["revision"].as_i64().unwrap()
}
