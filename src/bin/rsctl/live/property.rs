//! Properties on the command line, and as JSON.

use osgi_remote::names::osgi;
use osgi_remote::properties::{Array, Properties, ScalarType, Value, same_name};
use serde_json::json;

/// One property of a service, `NAME=VALUE` or `NAME:TYPE=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// How a property is written, for help texts.
pub(crate) const FORM: &str = "NAME[:TYPE]=VALUE";

/// Reads a property, for clap.
pub(crate) fn property(text: &str) -> Result<Property, String> {
    let (left, value) = name_and_value(text)?;
    let (name, kind, array) = match left.rsplit_once(':') {
        Some((name, word)) => {
            let (kind, array) = match word.strip_suffix("[]") {
                Some(kind) => (kind, true),
                None => (word, false),
            };
            let kind = scalar_type(kind).ok_or_else(|| {
                format!(
                    "'{word}' is no type: {}, or one of them with []; \
                     where the ':' is a part of the name, write {left}:String=…",
                    TYPES.join(", ")
                )
            })?;
            (name.to_owned(), kind, array)
        }
        // OSGi takes a ranking of another type for none (Core 5.2.5).
        None if same_name(&left, osgi::SERVICE_RANKING) => (left, ScalarType::Integer, false),
        None => (left, ScalarType::String, false),
    };
    if name.is_empty() {
        return Err("there is no name before the ':'".to_owned());
    }
    let value = if array {
        let items = value.split(',').filter(|item| !item.is_empty());
        let items: Result<Vec<Value>, String> = items.map(|item| scalar(kind, item)).collect();
        Value::Array(Array::new(kind, items?).map_err(|error| error.to_string())?)
    } else {
        scalar(kind, &value)?
    };
    Ok(Property { name, value })
}

/// Reads `NAME=VALUE`, for clap.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("there is no name before the '='".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("there is no '=': write NAME=VALUE".to_owned()),
    }
}

const TYPES: [&str; 9] = [
    "String",
    "Boolean",
    "Byte",
    "Short",
    "Integer",
    "Long",
    "Float",
    "Double",
    "Character",
];

fn scalar_type(name: &str) -> Option<ScalarType> {
    Some(match name {
        "String" => ScalarType::String,
        "Boolean" => ScalarType::Boolean,
        "Byte" => ScalarType::Byte,
        "Short" => ScalarType::Short,
        "Integer" => ScalarType::Integer,
        "Long" => ScalarType::Long,
        "Float" => ScalarType::Float,
        "Double" => ScalarType::Double,
        "Character" => ScalarType::Character,
        _ => return None,
    })
}

fn scalar(kind: ScalarType, text: &str) -> Result<Value, String> {
    fn read<T: std::str::FromStr + Into<Value>>(text: &str) -> Option<Value> {
        text.trim().parse::<T>().ok().map(Into::into)
    }
    let value = match kind {
        ScalarType::String => Some(Value::from(text)),
        ScalarType::Boolean => read::<bool>(text),
        ScalarType::Byte => read::<i8>(text),
        ScalarType::Short => read::<i16>(text),
        ScalarType::Integer => read::<i32>(text),
        ScalarType::Long => read::<i64>(text),
        ScalarType::Float => read::<f32>(text),
        ScalarType::Double => read::<f64>(text),
        ScalarType::Character => text.parse().ok().map(Value::Character),
    };
    value.ok_or_else(|| format!("'{text}' is no {kind:?}"))
}

/// Properties of a list; of several with one name the last one counts.
pub(crate) fn all(list: &[Property]) -> Properties {
    list.iter()
        .map(|property| (property.name.as_str(), property.value.clone()))
        .collect()
}

/// All properties as one JSON object.
pub(crate) fn to_json(properties: &Properties) -> serde_json::Value {
    let members = properties
        .iter()
        .map(|(name, value)| (name.to_owned(), value_to_json(value)));
    serde_json::Value::Object(members.collect())
}

fn value_to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => json!(&**text),
        Value::Boolean(value) => json!(value),
        Value::Byte(number) => json!(number),
        Value::Short(number) => json!(number),
        Value::Integer(number) => json!(number),
        Value::Long(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Bytes(bytes) => json!(&**bytes),
        other => match other.items() {
            Some(items) => items.iter().map(value_to_json).collect(),
            None => json!(other.to_string()),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        property(text).unwrap().value
    }

    #[test]
    fn a_property_is_a_text_unless_its_type_is_named() {
        assert_eq!(property("a=1=2").unwrap().name, "a");
        assert_eq!(value("a=1=2"), Value::from("1=2"));
        assert_eq!(value("a:Long=5"), Value::Long(5));
        assert_eq!(value("a:Boolean=true"), Value::Boolean(true));
        assert_eq!(value("a:Character=é"), Value::Character('é'));
        assert_eq!(value("a:String[]=x,y"), Value::from(["x", "y"]));
        assert_eq!(value("a:String="), Value::from(""));
        assert_eq!(property("urn:x:String=1").unwrap().name, "urn:x");
    }

    #[test]
    fn a_ranking_is_an_integer() {
        assert_eq!(value("service.ranking=7"), Value::Integer(7));
        assert_eq!(value("Service.Ranking=-7"), Value::Integer(-7));
    }

    #[test]
    fn what_is_no_property_is_refused() {
        for (text, part) in [
            ("colour", "no '='"),
            ("=x", "no name"),
            (":Long=1", "no name"),
            ("size:Int=3", "'Int' is no type: String, Boolean,"),
            ("urn:x=1", "write urn:x:String=…"),
            ("a:=1", "is no type"),
            ("a:Long=x", "'x' is no Long"),
            ("a:Integer[]=1,x", "'x' is no Integer"),
            ("service.ranking=high", "is no Integer"),
        ] {
            let error = property(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
