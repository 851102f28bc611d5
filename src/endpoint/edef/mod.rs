//! Endpoint descriptions as XML: EDEF, the Endpoint Description Extender
//! Format (OSGi Compendium 122.8).
//!
//! ```xml
//! <endpoint-descriptions xmlns="http://www.osgi.org/xmlns/rsa/v1.0.0">
//!   <endpoint-description>
//!     <property name="endpoint.id" value="4711"/>
//!     <property name="objectClass"><array><value>org.example.Greeter</value></array></property>
//!     <property name="service.imported.configs" value="ecf.xmlrpc.server"/>
//!     <property name="endpoint.service.id" value-type="Long" value="12"/>
//!   </endpoint-description>
//! </endpoint-descriptions>
//! ```
//!
//! The [`Reader`] gives one description at a time and keeps no more than that
//! in memory. What it reads:
//!
//! - Elements are known by namespace and local name, whatever their prefix;
//!   they may sit in a larger document. What is of another namespace is
//!   skipped, unless it `must-understand` (rules Z01, Z02).
//! - Strings are taken as they are; other values are trimmed (Z06). A
//!   primitive type outside of an array is its boxed one (Z08).
//! - An `xml` literal becomes the text of a document by itself, with the
//!   declarations of namespaces that it inherits (Z10, Z11).
//! - A description that breaks a rule is an error with its line and column,
//!   and the others are read all the same (Z13).
//! - The name of a namespace may have 1024 bytes.
//! - Documents with a document type definition, and so with entities of their
//!   own, are refused, and those in other encodings than UTF-8.
//!
//! The [`Writer`] names the exact type of each value and keeps the kind of
//! each collection, so that what is read again is equal (Z16). EDEF has no
//! form for nested collections and for those of mixed types.

mod error;
mod literal;
mod read;
mod source;
mod types;
mod write;
mod xml;

#[cfg(test)]
mod tests;

pub use error::{Position, Problem, ReadError, WriteError};
pub use read::Reader;
pub use write::{Writer, to_string};

use super::EndpointDescription;

/// The namespace of EDEF's elements.
pub const NAMESPACE: &str = "http://www.osgi.org/xmlns/rsa/v1.0.0";

/// How much a [`Reader`] takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deeply elements may be nested, those around the descriptions and
    /// those of literals included. Default: 64; at most 1000 are allowed.
    pub depth: usize,
    /// How many bytes one description may take, and any tag or text outside
    /// of one. What a literal inherits counts as often as it is copied: each
    /// literal takes the prefixes and namespaces that are declared around it.
    /// Default: 1 MiB.
    pub description: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            description: 1 << 20,
        }
    }
}

/// Reads all descriptions of a document, each good or bad, in order.
///
/// For large documents use a [`Reader`], which keeps one at a time.
///
/// ```
/// let document = r#"
///     <e:endpoint-descriptions xmlns:e="http://www.osgi.org/xmlns/rsa/v1.0.0">
///       <e:endpoint-description>
///         <e:property name="endpoint.id" value="4711"/>
///       </e:endpoint-description>
///     </e:endpoint-descriptions>"#;
/// let read = osgi_remote::endpoint::edef::read(document);
/// let error = read[0].as_ref().unwrap_err();
/// assert!(error.to_string().starts_with(
///     "line 3, column 7: the description is not valid: objectClass is missing"
/// ));
/// ```
pub fn read(document: &str) -> Vec<Result<EndpointDescription, ReadError>> {
    Reader::new(document.as_bytes()).collect()
}
