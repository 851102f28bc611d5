//! What etcdctl printed, without what must differ between two servers.

use std::fmt;

use serde_json::Value;

use crate::support::Store;

/// What a command printed, or what it failed with.
#[derive(Debug, PartialEq, Eq)]
pub enum Printed {
    Output(String),
    Error(String),
}

impl Printed {
    pub async fn by(store: &Store, args: &[&str], input: &str) -> Self {
        match store.try_etcdctl_with_input(args, input).await {
            Ok(text) => {
                let lines = text.lines().map(|line| match line.starts_with('{') {
                    true => json(line),
                    false => without_ids(line),
                });
                Self::Output(lines.collect::<Vec<_>>().join("\n"))
            }
            Err(text) => Self::Error(message(&text)),
        }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(text) => write!(f, "{text}"),
            Self::Error(text) => write!(f, "failed: {text}"),
        }
    }
}

/// The message without the client's own log, which names addresses and times.
fn message(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('{'));
    lines.collect::<Vec<_>>().join("\n")
}

/// A line of `-w fields`.
fn without_ids(line: &str) -> String {
    const IDS: [&str; 3] = ["\"ClusterID\" :", "\"MemberID\" :", "\"RaftTerm\" :"];
    match IDS.iter().find(|id| line.starts_with(**id)) {
        Some(id) => (*id).to_owned(),
        None => line.to_owned(),
    }
}

/// JSON with the ids in its headers hidden.
pub fn json(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    hide(&mut value);
    value.to_string()
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "cluster_id" | "member_id" | "raft_term" => *field = Value::from("some"),
                    _ => hide(field),
                }
            }
        }
        _ => {}
    }
}

/// JSON with its names and types only, but for the addresses of peers.
pub fn shape(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    blank(&mut value);
    value.to_string()
}

fn blank(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(fields) => {
            // The registry has no peers, and says none.
            fields.remove("peerURLs");
            fields.values_mut().for_each(blank);
        }
        Value::Number(_) => *value = Value::from(0),
        Value::String(_) => *value = Value::from(""),
        Value::Null | Value::Bool(_) => {}
    }
}

/// `remaining(99s)` depends on how busy the machine is.
pub fn without_seconds_left(text: &str) -> String {
    const BEGIN: &str = "remaining(";
    match text.split_once(BEGIN) {
        Some((before, rest)) => {
            let after = rest.split_once(')').map_or(rest, |(_, after)| after);
            format!("{before}{BEGIN}){after}")
        }
        None => text.to_owned(),
    }
}
