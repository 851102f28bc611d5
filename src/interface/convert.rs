//! Between Rust's types and [`Data`], through serde.

mod de;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Data;

/// The name by which [`DateTime`](super::DateTime) makes itself known to our
/// own serializer; others see a newtype over text.
const DATE_TIME: &str = "$osgi_remote::DateTime";

/// The name by which [`Data`] asks our own deserializer for what it holds,
/// dates among it, which others show as text.
const DATA: &str = "$osgi_remote::Data";

/// A value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    message: String,
}

impl DataError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl serde::ser::Error for DataError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::de::Error for DataError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

/// Turns a value into data.
///
/// Structs and maps become [`Data::Struct`], sequences and tuples
/// [`Data::Array`], `None` and `()` [`Data::Nil`]. An enum's variant without
/// content is its name, one with content a struct of one member.
///
/// # Errors
///
/// If a number needs more than 64 bits with sign, or a map's key is neither
/// text, a number, a boolean nor a character.
pub fn to_data<T: Serialize + ?Sized>(value: &T) -> Result<Data, DataError> {
    value.serialize(ser::Serializer)
}

/// Reads a value from data.
///
/// It is as lenient as is safe: a whole number is taken for a float, text of
/// a map's key for a number. It never cuts a number off.
///
/// # Errors
///
/// If the data is of another type or shape, or a number is out of range.
pub fn from_data<T: DeserializeOwned>(data: Data) -> Result<T, DataError> {
    T::deserialize(de::Deserializer(data))
}

#[cfg(test)]
mod tests;
