//! iPOPO's own decoder over generated descriptions.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{EXACT, ServiceInfo, encode};
use osgi_remote::properties::{Array, Properties, ScalarType, Value};
use osgi_remote::props;
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value as Json, json};

use crate::support::ipopo_decoder::{self, Decoded};
use crate::support::{seed, tools};

const CASES: usize = 300;
const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";

/// Text with all that is awkward: quotes, escapes, controls, other scripts.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "['\"\\\\\u{0}\n\r\t\u{85}\u{2028}\u{1f600}a]{0,6}",
        Just("None".to_owned()),
    ]
}

/// An id, which neither keys nor white space may break.
fn id() -> impl Strategy<Value = String> {
    "[!-.0-~ü\u{1f600}]([ -.0-~ü\u{1f600}]{0,20}[!-.0-~ü\u{1f600}])?"
}

/// A name without a space, as lists on the wire have it.
fn dotted() -> impl Strategy<Value = String> {
    "[a-zA-Z_ü$][a-zA-Z0-9_ü$-]{0,6}(\\.[a-zA-Z_][a-zA-Z0-9_]{0,6}){0,3}"
}

/// Of every type that has a text in Python that Python reads again.
fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        text().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f32::NORMAL.prop_map(Value::from),
        (proptest::num::f64::NORMAL | proptest::num::f64::ZERO).prop_map(Value::from),
        any::<char>().prop_map(Value::from),
        vec(any::<u8>(), 0..6).prop_map(Value::from),
    ]
    .boxed()
}

fn value() -> impl Strategy<Value = Value> {
    let numbers = vec(any::<i32>(), 0..4).prop_map(|items| {
        let items = items.into_iter().map(Value::from).collect();
        Value::Array(Array::primitive(ScalarType::Integer, items).unwrap())
    });
    let odd = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    let list = scalar().prop_recursive(2, 12, 4, |inner| vec(inner, 0..4).prop_map(Value::List));
    // Items of a Python set are distinct and have no items themselves.
    let set = hash_set(any::<i32>(), 0..4)
        .prop_map(|items| Value::Set(items.into_iter().map(Value::from).collect()));
    prop_oneof![
        3 => scalar(),
        1 => odd.prop_map(Value::from),
        1 => vec(text(), 0..4).prop_map(Value::from),
        1 => numbers,
        2 => list,
        1 => set,
    ]
}

/// Properties of one's own; their names mean nothing to anybody.
fn extras() -> impl Strategy<Value = Properties> {
    let name = prop_oneof!["[a-zA-Z0-9][ -~]{0,10}", "\\PC{1,6}", dotted()]
        .prop_map(|name| format!("x{name}"));
    vec((name, value()), 0..8).prop_map(|entries| entries.into_iter().collect())
}

prop_compose! {
    fn description()(
        interfaces in hash_set(dotted(), 1..4),
        configs in hash_set(dotted(), 1..4),
        supported in hash_set(dotted(), 0..3),
        (intents, known) in (hash_set(dotted(), 0..3), hash_set(dotted(), 0..3)),
        (targets, target) in (hash_set(dotted(), 0..3), proptest::option::of(id())),
        version in proptest::option::of((0_u32..9, 0_u32..9, 1_u32..9)),
        (id, uuid) in (id(), id()),
        (container, namespace) in (id(), dotted()),
        (service, rsvc, ts) in (1..=i64::MAX, 1..=i64::MAX, 1..=i64::MAX),
        extras in extras(),
    ) -> EndpointDescription {
        let list = |names: std::collections::HashSet<String>| {
            Value::array_of(names.into_iter().collect::<BTreeSet<_>>())
        };
        let package = interfaces.iter().find_map(|name| name.rsplit_once('.'));
        let package = package.map(|(package, _)| package.to_owned());
        let mut properties = extras;
        properties.overlay(&props! {
            "objectClass" => list(interfaces), "service.imported.configs" => list(configs),
            "remote.configs.supported" => list(supported), "service.intents" => list(intents),
            "remote.intents.supported" => list(known), "ecf.endpoint.idfilter.ids" => list(targets),
            "endpoint.id" => id, "endpoint.framework.uuid" => uuid, "ecf.endpoint.id" => container,
            "ecf.endpoint.id.ns" => namespace, "endpoint.service.id" => service,
            "ecf.rsvc.id" => rsvc, "ecf.endpoint.ts" => ts,
        });
        if let Some(target) = target {
            properties.set("ecf.endpoint.connecttarget.id", target);
            properties.set("ecf.endpoint.rsfilter", "(&(a=b)(c=*))");
        }
        if let (Some(package), Some((a, b, c))) = (package, version) {
            properties.set(format!("endpoint.package.version.{package}"), format!("{a}.{b}.{c}"));
        }
        EndpointDescription::new(properties).unwrap()
    }
}

/// Descriptions that are other ones each time, and the same for a seed.
fn generated() -> Vec<EndpointDescription> {
    let rng_seed = RngSeed::Fixed(seed());
    let mut runner = TestRunner::new(ProptestConfig {
        rng_seed,
        ..ProptestConfig::default()
    });
    let strategy = description();
    let mut case = || strategy.new_tree(&mut runner).unwrap().current();
    (0..CASES).map(|_| case()).collect()
}

#[tokio::test]
async fn ipopos_decoder_makes_the_same_of_any_description() {
    let descriptions = generated();
    let entries: Vec<(String, String)> = descriptions
        .iter()
        .map(|description| {
            let key = format!("top/{SESSION}/{}", description.id());
            let value = encode(&ServiceInfo::new(description.clone()), "127.0.0.1");
            (key, value.unwrap())
        })
        .collect();
    let decoded = ipopo_decoder::decode(&entries).await;
    let mut texts = Texts::default();
    for ((description, decoded), (_, value)) in descriptions.iter().zip(&decoded).zip(&entries) {
        let Decoded::Endpoint(endpoint) = decoded else {
            panic!("iPOPO says {decoded:?} of {value}");
        };
        let read = endpoint["ok"].as_object().unwrap();
        assert_eq!(endpoint["id"], description.id().as_str(), "{value}");
        assert_eq!(endpoint["session"], SESSION);
        assert_eq!(endpoint["timestamp"], description.timestamp(), "{value}");
        for (name, expected) in description.properties().iter() {
            let there = read.get(name).unwrap_or(&Json::Null);
            match standard(name, expected) {
                Some(standard) => assert_eq!(*there, standard, "{name} in {value}"),
                None => texts.expect(expected, there, &format!("{name} in {value}")),
            }
        }
        // Nothing is there that was not said, but for our own property.
        let own = |name: &&String| name.as_str() != EXACT;
        let known = |name: &String| description.properties().contains(name);
        let strange: Vec<_> = read
            .keys()
            .filter(own)
            .filter(|name| !known(name))
            .collect();
        assert!(strange.is_empty(), "{strange:?} in {value}");
    }
    texts.check();
}

/// What iPOPO makes of a standard property.
fn standard(name: &str, value: &Value) -> Option<Json> {
    match name {
        "objectClass" | "service.imported.configs" => Some(json!(value.string_plus())),
        // An empty list is none.
        "remote.configs.supported"
        | "remote.intents.supported"
        | "service.intents"
        | "ecf.endpoint.idfilter.ids" => {
            let names = value.string_plus();
            Some(if names.is_empty() {
                Json::Null
            } else {
                json!(names)
            })
        }
        // iPOPO keeps this one as text, and reads the number when asked.
        "endpoint.service.id" => Some(json!(value.to_string())),
        "ecf.rsvc.id" | "ecf.endpoint.ts" => Some(json!(value.to_i64())),
        "endpoint.id"
        | "endpoint.framework.uuid"
        | "ecf.endpoint.id"
        | "ecf.endpoint.id.ns"
        | "ecf.endpoint.connecttarget.id"
        | "ecf.endpoint.rsfilter" => Some(json!(value.as_str())),
        // Added by each importer, and not on the wire.
        "service.imported" => Some(Json::Null),
        _ => None,
    }
}

/// Texts of extra properties. Those of lists are checked by Python itself, all
/// in one go.
#[derive(Default)]
struct Texts(Vec<(String, Json, String)>);

impl Texts {
    fn expect(&mut self, value: &Value, there: &Json, context: &str) {
        let text = match value {
            Value::String(text) => text.to_string(),
            Value::Character(c) => c.to_string(),
            Value::Bytes(_) => as_json(value).as_str().unwrap().to_owned(),
            Value::Double(f) if !f.is_finite() => {
                let read: f64 = there.as_str().unwrap().to_lowercase().parse().unwrap();
                assert!(read == *f || read.is_nan() && f.is_nan(), "{context}");
                return;
            }
            _ => {
                let there = there
                    .as_str()
                    .unwrap_or_else(|| panic!("no text for {context}"));
                self.0
                    .push((there.to_owned(), as_json(value), context.to_owned()));
                return;
            }
        };
        // iPOPO drops what is empty.
        let expected = if text.is_empty() {
            Json::Null
        } else {
            json!(text)
        };
        assert_eq!(*there, expected, "{context}");
    }

    /// Has Python evaluate each text and compare it.
    fn check(&self) {
        const PROGRAM: &str = r#"
import ast, json, sys
def plain(value):
    return sorted(value) if isinstance(value, set) else value
for line in sys.stdin:
    text, expected = json.loads(line)
    read = set() if text == "set()" else ast.literal_eval(text)
    if plain(read) != expected or type(plain(read)) is not type(expected):
        print(f"{text!r} reads as {read!r} and not as {expected!r}")
"#;
        assert!(self.0.len() > CASES / 2, "only {} texts", self.0.len());
        let lines: String = self
            .0
            .iter()
            .map(|(text, expected, _)| format!("{}\n", json!([text, expected])))
            .collect();
        let input = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(input.path(), lines).unwrap();
        let output = Command::new(tools::file("venv/bin/python"))
            .args(["-X", "utf8", "-c", PROGRAM])
            .stdin(input.reopen().unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

/// The value as JSON: sets sorted, bytes in base64.
fn as_json(value: &Value) -> Json {
    use base64::Engine as _;
    match value {
        Value::String(text) => json!(&**text),
        Value::Character(c) => json!(c.to_string()),
        Value::Boolean(b) => json!(b),
        Value::Byte(n) => json!(n),
        Value::Short(n) => json!(n),
        Value::Integer(n) => json!(n),
        Value::Long(n) => json!(n),
        // The shortest form that gives back the same float.
        Value::Float(f) => json!(f.to_string().parse::<f64>().unwrap()),
        Value::Double(f) => json!(f),
        Value::Bytes(bytes) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Value::Array(array) => array.items().iter().map(as_json).collect(),
        Value::List(items) => items.iter().map(as_json).collect(),
        Value::Set(items) => {
            let mut numbers: Vec<_> = items.iter().filter_map(Value::to_i64).collect();
            numbers.sort_unstable();
            json!(numbers)
        }
    }
}
