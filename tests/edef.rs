//! Endpoints of EDEF files in a whole framework, and iPOPO's reader and writer
//! of them as a second opinion.
#![cfg(all(feature = "edef", feature = "xmlrpc"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::endpoint::{EndpointDescription, edef};
use osgi_remote::interface::CallError;
use osgi_remote::properties::{Array, ScalarType, Value};
use osgi_remote::services::TrackedEvent;
use osgi_remote::{Framework, async_trait, props, remote_service};
use serde_json::{Value as Json, json};
use support::{eventually, tools};

const SOON: Duration = Duration::from_secs(20);

#[remote_service("org.example.Echo")]
trait Echo {
    async fn echo(&self, text: String) -> Result<String, CallError>;
}

struct Plain;

#[async_trait]
impl Echo for Plain {
    async fn echo(&self, text: String) -> Result<String, CallError> {
        Ok(text)
    }
}

/// Rules D17, Z14, Z15.
#[tokio::test]
async fn an_endpoint_of_a_file_is_imported_called_followed_and_let_go_without_etcd() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("echo.xml");
    let host = Framework::builder().start().await.unwrap();
    let properties = props! { "colour" => "red", "sizes" => Value::Set(vec![7_i16.into()]) };
    let export = host
        .export::<dyn Echo>(Arc::new(Plain), properties)
        .unwrap();
    let endpoints = export.announced().await.unwrap();
    let description = &endpoints[0];
    std::fs::write(&file, edef::to_string([&**description]).unwrap()).unwrap();

    let guest = Framework::builder()
        .edef(format!("{}/", folder.path().display()))
        .edef_with(|config| config.interval = Duration::from_millis(20))
        .start()
        .await
        .unwrap();
    // It was read before the framework had started.
    assert_eq!(guest.edef_health().unwrap().endpoints, 1);
    assert!(guest.health().is_none());
    let mut tracker = guest.track::<dyn Echo>("(colour=*)").unwrap();
    let next = async |tracker: &mut osgi_remote::services::Tracker<dyn Echo>| {
        let event = tokio::time::timeout(SOON, tracker.next()).await;
        event.expect("news in time").unwrap()
    };
    let TrackedEvent::Added(reference, proxy) = next(&mut tracker).await else {
        panic!("it was not added");
    };
    assert_eq!(proxy.echo("by file".to_owned()).await.unwrap(), "by file");
    let properties = reference.properties();
    let sizes = Value::Set(vec![Value::from(7_i16)]);
    assert_eq!(properties.get("sizes"), Some(&sizes));
    assert_eq!(
        properties.string_plus("service.imported.configs"),
        ["ecf.xmlrpc.server"]
    );

    let blue = description.properties().clone().with("colour", "blue");
    let blue = EndpointDescription::new(blue).unwrap();
    std::fs::write(&file, edef::to_string([&blue]).unwrap()).unwrap();
    match next(&mut tracker).await {
        TrackedEvent::Modified(modified, properties) => {
            assert_eq!(modified.id(), reference.id());
            assert_eq!(properties.get_str("colour"), Some("blue"));
        }
        other => panic!("{other:?}"),
    }

    std::fs::write(&file, "<endpoint-descriptions").unwrap();
    eventually(SOON, "the broken file is reported", async || {
        let health = guest.edef_health().unwrap();
        let problems: Vec<String> = health
            .problems
            .values()
            .flatten()
            .map(ToString::to_string)
            .collect();
        match problems.as_slice() {
            [one] if one.starts_with("line 1, column 1: not well-formed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(proxy.echo("still".to_owned()).await.unwrap(), "still");

    std::fs::remove_file(&file).unwrap();
    assert!(matches!(next(&mut tracker).await, TrackedEvent::Removed(_)));
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_path_that_cannot_be_is_refused_and_one_that_is_not_there_is_reported() {
    let error = Framework::builder().edef("a*/b").start().await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a setting cannot be used: 'a*/b' has a wildcard"),
        "{error}"
    );
    let framework = Framework::builder()
        .property("edef.path", "not/there.xml")
        .start()
        .await
        .unwrap();
    let health = framework.edef_health().unwrap();
    assert_eq!(health.problems.len(), 1);
    framework.shutdown().await.unwrap();
}

/// Has iPOPO read documents and write them anew.
fn ipopo(documents: &[String]) -> Vec<Json> {
    const PROGRAM: &str = r#"
import json, sys
from pelix.rsa.edef import EDEFReader, EDEFWriter

def plain(value):
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

for line in sys.stdin:
    try:
        endpoints = EDEFReader().parse(json.loads(line))
        read = [{k: plain(v) for k, v in e.get_properties().items()} for e in endpoints]
        answer = {"read": read, "written": EDEFWriter().to_string(endpoints)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer))
"#;
    let mut child = Command::new(tools::file("venv/bin/python"))
        .args(["-X", "utf8", "-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = documents
        .iter()
        .map(|document| format!("{}\n", json!(document)))
        .collect();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Json> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), documents.len(), "{errors}");
    answers
}

/// What iPOPO can read: it knows no byte, and trims strings.
fn for_ipopo() -> Vec<Value> {
    let ints = |n: &[i32]| n.iter().map(|n| Value::from(*n)).collect::<Vec<_>>();
    vec![
        Value::from("text"),
        Value::from("a \"<&>' \t\n\r \u{e4}\u{1f600} b"),
        Value::from(7_i16),
        Value::from(i32::MIN),
        Value::from(i64::MAX),
        Value::from(0.1_f64),
        Value::from(-1.5e300_f64),
        Value::from(true),
        Value::from(false),
        Value::from('x'),
        Value::from(["a", "b c"]),
        Value::from(Array::primitive(ScalarType::Integer, ints(&[3, 1])).unwrap()),
        Value::from(Array::new(ScalarType::Integer, ints(&[])).unwrap()),
        Value::List(vec![Value::from(1.5_f64), Value::from(2.0_f64)]),
        Value::list_of(["z", "y"]),
        Value::Set(ints(&[1, 2])),
    ]
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::String(text) => json!(&**text),
        Value::Character(c) => json!(c.to_string()),
        Value::Boolean(b) => json!(b),
        Value::Double(f) => json!(f),
        other => match other.items() {
            Some(items) => items.iter().map(as_json).collect(),
            None => json!(other.to_i64().unwrap()),
        },
    }
}

fn described(value: &Value) -> EndpointDescription {
    EndpointDescription::new(props! {
        "endpoint.id" => "e1", "objectClass" => ["org.example.A", "org.example.B"],
        "service.imported.configs" => ["ecf.xmlrpc.server"], "endpoint.service.id" => 12_i64,
        "endpoint.framework.uuid" => "fw", "ecf.endpoint.id" => "http://127.0.0.1:1/x",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc", "ecf.rsvc.id" => 3_i64,
        "ecf.endpoint.ts" => 1_700_000_000_000_i64, "value" => value.clone(),
    })
    .unwrap()
}

#[test]
fn ipopo_reads_what_is_written_as_it_is() {
    let descriptions: Vec<_> = for_ipopo().iter().map(described).collect();
    let documents: Vec<_> = descriptions
        .iter()
        .map(|d| edef::to_string([d]).unwrap())
        .collect();
    for (description, answer) in descriptions.iter().zip(ipopo(&documents)) {
        let read = &answer["read"][0];
        assert!(read.is_object(), "{answer} of {description:?}");
        for (name, value) in description.properties().iter() {
            assert_eq!(read[name], as_json(value), "{name} of {description:?}");
        }
        let count = read.as_object().unwrap().len();
        assert_eq!(count, description.properties().len(), "{read}");
    }
}

#[test]
fn what_ipopo_writes_is_read_as_it_meant_it() {
    // It writes a boolean as a Long that nobody can read, and a list as an
    // array.
    let written: Vec<_> = for_ipopo()
        .into_iter()
        .filter(|value| !matches!(value, Value::Boolean(_)))
        .collect();
    let documents: Vec<_> = written
        .iter()
        .map(|value| edef::to_string([&described(value)]).unwrap())
        .collect();
    for (value, answer) in written.iter().zip(ipopo(&documents)) {
        let document = answer["written"].as_str().unwrap();
        let read = edef::read(document).remove(0).unwrap();
        let expected = described(value);
        for (name, value) in expected.properties().iter() {
            let read = read.properties().get(name).unwrap();
            assert_eq!(as_json(read), as_json(value), "{name} in {document}");
        }
        assert_eq!(read.interfaces(), expected.interfaces());
    }
}
