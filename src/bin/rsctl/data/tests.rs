#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::json;

use super::snapshot::Seen;
use super::*;

fn data(source: &Source, keys: &[(&str, &str)]) -> serde_json::Value {
    let items: Vec<Item> = keys
        .iter()
        .filter_map(|(key, value)| source.parse(key.as_bytes(), value.as_bytes()).unwrap())
        .collect();
    let seen = items.iter().zip(1..).map(|(item, mod_revision)| Seen {
        item,
        mod_revision,
        there: true,
    });
    serde_json::to_value(Data::of(source, seen)).unwrap()
}

#[test]
fn services_have_their_hosts_and_ports() {
    let services = data(
        &Source::Services("/r".parse().unwrap()),
        &[
            ("/r/service/db/one", "postgres://u:p@db-1:5432/x"),
            ("/r/service/web/a", "somewhere"),
        ],
    );
    assert_eq!(
        services,
        json!([
            {"type": "db", "name": "one", "location": "postgres://u:p@db-1:5432/x",
             "host": "db-1", "port": 5432, "address": "db-1:5432"},
            {"type": "web", "name": "a", "location": "somewhere",
             "host": null, "port": null, "address": null},
        ])
    );
}

#[test]
fn switches_have_booleans_where_they_are() {
    let switches = data(
        &Source::Switches("/r".parse().unwrap()),
        &[
            ("/r/switch/a", "Enabled"),
            ("/r/switch/b", " no\n"),
            ("/r/switch/c", "42"),
        ],
    );
    assert_eq!(
        switches,
        json!([
            {"name": "a", "value": "Enabled", "boolean": true},
            {"name": "b", "value": " no\n", "boolean": false},
            {"name": "c", "value": "42", "boolean": null},
        ])
    );
}

#[test]
fn nodes_inherit_labels_and_no_credentials_come_along() {
    let groups = data(
        &Source::Groups("/g".parse().unwrap()),
        &[
            (
                "/g/web",
                r#"{"name":"web","spec":{"username":"u","password":"secret",
                    "common_labels":{"env":"prod","zone":"a"}},"created":"2026-01-01T00:00:00Z"}"#,
            ),
            (
                "/g/web/nodes/n1_node",
                r#"{"id":"n1","exporter_type":"node","port":9100,"metrics_path":"/m",
                    "labels":{"zone":"b"},"status":"healthy","last_seen":"2026-01-01T00:00:00Z"}"#,
            ),
            (
                "/g/lone/nodes/n2_x",
                r#"{"id":"n2","exporter_type":"x","port":1,"metrics_path":"",
                    "labels":{"ingress_host":"far"},"status":""}"#,
            ),
        ],
    );
    assert!(!groups.to_string().contains("secret"), "{groups}");
    assert_eq!(
        groups,
        json!([
            {"name": "lone", "labels": {}, "nodes": [
                {"id": "n2", "group": "lone", "exporter_type": "x", "host": "far", "port": 1,
                 "address": "far:1", "metrics_path": "/metrics",
                 "labels": {"ingress_host": "far"}, "status": ""},
            ]},
            {"name": "web", "labels": {"env": "prod", "zone": "a"}, "nodes": [
                {"id": "n1", "group": "web", "exporter_type": "node", "host": "n1", "port": 9100,
                 "address": "n1:9100", "metrics_path": "/m",
                 "labels": {"env": "prod", "zone": "b"}, "status": "healthy"},
            ]},
        ])
    );
}

#[test]
fn rubbish_is_told_by_what_is_wrong_with_it() {
    let wrong = |source: Source, key: &str| {
        let value = "\u{1}";
        source.parse(key.as_bytes(), value.as_bytes()).unwrap_err()
    };
    let text = wrong(Source::Services("/r".parse().unwrap()), "/r/service/a");
    assert!(text.contains("must end with TYPE/NAME"), "{text}");
    let text = wrong(Source::Groups("/g".parse().unwrap()), "/g/a");
    assert_eq!(text, "it is no JSON (line 1, column 1)");
    let text = wrong(Source::Endpoints("top".parse().unwrap()), "top/x");
    assert!(text.contains("x"), "{text}");
}

#[test]
fn what_is_wrong_with_a_group_tells_nothing_of_its_credentials() {
    let source = Source::Groups("/g".parse().unwrap());
    for (value, wrong) in [
        (r#"{"spec":"s3cret"}"#, "`spec` is a text"),
        (
            r#"{"spec":{"common_labels":{"a":"b","c":["s3cret"]}}}"#,
            "a label of `common_labels` is an array",
        ),
    ] {
        let error = source.parse(b"/g/a", value.as_bytes()).unwrap_err();
        assert!(error.contains(wrong), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    source
        .parse(b"/g/a", br#"{"spec":null,"created":null}"#)
        .unwrap();
}
