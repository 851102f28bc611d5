use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::endpoint::EndpointDescription;
use crate::endpoint::service_info::{ServiceInfo, encode};
use crate::properties::arbitrary;
use crate::props;

const IPOPO: &[u8] = include_bytes!("../../../../tests/fixtures/ipopo_hello_endpoint.json");
const IPOPO_ID: &str = "c7e30cee-d92d-4a6b-a81c-9a49871053e5";
const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";
const OTHER: &str = "0f3e8a0e-7d2c-4b6a-9c55-2f1f6a1f7e10";

fn top() -> TopKey {
    "top".parse().unwrap()
}

fn properties() -> crate::properties::Properties {
    props! {
        "objectClass" => ["org.example.Greeter"], "endpoint.id" => "e1",
        "endpoint.service.id" => 19_i64, "endpoint.framework.uuid" => "f",
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "remote.configs.supported" => ["ecf.xmlrpc.server"],
        "ecf.endpoint.id" => "http://127.0.0.1:8080/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc", "ecf.rsvc.id" => 3_i64,
        "ecf.endpoint.ts" => 1_795_211_106_006_i64,
    }
}

fn encoded(properties: crate::properties::Properties) -> String {
    let description = EndpointDescription::new(properties).unwrap();
    encode(&ServiceInfo::new(description), "127.0.0.1").unwrap()
}

fn good() -> Value {
    serde_json::from_str(&encoded(properties())).unwrap()
}

/// The good value with one entry changed, added (`null` before) or removed (`null` after).
fn with(name: &str, entry: Value) -> Value {
    let mut value = good();
    let entries = value["properties"].as_array_mut().unwrap();
    entries.retain(|entry| entry["name"] != name);
    if !entry.is_null() {
        entries.push(entry);
    }
    value
}

fn text(name: &str, value: impl Into<Value>) -> Value {
    json!({"type": "string", "name": name, "value": value.into()})
}

fn lint_at(key: &str, value: &[u8]) -> Vec<Verdict> {
    let key = key.as_bytes();
    let lease = Some(7);
    lint(&top(), Item { key, value, lease })
}

fn lint_value(value: &Value) -> Vec<Verdict> {
    lint_at(&format!("top/{SESSION}/e1"), value.to_string().as_bytes())
}

/// What is said, in short: `ipopo stops-watching ecf.rsvc.id`.
fn said(verdicts: &[Verdict]) -> Vec<String> {
    let short = |verdict: &Verdict| {
        let path = verdict.path.as_deref().unwrap_or("-");
        format!(
            "{} {} {path}",
            verdict.peer.as_str(),
            verdict.effect.as_str()
        )
    };
    verdicts.iter().map(short).collect()
}

#[test]
fn nothing_is_said_of_what_peers_and_we_write() {
    assert_eq!(lint_value(&good()), []);
    assert_eq!(lint_at(&format!("top/{SESSION}/{IPOPO_ID}"), IPOPO), []);
    assert_eq!(lint_at(&format!("top/{SESSION}"), SESSION.as_bytes()), []);
    for nobodys in ["to", "toq/x", "top\\0"] {
        assert_eq!(lint_at(nobodys, b"\xff"), [], "{nobodys}");
    }
}

proptest! {
    #[test]
    fn whatever_is_encoded_is_read_by_all(id in "[!-.0-~ü]([ -.0-~ü]{0,8}[!-.0-~ü])?", extra in arbitrary::value()) {
        let properties = properties().with("endpoint.id", id.as_str()).with("x.extra", extra);
        let value = encoded(properties);
        let verdicts = lint_at(&format!("top/{SESSION}/{id}"), value.as_bytes());
        prop_assert!(verdicts.iter().all(|v| v.severity == Severity::Note), "{value} {verdicts:?}");
    }
}

/// The fixture with some of its bytes replaced by others.
fn spliced() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        "[\\[\\]{}\",:0-9a-z\\\\%/ ]{0,6}".prop_map(String::into_bytes)
    ];
    (0..IPOPO.len(), 0_usize..6, bytes).prop_map(|(at, cut, bytes)| {
        let mut value = IPOPO.to_vec();
        let end = (at + cut).min(value.len());
        value.splice(at..end, bytes);
        value
    })
}

proptest! {
    #[test]
    fn any_value_gets_a_verdict_and_ours_is_that_of_the_reader(value in spliced()) {
        let verdicts = lint_at(&format!("top/{SESSION}/{IPOPO_ID}"), &value);
        let dropped = verdicts.iter().any(|v| v.peer == Peer::OsgiRemote && v.effect == Effect::Drops);
        let read = crate::endpoint::service_info::decode(&value);
        let is_it = read.is_ok_and(|info| info.description.id().as_str() == IPOPO_ID);
        prop_assert_eq!(dropped, !is_it, "{:?}", verdicts);
    }

    #[test]
    fn any_key_gets_a_verdict(rest in "[/0-9a-f{}%-]{0,50}", bytes in proptest::collection::vec(any::<u8>(), 0..9)) {
        lint_at(&format!("top/{rest}"), &bytes);
        let key = [b"top/", bytes.as_slice()].concat();
        lint(&top(), Item { key: &key, value: IPOPO, lease: None });
    }
}

#[test]
fn each_of_the_seven_stops_ipopo_where_it_is_missing() {
    for (name, others) in [
        (
            "endpoint.id",
            &["ecf drops endpoint.id", "osgi-remote drops value"][..],
        ),
        ("endpoint.service.id", &[]),
        ("endpoint.framework.uuid", &[]),
        ("ecf.endpoint.id", &[]),
        ("ecf.endpoint.id.ns", &[]),
        ("ecf.rsvc.id", &[]),
        ("ecf.endpoint.ts", &[]),
    ] {
        let verdicts = lint_value(&with(name, Value::Null));
        let mut expected = vec![format!("ipopo stops-watching {name}")];
        expected.extend(others.iter().map(|&text| text.to_owned()));
        assert_eq!(said(&verdicts), expected);
        assert!(verdicts[0].to_string().starts_with(&format!(
            "iPOPO will stop watching: {name} is missing; add it"
        )));
    }
}

#[test]
fn a_missing_property_is_told_by_what_is_there_in_its_place() {
    let typed = with(
        "ecf.rsvc.id",
        json!({"type": "long", "name": "ecf.rsvc.id", "value": 3}),
    );
    let verdicts = lint_value(&typed);
    assert_eq!(said(&verdicts), ["ipopo stops-watching properties[9].type"]);
    assert!(
        verdicts[0].cause.contains("not of type string"),
        "{}",
        verdicts[0]
    );
    let cased = with("ecf.rsvc.id", text("ECF.RSVC.ID", "3"));
    let verdicts = lint_value(&cased);
    let expected = [
        "ipopo stops-watching properties[9].name",
        "ecf misreads properties[9].name",
    ];
    assert_eq!(said(&verdicts), expected);
}

#[test]
fn all_that_stops_ipopo_is_told_at_once() {
    let mut value = with("ecf.rsvc.id", text("ecf.rsvc.id", "three"));
    value["properties"]
        .as_array_mut()
        .unwrap()
        .retain(|entry| entry["name"] != "ecf.endpoint.ts");
    let verdicts = lint_value(&value);
    let of_ipopo: Vec<String> = said(&verdicts)
        .into_iter()
        .filter(|s| s.starts_with("ipopo"))
        .collect();
    assert_eq!(
        of_ipopo,
        [
            "ipopo stops-watching ecf.rsvc.id",
            "ipopo stops-watching ecf.endpoint.ts"
        ]
    );
}

#[test]
fn what_the_peers_make_of_damaged_values() {
    let set = |name: &str, to: Value| {
        let mut value = good();
        value[name] = to;
        value
    };
    let without = |name: &str| {
        let mut value = good();
        value.as_object_mut().unwrap().remove(name);
        value
    };
    let in_type = |name: &str, to: Value| {
        let mut value = good();
        value["servicetype"][name] = to;
        value
    };
    let typed =
        |kind: &str, value: Value| with("x", json!({"type": kind, "name": "x", "value": value}));
    let cases: &[(Value, &[&str])] = &[
        (without("location"), &["ecf drops location"]),
        (
            set("location", json!("ecf://h:1/a b")),
            &["ecf drops location"],
        ),
        (
            set("location", json!("ecf://my_host:1/x")),
            &["ecf stops-watching location"],
        ),
        (
            set("location", json!("ecf://h:1/a%20b")),
            &["ecf stops-watching location"],
        ),
        (without("priority"), &["ecf drops priority"]),
        (set("priority", json!("7")), &[]),
        (set("weight", json!([])), &["ecf drops weight"]),
        (without("ttl"), &["ecf drops ttl"]),
        (without("servicename"), &[]),
        (without("servicetype"), &["ecf drops servicetype"]),
        (
            in_type("services", json!(["other"])),
            &["ecf drops servicetype.services"],
        ),
        (
            in_type("services", json!([7])),
            &["ecf drops servicetype.services"],
        ),
        (in_type("protocols", json!(["a", "b"])), &[]),
        (
            in_type("scopes", json!(["a", "b"])),
            &["ecf stops-watching servicetype"],
        ),
        (
            in_type("protocols", json!([])),
            &["ecf stops-watching servicetype"],
        ),
        (
            in_type("namingauth", json!(null)),
            &["ecf drops servicetype.namingauth"],
        ),
        (
            typed("list", json!("a")),
            &[
                "ecf stops-watching properties[10].value",
                "osgi-remote drops x",
                "ipopo overlooks properties",
            ],
        ),
        (
            typed("char", json!("")),
            &[
                "ecf stops-watching properties[10].value",
                "osgi-remote drops x",
                "ipopo overlooks properties",
            ],
        ),
        (
            typed("bytes", json!("=")),
            &[
                "ecf stops-watching properties[10].value",
                "osgi-remote drops x",
                "ipopo overlooks properties",
            ],
        ),
        (
            typed("int", json!("x")),
            &[
                "ecf drops properties[10].value",
                "osgi-remote drops x",
                "ipopo overlooks properties",
            ],
        ),
        (
            typed("object", json!(true)),
            &["ipopo overlooks properties"],
        ),
        (
            typed("object", Value::Null),
            &["ecf misreads properties[10]", "ipopo overlooks properties"],
        ),
        (
            typed("string", Value::Null),
            &["ecf drops properties[10].value"],
        ),
        (
            with("objectClass", Value::Null),
            &["ecf drops objectClass", "osgi-remote drops value"],
        ),
        (
            with("objectClass", text("objectclass", "a.B")),
            &["ecf drops objectClass", "ecf drops properties[9].name"],
        ),
        (
            with(
                "service.imported.configs",
                text("service.imported.configs", ""),
            ),
            &[
                "ipopo stops-watching service.imported.configs",
                "ecf drops service.imported.configs",
                "osgi-remote drops value",
            ],
        ),
        (
            with(
                "service.imported.configs",
                json!({"type": "list", "name": "service.imported.configs", "value": ["a"]}),
            ),
            &[
                "ipopo stops-watching properties[9].type",
                "ecf drops properties[9]",
            ],
        ),
        (
            with(
                "service.intents",
                text("service.intents", "osgi.basic  a.b.c"),
            ),
            &[
                "ipopo misreads service.intents",
                "osgi-remote finds-no-provider service.intents",
                "ipopo does-not-import service.intents",
            ],
        ),
        (
            with(
                "endpoint.package.version.org.example",
                text("endpoint.package.version.org.example", "bad"),
            ),
            &[
                "ecf drops endpoint.package.version.org.example",
                "osgi-remote drops value",
            ],
        ),
        (
            with(
                "ecf.exported.async.interfaces",
                text("ecf.exported.async.interfaces", "org.example.Greeter"),
            ),
            &["ecf drops properties[10]"],
        ),
        (
            with(
                "ecf.exported.async.interfaces",
                text("ecf.exported.async.interfaces", "*"),
            ),
            &[],
        ),
        (
            with("ecf.endpoint.ts", text("ecf.endpoint.ts", "soon")),
            &[
                "ipopo stops-watching ecf.endpoint.ts",
                "osgi-remote drops ecf.endpoint.ts",
                "ecf misreads properties[9]",
            ],
        ),
        (
            with(
                "remote.configs.supported",
                text("remote.configs.supported", "ecf.grpc.server"),
            ),
            &["ipopo does-not-import remote.configs.supported"],
        ),
        (
            json!([]),
            &[
                "ipopo stops-watching properties",
                "ecf drops location",
                "osgi-remote drops value",
            ],
        ),
        (
            set("properties", json!("x")),
            &[
                "ipopo stops-watching properties",
                "ecf drops properties",
                "osgi-remote drops value",
            ],
        ),
        (
            set("properties", json!([1])),
            &[
                "ipopo stops-watching properties[0]",
                "ecf drops properties[0]",
                "osgi-remote drops value",
            ],
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(said(&lint_value(value)), *expected, "{value}");
    }
}

#[test]
fn bytes_and_text_that_are_no_values_are_told() {
    let of = |value: &[u8]| said(&lint_at(&format!("top/{SESSION}/e1"), value));
    let not_json = [
        "ipopo stops-watching value",
        "ecf drops value",
        "osgi-remote drops value",
    ];
    assert_eq!(of(b"{"), not_json);
    assert_eq!(of(b"\xff"), not_json);
    assert_eq!(
        of(b""),
        [
            "ipopo drops value",
            "ecf drops value",
            "osgi-remote drops value"
        ]
    );
    let twice = good().to_string().replacen("{\"", "{\"ttl\":0,\"", 1);
    assert_eq!(of(twice.as_bytes()), ["ecf drops ttl"]);
}

#[test]
fn keys_are_told_by_who_takes_them_for_what() {
    let value = good().to_string();
    let of = |key: &str| said(&lint_at(key, value.as_bytes()));
    assert_eq!(of("top/no-uuid/e1"), ["all ignores key"]);
    assert_eq!(of("top/x"), ["all ignores key"]);
    assert_eq!(
        of(&format!("top2/{SESSION}/e1")),
        ["ipopo strays -", "ecf strays -"]
    );
    assert_eq!(of(&format!("top2/{SESSION}")), [""; 0]);
    let deep = ["osgi-remote drops key"];
    assert_eq!(of(&format!("top/{SESSION}/e1/x")), deep);
    let compact = SESSION.replace('-', "");
    assert_eq!(of(&format!("top/{compact}/e1")), ["ecf drops key"]);
    let mismatch = [
        "osgi-remote drops endpoint.id",
        "ipopo never-removes endpoint.id",
    ];
    assert_eq!(of(&format!("top/{SESSION}/e2")), mismatch);
    let not_text = lint(
        &top(),
        Item {
            key: b"top/\xff",
            value: b"",
            lease: Some(1),
        },
    );
    assert_eq!(
        said(&not_text),
        ["ipopo stops-watching key", "all ignores key"]
    );
    assert_eq!(
        said(&lint_at(&format!("top/{SESSION}"), b"x")),
        ["all overlooks value"]
    );
}

#[test]
fn a_key_without_a_lease_outlives_its_owner() {
    let (key, value) = (format!("top/{SESSION}/e1"), good().to_string());
    let item = Item {
        key: key.as_bytes(),
        value: value.as_bytes(),
        lease: None,
    };
    assert_eq!(said(&lint(&top(), item)), ["all outlives -"]);
}

#[test]
fn what_is_wrong_between_keys_is_told_in_the_end() {
    let mut registry = Registry::new(top());
    let mut add = |key: String, value: &str, lease| {
        let item = Item {
            key: key.as_bytes(),
            value: value.as_bytes(),
            lease: Some(lease),
        };
        registry.add(item)
    };
    let good = good().to_string();
    let second = encoded(properties().with("endpoint.id", "e2"));
    let shared = second.replace("osgirsvc_e2", "osgirsvc_e1");
    assert_eq!(add(format!("top/{SESSION}"), SESSION, 1), []);
    assert_eq!(add(format!("top/{SESSION}/e1"), &good, 1), []);
    assert_eq!(add(format!("top/{SESSION}/e2"), &shared, 2), []);
    assert_eq!(add(format!("top/{OTHER}/e1"), &good, 3), []);
    let between = registry.finish();
    let told: Vec<String> = between
        .iter()
        .map(|v| format!("{} {} {}", v.key, v.peer.as_str(), v.effect.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            format!("top/{OTHER} osgi-remote cannot-tell"),
            format!("top/{SESSION}/e2 all outlives"),
            format!("top/{SESSION}/e1 ecf confuses"),
            format!("top/{SESSION}/e1 ipopo confuses"),
            format!("top/{OTHER}/e1 ecf confuses"),
            format!("top/{OTHER}/e1 ipopo confuses"),
            format!("top/{SESSION}/e1 ecf confuses"),
        ]
    );
    let location = between.last().unwrap();
    assert_eq!(location.path.as_deref(), Some("location"));
    assert!(
        location
            .cause
            .ends_with(&format!("top/{SESSION}/e2 and top/{OTHER}/e1")),
        "{location}"
    );
}
