//! Value types: their names, and values as text.

use std::borrow::Cow;

use super::xml::excerpt;
use crate::properties::{Array, ArrayItemError, ScalarType, Value};

/// A `value-type` (rule Z05).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueType {
    pub(super) scalar: ScalarType,
    pub(super) primitive: bool,
}

const NAMES: [(&str, ScalarType, bool); 17] = [
    ("String", ScalarType::String, false),
    ("long", ScalarType::Long, true),
    ("Long", ScalarType::Long, false),
    ("double", ScalarType::Double, true),
    ("Double", ScalarType::Double, false),
    ("float", ScalarType::Float, true),
    ("Float", ScalarType::Float, false),
    ("int", ScalarType::Integer, true),
    ("Integer", ScalarType::Integer, false),
    ("byte", ScalarType::Byte, true),
    ("Byte", ScalarType::Byte, false),
    ("char", ScalarType::Character, true),
    ("Character", ScalarType::Character, false),
    ("boolean", ScalarType::Boolean, true),
    ("Boolean", ScalarType::Boolean, false),
    ("short", ScalarType::Short, true),
    ("Short", ScalarType::Short, false),
];

impl ValueType {
    pub(super) const STRING: Self = Self {
        scalar: ScalarType::String,
        primitive: false,
    };

    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(known, ..)| *known == name);
        let Some(&(_, scalar, primitive)) = known else {
            let all: Vec<&str> = NAMES.iter().map(|(name, ..)| *name).collect();
            return Err(format!(
                "the value-type is '{}': it must be one of {}",
                excerpt(name),
                all.join(", ")
            ));
        };
        Ok(Self { scalar, primitive })
    }

    pub(super) fn name(self) -> &'static str {
        let same = |(_, scalar, primitive): &&(_, ScalarType, bool)| {
            *scalar == self.scalar && *primitive == self.primitive
        };
        // Strings have no primitive form, and no array is made of one.
        NAMES.iter().find(same).map_or("String", |(name, ..)| name)
    }

    /// A scalar of this type (rules Z06, Z08, Z09).
    pub(super) fn scalar(self, text: &str) -> Result<Value, String> {
        // Java's `trim`: controls go too.
        let trimmed = text.trim_matches(|c| c <= ' ');
        let value = match self.scalar {
            ScalarType::String => Some(Value::from(text)),
            ScalarType::Boolean => Some(Value::from(trimmed.eq_ignore_ascii_case("true"))),
            ScalarType::Byte => trimmed.parse::<i8>().ok().map(Value::from),
            ScalarType::Short => trimmed.parse::<i16>().ok().map(Value::from),
            ScalarType::Integer => trimmed.parse::<i32>().ok().map(Value::from),
            ScalarType::Long => trimmed.parse::<i64>().ok().map(Value::from),
            ScalarType::Float => float(trimmed).map(|f: f32| Value::from(f)),
            ScalarType::Double => float(trimmed).map(|f: f64| Value::from(f)),
            // One character is taken as it is, or a lone space could not be
            // told from nothing.
            ScalarType::Character => one(text).or_else(|| one(trimmed)).map(Value::from),
        };
        value.ok_or_else(|| {
            let expected = match self.scalar {
                ScalarType::Float | ScalarType::Double => "a decimal number, NaN or Infinity",
                ScalarType::Character => "exactly one character",
                _ => "a whole number in the range of its type",
            };
            let name = self.name();
            format!("'{}' is no {name}: write {expected}", excerpt(text))
        })
    }

    /// An array of these items; one of primitive bytes is the type of its own.
    pub(super) fn array(self, items: Vec<Value>) -> Result<Value, ArrayItemError> {
        if !self.primitive {
            return Array::new(self.scalar, items).map(Value::from);
        }
        if self.scalar == ScalarType::Byte {
            let byte = |item: &Value| match item {
                Value::Byte(byte) => Some(byte.cast_unsigned()),
                _ => None,
            };
            if let Some(bytes) = items.iter().map(byte).collect::<Option<Vec<u8>>>() {
                return Ok(Value::from(bytes));
            }
        }
        Array::primitive(self.scalar, items).map(Value::from)
    }
}

fn one(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// As Java reads a float: Rust has more spellings of what is not finite, and
/// Java allows a suffix.
fn float<F: std::str::FromStr>(text: &str) -> Option<F> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let digits = unsigned
        .strip_suffix(['f', 'F', 'd', 'D'])
        .unwrap_or(unsigned);
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !digits.chars().all(allowed) {
        return None;
    }
    text[..text.len() - (unsigned.len() - digits.len())]
        .parse()
        .ok()
}

/// A scalar as text, the way Java would write it, and its boxed type.
pub(super) fn scalar_text(value: &Value) -> Option<(ValueType, Cow<'_, str>)> {
    let value_type = ValueType {
        scalar: value.scalar_type()?,
        primitive: false,
    };
    let text = match value {
        Value::String(text) => Cow::Borrowed(&**text),
        Value::Float(f) if f.is_infinite() => infinity(f.is_sign_negative()),
        Value::Double(f) if f.is_infinite() => infinity(f.is_sign_negative()),
        // With an exponent where it is shorter.
        Value::Float(f) => Cow::Owned(format!("{f:?}")),
        Value::Double(f) => Cow::Owned(format!("{f:?}")),
        other => Cow::Owned(other.to_string()),
    };
    Some((value_type, text))
}

fn infinity(negative: bool) -> Cow<'static, str> {
    Cow::Borrowed(if negative { "-Infinity" } else { "Infinity" })
}
