//! Rust's types to [`Data`].

use std::collections::BTreeMap;

use serde::ser::{self, Serialize};

use super::{DATE_TIME, DataError};
use crate::interface::{Data, DateTime};

pub(super) struct Serializer;

impl Serialize for DateTime {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DATE_TIME, &self.to_string())
    }
}

/// So that an untyped value can be an argument among typed ones.
impl Serialize for Data {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_none(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Int(n) => serializer.serialize_i64(*n),
            Self::Double(f) => serializer.serialize_f64(*f),
            Self::String(s) => serializer.serialize_str(s),
            Self::Bytes(b) => serializer.serialize_bytes(b),
            Self::DateTime(d) => d.serialize(serializer),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Struct(members) => serializer.collect_map(members),
        }
    }
}

pub(super) struct Sequence {
    items: Vec<Data>,
    /// The variant's name, for an enum's variant with content.
    variant: Option<&'static str>,
}

pub(super) struct Members {
    members: BTreeMap<String, Data>,
    key: Option<String>,
    variant: Option<&'static str>,
}

fn in_variant(variant: Option<&'static str>, content: Data) -> Data {
    match variant {
        None => content,
        Some(name) => Data::Struct(BTreeMap::from([(name.to_owned(), content)])),
    }
}

fn sequence(len: usize, variant: Option<&'static str>) -> Sequence {
    Sequence {
        // A length that comes from outside reserves no more than this.
        items: Vec::with_capacity(len.min(1024)),
        variant,
    }
}

fn members(variant: Option<&'static str>) -> Members {
    Members {
        members: BTreeMap::new(),
        key: None,
        variant,
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<Data, DataError> {
            i64::try_from(value).map(Data::Int).map_err(|_| DataError::new(format!(
                "{value} needs more than 64 bits with sign: send it as text"
            )))
        }
    )*};
}

impl ser::Serializer for Serializer {
    type Ok = Data;
    type Error = DataError;
    type SerializeSeq = Sequence;
    type SerializeTuple = Sequence;
    type SerializeTupleStruct = Sequence;
    type SerializeTupleVariant = Sequence;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128);

    fn serialize_bool(self, value: bool) -> Result<Data, DataError> {
        Ok(Data::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Data, DataError> {
        Ok(Data::Double(f64::from(value)))
    }

    fn serialize_f64(self, value: f64) -> Result<Data, DataError> {
        Ok(Data::Double(value))
    }

    fn serialize_char(self, value: char) -> Result<Data, DataError> {
        Ok(Data::String(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Data, DataError> {
        Ok(Data::String(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Data, DataError> {
        Ok(Data::Bytes(value.to_vec()))
    }

    fn serialize_none(self) -> Result<Data, DataError> {
        Ok(Data::Nil)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Data, DataError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Data, DataError> {
        Ok(Data::Nil)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Data, DataError> {
        Ok(Data::Nil)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Data, DataError> {
        Ok(Data::String(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Data, DataError> {
        let content = value.serialize(self)?;
        match content {
            Data::String(text) if name == DATE_TIME => text.parse().map(Data::DateTime).map_err(
                |error: crate::interface::DateTimeError| DataError::new(error.to_string()),
            ),
            content => Ok(content),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Data, DataError> {
        Ok(in_variant(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Sequence, DataError> {
        Ok(sequence(len.unwrap_or(0), None))
    }

    fn serialize_tuple(self, len: usize) -> Result<Sequence, DataError> {
        Ok(sequence(len, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Sequence, DataError> {
        Ok(sequence(len, None))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Sequence, DataError> {
        Ok(sequence(len, Some(variant)))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Members, DataError> {
        Ok(members(None))
    }

    fn serialize_struct(self, _: &'static str, _len: usize) -> Result<Members, DataError> {
        Ok(members(None))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Members, DataError> {
        Ok(members(Some(variant)))
    }
}

impl Sequence {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DataError> {
        self.items.push(value.serialize(Serializer)?);
        Ok(())
    }

    fn finish(self) -> Data {
        in_variant(self.variant, Data::Array(self.items))
    }
}

macro_rules! sequences {
    ($($trait:ident :: $method:ident),*) => {$(
        impl ser::$trait for Sequence {
            type Ok = Data;
            type Error = DataError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DataError> {
                self.push(value)
            }

            fn end(self) -> Result<Data, DataError> {
                Ok(self.finish())
            }
        }
    )*};
}

sequences!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl Members {
    fn finish(self) -> Data {
        in_variant(self.variant, Data::Struct(self.members))
    }
}

impl ser::SerializeMap for Members {
    type Ok = Data;
    type Error = DataError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), DataError> {
        self.key = Some(key_text(key.serialize(Serializer)?)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DataError> {
        let key = self
            .key
            .take()
            .ok_or_else(|| DataError::new("a map's value came before its key"))?;
        self.members.insert(key, value.serialize(Serializer)?);
        Ok(())
    }

    fn end(self) -> Result<Data, DataError> {
        Ok(self.finish())
    }
}

/// A struct's members have names of text on every wire.
fn key_text(key: Data) -> Result<String, DataError> {
    match key {
        Data::String(text) => Ok(text),
        Data::Int(n) => Ok(n.to_string()),
        Data::Bool(b) => Ok(b.to_string()),
        other => Err(DataError::new(format!(
            "{} cannot be the key of a map: use text, a number or a boolean",
            other.type_name()
        ))),
    }
}

macro_rules! structs {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Members {
            type Ok = Data;
            type Error = DataError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), DataError> {
                self.members.insert(name.to_owned(), value.serialize(Serializer)?);
                Ok(())
            }

            fn end(self) -> Result<Data, DataError> {
                Ok(self.finish())
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);
