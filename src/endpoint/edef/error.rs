//! What can be wrong with a document, and where.

use std::fmt;
use std::sync::Arc;

use crate::endpoint::DescriptionError;

/// A place in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, counted from 1.
    pub line: u64,
    /// The character within the line, counted from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong at one place of a document.
///
/// Most errors concern one description, and the others of the document are
/// read all the same (rule Z13); after one that
/// [ends the document](ReadError::ends_the_document) nothing more is read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{position}: {}{problem}", of_property(property.as_deref()))]
pub struct ReadError {
    /// Where the element or text begins that is wrong.
    pub position: Position,
    /// The property that it is in, if it is in one.
    pub property: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

fn of_property(name: Option<&str>) -> String {
    name.map(|name| format!("property '{name}': "))
        .unwrap_or_default()
}

impl ReadError {
    pub(super) fn new(position: Position, problem: Problem) -> Self {
        Self {
            position,
            property: None,
            problem,
        }
    }

    /// Whether nothing can be read after it: what is wrong is not wrong with
    /// one description alone.
    pub fn ends_the_document(&self) -> bool {
        match &self.problem {
            Problem::Read(_)
            | Problem::Malformed(_)
            | Problem::Dtd
            | Problem::Encoding(_)
            | Problem::TooLarge { .. }
            | Problem::TooDeep { .. }
            | Problem::LongNamespace { .. }
            | Problem::NoDescriptions => true,
            Problem::Structure(_)
            | Problem::NotUnderstood(_)
            | Problem::Value(_)
            | Problem::Repeated { .. }
            | Problem::Description(_) => false,
        }
    }
}

/// What is wrong with a document or a description.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The source failed.
    #[error("cannot be read: {0}")]
    Read(Arc<std::io::Error>),
    /// It is not well-formed XML with namespaces.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// It has a document type definition, which could define entities.
    #[error("a document type definition (<!DOCTYPE>) is not accepted: leave it out")]
    Dtd,
    /// It is not in UTF-8.
    #[error("{0}: write it in UTF-8")]
    Encoding(String),
    /// A description, or what stands between two, is larger than allowed;
    /// [`Limits::description`](super::Limits::description) says what counts.
    #[error("larger than the limit of {limit} bytes for one description")]
    TooLarge {
        /// [`Limits::description`](super::Limits::description).
        limit: usize,
    },
    /// Elements are nested too deeply.
    #[error("nested deeper than the limit of {limit} elements")]
    TooDeep {
        /// [`Limits::depth`](super::Limits::depth).
        limit: usize,
    },
    /// The name of a namespace is too long.
    #[error("the name of a namespace is longer than the limit of {limit} bytes: shorten it")]
    LongNamespace {
        /// The limit.
        limit: usize,
    },
    /// There is no `endpoint-descriptions` element in the whole document.
    #[error(
        "there is no <endpoint-descriptions> of the namespace {}",
        super::NAMESPACE
    )]
    NoDescriptions,
    /// The elements and attributes are not those of EDEF.
    #[error("{0}")]
    Structure(String),
    /// An extension says that who does not understand it must not go on.
    #[error("<{0}> must be understood and is not: it is an extension of another provider")]
    NotUnderstood(String),
    /// A value's text is not of its type, or its type is none.
    #[error("{0}")]
    Value(String),
    /// Two properties have one name.
    #[error("given twice, first as '{first}' at {at}: property names ignore case; keep one")]
    Repeated {
        /// The spelling of the first one.
        first: String,
        /// Where the first one is.
        at: Position,
    },
    /// The properties do not describe an endpoint.
    #[error("the description is not valid: {0}")]
    Description(#[from] DescriptionError),
}

/// A description that EDEF cannot carry. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A property has no form in EDEF.
    #[error("endpoint {endpoint}: property '{name}' {reason}")]
    Property {
        /// The `endpoint.id`.
        endpoint: String,
        /// The property.
        name: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The destination failed.
    #[error("the descriptions cannot be written: {0}")]
    Write(#[from] std::io::Error),
}
