//! The JSON of groups and nodes, as Go's `encoding/json` writes and reads it.
//!
//! Go matches names of fields without regard to case, passes over unknown ones, takes a missing
//! one or a `null` for empty, and replaces bytes that are no UTF-8. So does this reader. Its
//! errors name a field and never tell what is in it, because that may be a password.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::model::Kept;
use super::{Group, GroupCredentials, GroupName, Labels, Node, Spec};

/// Go's zero time, which it writes for a time that is not set.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

type Object = Map<String, Value>;

#[derive(Serialize)]
struct GroupJson<'a> {
    name: &'a str,
    spec: SpecJson<'a>,
    created: String,
    #[serde(flatten)]
    more: &'a Object,
}

#[derive(Serialize)]
struct SpecJson<'a> {
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    common_labels: &'a Labels,
    #[serde(flatten)]
    more: &'a Object,
}

#[derive(Serialize)]
struct NodeJson<'a> {
    id: &'a str,
    exporter_type: &'a str,
    port: u16,
    metrics_path: &'a str,
    labels: &'a Labels,
    status: &'a str,
    last_seen: String,
}

/// A group's value.
pub(super) fn encode_group(group: &Group) -> Result<String, String> {
    let Group {
        name,
        spec,
        created,
        kept,
    } = group;
    let as_it_was = kept.created.clone();
    written(&GroupJson {
        name: name.as_str(),
        spec: SpecJson {
            username: spec.credentials.username(),
            password: spec.credentials.password(),
            common_labels: &spec.common_labels,
            more: &kept.spec_fields,
        },
        created: as_it_was.unwrap_or_else(|| encode_time(*created)),
        more: &kept.fields,
    })
}

/// A node's value.
pub(super) fn encode_node(node: &Node) -> Result<String, String> {
    written(&NodeJson {
        id: &node.id,
        exporter_type: &node.exporter_type,
        port: node.port,
        metrics_path: &node.metrics_path,
        labels: &node.labels,
        status: &node.status,
        last_seen: encode_time(node.last_seen),
    })
}

fn written(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| format!("it cannot be written as JSON: {error}"))
}

fn encode_time(time: Option<SystemTime>) -> String {
    let time = time.and_then(|time| Timestamp::try_from(time).ok());
    time.map_or_else(|| NO_TIME.to_owned(), |time| time.to_string())
}

/// Reads the value of a group of this name. The name in the value counts for nothing, as in Go.
pub(super) fn decode_group(name: GroupName, value: &[u8]) -> Result<Group, String> {
    let mut fields = object(value)?;
    text(&fields, "name")?;
    let created = time(&fields, "created")?;
    let mut spec_fields = match field(&fields, "spec") {
        None => Object::new(),
        Some(Value::Object(spec)) => spec.clone(),
        Some(other) => return Err(format!("`spec` is {}, not an object", kind(other))),
    };
    let credentials = GroupCredentials::new(
        text(&spec_fields, "username")?,
        text(&spec_fields, "password")?,
    );
    let spec = Spec {
        credentials,
        common_labels: labels(&spec_fields, "common_labels")?,
    };
    let as_it_was = field(&fields, "created").and_then(Value::as_str);
    let as_it_was = as_it_was.map(str::to_owned);
    forget(&mut fields, &["name", "spec", "created"]);
    forget(&mut spec_fields, &["username", "password", "common_labels"]);
    Ok(Group {
        name,
        spec,
        created,
        kept: Kept {
            created: as_it_was,
            fields,
            spec_fields,
        },
    })
}

/// Reads the value of a node.
pub(super) fn decode_node(value: &[u8]) -> Result<Node, String> {
    let fields = object(value)?;
    Ok(Node {
        id: required(&fields, "id")?,
        exporter_type: required(&fields, "exporter_type")?,
        port: port(&fields)?,
        metrics_path: text(&fields, "metrics_path")?,
        labels: labels(&fields, "labels")?,
        status: text(&fields, "status")?,
        last_seen: time(&fields, "last_seen")?,
    })
}

fn object(value: &[u8]) -> Result<Object, String> {
    let text = String::from_utf8_lossy(value);
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(format!("it is {}, not a JSON object", kind(&other))),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(format!("it is no JSON (line {line}, column {column})"))
        }
    }
}

/// A field that is there and not null.
fn field<'a>(fields: &'a Object, name: &str) -> Option<&'a Value> {
    let in_any_case = || {
        let mut fields = fields.iter();
        fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    };
    let value = fields.get(name).or_else(in_any_case)?;
    (!value.is_null()).then_some(value)
}

fn forget(fields: &mut Object, names: &[&str]) {
    fields.retain(|key, _| !names.iter().any(|name| key.eq_ignore_ascii_case(name)));
}

/// A text; empty where there is none.
fn text(fields: &Object, name: &str) -> Result<String, String> {
    match field(fields, name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("`{name}` is {}, not a text", kind(other))),
    }
}

fn required(fields: &Object, name: &str) -> Result<String, String> {
    let text = text(fields, name)?;
    if text.is_empty() {
        return Err(format!("`{name}` is missing"));
    }
    Ok(text)
}

fn port(fields: &Object) -> Result<u16, String> {
    let Some(value) = field(fields, "port") else {
        return Err("`port` is missing".to_owned());
    };
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
        .ok_or_else(|| "`port` is no number from 1 to 65535".to_owned())
}

fn labels(fields: &Object, name: &str) -> Result<Labels, String> {
    let all = match field(fields, name) {
        None => return Ok(Labels::new()),
        Some(Value::Object(all)) => all,
        Some(other) => return Err(format!("`{name}` is {}, not an object", kind(other))),
    };
    let label = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Null => Ok((key.clone(), String::new())),
        other => Err(format!(
            "a label of `{name}` is {}, not a text",
            kind(other)
        )),
    };
    let read: Result<BTreeMap<_, _>, _> = all.iter().map(label).collect();
    Ok(Labels::read(read?))
}

fn time(fields: &Object, name: &str) -> Result<Option<SystemTime>, String> {
    let text = match field(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(other) => return Err(format!("`{name}` is {}, not a time", kind(other))),
    };
    if text == NO_TIME {
        return Ok(None);
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("`{name}` is no time as RFC 3339 writes it"))?;
    Ok(Some(time.into()))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name() -> GroupName {
        GroupName::new("g").unwrap()
    }

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn a_new_group_has_the_shape_that_go_writes() {
        let mut group = Group::new(name(), Spec::default(), at(1_733_000_000, 123_456_789));
        assert_eq!(
            encode_group(&group).unwrap(),
            r#"{"name":"g","spec":{"username":"","password":""},"created":"2024-11-30T20:53:20.123456789Z"}"#
        );
        group.spec.credentials = GroupCredentials::new("u", "p");
        group.spec.common_labels.set("zone", "eu").unwrap();
        assert_eq!(
            encode_group(&group).unwrap(),
            r#"{"name":"g","spec":{"username":"u","password":"p","common_labels":{"zone":"eu"}},"created":"2024-11-30T20:53:20.123456789Z"}"#
        );
    }

    #[test]
    fn a_node_has_the_shape_that_go_writes() {
        let mut node = Node::new("n", "t", 9100, "/metrics").unwrap();
        node.last_seen = Some(at(1_733_000_000, 500_000_000));
        assert_eq!(
            encode_node(&node).unwrap(),
            r#"{"id":"n","exporter_type":"t","port":9100,"metrics_path":"/metrics","labels":{},"status":"healthy","last_seen":"2024-11-30T20:53:20.5Z"}"#
        );
        assert_eq!(
            decode_node(encode_node(&node).unwrap().as_bytes()).unwrap(),
            node
        );
    }

    #[test]
    fn times_with_an_offset_are_read_and_the_zero_time_is_none() {
        let node = |time: &str| {
            let text = format!(
                r#"{{"id":"n","exporter_type":"t","port":1,"metrics_path":"m","last_seen":{time}}}"#
            );
            decode_node(text.as_bytes()).map(|node| node.last_seen)
        };
        let expected = Some(at(1_733_000_000, 123_000_000));
        assert_eq!(
            node(r#""2024-11-30T21:53:20.123+01:00""#).unwrap(),
            expected
        );
        assert_eq!(node(r#""0001-01-01T00:00:00Z""#).unwrap(), None);
        assert_eq!(node("null").unwrap(), None);
        for wrong in [r#""yesterday""#, r#""2024-11-30""#, "7", r#""""#] {
            assert!(node(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_unknown_null_or_in_another_case_is_read_as_go_reads_it() {
        let text =
            br#"{"ID":"n","Exporter_Type":"t","port":1,"metrics_path":"m","labels":null,"x":[1]}"#;
        let node = decode_node(text).unwrap();
        assert_eq!((node.id.as_str(), node.exporter_type.as_str()), ("n", "t"));
        assert_eq!((node.status.as_str(), node.last_seen), ("", None));
        assert!(node.labels.is_empty());
        let pathless = decode_node(br#"{"id":"n","exporter_type":"t","port":1}"#).unwrap();
        assert_eq!(pathless.metrics_path, "");
        let group = decode_group(name(), b"{}").unwrap();
        assert_eq!((group.spec, group.created), (Spec::default(), None));
        let other = decode_group(
            name(),
            br#"{"name":"other","spec":{"common_labels":{"a":""}}}"#,
        );
        let other = other.unwrap();
        assert_eq!(other.name, name());
        assert_eq!(other.spec.common_labels.get("a"), Some(""));
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_replaced() {
        let text = b"{\"id\":\"n\xff\",\"exporter_type\":\"t\",\"port\":1,\"metrics_path\":\"m\"}";
        assert_eq!(decode_node(text).unwrap().id, "n\u{fffd}");
    }

    #[test]
    fn rubbish_is_told_by_field_and_never_with_what_is_in_it() {
        let node = |text: &str| decode_node(text.as_bytes()).unwrap_err();
        assert_eq!(node("{"), "it is no JSON (line 1, column 1)");
        assert_eq!(node("[]"), "it is an array, not a JSON object");
        assert_eq!(node("{}"), "`id` is missing");
        assert_eq!(node(r#"{"id":5}"#), "`id` is a number, not a text");
        let port = |port: &str| {
            node(&format!(
                r#"{{"id":"n","exporter_type":"t","port":{port},"metrics_path":"m"}}"#
            ))
        };
        for wrong in ["0", "-1", "65536", "1.5", r#""1""#] {
            assert_eq!(
                port(wrong),
                "`port` is no number from 1 to 65535",
                "{wrong}"
            );
        }
        assert_eq!(port("null"), "`port` is missing");
        let group = |text: &str| decode_group(name(), text.as_bytes()).unwrap_err();
        let password = group(r#"{"spec":{"password":12345}}"#);
        assert_eq!(password, "`password` is a number, not a text");
        assert_eq!(
            group(r#"{"spec":"s3cret"}"#),
            "`spec` is a text, not an object"
        );
        let labels = group(r#"{"spec":{"common_labels":{"a":1}}}"#);
        assert_eq!(labels, "a label of `common_labels` is a number, not a text");
        let broken = group(r#"{"spec":{"password":"s3cret""#);
        assert!(!broken.contains("s3cret"), "{broken}");
    }

    #[test]
    fn one_who_changes_a_group_writes_back_what_it_does_not_know() {
        let text = r#"{"name":"g","spec":{"username":"u","password":"p","tier":1},"created":"2024-11-30T21:53:20+01:00","owner":{"team":"x"}}"#;
        let mut group = decode_group(name(), text.as_bytes()).unwrap();
        assert_eq!(encode_group(&group).unwrap(), text);
        group.spec.common_labels.set("zone", "eu").unwrap();
        assert_eq!(
            encode_group(&group).unwrap(),
            r#"{"name":"g","spec":{"username":"u","password":"p","common_labels":{"zone":"eu"},"tier":1},"created":"2024-11-30T21:53:20+01:00","owner":{"team":"x"}}"#
        );
    }
}
