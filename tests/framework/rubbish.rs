//! What others write below the top key.

use std::collections::BTreeMap;

use etcd_client::Client;
use osgi_remote::admin::AdminEventKind;
use serde_json::Value as Json;

use crate::*;

on_each_server!([embedded, etcd_3_5](
    rubbish_below_the_top_key_is_reported_for_its_key_and_harms_no_other,
    an_endpoint_whose_url_is_broken_is_told_and_not_imported,
));

const STRANGER: &str = "11111111-1111-4111-8111-111111111111";

fn below(rest: &str) -> String {
    format!("{}/{rest}", osgi_remote::names::TopKey::DEFAULT)
}

/// The healthy endpoint's value with other values of some properties.
async fn like_the_healthy_one(etcd: &Store, changes: &[(&str, &str)]) -> String {
    let key = &endpoint_keys(etcd).await[0];
    let mut value: Json = serde_json::from_str(&etcd.get(key).await.unwrap().value_text()).unwrap();
    let entries = value["properties"].as_array_mut().unwrap();
    for (name, text) in changes {
        let entry = entries.iter_mut().find(|entry| entry["name"] == *name);
        entry.unwrap()["value"] = Json::from(*text);
    }
    value.to_string()
}

async fn rejected_are(framework: &Framework, expected: usize) -> Arc<BTreeMap<String, String>> {
    let what = format!("{expected} keys are reported");
    eventually(SOON, &what, async || {
        let rejected = framework.etcd().unwrap().rejected();
        if rejected.len() == expected {
            Ok(rejected)
        } else {
            Err(format!("{rejected:#?}"))
        }
    })
    .await
}

async fn rubbish_below_the_top_key_is_reported_for_its_key_and_harms_no_other(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let mismatch = like_the_healthy_one(&etcd, &[("endpoint.id", "another")]).await;
    let no_number = like_the_healthy_one(
        &etcd,
        &[("endpoint.id", "text"), ("endpoint.service.id", "seven")],
    )
    .await;
    let no_properties = r#"{"location": "ecfosgisvc://h:1/x"}"#;
    let json = below(&format!("{STRANGER}/json"));
    let deep = below(&format!("{STRANGER}/a/b"));
    let one = below(&format!("{STRANGER}/one"));
    let text = below(&format!("{STRANGER}/text"));
    let bare = below(&format!("{STRANGER}/bare"));
    let nobody = below("nobody/e");
    for (key, value) in [
        (&json, "{"),
        (&deep, "x"),
        (&one, &mismatch),
        (&text, &no_number),
        (&bare, no_properties),
        (&nobody, "x"),
    ] {
        etcd.etcdctl(&["put", "--", key, value]).await;
    }
    let bytes = below(&format!("{STRANGER}/bytes"));
    let mut client = Client::connect([etcd.endpoint()], None).await.unwrap();
    client
        .put(bytes.as_str(), &b"\xff\x00"[..], None)
        .await
        .unwrap();

    for framework in [&healthy.host, &healthy.guest] {
        let rejected = rejected_are(framework, 7).await;
        for (key, reason) in [
            (&json, "JSON"),
            (&deep, "the key has more than three segments"),
            (
                &one,
                "the key ends with 'one', and the value's endpoint.id is 'another'",
            ),
            (&text, "endpoint.service.id"),
            (&bare, "properties"),
            (&nobody, "session id 'nobody' is no UUID"),
            (&bytes, "not the JSON of an endpoint"),
        ] {
            assert!(rejected[key].contains(reason), "{key}: {}", rejected[key]);
        }
    }
    let answer = soon(healthy.proxy.echo("still".to_owned())).await;
    assert_eq!(answer.unwrap(), "still");
    // A newcomer finds the good among the bad.
    let late = start(&etcd).await;
    rejected_are(&late, 7).await;
    let proxy = late.wait_for::<dyn Bench>("", SOON).await.unwrap();
    assert_eq!(proxy.echo("late".to_owned()).await.unwrap(), "late");
    late.shutdown().await.unwrap();

    // What is mended or gone is reported no more.
    etcd.etcdctl(&["del", "--prefix", &below(STRANGER)]).await;
    etcd.etcdctl(&["del", &nobody]).await;
    rejected_are(&healthy.guest, 0).await;
    healthy.check(&etcd).await;
}

async fn an_endpoint_whose_url_is_broken_is_told_and_not_imported(etcd: Server) {
    let healthy = Healthy::start(&etcd).await;
    let mut events = healthy.guest.admin().events();
    let there = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(there.kind, AdminEventKind::ImportRegistration);
    for (id, url) in [
        ("e-1", "localhost:8080"),
        ("e-2", "ftp://localhost/xml-rpc"),
        ("e-3", "http://two words/xml-rpc"),
    ] {
        let value =
            like_the_healthy_one(&etcd, &[("endpoint.id", id), ("ecf.endpoint.id", url)]).await;
        let key = below(&format!("{STRANGER}/{id}"));
        etcd.etcdctl(&["put", "--", &key, &value]).await;
        let event = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(event.kind, AdminEventKind::ImportError);
        let error = event.error.unwrap().to_string();
        let expected = format!("endpoint {id} cannot be called: ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.contains(url), "{error}");
        etcd.etcdctl(&["del", &key]).await;
    }
    assert!(healthy.guest.etcd().unwrap().rejected().is_empty());
    healthy.check(&etcd).await;
}
