//! What lint says of iPOPO, against iPOPO's own decoder.

use osgi_remote::discovery::etcd::lint::{Effect, Item, Peer, lint};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value as Json, json};

use crate::support::ipopo_decoder::{self, Decoded};
use crate::support::seed;

const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";
const GOOD: &str = include_str!("../fixtures/ipopo_hello_endpoint.json");
const ID: &str = "c7e30cee-d92d-4a6b-a81c-9a49871053e5";

/// Values damaged in more than one way.
const PAIRS: usize = 1500;

/// All that iPOPO looks at, and one that it does not know.
const NAMES: [&str; 18] = [
    "objectClass",
    "endpoint.id",
    "endpoint.service.id",
    "endpoint.framework.uuid",
    "service.imported.configs",
    "service.intents",
    "remote.configs.supported",
    "remote.intents.supported",
    "ecf.endpoint.id",
    "ecf.endpoint.id.ns",
    "ecf.rsvc.id",
    "ecf.endpoint.ts",
    "ecf.endpoint.connecttarget.id",
    "ecf.endpoint.idfilter.ids",
    "ecf.endpoint.rsfilter",
    "ecf.exported.async.interfaces",
    "endpoint.package.version.org.eclipse.ecf.examples.hello",
    "colour",
];

fn values() -> Vec<Json> {
    let texts = [
        "",
        " ",
        "  ",
        "*",
        "x",
        "a b",
        "a  b",
        "a\tb",
        "5",
        " 5 ",
        "+5",
        "-5",
        "5_0",
        "_5",
        "5.0",
        "0",
        "0x5",
        "1e3",
        "\u{1f}5",
        "\u{1f}٣",
        "٣",
        "５",
        "²",
        "5\n",
        "99999999999999999999999",
        "ü",
    ];
    let others = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-0),
        json!(7),
        json!(-7),
        json!(0.0),
        json!(-0.0),
        json!(1.5),
        json!(1e300),
        json!([]),
        json!([""]),
        json!(["a", "b"]),
        json!({}),
        json!({"a": 1}),
    ];
    texts.into_iter().map(Json::from).chain(others).collect()
}

/// One thing that is done to a good value.
#[derive(Clone, Debug)]
enum Damage {
    Remove(&'static str),
    Value(&'static str, Json),
    Type(&'static str, Json),
    NoMember(&'static str, &'static str),
    Name(&'static str, Json),
    /// The whole entry.
    Entry(&'static str, Json),
    /// One more behind all others.
    Again(&'static str, Json),
    Properties(Json),
    Whole(Json),
}

impl Damage {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let names = ["string", "long", "object", "String", ""].map(Json::from);
        let types = || {
            names
                .clone()
                .into_iter()
                .chain([json!(null), json!(7), json!(["string"])])
        };
        for name in NAMES {
            all.push(Self::Remove(name));
            all.extend(["type", "name", "value"].map(|member| Self::NoMember(name, member)));
            all.extend(types().map(|kind| Self::Type(name, kind)));
            all.extend(values().into_iter().flat_map(|value| {
                [
                    Self::Value(name, value.clone()),
                    Self::Again(name, value.clone()),
                    Self::Entry(name, value),
                ]
            }));
            let names = [
                json!(null),
                json!(7),
                json!([]),
                json!(true),
                json!(""),
                json!(".x"),
                json!(name.to_uppercase()),
            ];
            all.extend(names.map(|other| Self::Name(name, other)));
        }
        for value in values() {
            all.push(Self::Properties(value.clone()));
            all.push(Self::Whole(value));
        }
        all
    }

    fn inflict(&self, value: &mut Json) {
        let entry = |value: &mut Json, name: &str| -> Option<usize> {
            let entries = value.get_mut("properties")?.as_array_mut()?;
            let at = entries.iter().position(|entry| entry["name"] == name);
            at.or_else(|| {
                entries.push(json!({"type": "string", "name": name, "value": "x"}));
                Some(entries.len() - 1)
            })
        };
        let set = |value: &mut Json, name: &str, member: &str, to: Option<Json>| {
            let Some(at) = entry(value, name) else { return };
            let Some(entry) = value["properties"][at].as_object_mut() else {
                return;
            };
            match to {
                Some(to) => entry.insert(member.to_owned(), to),
                None => entry.remove(member),
            };
        };
        match self {
            Self::Remove(name) => {
                let entries = value.get_mut("properties").and_then(Json::as_array_mut);
                if let Some(entries) = entries {
                    entries.retain(|entry| entry["name"] != *name);
                }
            }
            Self::Value(name, to) => set(value, name, "value", Some(to.clone())),
            Self::Type(name, to) => set(value, name, "type", Some(to.clone())),
            Self::NoMember(name, member) => set(value, name, member, None),
            Self::Name(name, to) => set(value, name, "name", Some(to.clone())),
            Self::Entry(name, to) => {
                if let Some(at) = entry(value, name) {
                    value["properties"][at] = to.clone();
                }
            }
            Self::Again(name, to) => {
                if let Some(entries) = value.get_mut("properties").and_then(Json::as_array_mut) {
                    entries.push(json!({"type": "string", "name": name, "value": to}));
                }
            }
            Self::Properties(to) => {
                if let Some(object) = value.as_object_mut() {
                    object.insert("properties".to_owned(), to.clone());
                }
            }
            Self::Whole(to) => *value = to.clone(),
        }
    }
}

/// Texts that are JSON to some and not to others, or to nobody.
fn texts() -> Vec<String> {
    let with = |extra: &str| GOOD.replacen('{', &format!("{{{extra}, "), 1);
    let nested = |depth: usize| format!("\"x\": {}{}", "[".repeat(depth), "]".repeat(depth));
    let mut texts: Vec<String> = [
        "\"x\": NaN",
        "\"x\": -Infinity",
        "\"x\": +Infinity",
        "\"x\": 1e999",
        "\"x\": -0",
        "\"x\": 01",
        "\"x\": 1.",
        "\"x\": .5",
        "\"x\": 1e",
        "\"x\": \"\\ud800\"",
        "\"x\": \"\\ud83d\\ude00\"",
        "\"x\": \"\\ud83d\\u0041\"",
        "\"x\": \"\\u12\"",
        "\"x\": \"\\x\"",
        "\"x\": \"a\tb\"",
        "\"x\": \"\u{7f}\u{2028}\"",
        "\"x\": 'a'",
        "x: 1",
        "\"x\": True",
        "\"properties\": []",
        "\"x\": 1,",
        "\"x\" : [1,]",
        "\"\": {\"a\": {}, \"a\": []}",
        "// x",
    ]
    .map(with)
    .into();
    texts.extend([nested(500), nested(850), nested(3000)].map(|extra| with(&extra)));
    texts.push(with(&format!("\"x\": {}", "9".repeat(4300))));
    texts.push(with(&format!("\"x\": {}", "9".repeat(4301))));
    texts.push(with(&format!("\"x\": {}.5", "9".repeat(4301))));
    for text in [
        "",
        " ",
        "{",
        "null",
        "\"properties\"",
        "[1]",
        "{}",
        "\u{feff}{}",
        "\u{a0}{}",
    ] {
        texts.push(text.to_owned());
    }
    texts.extend([
        format!(" \n{GOOD}\t"),
        format!("{GOOD}x"),
        format!("{GOOD}{GOOD}"),
        format!("\u{c}{GOOD}"),
    ]);
    // Cut off, and with one character less, anywhere.
    let ends = (0..GOOD.len())
        .step_by(17)
        .filter(|at| GOOD.is_char_boundary(*at));
    texts.extend(ends.clone().map(|at| GOOD[..at].to_owned()));
    texts.extend(ends.map(|at| format!("{}{}", &GOOD[..at], &GOOD[at + 1..])));
    texts
}

fn keys() -> Vec<String> {
    let compact = SESSION.replace('-', "");
    let sessions = [
        SESSION.to_owned(),
        SESSION.to_uppercase(),
        compact.clone(),
        format!("{{{SESSION}}}"),
        format!("urn:uuid:{SESSION}"),
        format!("{SESSION} "),
        format!("+{}", &compact[1..]),
        format!("0x{}", &compact[2..]),
        format!("4_{}", &compact[2..]),
        format!("_{}", &compact[1..]),
        "1-1-1-1-1".to_owned(),
        "x".to_owned(),
        String::new(),
    ];
    let mut keys = vec![
        "top/x".to_owned(),
        format!("top/{SESSION}"),
        format!("top/{SESSION}/"),
        "top//".to_owned(),
    ];
    for session in &sessions {
        for rest in [ID, "other", " ", "a/b", "/x", ""] {
            keys.push(format!("top/{session}/{rest}"));
            keys.push(format!("top2/{session}/{rest}"));
        }
    }
    keys.push(format!("top/{SESSION}/{ID}/more"));
    keys.push(format!("top//{SESSION}/{ID}"));
    keys
}

/// Every kind of damage to every part, pairs of them, odd texts and odd keys.
fn entries() -> Vec<(String, String)> {
    let key = || format!("top/{SESSION}/{ID}");
    let damaged = |damages: &[Damage]| {
        let mut value: Json = serde_json::from_str(GOOD).unwrap();
        for damage in damages {
            damage.inflict(&mut value);
        }
        value.to_string()
    };
    let all = Damage::all();
    let mut entries: Vec<(String, String)> = vec![(key(), GOOD.to_owned())];
    entries.extend(
        all.iter()
            .map(|damage| (key(), damaged(std::slice::from_ref(damage)))),
    );
    let rng_seed = RngSeed::Fixed(seed());
    let mut runner = TestRunner::new(ProptestConfig {
        rng_seed,
        ..ProptestConfig::default()
    });
    let strategy = (select(all.clone()), select(all));
    for _ in 0..PAIRS {
        let (one, other) = strategy.new_tree(&mut runner).unwrap().current();
        entries.push((key(), damaged(&[one, other])));
    }
    entries.extend(texts().into_iter().map(|text| (key(), text)));
    entries.extend(keys().into_iter().map(|key| (key, GOOD.to_owned())));
    entries
}

#[tokio::test]
async fn lint_says_of_ipopo_what_ipopo_does() {
    let entries = entries();
    let decoded = ipopo_decoder::decode(&entries).await;
    let (mut stopped, mut accepted, mut ignored) = (0, 0, 0);
    let mut disagreements = Vec::new();
    for ((key, value), decoded) in entries.iter().zip(&decoded) {
        let item = Item {
            key: key.as_bytes(),
            value: value.as_bytes(),
            lease: Some(1),
        };
        let verdicts = lint(&"top".parse().unwrap(), item);
        let says = |effect| {
            let mut verdicts = verdicts.iter();
            verdicts.any(|verdict| verdict.peer == Peer::Ipopo && verdict.effect == effect)
        };
        let agrees = match decoded {
            Decoded::Error(_) => {
                stopped += 1;
                says(Effect::StopsWatching)
            }
            Decoded::Ignored(_) => {
                ignored += 1;
                !says(Effect::StopsWatching) && !says(Effect::NeverRemoves)
            }
            Decoded::Endpoint(endpoint) => {
                accepted += 1;
                let id_in_key = key.split('/').filter(|part| !part.is_empty()).nth(2);
                let differs = endpoint["id"].as_str() != id_in_key;
                // What an id that is no text reads as is not told.
                let is_text = endpoint["ok"]["endpoint.id"].is_string();
                !says(Effect::StopsWatching) && says(Effect::NeverRemoves) == (differs && is_text)
            }
        };
        if !agrees {
            disagreements.push(format!("{decoded:?}\n{key}\n{value}\n{verdicts:?}"));
        }
    }
    let shown: Vec<_> = disagreements.iter().take(5).collect();
    assert!(
        disagreements.is_empty(),
        "{} of {}: {shown:#?}",
        disagreements.len(),
        entries.len()
    );
    println!("{stopped} stop iPOPO, {accepted} are endpoints to it, {ignored} are nothing to it");
    assert!(
        stopped > 1000 && accepted > 1000 && ignored > 10,
        "{stopped} {accepted} {ignored}"
    );
}
