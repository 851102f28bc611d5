//! The exact types of those properties that the peers' JSON cannot tell.
//!
//! A JSON object: each property's name, and its value as `{type: content}`.

use serde_json::{Map, Value as Json, json};

use crate::properties::{Array, Properties, ScalarType, Value};

/// Writes the properties whose types must be kept; `None` if there are none.
pub(super) fn describe<'a>(
    properties: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Option<String> {
    let map = object(properties);
    (!map.is_empty()).then(|| Json::Object(map).to_string())
}

/// All properties with their exact types.
pub(crate) fn to_json(properties: &Properties) -> Json {
    Json::Object(object(properties.iter()))
}

/// Reads what [`to_json`] wrote; `None` if it is something else.
pub(crate) fn from_json(json: &Json) -> Option<Properties> {
    let entries = json.as_object()?.iter();
    let entries = entries.map(|(name, tagged)| Some((name.as_str(), untagged(tagged, 0)?)));
    let entries: Vec<_> = entries.collect::<Option<_>>()?;
    Properties::from_entries(entries).ok()
}

fn object<'a>(properties: impl Iterator<Item = (&'a str, &'a Value)>) -> Map<String, Json> {
    properties
        .map(|(name, value)| (name.to_owned(), tagged(value)))
        .collect()
}

/// Puts the exact values in the place of those that peers can read.
///
/// It is a hint that only this crate writes; a part that does not read is
/// left as the peers see it.
pub(super) fn restore(properties: &mut Properties, text: &str) {
    let Ok(Json::Object(map)) = serde_json::from_str(text) else {
        return;
    };
    for (name, tagged) in map {
        if let Some(value) = untagged(&tagged, 0)
            && properties.contains(&name)
        {
            properties.set(name, value);
        }
    }
}

fn scalar_name(scalar: ScalarType) -> &'static str {
    match scalar {
        ScalarType::String => "String",
        ScalarType::Boolean => "Boolean",
        ScalarType::Byte => "Byte",
        ScalarType::Short => "Short",
        ScalarType::Integer => "Integer",
        ScalarType::Long => "Long",
        ScalarType::Float => "Float",
        ScalarType::Double => "Double",
        ScalarType::Character => "Character",
    }
}

const SCALARS: [ScalarType; 9] = [
    ScalarType::String,
    ScalarType::Boolean,
    ScalarType::Byte,
    ScalarType::Short,
    ScalarType::Integer,
    ScalarType::Long,
    ScalarType::Float,
    ScalarType::Double,
    ScalarType::Character,
];

/// Floats are kept by their bits: JSON has no NaN, and no negative zero that
/// every reader keeps.
fn content(value: &Value) -> Json {
    match value {
        Value::String(s) => json!(&**s),
        Value::Boolean(b) => json!(b),
        Value::Byte(n) => json!(n),
        Value::Short(n) => json!(n),
        Value::Integer(n) => json!(n),
        Value::Long(n) => json!(n),
        Value::Float(f) => json!(f.to_bits()),
        Value::Double(f) => json!(f.to_bits()),
        Value::Character(c) => json!(c.to_string()),
        Value::Bytes(b) => json!(&**b),
        Value::Array(array) => array.items().iter().map(content).collect(),
        Value::List(items) | Value::Set(items) => items.iter().map(tagged).collect(),
    }
}

fn tagged(value: &Value) -> Json {
    let tag = match value {
        Value::Bytes(_) => "byte[]".to_owned(),
        Value::List(_) => "List".to_owned(),
        Value::Set(_) => "Set".to_owned(),
        Value::Array(array) => {
            let name = scalar_name(array.item_type());
            if array.is_primitive() {
                format!("{}[]", name.to_lowercase())
            } else {
                format!("{name}[]")
            }
        }
        scalar => scalar
            .scalar_type()
            .map(scalar_name)
            .unwrap_or_default()
            .to_owned(),
    };
    json!({ tag: content(value) })
}

fn untagged(json: &Json, depth: usize) -> Option<Value> {
    // serde_json bounds the depth of its input; this bounds ours without it.
    if depth > 64 {
        return None;
    }
    let (tag, content) = json.as_object().filter(|o| o.len() == 1)?.iter().next()?;
    let items = || -> Option<Vec<Value>> {
        let items = content.as_array()?;
        items.iter().map(|item| untagged(item, depth + 1)).collect()
    };
    match tag.as_str() {
        "List" => items().map(Value::List),
        "Set" => items().map(Value::Set),
        "byte[]" => {
            let bytes = content.as_array()?.iter();
            let bytes = bytes.map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok()));
            bytes.collect::<Option<Vec<u8>>>().map(Value::from)
        }
        _ => match tag.strip_suffix("[]") {
            None => {
                let scalar = SCALARS.into_iter().find(|s| scalar_name(*s) == tag)?;
                scalar_value(scalar, content)
            }
            Some(name) => array(name, content.as_array()?),
        },
    }
}

fn array(name: &str, items: &[Json]) -> Option<Value> {
    let scalar = SCALARS
        .into_iter()
        .find(|s| scalar_name(*s).eq_ignore_ascii_case(name))?;
    let items: Option<Vec<Value>> = items.iter().map(|i| scalar_value(scalar, i)).collect();
    let array = if name == scalar_name(scalar) {
        Array::new(scalar, items?)
    } else {
        Array::primitive(scalar, items?)
    };
    array.ok().map(Value::Array)
}

fn scalar_value(scalar: ScalarType, json: &Json) -> Option<Value> {
    Some(match scalar {
        ScalarType::String => Value::from(json.as_str()?),
        ScalarType::Boolean => Value::Boolean(json.as_bool()?),
        ScalarType::Byte => Value::Byte(json.as_i64()?.try_into().ok()?),
        ScalarType::Short => Value::Short(json.as_i64()?.try_into().ok()?),
        ScalarType::Integer => Value::Integer(json.as_i64()?.try_into().ok()?),
        ScalarType::Long => Value::Long(json.as_i64()?),
        ScalarType::Float => Value::Float(f32::from_bits(json.as_u64()?.try_into().ok()?)),
        ScalarType::Double => Value::Double(f64::from_bits(json.as_u64()?)),
        ScalarType::Character => {
            let mut chars = json.as_str()?.chars();
            let first = chars.next()?;
            chars.next().is_none().then_some(Value::Character(first))?
        }
    })
}
