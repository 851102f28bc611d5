//! The values that a property may have.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The value of a service or endpoint property.
///
/// These are the types that OSGi Core allows for service properties (section
/// 5.2.5): the scalars, arrays, and collections. Java's kinds of collection
/// are kept apart, because EDEF (Compendium 122.8) tells them apart, and an
/// array of primitives is another type than an array of their boxes.
///
/// Two values are equal if they have the same type and the same content.
/// Floating point numbers compare by their bits, as `java.lang.Double` does,
/// so that a value that holds NaN is equal to itself and an update that
/// changes nothing can be told from one that does. Sets compare without
/// regard to order.
///
/// ```
/// use osgi_remote::properties::Value;
///
/// assert_eq!(Value::from("a").as_str(), Some("a"));
/// assert_eq!(Value::from(["a", "b"]).string_plus(), ["a", "b"]);
/// assert_ne!(Value::from(1_i32), Value::from(1_i64));
/// ```
#[derive(Clone, Debug)]
pub enum Value {
    /// `String`. Shared, since most strings repeat from endpoint to endpoint.
    String(Arc<str>),
    /// `Boolean`.
    Boolean(bool),
    /// `Byte`, signed as in Java.
    Byte(i8),
    /// `Short`.
    Short(i16),
    /// `Integer`.
    Integer(i32),
    /// `Long`.
    Long(i64),
    /// `Float`.
    Float(f32),
    /// `Double`.
    Double(f64),
    /// `Character`. Java's is a UTF-16 unit; this one is a whole character.
    Character(char),
    /// `byte[]`, the array of primitive bytes.
    Bytes(Arc<[u8]>),
    /// Any other array: all items are of one type.
    Array(Array),
    /// `java.util.List`; the types of its items may differ.
    List(Vec<Value>),
    /// `java.util.Set`; the types of its items may differ.
    Set(Vec<Value>),
}

/// The type of a scalar, or of an array's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScalarType {
    /// `String`.
    String,
    /// `Boolean`, or `boolean`.
    Boolean,
    /// `Byte`, or `byte`.
    Byte,
    /// `Short`, or `short`.
    Short,
    /// `Integer`, or `int`.
    Integer,
    /// `Long`, or `long`.
    Long,
    /// `Float`, or `float`.
    Float,
    /// `Double`, or `double`.
    Double,
    /// `Character`, or `char`.
    Character,
}

/// An array: items of one scalar type, primitive or boxed.
#[derive(Clone, Debug)]
pub struct Array {
    item_type: ScalarType,
    primitive: bool,
    items: Vec<Value>,
}

/// An array was made of items that are not all of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("item {index} of an array of {expected:?} is {found}: use a list for mixed items")]
pub struct ArrayItemError {
    /// The position of the first item that does not fit, counted from 0.
    pub index: usize,
    /// The item type of the array.
    pub expected: ScalarType,
    /// What stands there, by its type's name.
    pub found: &'static str,
}

impl Array {
    /// An array of boxed items (`Integer[]`, `String[]`).
    ///
    /// # Errors
    ///
    /// If an item is not a scalar of `item_type`.
    pub fn new(item_type: ScalarType, items: Vec<Value>) -> Result<Self, ArrayItemError> {
        for (index, item) in items.iter().enumerate() {
            if item.scalar_type() != Some(item_type) {
                return Err(ArrayItemError {
                    index,
                    expected: item_type,
                    found: item.type_name(),
                });
            }
        }
        Ok(Self {
            item_type,
            primitive: false,
            items,
        })
    }

    /// An array of primitive items (`int[]`). Strings have no primitive form:
    /// an array of them stays what it is.
    ///
    /// # Errors
    ///
    /// If an item is not a scalar of `item_type`.
    pub fn primitive(item_type: ScalarType, items: Vec<Value>) -> Result<Self, ArrayItemError> {
        let mut array = Self::new(item_type, items)?;
        array.primitive = item_type != ScalarType::String;
        Ok(array)
    }

    fn of_strings<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        Self {
            item_type: ScalarType::String,
            primitive: false,
            items: items.into_iter().map(|s| Value::String(s.into())).collect(),
        }
    }

    /// The type of the items.
    pub fn item_type(&self) -> ScalarType {
        self.item_type
    }

    /// Whether this is an array of primitives, `int[]` and not `Integer[]`.
    pub fn is_primitive(&self) -> bool {
        self.primitive
    }

    /// The items, in order.
    pub fn items(&self) -> &[Value] {
        &self.items
    }
}

impl Value {
    /// A list of strings.
    pub fn list_of<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::List(items.into_iter().map(|s| Self::String(s.into())).collect())
    }

    /// An array of strings.
    pub fn array_of<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::Array(Array::of_strings(items))
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The number, if this is a `Long` and nothing else.
    ///
    /// Where OSGi asks for a `Long`, another integer type is an error; for
    /// any kind of number see [`Value::to_i64`].
    pub fn as_long(&self) -> Option<i64> {
        match self {
            Self::Long(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, if this is an `Integer` and nothing else.
    pub fn as_integer(&self) -> Option<i32> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The whole number that this value stands for: any number (fractions cut
    /// off), or text that reads as one.
    ///
    /// This is how properties such as `osgi.basic.timeout` are read, which
    /// users give as text or as any number (Compendium 100.3.1.2). A float
    /// that no 64-bit integer can hold gives `None`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "guarded by the range check before it"
    )]
    pub fn to_i64(&self) -> Option<i64> {
        // 2^63, the first value above the range that a float can hold.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let float = |f: f64| (-LIMIT..LIMIT).contains(&f).then_some(f as i64);
        match self {
            Self::Byte(n) => Some(i64::from(*n)),
            Self::Short(n) => Some(i64::from(*n)),
            Self::Integer(n) => Some(i64::from(*n)),
            Self::Long(n) => Some(*n),
            Self::Float(f) => float(f64::from(*f)),
            Self::Double(f) => float(*f),
            Self::String(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// Reads a `String+`: one string, an array, or any collection of strings.
    ///
    /// What is no string is skipped and the order is kept (OSGi rule D07);
    /// any other type of value gives nothing.
    pub fn string_plus(&self) -> Vec<&str> {
        match self {
            Self::String(s) => vec![s],
            Self::Array(array) => strings(array.items()),
            Self::List(items) | Self::Set(items) => strings(items),
            _ => Vec::new(),
        }
    }

    /// The items of an array, list or set; `None` for a scalar and for bytes.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(array) => Some(array.items()),
            Self::List(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The type, if this is a scalar.
    pub fn scalar_type(&self) -> Option<ScalarType> {
        Some(match self {
            Self::String(_) => ScalarType::String,
            Self::Boolean(_) => ScalarType::Boolean,
            Self::Byte(_) => ScalarType::Byte,
            Self::Short(_) => ScalarType::Short,
            Self::Integer(_) => ScalarType::Integer,
            Self::Long(_) => ScalarType::Long,
            Self::Float(_) => ScalarType::Float,
            Self::Double(_) => ScalarType::Double,
            Self::Character(_) => ScalarType::Character,
            Self::Bytes(_) | Self::Array(_) | Self::List(_) | Self::Set(_) => return None,
        })
    }

    /// The name of the type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Boolean(_) => "a boolean",
            Self::Byte(_) => "a byte",
            Self::Short(_) => "a short",
            Self::Integer(_) => "an integer",
            Self::Long(_) => "a long",
            Self::Float(_) => "a float",
            Self::Double(_) => "a double",
            Self::Character(_) => "a character",
            Self::Bytes(_) => "an array of bytes",
            Self::Array(_) => "an array",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
        }
    }
}

fn strings(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(Value::as_str).collect()
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Byte(a), Self::Byte(b)) => a == b,
            (Self::Short(a), Self::Short(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Long(a), Self::Long(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Character(a), Self::Character(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => same_items(a, b),
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Equality without order: every item of one side has its own partner.
fn same_items(a: &[Value], b: &[Value]) -> bool {
    let mut rest: Vec<&Value> = b.iter().collect();
    a.len() == b.len()
        && a.iter().all(|item| {
            let found = rest.iter().position(|other| *other == item);
            found.map(|at| rest.swap_remove(at)).is_some()
        })
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.item_type == other.item_type
            && self.primitive == other.primitive
            && self.items == other.items
    }
}

impl Eq for Array {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::String(s) => s.hash(state),
            Self::Boolean(b) => b.hash(state),
            Self::Byte(n) => n.hash(state),
            Self::Short(n) => n.hash(state),
            Self::Integer(n) => n.hash(state),
            Self::Long(n) => n.hash(state),
            Self::Float(f) => f.to_bits().hash(state),
            Self::Double(f) => f.to_bits().hash(state),
            Self::Character(c) => c.hash(state),
            Self::Bytes(b) => b.hash(state),
            Self::Array(a) => a.items.hash(state),
            Self::List(items) => items.hash(state),
            // Sets that differ in order are equal, so only their size counts.
            Self::Set(items) => items.len().hash(state),
        }
    }
}

/// Shows the value as a person would write it; collections in brackets.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(s) => f.write_str(s),
            Self::Boolean(b) => b.fmt(f),
            Self::Byte(n) => n.fmt(f),
            Self::Short(n) => n.fmt(f),
            Self::Integer(n) => n.fmt(f),
            Self::Long(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
            Self::Double(n) => n.fmt(f),
            Self::Character(c) => c.fmt(f),
            Self::Bytes(b) => write!(f, "({} bytes)", b.len()),
            Self::Array(a) => write_items(f, &a.items),
            Self::List(items) | Self::Set(items) => write_items(f, items),
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, items: &[Value]) -> fmt::Result {
    f.write_str("[")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    f.write_str("]")
}

macro_rules! from_scalar {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from_scalar!(&str => String, String => String, Arc<str> => String, bool => Boolean, i8 => Byte,
    i16 => Short, i32 => Integer, i64 => Long, f32 => Float, f64 => Double, char => Character,
    Array => Array, Vec<u8> => Bytes, &[u8] => Bytes);

impl<const N: usize> From<[&str; N]> for Value {
    fn from(items: [&str; N]) -> Self {
        Self::array_of(items)
    }
}

impl From<Vec<String>> for Value {
    fn from(items: Vec<String>) -> Self {
        Self::array_of(items)
    }
}

impl From<Vec<&str>> for Value {
    fn from(items: Vec<&str>) -> Self {
        Self::array_of(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_takes_items_of_its_type_only() {
        let mixed = vec![Value::from(1_i32), Value::from("x")];
        let error = Array::new(ScalarType::Integer, mixed).unwrap_err();
        assert_eq!(error.index, 1);
        assert_eq!(
            error.to_string(),
            "item 1 of an array of Integer is a string: use a list for mixed items"
        );
    }

    #[test]
    fn arrays_of_primitives_differ_from_arrays_of_boxes() {
        let items = || vec![Value::from(1_i32)];
        let boxed = Array::new(ScalarType::Integer, items()).unwrap();
        let primitive = Array::primitive(ScalarType::Integer, items()).unwrap();
        assert_ne!(boxed, primitive);
    }

    #[test]
    fn nan_equals_itself_and_the_zeros_differ() {
        assert_eq!(Value::from(f64::NAN), Value::from(f64::NAN));
        assert_ne!(Value::from(0.0), Value::from(-0.0));
    }

    #[test]
    fn sets_compare_without_order_but_with_count() {
        let set = |items: &[&str]| Value::Set(items.iter().map(|s| Value::from(*s)).collect());
        assert_eq!(set(&["a", "b"]), set(&["b", "a"]));
        assert_ne!(set(&["a", "a"]), set(&["a", "b"]));
        assert_ne!(set(&["a"]), Value::list_of(["a"]));
    }

    #[test]
    fn string_plus_reads_every_shape_and_skips_what_is_no_string() {
        assert_eq!(Value::from("a").string_plus(), ["a"]);
        assert_eq!(Value::from(["a", "b"]).string_plus(), ["a", "b"]);
        assert_eq!(Value::list_of(["a", "b"]).string_plus(), ["a", "b"]);
        let mixed = Value::Set(vec![Value::from("a"), Value::from(7_i32), Value::from("b")]);
        assert_eq!(mixed.string_plus(), ["a", "b"]);
        assert!(Value::from(7_i32).string_plus().is_empty());
    }

    #[test]
    fn whole_numbers_are_read_from_any_number_and_from_text() {
        for value in [
            Value::from("3000"),
            Value::from(" 3000 "),
            Value::from(3000_i32),
            Value::from(3000_i16),
            Value::from(3000.0_f64),
            Value::from(3000.9_f32),
        ] {
            assert_eq!(value.to_i64(), Some(3000), "{value:?}");
        }
        assert_eq!(Value::from("x").to_i64(), None);
        assert_eq!(Value::from(f64::NAN).to_i64(), None);
        assert_eq!(Value::from(9.3e18).to_i64(), None);
        assert_eq!(Value::from(true).to_i64(), None);
    }
}
