//! [`Data`] to Rust's types.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserialize, IntoDeserializer, Unexpected, VariantAccess as _, Visitor};
use serde::forward_to_deserialize_any;

use super::{DATA, DATE_TIME, DataError};
use crate::interface::{Data, DateTime};

pub(super) struct Deserializer(pub(super) Data);

/// A map's key: text that stands for whatever the map's key type is.
struct Key(String);

/// An enum's variant, by name, with its content if it has one.
struct Variant {
    name: String,
    content: Option<Data>,
}

impl IntoDeserializer<'_, DataError> for Deserializer {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl IntoDeserializer<'_, DataError> for Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn unexpected(data: &Data) -> Unexpected<'_> {
    match data {
        Data::Nil => Unexpected::Option,
        Data::Bool(b) => Unexpected::Bool(*b),
        Data::Int(n) => Unexpected::Signed(*n),
        Data::Double(f) => Unexpected::Float(*f),
        Data::String(s) => Unexpected::Str(s),
        Data::Bytes(b) => Unexpected::Bytes(b),
        Data::DateTime(_) => Unexpected::Other("a date"),
        Data::Array(_) => Unexpected::Seq,
        Data::Struct(_) => Unexpected::Map,
    }
}

fn wrong(data: &Data, expected: &dyn de::Expected) -> DataError {
    de::Error::invalid_type(unexpected(data), expected)
}

fn visit_array<'de, V: Visitor<'de>>(items: Vec<Data>, visitor: V) -> Result<V::Value, DataError> {
    let mut access = SeqDeserializer::new(items.into_iter().map(Deserializer));
    let value = visitor.visit_seq(&mut access)?;
    access.end()?;
    Ok(value)
}

fn visit_struct<'de, V: Visitor<'de>>(
    members: BTreeMap<String, Data>,
    visitor: V,
) -> Result<V::Value, DataError> {
    struct Entries(btree_map::IntoIter<String, Data>);
    impl Iterator for Entries {
        type Item = (Key, Deserializer);
        fn next(&mut self) -> Option<Self::Item> {
            self.0
                .next()
                .map(|(key, value)| (Key(key), Deserializer(value)))
        }
    }
    let mut access = MapDeserializer::new(Entries(members.into_iter()));
    let value = visitor.visit_map(&mut access)?;
    access.end()?;
    Ok(value)
}

impl<'de> de::Deserializer<'de> for Deserializer {
    type Error = DataError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        match self.0 {
            Data::Nil => visitor.visit_unit(),
            Data::Bool(b) => visitor.visit_bool(b),
            Data::Int(n) => visitor.visit_i64(n),
            Data::Double(f) => visitor.visit_f64(f),
            Data::String(s) => visitor.visit_string(s),
            Data::Bytes(b) => visitor.visit_byte_buf(b),
            Data::DateTime(d) => visitor.visit_string(d.to_string()),
            Data::Array(items) => visit_array(items, visitor),
            Data::Struct(members) => visit_struct(members, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        match self.0 {
            Data::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    // A sequence of numbers is how a peer without a type for bytes, or a
    // `Vec<u8>` without `serde_bytes`, spells them: both read either way.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        match self.0 {
            Data::Bytes(bytes) => visit_array(bytes.into_iter().map(Data::from).collect(), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DataError> {
        match self.0 {
            Data::DateTime(_) | Data::String(_) if name == DATE_TIME => {
                visitor.visit_newtype_struct(self)
            }
            other if name == DATE_TIME => Err(wrong(&other, &visitor)),
            // Serde has no date to visit. A variant is what nobody else
            // shows to the visitor of `Data`.
            Data::DateTime(d) if name == DATA => visitor.visit_enum(Variant {
                name: DATE_TIME.to_owned(),
                content: Some(Data::String(d.to_string())),
            }),
            other if name == DATA => Deserializer(other).deserialize_any(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DataError> {
        let variant = match self.0 {
            Data::String(name) => Variant {
                name,
                content: None,
            },
            Data::Struct(members) => {
                let mut members = members.into_iter();
                match (members.next(), members.next()) {
                    (Some((name, content)), None) => Variant {
                        name,
                        content: Some(content),
                    },
                    _ => {
                        return Err(DataError::new(
                            "an enum's variant is its name, or a struct with the name as its one member",
                        ));
                    }
                }
            }
            other => return Err(wrong(&other, &visitor)),
        };
        visitor.visit_enum(variant)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DataError> {
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf unit tuple tuple_struct map struct identifier ignored_any
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident: $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(&self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Key {
    type Error = DataError;

    parsed!(deserialize_bool => visit_bool: bool, deserialize_i8 => visit_i64: i64,
        deserialize_i16 => visit_i64: i64, deserialize_i32 => visit_i64: i64,
        deserialize_i64 => visit_i64: i64, deserialize_u8 => visit_i64: i64,
        deserialize_u16 => visit_i64: i64, deserialize_u32 => visit_i64: i64,
        deserialize_u64 => visit_i64: i64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        visitor.visit_string(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DataError> {
        visitor.visit_enum(Variant {
            name: self.0,
            content: None,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DataError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> de::EnumAccess<'de> for Variant {
    type Error = DataError;
    type Variant = Content;

    fn variant_seed<S: de::DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content), DataError> {
        let name = seed.deserialize(Key(self.name))?;
        Ok((name, Content(self.content)))
    }
}

/// The content of an enum's variant.
struct Content(Option<Data>);

impl<'de> de::VariantAccess<'de> for Content {
    type Error = DataError;

    fn unit_variant(self) -> Result<(), DataError> {
        match self.0 {
            None | Some(Data::Nil) => Ok(()),
            Some(other) => Err(wrong(&other, &"a variant without content")),
        }
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, DataError> {
        seed.deserialize(Deserializer(self.0.unwrap_or_default()))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DataError> {
        de::Deserializer::deserialize_any(Deserializer(self.0.unwrap_or_default()), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DataError> {
        de::Deserializer::deserialize_any(Deserializer(self.0.unwrap_or_default()), visitor)
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = DateTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date and time")
            }

            fn visit_newtype_struct<D: de::Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<DateTime, D::Error> {
                deserializer.deserialize_str(self)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DateTime, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_newtype_struct(DATE_TIME, Text)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(DATA, AnyData)
    }
}

struct AnyData;

impl<'de> Visitor<'de> for AnyData {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that a call can carry")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Data, E> {
        i64::try_from(value)
            .map(Data::Int)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Data, E> {
        Ok(Data::String(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Data, E> {
        Ok(Data::Bytes(value.to_vec()))
    }

    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Data, E> {
        Ok(Data::Bytes(value))
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Nil)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Nil)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: de::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Data, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, access: A) -> Result<Data, A::Error> {
        let (name, content) = access.variant::<String>()?;
        if name != DATE_TIME {
            return Err(de::Error::unknown_variant(&name, &[DATE_TIME]));
        }
        let text: String = content.newtype_variant()?;
        text.parse().map(Data::DateTime).map_err(de::Error::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Data, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Data::Array(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Data, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = access.next_entry()? {
            members.insert(name, value);
        }
        Ok(Data::Struct(members))
    }
}
