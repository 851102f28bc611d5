//! Reading what ECF and iPOPO write.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::json::Json;
use super::{EXACT, ServiceInfo, exact};
use crate::endpoint::{DescriptionError, EndpointDescription};
use crate::names::{DECIMAL_TEXTS, SPACED_LISTS, osgi};
use crate::properties::{self, Properties, Value};

/// A value that is no endpoint description.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value is not JSON of the expected shape.
    #[error("not the JSON of an endpoint: {0}")]
    Json(#[from] serde_json::Error),
    /// One property does not read as its type.
    #[error("property '{name}' of type '{kind}': {reason}")]
    Property {
        /// The property.
        name: String,
        /// The type that the value claims.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// Two properties differ in case only.
    #[error("properties '{first}' and '{second}' differ in case only")]
    CaseVariants {
        /// The name that came first.
        first: String,
        /// The name that collides with it.
        second: String,
    },
    /// The properties do not describe an endpoint.
    #[error("not a valid endpoint: {0}")]
    Description(#[from] DescriptionError),
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    properties: Vec<Entry<'a>>,
    #[serde(borrow, default = "null")]
    priority: Json<'a>,
    #[serde(borrow, default = "null")]
    weight: Json<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default = "null", rename = "type")]
    kind: Json<'a>,
    #[serde(borrow, default = "null")]
    value: Json<'a>,
}

fn null<'a>() -> Json<'a> {
    Json::Null
}

/// Reads a value as ECF, iPOPO or this crate wrote it.
///
/// Lists may be joined by any white space, numbers may be text, and names may
/// have either case. Of a property that is there both as text and typed, the
/// typed form counts. Properties without a value are left out.
///
/// # Errors
///
/// If it is not JSON with properties, if a property does not read as the type
/// that it claims, or if the properties break a rule of
/// [`EndpointDescription::new`].
pub fn decode(value: &[u8]) -> Result<ServiceInfo, DecodeError> {
    let wire: Wire<'_> = serde_json::from_slice(value)?;
    let mut properties = Properties::new();
    // Typed entries win over text of the same name, wherever they stand.
    let (text, typed): (Vec<_>, Vec<_>) = wire.properties.into_iter().partition(Entry::is_text);
    for entry in text.into_iter().chain(typed) {
        add(&mut properties, entry)?;
    }
    if let Some(Value::String(text)) = properties.remove(EXACT) {
        exact::restore(&mut properties, &text);
    }
    Ok(ServiceInfo {
        description: EndpointDescription::new(properties)?,
        priority: number(&wire.priority),
        weight: number(&wire.weight),
    })
}

/// Priority and weight only order equals: what is no number counts as 0.
fn number(value: &Json<'_>) -> i64 {
    match value {
        Json::Int(n) => *n,
        _ => 0,
    }
}

fn add(properties: &mut Properties, entry: Entry<'_>) -> Result<(), DecodeError> {
    // iPOPO writes a version for a package without a name.
    if properties::same_name(&entry.name, osgi::ENDPOINT_PACKAGE_VERSION_PREFIX) {
        return Ok(());
    }
    let Some(value) = entry.read().map_err(|reason| DecodeError::Property {
        name: entry.name.clone().into_owned(),
        kind: entry.kind().to_owned(),
        reason,
    })?
    else {
        return Ok(());
    };
    let before = properties
        .keys()
        .find(|key| properties::same_name(key, &entry.name));
    if let Some(first) = before.filter(|first| *first != entry.name) {
        return Err(DecodeError::CaseVariants {
            first: first.to_owned(),
            second: entry.name.into_owned(),
        });
    }
    properties.set(&*entry.name, value);
    Ok(())
}

impl Entry<'_> {
    fn kind(&self) -> &str {
        match (&self.kind, &self.value) {
            (Json::Text(kind), _) => kind,
            // Without a type, the value's own tells it.
            (_, Json::Text(_)) => "string",
            (_, _) => "object",
        }
    }

    fn is_text(&self) -> bool {
        self.kind() == "string"
    }

    fn read(&self) -> Result<Option<Value>, String> {
        if self.value == Json::Null {
            return Ok(None);
        }
        let is = |names: &[&str]| names.iter().any(|n| properties::same_name(n, &self.name));
        if is(&SPACED_LISTS) {
            return spaced_list(&self.value).map(Some);
        }
        if is(&DECIMAL_TEXTS) {
            return decimal(&self.value).map(Some);
        }
        typed(self.kind(), &self.value).map(Some)
    }
}

fn spaced_list(value: &Json<'_>) -> Result<Value, String> {
    match value {
        Json::Text(text) => Ok(Value::array_of(text.split_whitespace())),
        Json::Array(items) => items
            .iter()
            .map(|item| match item {
                Json::Text(text) => Ok(text.as_ref()),
                other => Err(format!("an item is {} and not a string", other.type_name())),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::from),
        other => Err(format!("{} is no list of names", other.type_name())),
    }
}

fn decimal(value: &Json<'_>) -> Result<Value, String> {
    match value {
        Json::Int(n) => Ok(Value::Long(*n)),
        Json::Text(text) => text
            .trim()
            .parse()
            .map(Value::Long)
            .map_err(|_| format!("'{text}' is no whole number")),
        other => Err(format!("{} is no whole number", other.type_name())),
    }
}

fn typed(kind: &str, value: &Json<'_>) -> Result<Value, String> {
    let wrong = || format!("the value is {}", value.type_name());
    match (kind, value) {
        ("string" | "object", Json::Text(text)) => Ok(Value::from(text.as_ref())),
        ("bytes", Json::Text(text)) => BASE64
            .decode(text.as_bytes())
            .map(Value::from)
            .map_err(|error| format!("not base64: {error}")),
        ("list", Json::Array(items)) => Ok(Value::List(plain_items(items))),
        ("set", Json::Array(items)) => Ok(Value::Set(plain_items(items))),
        ("double", number) => float(number).map(Value::Double).ok_or_else(wrong),
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the writer's float was widened to JSON's double"
        )]
        ("float", number) => float(number)
            .map(|f| Value::Float(f as f32))
            .ok_or_else(wrong),
        ("long", Json::Int(n)) => Ok(Value::Long(*n)),
        ("int", Json::Int(n)) => i32::try_from(*n)
            .map(Value::Integer)
            .map_err(|_| format!("{n} needs more than 32 bits")),
        ("char", Json::Text(text)) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(Value::Character(c)),
                _ => Err(format!("'{text}' is not one character")),
            }
        }
        ("object", other) => plain(other).ok_or_else(wrong),
        ("bytes" | "list" | "set" | "long" | "int" | "char" | "string", _) => Err(wrong()),
        // A type that a later peer may bring: what its JSON tells is kept.
        (_, other) => plain(other).ok_or_else(wrong),
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a writer of doubles may write whole ones without a point"
)]
fn float(value: &Json<'_>) -> Option<f64> {
    match value {
        Json::Float(f) => Some(*f),
        Json::Int(n) => Some(*n as f64),
        _ => None,
    }
}

/// What JSON alone tells of a value, as Java's JSON reader types it: whole
/// numbers are integers, or longs where they need it.
fn plain(value: &Json<'_>) -> Option<Value> {
    match value {
        Json::Null | Json::Object => None,
        Json::Bool(b) => Some(Value::Boolean(*b)),
        Json::Int(n) => Some(i32::try_from(*n).map_or(Value::Long(*n), Value::Integer)),
        Json::Float(f) => Some(Value::Double(*f)),
        Json::Text(text) => Some(Value::from(text.as_ref())),
        Json::Array(items) => Some(Value::List(plain_items(items))),
    }
}

fn plain_items(items: &[Json<'_>]) -> Vec<Value> {
    items.iter().filter_map(plain).collect()
}
