//! iPOPO is not harmed by what Rust announces, changes and takes back, nor by
//! how it goes.

use std::sync::Arc;

use osgi_remote::properties::{Array, Properties, ScalarType, Value as Item};
use osgi_remote::props;
use serde_json::{Value, json};

use crate::services::{Greeter, HELLO, Hello};
use crate::support::{Ipopo, IpopoOptions, Server, Store, eventually, on_each_server};
use crate::{PREFIX, SOON, announced, assert_sound, exporter, framework, imported};

on_each_server!(ipopo_outlives_whatever_rust_exporters_announce_and_however_they_go);

/// Properties of all types, with values at which a reader may stumble.
fn exotic() -> [Properties; 5] {
    let longs = vec![i64::MIN.into(), i64::MAX.into()];
    [
        props! {
            "text" => "' \" \\ \n \u{0} \u{7f} \u{1f600} ü", "empty" => "", "blank" => "  ",
            "null" => "null", "none" => "None", "true" => "true", "json" => r#"{"type": null}"#,
            "name with spaces" => "x", "größe ¡ \u{1f600}" => "x", "a/b=c,d" => "x", "'\"\\" => "x",
        },
        props! {
            "boolean" => false, "byte" => i8::MIN, "short" => i16::MIN, "integer" => i32::MIN,
            "long" => i64::MIN, "zero" => 0_i64, "character" => '\u{1f600}', "nul" => '\u{0}',
        },
        props! {
            "nan" => f64::NAN, "infinite" => f64::NEG_INFINITY, "minus zero" => -0.0_f64,
            "tiny" => f64::MIN_POSITIVE, "huge" => f64::MAX, "float" => f32::MAX,
            "float nan" => f32::NAN,
        },
        props! {
            "bytes" => Item::Bytes(Arc::from([0_u8, 255, 10])),
            "no bytes" => Item::Bytes(Arc::from([0_u8; 0])),
            "array" => Array::primitive(ScalarType::Long, longs).map(Item::Array).unwrap(),
            "strings" => ["it's", "", " "], "empty list" => Item::List(vec![]),
            "list" => Item::List(vec![f64::NAN.into(), true.into(), Item::List(vec![])]),
            "set" => Item::Set(vec![1_i32.into(), "x".into()]), "empty set" => Item::Set(vec![]),
        },
        // Names that mean something to a registry, to iPOPO or to ECF.
        props! {
            "service.ranking" => 7_i32, "service.pid" => "pid", "service.vendor" => "nobody",
            "instance.name" => "mine", "service.id" => "text", "service.bundleid" => "text",
            "ecf.rsvc.async.noproxy" => "x",
            "ecf.exported.async.interfaces" => "*",
        "endpoint.package.version.org.example" => "1.2.3", ".private" => "x",
            "event" => "x", "id" => 1_i32, "type" => "x", "name" => "x", "value" => "x",
        },
    ]
}

async fn ipopo_outlives_whatever_rust_exporters_announce_and_however_they_go(etcd: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    ipopo.install_sample().await;
    let before = ipopo.health().await;
    let own = async || {
        etcd.get_prefix(&format!("{PREFIX}{}", ipopo.session_id()))
            .await
    };
    let registered = own().await;
    assert_eq!(registered.len(), 2, "{registered:?}");

    let exotic = exotic();
    for (round, properties) in exotic.iter().enumerate() {
        let host = framework(&etcd).await;
        let export = host.export::<dyn Hello>(Arc::new(Greeter("exotic")), properties.clone());
        let export = export.unwrap();
        let id = announced(&export).await;
        ipopo.endpoint_event("added", &id, SOON).await;
        imported(&ipopo, &id).await;
        let answer = ipopo
            .call_endpoint(&id, HELLO, "sayHello", json!(["a", "b"]))
            .await;
        assert_eq!(answer.unwrap(), "exotic sync a b", "round {round}");
        let next = exotic[(round + 1) % exotic.len()].clone();
        export.set_properties(next).unwrap();
        ipopo.endpoint_event("modified", &id, SOON).await;
        if round % 2 == 0 {
            drop(export);
            ipopo.endpoint_event("removed", &id, SOON).await;
        }
        host.shutdown().await.unwrap();
        if round % 2 == 1 {
            ipopo.endpoint_event("removed", &id, SOON).await;
        }
    }
    let victim = exporter::start(&etcd, 1, &["it's=\"\\"]);
    let died = ipopo
        .next_event("the sample's endpoint", SOON, |event| {
            event["event"] == "endpoint"
                && event["kind"] == "added"
                && event["properties"]["it's"] == "\"\\"
        })
        .await;
    victim.kill9();
    let died = died["endpoint_id"].as_str().unwrap();
    ipopo.endpoint_event("removed", died, SOON).await;

    let host = framework(&etcd).await;
    let export = host.export::<dyn Hello>(Arc::new(Greeter("last")), props! {});
    let id = announced(export.as_ref().unwrap()).await;
    imported(&ipopo, &id).await;
    let health = ipopo.health().await;
    assert_sound(&health, &before["lease"]);
    let session = host.etcd().unwrap().session_id().to_string();
    assert_eq!(health["discovered"], json!({ id: session }));
    assert_eq!(health["advertised"], before["advertised"]);
    assert_eq!(own().await, registered);
    sees_a_renewal(&etcd, registered[0].lease).await;
    host.shutdown().await.unwrap();
    eventually(SOON, "iPOPO to know nobody", async || {
        match ipopo.health().await {
            health if health["discovered"] == json!({}) => Ok(()),
            health => Err(health.to_string()),
        }
    })
    .await;
}

/// Waits until a lease has more time left than it had before.
async fn sees_a_renewal(etcd: &Store, lease: i64) {
    let lease = format!("{lease:x}");
    let mut least = i64::MAX;
    eventually(SOON, "iPOPO to renew its lease", async || {
        let answer = etcd
            .etcdctl(&["lease", "timetolive", &lease, "--write-out", "json"])
            .await;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let left = answer["ttl"].as_i64().ok_or_else(|| answer.to_string())?;
        assert!(left >= 0, "the lease is gone: {answer}");
        let renewed = left > least;
        least = least.min(left);
        if renewed {
            Ok(())
        } else {
            Err(format!("{left} s left"))
        }
    })
    .await;
}
