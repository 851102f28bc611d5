//! The values that cross a call, whatever provider carries it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::Offset;

/// An argument or a result of a remote call.
///
/// This is what all distribution providers can carry (OSGi Compendium
/// 100.3.1.1). Typed proxies translate to and from it with serde; tools that
/// know no types use it as it is.
///
/// ```
/// use osgi_remote::interface::{Data, from_data, to_data};
///
/// let data = to_data(&("World", 3))?;
/// assert_eq!(data, Data::Array(vec![Data::from("World"), Data::from(3)]));
/// let back: (String, u8) = from_data(data)?;
/// assert_eq!(back, ("World".to_owned(), 3));
/// # Ok::<(), osgi_remote::interface::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Data {
    /// No value: `None`, `()`, XML-RPC's `<nil/>`.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number. A provider picks the narrowest form on its wire.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A date with a time of day.
    DateTime(DateTime),
    /// A sequence.
    Array(Vec<Data>),
    /// Named members; also maps whose keys are text.
    Struct(BTreeMap<String, Data>),
}

impl Data {
    /// The name of the type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Double(_) => "a double",
            Self::String(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::DateTime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Struct(_) => "a struct",
        }
    }
}

macro_rules! from_value {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Data {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from_value!(bool => Bool, i8 => Int, u8 => Int, i16 => Int, u16 => Int, i32 => Int, u32 => Int,
    i64 => Int, f32 => Double, f64 => Double, &str => String, String => String,
    DateTime => DateTime, Vec<Data> => Array, BTreeMap<String, Data> => Struct);

/// A date and a time of day, with or without an offset from UTC.
///
/// XML-RPC's `dateTime.iso8601` has no time zone; peers agree on one by other
/// means. An offset that a peer wrote all the same is kept.
///
/// Its text form is ISO 8601: `20261121T01:27:22` and `2026-11-21T01:27:22Z`
/// both parse; it is written without dashes, as XML-RPC's examples are.
/// Through serde it is a [`Data::DateTime`], and elsewhere (JSON) this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    civil: civil::DateTime,
    offset: Option<Offset>,
}

/// Text that is no ISO 8601 date with a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no date and time such as 20261121T01:27:22: {reason}")]
pub struct DateTimeError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl DateTime {
    /// A date and time without an offset.
    pub fn new(civil: civil::DateTime) -> Self {
        Self {
            civil,
            offset: None,
        }
    }

    /// A date and time at an offset from UTC.
    pub fn with_offset(civil: civil::DateTime, offset: Offset) -> Self {
        Self {
            civil,
            offset: Some(offset),
        }
    }

    /// The calendar date and the time of day, as written.
    pub fn civil(&self) -> civil::DateTime {
        self.civil
    }

    /// The offset from UTC, if one was written.
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        let fail = |reason: String| DateTimeError {
            text: text.to_owned(),
            reason,
        };
        let pieces = Pieces::parse(text.trim()).map_err(|e| fail(e.to_string()))?;
        let time = pieces
            .time()
            .ok_or_else(|| fail("the time of day is missing".to_owned()))?;
        let offset = match pieces.offset() {
            None => None,
            Some(PiecesOffset::Numeric(offset)) => Some(offset.offset()),
            Some(_) => Some(Offset::UTC),
        };
        Ok(Self {
            civil: pieces.date().to_datetime(time),
            offset,
        })
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.civil;
        write!(
            f,
            "{:04}{:02}{:02}T{:02}:{:02}:{:02}",
            d.year(),
            d.month(),
            d.day(),
            d.hour(),
            d.minute(),
            d.second()
        )?;
        if d.subsec_nanosecond() != 0 {
            let digits = format!("{:09}", d.subsec_nanosecond());
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        match self.offset {
            None => Ok(()),
            Some(Offset::UTC) => f.write_str("Z"),
            Some(offset) => {
                let sign = if offset.seconds() < 0 { '-' } else { '+' };
                let minutes = offset.seconds().unsigned_abs() / 60;
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_parse_in_all_common_forms() {
        for (text, shown) in [
            ("19980717T14:08:55", "19980717T14:08:55"),
            ("1998-07-17T14:08:55", "19980717T14:08:55"),
            ("19980717T140855", "19980717T14:08:55"),
            ("1998-07-17T14:08:55Z", "19980717T14:08:55Z"),
            ("19980717T14:08:55.250", "19980717T14:08:55.25"),
            ("1998-07-17T14:08:55+02:00", "19980717T14:08:55+02:00"),
            ("19980717T14:08:55-0330", "19980717T14:08:55-03:30"),
            (" 19980717T14:08:55 ", "19980717T14:08:55"),
        ] {
            let date: DateTime = text.parse().unwrap();
            assert_eq!(date.to_string(), shown, "{text}");
            assert_eq!(date.to_string().parse::<DateTime>().unwrap(), date);
        }
    }

    #[test]
    fn what_is_no_date_is_refused_with_its_text() {
        for text in [
            "",
            "yesterday",
            "19981317T14:08:55",
            "19980717",
            "19980717T25:00:00",
        ] {
            let error = text.parse::<DateTime>().unwrap_err();
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
    }
}
