//! XML-RPC documents: requests and responses, read and written.
//!
//! What is written keeps to the specification, with two extensions that
//! iPOPO (Python's `xmlrpc.client` with `allow_none`) and Apache's Java
//! implementation share: `<nil/>` for no value, and `<i8>` for integers that
//! need more than 32 bits. What is read may also be:
//!
//! - of any integer type (`i1`, `i2`, `i4`, `int`, `i8`, `biginteger`) up to
//!   64 bits, of `float` for `double`, and with a name space prefix such as
//!   Apache's `ex:`;
//! - `true` and `false` for booleans, any common form of ISO 8601 for dates,
//!   line breaks within base64, `NaN` and infinities in any usual spelling;
//! - with attributes, comments and white space between elements.
//!
//! A document type definition is refused, so that no entity can be expanded.
//! Where a struct names a member twice the last one wins, as in Python.

mod read;
mod tokens;
mod write;

#[cfg(test)]
mod tests;

use crate::interface::Data;

pub use self::read::{read_request, read_response};
pub use self::write::{write_fault, write_request, write_response};

/// How deeply arrays and structs may be nested when nothing else is said.
pub const DEFAULT_DEPTH: usize = 64;

/// The highest depth that can be asked for. Values are dropped, cloned and
/// compared recursively, and this much fits the stack of a worker thread.
pub const MAX_DEPTH: usize = 512;

/// A call as it stands on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The whole method name, such as `3.sayHello`.
    pub method: String,
    /// The arguments, in order.
    pub params: Vec<Data>,
}

/// The answer to a call as it stands on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The result; [`Data::Nil`] where the peer sent no value at all.
    Value(Data),
    /// A fault.
    Fault {
        /// `faultCode`.
        code: i64,
        /// `faultString`.
        text: String,
    },
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not in an encoding that is understood.
    #[error("byte {offset}: {detail}; send UTF-8")]
    Encoding {
        /// Where, in bytes from the start.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// It is not well-formed XML.
    #[error("byte {offset}: not well-formed XML: {detail}")]
    Malformed {
        /// Where, in bytes from the start.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// It has a document type definition.
    #[error("byte {offset}: a document type definition (<!DOCTYPE>) is not accepted")]
    Dtd {
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// The elements are not those of XML-RPC.
    #[error("byte {offset}, {path}: expected {expected}, found {found}")]
    Structure {
        /// Where, in bytes from the start.
        offset: u64,
        /// Where, in terms of the call: `params[0].street`.
        path: String,
        /// What may stand here.
        expected: String,
        /// What does.
        found: String,
    },
    /// A value's text is not of its type.
    #[error("byte {offset}, {path}: {detail}")]
    Value {
        /// Where, in bytes from the start.
        offset: u64,
        /// Where, in terms of the call: `params[0].street`.
        path: String,
        /// The text and what is wrong with it.
        detail: String,
    },
    /// Arrays and structs are nested too deeply.
    #[error("byte {offset}, {path}: nested deeper than the limit of {limit}")]
    TooDeep {
        /// Where, in bytes from the start.
        offset: u64,
        /// Where, in terms of the call: `params[0].street`.
        path: String,
        /// The limit.
        limit: usize,
    },
}

impl ReadError {
    /// Whether this is XML, but no XML-RPC.
    pub fn is_structure(&self) -> bool {
        matches!(
            self,
            Self::Structure { .. } | Self::Value { .. } | Self::TooDeep { .. }
        )
    }
}

/// A value that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Text holds a character that XML 1.0 has no way to carry.
    #[error(
        "{path}: character {position} is U+{code:04X}, which XML cannot carry: send it as bytes"
    )]
    Character {
        /// Which value: `params[0].street`.
        path: String,
        /// Which character of the text, counted from 0.
        position: usize,
        /// Its code point.
        code: u32,
    },
    /// A date whose written form would not give it back: before year 0, or
    /// with seconds in its offset.
    #[error("{path}: the date {date} has no form in ISO 8601 that XML-RPC can carry")]
    Date {
        /// Which value: `params[0].street`.
        path: String,
        /// The date.
        date: String,
    },
    /// Arrays and structs are nested too deeply.
    #[error("{path}: nested deeper than the limit of {limit}")]
    TooDeep {
        /// Which value: `params[0].street`.
        path: String,
        /// The limit.
        limit: usize,
    },
}

/// Characters of XML 1.0 (fifth edition, section 2.2).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// One step into a value, for the path in messages.
enum Step<'a> {
    Index(usize),
    Member(&'a str),
}

/// Spells a path: `params[0].address.lines[2]`.
fn spell_path<'a>(root: &str, steps: impl Iterator<Item = Step<'a>>) -> String {
    use std::fmt::Write;
    let mut path = root.to_owned();
    for step in steps {
        // Writing to a String does not fail.
        let _ = match step {
            Step::Index(index) => write!(path, "[{index}]"),
            // Between two members there is no name.
            Step::Member("") => Ok(()),
            Step::Member(name) => write!(path, ".{}", excerpt(name)),
        };
    }
    path
}

/// The beginning of a peer's text, short and printable enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push_str("...");
    }
    short
}
