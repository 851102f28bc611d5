//! Property values with their types, as JSON, as YAML and on the command line.
//!
//! The names of the types are Java's, as EDEF has them: `String`, `Long`, `String[]`, `int[]`,
//! `byte[]` (base64), `List<String>`, `Set<Integer>`. A list or set of mixed items is `List` or
//! `Set`, and each item has a type of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osgi_remote::properties::{Array, ScalarType, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value as Json};

/// A value and the name of its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typed {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: Json,
}

const BYTES: &str = "byte[]";

/// A type's name as boxed and as primitive.
const SCALARS: [(ScalarType, &str, &str); 9] = [
    (ScalarType::String, "String", "String"),
    (ScalarType::Boolean, "Boolean", "boolean"),
    (ScalarType::Byte, "Byte", "byte"),
    (ScalarType::Short, "Short", "short"),
    (ScalarType::Integer, "Integer", "int"),
    (ScalarType::Long, "Long", "long"),
    (ScalarType::Float, "Float", "float"),
    (ScalarType::Double, "Double", "double"),
    (ScalarType::Character, "Character", "char"),
];

fn name(scalar: ScalarType, primitive: bool) -> &'static str {
    let found = SCALARS.iter().find(|(known, _, _)| *known == scalar);
    found.map_or(
        "String",
        |(_, boxed, small)| if primitive { small } else { boxed },
    )
}

fn boxed(name: &str) -> Option<ScalarType> {
    let found = SCALARS.iter().find(|(_, boxed, _)| *boxed == name);
    found.map(|(scalar, _, _)| *scalar)
}

/// What the name of a type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar(ScalarType),
    Bytes,
    Array(ScalarType, bool),
    /// Of this item type, or of mixed items.
    List(Option<ScalarType>),
    Set(Option<ScalarType>),
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        let kind = if let Some(item) = text.strip_suffix("[]") {
            let primitive = SCALARS.iter().find(|(_, _, small)| *small == item);
            match (text, boxed(item), primitive) {
                (BYTES, ..) => Some(Self::Bytes),
                (_, Some(item), _) => Some(Self::Array(item, false)),
                (_, None, Some((item, ..))) => Some(Self::Array(*item, true)),
                (_, None, None) => None,
            }
        } else if let Some((collection, rest)) = text.split_once('<') {
            let item = rest.strip_suffix('>').and_then(boxed);
            match (collection, item) {
                ("List", Some(item)) => Some(Self::List(Some(item))),
                ("Set", Some(item)) => Some(Self::Set(Some(item))),
                _ => None,
            }
        } else {
            match text {
                "List" => Some(Self::List(None)),
                "Set" => Some(Self::Set(None)),
                scalar => boxed(scalar).map(Self::Scalar),
            }
        };
        kind.ok_or_else(|| {
            format!(
                "'{text}' is no type: use one such as String, Long, Boolean, Double, String[], \
                 List<String> or Set<Integer>"
            )
        })
    }
}

impl Typed {
    pub(crate) fn of(value: &Value) -> Self {
        let (kind, value) = match value {
            Value::Bytes(bytes) => (BYTES.to_owned(), Json::from(BASE64.encode(bytes))),
            Value::Array(array) => {
                let name = name(array.item_type(), array.is_primitive());
                (format!("{name}[]"), plain(array.items()))
            }
            Value::List(items) => collection("List", items),
            Value::Set(items) => collection("Set", items),
            scalar => {
                let kind = scalar.scalar_type().map_or("String", |s| name(s, false));
                (kind.to_owned(), scalar_json(scalar))
            }
        };
        Self { kind, value }
    }

    /// The value again.
    pub(crate) fn read(&self) -> Result<Value, String> {
        let wrong = || format!("the value is no {}", self.kind);
        let items = || self.value.as_array().ok_or_else(wrong);
        match Kind::parse(&self.kind)? {
            Kind::Scalar(scalar) => read_scalar(scalar, &self.value),
            Kind::Bytes => match &self.value {
                Json::String(text) => BASE64
                    .decode(text)
                    .map(Value::from)
                    .map_err(|error| format!("the value is no base64: {error}")),
                // Bytes that are an array like any other.
                _ => array(ScalarType::Byte, true, items()?),
            },
            Kind::Array(item, primitive) => array(item, primitive, items()?),
            Kind::List(Some(item)) => read_items(item, items()?).map(Value::List),
            Kind::Set(Some(item)) => read_items(item, items()?).map(Value::Set),
            Kind::List(None) => read_mixed(items()?).map(Value::List),
            Kind::Set(None) => read_mixed(items()?).map(Value::Set),
        }
    }
}

/// A value from a command line: collections are separated by commas.
pub(crate) fn from_text(kind: &str, text: &str) -> Result<Value, String> {
    let items = |item: ScalarType| -> Result<Vec<Value>, String> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        text.split(',')
            .map(|part| scalar_of_text(item, part))
            .collect()
    };
    match Kind::parse(kind)? {
        Kind::Scalar(scalar) => scalar_of_text(scalar, text),
        Kind::Bytes => BASE64
            .decode(text)
            .map(Value::from)
            .map_err(|error| format!("'{text}' is no base64: {error}")),
        Kind::Array(item, primitive) => made(item, primitive, items(item)?),
        Kind::List(item) => items(item.unwrap_or(ScalarType::String)).map(Value::List),
        Kind::Set(item) => items(item.unwrap_or(ScalarType::String)).map(Value::Set),
    }
}

fn plain(items: &[Value]) -> Json {
    items.iter().map(scalar_json).collect()
}

fn collection(name_of: &str, items: &[Value]) -> (String, Json) {
    let mut types: Vec<_> = items.iter().map(Value::scalar_type).collect();
    types.dedup();
    match types.as_slice() {
        [Some(item)] => (format!("{name_of}<{}>", name(*item, false)), plain(items)),
        _ => {
            let typed = |item: &Value| {
                let Typed { kind, value } = Typed::of(item);
                serde_json::json!({ "type": kind, "value": value })
            };
            (name_of.to_owned(), items.iter().map(typed).collect())
        }
    }
}

/// JSON has no numbers that are not finite: those are text.
fn scalar_json(value: &Value) -> Json {
    let float = |number: Option<Number>, text: String| match number {
        Some(number) => Json::Number(number),
        None => Json::String(text.replace("inf", "Infinity")),
    };
    match value {
        Value::Boolean(value) => Json::Bool(*value),
        Value::Byte(number) => Json::from(*number),
        Value::Short(number) => Json::from(*number),
        Value::Integer(number) => Json::from(*number),
        Value::Long(number) => Json::from(*number),
        // Widened by its bits, 0.1 would be 0.10000000149011612.
        Value::Float(number) => {
            let wide = number.to_string().parse().ok();
            float(wide.and_then(Number::from_f64), number.to_string())
        }
        Value::Double(number) => float(Number::from_f64(*number), number.to_string()),
        other => Json::String(other.to_string()),
    }
}

fn read_scalar(scalar: ScalarType, json: &Json) -> Result<Value, String> {
    match (scalar, json) {
        (ScalarType::String, Json::String(text)) => Ok(Value::from(text.as_str())),
        (ScalarType::Boolean, Json::Bool(value)) => Ok(Value::from(*value)),
        (ScalarType::String | ScalarType::Boolean, _) | (_, Json::Bool(_)) => {
            Err(format!("{json} is no {}", name(scalar, false)))
        }
        (_, Json::String(text)) => scalar_of_text(scalar, text),
        (_, Json::Number(number)) => scalar_of_text(scalar, &number.to_string()),
        _ => Err(format!("{json} is no {}", name(scalar, false))),
    }
}

fn scalar_of_text(scalar: ScalarType, text: &str) -> Result<Value, String> {
    let mut chars = text.chars();
    let value = match scalar {
        ScalarType::String => Some(Value::from(text)),
        ScalarType::Boolean => text.parse::<bool>().ok().map(Value::from),
        ScalarType::Byte => text.parse::<i8>().ok().map(Value::from),
        ScalarType::Short => text.parse::<i16>().ok().map(Value::from),
        ScalarType::Integer => text.parse::<i32>().ok().map(Value::from),
        ScalarType::Long => text.parse::<i64>().ok().map(Value::from),
        ScalarType::Float => text.parse::<f32>().ok().map(Value::from),
        ScalarType::Double => text.parse::<f64>().ok().map(Value::from),
        ScalarType::Character => match (chars.next(), chars.next()) {
            (Some(c), None) => Some(Value::from(c)),
            _ => None,
        },
    };
    value.ok_or_else(|| format!("'{text}' is no {}", name(scalar, false)))
}

fn read_items(item: ScalarType, items: &[Json]) -> Result<Vec<Value>, String> {
    items.iter().map(|json| read_scalar(item, json)).collect()
}

fn read_mixed(items: &[Json]) -> Result<Vec<Value>, String> {
    let read = |json: &Json| {
        let typed: Typed = serde_json::from_value(json.clone())
            .map_err(|error| format!("an item of mixed types has a type and a value: {error}"))?;
        typed.read()
    };
    items.iter().map(read).collect()
}

fn array(item: ScalarType, primitive: bool, items: &[Json]) -> Result<Value, String> {
    made(item, primitive, read_items(item, items)?)
}

fn made(item: ScalarType, primitive: bool, items: Vec<Value>) -> Result<Value, String> {
    let array = if primitive {
        Array::primitive(item, items)
    } else {
        Array::new(item, items)
    };
    array.map(Value::from).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn typed(kind: &str, value: Json) -> Typed {
        let kind = kind.to_owned();
        Typed { kind, value }
    }

    #[test]
    fn every_kind_of_value_is_read_as_it_was_shown() {
        let ints = || vec![Value::from(1_i32), Value::from(-2_i32)];
        let mixed = vec![
            Value::from("a"),
            Value::from(1_i64),
            Value::List(vec![Value::from('c'), Value::from(true)]),
        ];
        let values = [
            Value::from("text"),
            Value::from(true),
            Value::from(-128_i8),
            Value::from(3_i16),
            Value::from(i32::MIN),
            Value::from(i64::MAX),
            Value::from(0.1_f32),
            Value::from(f32::INFINITY),
            Value::from(1e300_f64),
            Value::from(-0.0_f64),
            Value::from(f64::NAN),
            Value::from(f64::NEG_INFINITY),
            Value::from('ü'),
            Value::from(vec![0_u8, 255]),
            Value::from(["a", "b"]),
            Value::from(Array::new(ScalarType::Integer, ints()).unwrap()),
            Value::from(Array::primitive(ScalarType::Integer, ints()).unwrap()),
            Value::from(Array::primitive(ScalarType::Byte, vec![Value::from(1_i8)]).unwrap()),
            Value::list_of(["a"]),
            Value::Set(ints()),
            Value::List(mixed),
            Value::List(Vec::new()),
        ];
        for value in values {
            let shown = serde_json::to_string(&Typed::of(&value)).unwrap();
            let read: Typed = serde_json::from_str(&shown).unwrap();
            assert_eq!(read.read().as_ref(), Ok(&value), "{shown}");
        }
    }

    #[test]
    fn types_have_the_names_of_edef() {
        let kind = |value| Typed::of(&value).kind;
        assert_eq!(kind(Value::from(["a"])), "String[]");
        assert_eq!(kind(Value::list_of(["a"])), "List<String>");
        assert_eq!(kind(Value::Set(vec![Value::from(1_i32)])), "Set<Integer>");
        assert_eq!(kind(Value::from(vec![1_u8])), "byte[]");
        assert_eq!(
            Typed::of(&Value::from(vec![1_u8])).value,
            Json::from("AQ==")
        );
    }

    #[test]
    fn what_does_not_fit_its_type_is_told() {
        let problem = |kind, value| typed(kind, value).read().unwrap_err();
        assert_eq!(
            problem("Integer", 5_000_000_000_i64.into()),
            "'5000000000' is no Integer"
        );
        assert_eq!(problem("String", 1.into()), "1 is no String");
        assert_eq!(problem("Long[]", 1.into()), "the value is no Long[]");
        assert!(problem("Text", "a".into()).starts_with("'Text' is no type"));
        assert!(problem("byte[]", "?".into()).contains("no base64"));
        assert!(problem("List", vec![1].into()).contains("a type and a value"));
    }

    #[test]
    fn a_command_line_gives_collections_with_commas() {
        assert_eq!(from_text("String[]", "a,b"), Ok(Value::from(["a", "b"])));
        assert_eq!(from_text("List<String>", ""), Ok(Value::List(Vec::new())));
        let set = Value::Set(vec![Value::from(1_i32)]);
        assert_eq!(from_text("Set<Integer>", "1"), Ok(set));
        assert_eq!(from_text("Long", "7"), Ok(Value::from(7_i64)));
        assert_eq!(
            from_text("Boolean", "yes").unwrap_err(),
            "'yes' is no Boolean"
        );
    }
}
