use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::properties::{Properties, Value, arbitrary};
use crate::props;

const IPOPO: &[u8] = include_bytes!("../../../tests/fixtures/ipopo_hello_endpoint.json");

fn valid() -> Properties {
    props! {
        "objectClass" => ["org.example.Greeter", "org.example.Other"],
        "endpoint.id" => "c7e30cee-d92d-4a6b-a81c-9a49871053e5",
        "endpoint.service.id" => 19_i64,
        "endpoint.framework.uuid" => "301649b4-2549-4317-9e9f-5fa8a338b4c8",
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "ecf.endpoint.id" => "http://127.0.0.1:8080/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc",
        "ecf.rsvc.id" => 3_i64,
        "ecf.endpoint.ts" => 1_795_211_106_006_i64,
    }
}

fn info(properties: Properties) -> ServiceInfo {
    ServiceInfo::new(EndpointDescription::new(properties).unwrap())
}

fn encoded(properties: Properties) -> serde_json::Value {
    serde_json::from_str(&encode(&info(properties), "127.0.0.1").unwrap()).unwrap()
}

fn entries<'a>(value: &'a serde_json::Value, name: &str) -> Vec<&'a serde_json::Value> {
    let entries = value["properties"].as_array().unwrap().iter();
    entries.filter(|entry| entry["name"] == name).collect()
}

fn refused(change: Properties) -> String {
    let mut properties = valid();
    properties.overlay(&change);
    encode(&info(properties), "127.0.0.1")
        .unwrap_err()
        .to_string()
}

fn with_entries(entries: serde_json::Value) -> Vec<u8> {
    let mut wire = encoded(valid());
    let list = wire["properties"].as_array_mut().unwrap();
    list.extend(entries.as_array().unwrap().iter().cloned());
    serde_json::to_vec(&wire).unwrap()
}

fn extra(entry: serde_json::Value) -> Result<Option<Value>, DecodeError> {
    let name = entry["name"].as_str().unwrap_or_default().to_owned();
    let info = decode(&with_entries(json!([entry])))?;
    Ok(info.description.properties().get(&name).cloned())
}

#[test]
fn what_ipopo_wrote_is_read_with_its_types() {
    let description = decode(IPOPO).unwrap().description;
    assert_eq!(
        description.interfaces(),
        ["org.eclipse.ecf.examples.hello.IHello"]
    );
    assert_eq!(
        description.id().as_str(),
        "c7e30cee-d92d-4a6b-a81c-9a49871053e5"
    );
    assert_eq!(description.service_id(), 19);
    assert_eq!(
        description.framework_uuid(),
        Some("301649b4-2549-4317-9e9f-5fa8a338b4c8")
    );
    assert_eq!(description.config_types(), ["ecf.xmlrpc.server"]);
    assert_eq!(
        description
            .properties()
            .string_plus("remote.intents.supported"),
        ["osgi.basic", "osgi.async"]
    );
    assert_eq!(description.remote_service_id(), 3);
    assert_eq!(description.timestamp(), 1_795_211_106_006);
    assert_eq!(description.namespace(), Some("ecf.namespace.xmlrpc"));
    assert_eq!(
        description.container_id(),
        Some("http://127.0.0.1:37913/xml-rpc")
    );
    assert_eq!(
        description.properties().get_str("osgi.basic.timeout"),
        Some("60000")
    );
}

#[test]
fn what_ipopo_wrote_is_written_again_entry_by_entry() {
    let theirs: serde_json::Value = serde_json::from_slice(IPOPO).unwrap();
    let text = encode(&decode(IPOPO).unwrap(), "127.0.0.1").unwrap();
    let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sorted = |value: &serde_json::Value| {
        let mut entries: Vec<String> = value["properties"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry.to_string())
            .collect();
        entries.sort();
        entries
    };
    assert_eq!(sorted(&ours), sorted(&theirs));
    for same in ["priority", "weight", "ttl", "servicetype"] {
        assert_eq!(ours[same], theirs[same], "{same}");
    }
}

#[test]
fn the_location_is_unique_for_each_endpoint_and_a_uri_that_java_reads() {
    let wire = encoded(valid().with("endpoint.id", "a b:c"));
    assert_eq!(wire["servicename"], "osgirsvc_a~20b~3Ac");
    assert_eq!(
        wire["location"],
        "ecfosgirsvc://127.0.0.1:32565/osgirsvc_a~20b~3Ac"
    );
    for (host, written) in [
        ("host-1.example", "host-1.example"),
        ("::1", "[::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        let text = encode(&info(valid()), host).unwrap();
        assert!(
            text.contains(&format!("ecfosgirsvc://{written}:32565/")),
            "{text}"
        );
    }
    for bad in [
        "my_host",
        "",
        "a b",
        "-x",
        "a..b",
        "10.0.0.256",
        "a/b",
        "user@host",
    ] {
        let error = encode(&info(valid()), bad).unwrap_err();
        assert!(matches!(error, EncodeError::Host { .. }), "{bad}: {error}");
    }
}

#[test]
fn each_of_the_seven_that_ipopo_needs_is_required() {
    for name in [
        "endpoint.service.id",
        "endpoint.framework.uuid",
        "ecf.endpoint.id",
        "ecf.endpoint.id.ns",
        "ecf.rsvc.id",
        "ecf.endpoint.ts",
    ] {
        let mut properties = valid();
        properties.remove(name);
        let error = encode(&info(properties), "h").unwrap_err();
        assert!(
            error.to_string().contains(&format!("{name} is missing")),
            "{error}"
        );
    }
}

#[test]
fn what_a_peer_would_choke_on_is_refused_by_name() {
    assert!(refused(props! { "endpoint.id" => "a/b" }).contains("holds a '/'"));
    assert!(refused(props! { "objectClass" => ["a b"] }).contains("objectClass holds 'a b'"));
    let configs = props! { "service.imported.configs" => ["a", ""] };
    assert!(refused(configs).contains("service.imported.configs holds ''"));
    assert!(refused(props! { "service.intents" => "a\tb" }).contains("service.intents"));
    assert!(refused(props! { "ecf.endpoint.id" => "" }).contains("ecf.endpoint.id is empty"));
    let names = props! { "ecf.exported.async.interfaces" => "org.example.Greeter" };
    assert!(refused(names).contains("ecf.exported.async.interfaces names interfaces"));
    encoded(valid().with("ecf.exported.async.interfaces", "*"));
    assert!(refused(props! { "osgi_remote.exact" => "{}" }).contains("leave it out"));
    assert!(refused(props! { "" => "x" }).contains("empty name"));
    assert!(refused(props! { EXACT => "{}" }).contains(EXACT));
}

#[test]
fn standard_names_are_written_in_the_case_that_peers_look_for() {
    let mut properties = valid();
    for name in ["objectclass", "ECF.RSVC.ID", "Endpoint.Service.Id"] {
        let value = properties.remove(name).unwrap();
        properties.set(name, value);
    }
    let wire = encoded(properties);
    for name in ["objectClass", "ecf.rsvc.id", "endpoint.service.id"] {
        assert_eq!(entries(&wire, name).len(), 1, "{name}");
    }
}

#[test]
fn text_for_ipopo_is_what_python_reads_as_the_same_list() {
    let awkward = Value::List(vec!["\n\r\t\u{0}\u{85}\\".into(), vec![0_u8, 255].into()]);
    let wire = encoded(valid().with("awkward", awkward));
    let text = r"['\n\r\t\x00\x85\\', 'AP8=']";
    assert_eq!(entries(&wire, "awkward")[0]["value"], text);
}

#[test]
fn other_types_are_written_as_text_for_ipopo_and_then_typed_for_ecf() {
    let wire = encoded(props! {
        "two" => 2_i32, "flag" => true, "names" => Value::list_of(["a", "it's"]), "f" => 0.1_f32,
        "whole" => 3.0_f64,
    }
    .iter()
    .fold(valid(), |all, (name, value)| all.with(name, value.clone())));
    let both = |name: &str, text: &str, kind: &str, value: serde_json::Value| {
        let entries = entries(&wire, name);
        assert_eq!(entries.len(), 2, "{name}");
        assert_eq!(
            *entries[0],
            json!({"type": "string", "name": name, "value": text})
        );
        assert_eq!(
            *entries[1],
            json!({"type": kind, "name": name, "value": value})
        );
    };
    both("two", "2", "int", json!(2));
    both("flag", "True", "object", json!(true));
    both("names", "['a', 'it\\'s']", "list", json!(["a", "it's"]));
    both("f", "0.1", "float", json!(0.1));
    both("whole", "3.0", "double", json!(3.0));
    assert!(entries(&wire, EXACT).is_empty());
}

#[test]
fn a_package_version_of_zero_is_left_out() {
    let wire = encoded(
        valid()
            .with("endpoint.package.version.org.example", "0.0.0")
            .with("endpoint.package.version.other", "1.2"),
    );
    assert!(entries(&wire, "endpoint.package.version.org.example").is_empty());
    assert_eq!(
        entries(&wire, "endpoint.package.version.other")[0]["value"],
        "1.2"
    );
}

#[test]
fn every_type_of_ecf_is_read() {
    for (entry, value) in [
        (
            json!({"type": "string", "name": "x", "value": "t"}),
            Value::from("t"),
        ),
        (
            json!({"type": "bytes", "name": "x", "value": "AQI="}),
            Value::from(vec![1_u8, 2]),
        ),
        (
            json!({"type": "list", "name": "x", "value": ["a", 1]}),
            Value::List(vec![Value::from("a"), Value::from(1_i32)]),
        ),
        (
            json!({"type": "set", "name": "x", "value": []}),
            Value::Set(vec![]),
        ),
        (
            json!({"type": "double", "name": "x", "value": 1.5}),
            Value::from(1.5_f64),
        ),
        (
            json!({"type": "double", "name": "x", "value": 2}),
            Value::from(2.0_f64),
        ),
        (
            json!({"type": "float", "name": "x", "value": 0.1}),
            Value::from(0.1_f32),
        ),
        (
            json!({"type": "char", "name": "x", "value": "c"}),
            Value::from('c'),
        ),
        (
            json!({"type": "long", "name": "x", "value": 5}),
            Value::from(5_i64),
        ),
        (
            json!({"type": "int", "name": "x", "value": 5}),
            Value::from(5_i32),
        ),
        (
            json!({"type": "object", "name": "x", "value": false}),
            Value::from(false),
        ),
        (
            json!({"type": "object", "name": "x", "value": [true]}),
            Value::List(vec![Value::from(true)]),
        ),
        (
            json!({"name": "x", "value": "no type"}),
            Value::from("no type"),
        ),
        (
            json!({"type": "later", "name": "x", "value": 3_000_000_000_i64}),
            Value::from(3_000_000_000_i64),
        ),
    ] {
        assert_eq!(extra(entry.clone()).unwrap(), Some(value), "{entry}");
    }
    assert_eq!(
        extra(json!({"type": "string", "name": "x", "value": null})).unwrap(),
        None
    );
    assert_eq!(extra(json!({"type": "string", "name": "x"})).unwrap(), None);
}

#[test]
fn a_value_that_is_not_of_its_type_is_reported_by_name() {
    for entry in [
        json!({"type": "int", "name": "x", "value": 3_000_000_000_i64}),
        json!({"type": "int", "name": "x", "value": "5"}),
        json!({"type": "list", "name": "x", "value": "a"}),
        json!({"type": "char", "name": "x", "value": ""}),
        json!({"type": "bytes", "name": "x", "value": "%"}),
        json!({"type": "string", "name": "x", "value": 5}),
    ] {
        let error = extra(entry.clone()).unwrap_err().to_string();
        assert!(
            error.starts_with("property 'x' of type '"),
            "{entry}: {error}"
        );
    }
}

#[test]
fn peers_spellings_of_standard_properties_are_read() {
    let wire = json!({"properties": [
        {"type": "string", "name": "OBJECTCLASS", "value": "a.A  b.B"},
        {"type": "string", "name": "endpoint.id", "value": " e "},
        {"type": "list", "name": "service.imported.configs", "value": ["c"]},
        {"type": "long", "name": "endpoint.service.id", "value": 7},
        {"type": "string", "name": "ecf.rsvc.id", "value": " 8 "},
        {"type": "string", "name": "endpoint.package.version.", "value": "1.0.0"},
    ]});
    let description = decode(wire.to_string().as_bytes()).unwrap().description;
    assert_eq!(description.interfaces(), ["a.A", "b.B"]);
    assert_eq!(description.id().as_str(), "e");
    assert_eq!(
        (description.service_id(), description.remote_service_id()),
        (7, 8)
    );
    assert!(
        !description
            .properties()
            .contains("endpoint.package.version.")
    );
}

#[test]
fn priority_and_weight_go_both_ways() {
    let mut given = info(valid());
    (given.priority, given.weight) = (3, 9);
    let read = decode(encode(&given, "h").unwrap().as_bytes()).unwrap();
    assert_eq!((read.priority, read.weight), (3, 9));
}

#[test]
fn rubbish_is_an_error_and_never_a_panic() {
    for rubbish in [
        &b""[..],
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"{\"properties\": 3}",
        b"{\"properties\": [3]}",
        b"{\"properties\": [{\"type\": \"string\"}]}",
        b"{\"properties\": []}",
        b"{\"properties\": [{\"type\": \"string\", \"name\": \"ecf.rsvc.id\", \"value\": \"x\"}]}",
    ] {
        assert!(
            decode(rubbish).is_err(),
            "{}",
            String::from_utf8_lossy(rubbish)
        );
    }
    let deep = format!(
        "{{\"properties\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(decode(deep.as_bytes()).is_err());
}

#[test]
fn names_that_differ_in_case_only_are_an_error() {
    let error = extra(json!({"type": "string", "name": "ENDPOINT.id", "value": "x"})).unwrap_err();
    assert!(error.to_string().contains("differ in case only"), "{error}");
}

#[test]
fn a_hint_that_does_not_read_leaves_what_peers_see() {
    for hint in [
        "",
        "[]",
        "{\"x\": 3}",
        "{\"x\": {\"int[]\": [\"a\"]}}",
        "{\"y\": {\"Long\": 1}}",
    ] {
        let value = with_entries(json!([
            {"type": "int", "name": "x", "value": 1},
            {"type": "string", "name": EXACT, "value": hint},
        ]));
        let properties = decode(&value).unwrap().description.properties().clone();
        assert_eq!(properties.get("x"), Some(&Value::from(1_i32)), "{hint}");
        assert!(!properties.contains("y") && !properties.contains(EXACT));
    }
}

fn extra_properties() -> impl Strategy<Value = Properties> {
    let name = prop_oneof!["x[a-z.]{0,6}", "x\\PC{1,4}"];
    proptest::collection::vec((name, arbitrary::value()), 0..8)
        .prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_it_back(extra in extra_properties()) {
        let mut properties = valid();
        properties.overlay(&extra);
        let info = info(properties);
        let text = encode(&info, "127.0.0.1").unwrap();
        let read = decode(text.as_bytes()).unwrap();
        prop_assert_eq!(read.description.properties(), info.description.properties());
    }

    #[test]
    fn no_null_is_ever_written(extra in extra_properties()) {
        let mut properties = valid();
        properties.overlay(&extra);
        let wire = encoded(properties);
        for entry in wire["properties"].as_array().unwrap() {
            prop_assert!(!entry["value"].is_null());
            prop_assert!(entry["type"].is_string() && entry["name"].is_string());
        }
    }

    #[test]
    fn decoding_never_panics(text in "\\PC{0,200}", at in 0_usize..900) {
        let _ = decode(text.as_bytes());
        let mut cut = IPOPO.to_vec();
        cut.splice(at..(at + text.len()).min(cut.len()), text.bytes());
        let _ = decode(&cut);
    }
}

/// Given as a list, which the plain text alone gets past ECF.
#[test]
fn a_listed_star_of_async_interfaces_is_written_as_plain_text() {
    for star in [Value::array_of(["*"]), Value::List(vec!["*".into()])] {
        let properties = valid().with("ecf.exported.async.interfaces", star);
        let wire = encoded(properties.clone());
        let entries = entries(&wire, "ecf.exported.async.interfaces");
        let plain =
            json!({ "type": "string", "name": "ecf.exported.async.interfaces", "value": "*" });
        assert_eq!(entries, [&plain]);
        let read = decode(&serde_json::to_vec(&wire).unwrap()).unwrap();
        assert!(read.description.same_content(&info(properties).description));
    }
}

/// Rule P15.
#[test]
fn what_cannot_be_carried_is_left_out_and_the_rest_is_written() {
    let unfit = props! {
        "ecf.exported.async.interfaces" => ["org.example.Greeter"], "osgi_remote.exact" => "{}",
        "ecf.endpoint.idfilter.ids" => ["a b"], "" => 1_i32,
    };
    let mut properties = valid().with("colour", "red");
    properties.overlay(&unfit);
    encode(&info(properties.clone()), "127.0.0.1").unwrap_err();
    let (left, reasons) = leave_out_unfit(info(properties));
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    for name in [
        "ecf.exported.async.interfaces",
        "osgi_remote.exact",
        "ecf.endpoint.idfilter.ids",
    ] {
        let named = |reason: &EncodeError| reason.to_string().contains(&format!("{name} "));
        assert!(reasons.iter().any(named), "{name}: {reasons:?}");
    }
    let read = decode(encode(&left, "127.0.0.1").unwrap().as_bytes()).unwrap();
    let expected = info(valid().with("colour", "red"));
    assert!(read.description.same_content(&expected.description));
}

/// Rule P15 ends where an importer could not do without.
#[test]
fn what_an_importer_needs_is_never_left_out() {
    let needed = [
        props! { "objectClass" => ["a b"] },
        props! { "service.imported.configs" => ["a b"] },
        props! { "service.intents" => ["a b"] },
        props! { "remote.configs.supported" => ["a b"] },
    ];
    for change in needed {
        let mut properties = valid();
        properties.overlay(&change);
        let (left, reasons) = leave_out_unfit(info(properties));
        assert!(reasons.is_empty(), "{reasons:?}");
        encode(&left, "127.0.0.1").unwrap_err();
    }
}
