//! Writing: descriptions to a document.

use std::borrow::Cow;
use std::io::Write;

use super::NAMESPACE;
use super::error::WriteError;
use super::types::{ValueType, scalar_text};
use super::xml::is_xml_char;
use crate::endpoint::EndpointDescription;
use crate::names::{ecf, osgi};
use crate::properties::{self, Array, ScalarType, Value};

/// Writes a document, one description at a time.
///
/// A description that cannot be written leaves the document as it was. The
/// document is whole only after [`Writer::finish`].
///
/// ```
/// use osgi_remote::endpoint::{EndpointDescription, edef};
/// use osgi_remote::props;
///
/// let description = EndpointDescription::new(props! {
///     "endpoint.id" => "4711", "objectClass" => ["a.B"], "service.imported.configs" => "c",
/// })?;
/// let mut writer = edef::Writer::new(Vec::new())?;
/// writer.write(&description)?;
/// let document = String::from_utf8(writer.finish()?)?;
/// let read = edef::read(&document).remove(0)?;
/// assert!(read.same_content(&description));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins a document.
    ///
    /// # Errors
    ///
    /// If the destination fails.
    pub fn new(mut destination: W) -> Result<Self, WriteError> {
        writeln!(destination, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(
            destination,
            r#"<endpoint-descriptions xmlns="{NAMESPACE}">"#
        )?;
        Ok(Self(destination))
    }

    /// Writes one description, whole.
    ///
    /// # Errors
    ///
    /// If a property has no form in EDEF, or the destination fails.
    /// [`Writer::write_leaving_out`] goes on without such properties.
    pub fn write(&mut self, description: &EndpointDescription) -> Result<(), WriteError> {
        self.write_what_fits(description, |_| false).map(drop)
    }

    /// Writes one description without the properties that have no form in
    /// EDEF (rule P15), and gives the reason for each that was left out.
    ///
    /// # Errors
    ///
    /// If a property has none without which nobody can import the endpoint,
    /// or the destination fails.
    pub fn write_leaving_out(
        &mut self,
        description: &EndpointDescription,
    ) -> Result<Vec<WriteError>, WriteError> {
        let may_go = |name: &str| !NEEDED.iter().any(|n| properties::same_name(n, name));
        self.write_what_fits(description, may_go)
    }

    fn write_what_fits(
        &mut self,
        description: &EndpointDescription,
        may_go: impl Fn(&str) -> bool,
    ) -> Result<Vec<WriteError>, WriteError> {
        let mut text = String::from("  <endpoint-description>\n");
        let mut left_out = Vec::new();
        for (name, value) in description.properties().iter() {
            let before = text.len();
            let Err(reason) = property(&mut text, name, value) else {
                continue;
            };
            let unfit = WriteError::Property {
                endpoint: description.id().to_string(),
                name: name.to_owned(),
                reason,
            };
            if !may_go(name) {
                return Err(unfit);
            }
            text.truncate(before);
            left_out.push(unfit);
        }
        text.push_str("  </endpoint-description>\n");
        self.0.write_all(text.as_bytes())?;
        Ok(left_out)
    }

    /// Ends the document, and gives the destination back.
    ///
    /// # Errors
    ///
    /// If the destination fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        writeln!(self.0, "</endpoint-descriptions>")?;
        self.0.flush()?;
        Ok(self.0)
    }
}

/// What describes an endpoint, and what both sides must know of it.
const NEEDED: [&str; 6] = [
    osgi::ENDPOINT_ID,
    osgi::OBJECT_CLASS,
    osgi::SERVICE_IMPORTED_CONFIGS,
    osgi::SERVICE_INTENTS,
    osgi::ENDPOINT_FRAMEWORK_UUID,
    ecf::ENDPOINT_ID,
];

/// Writes a document of these descriptions.
///
/// # Errors
///
/// If a property of one of them has no form in EDEF: a collection in a
/// collection, one with values of several types, and text with characters
/// that XML cannot carry.
pub fn to_string<'a>(
    descriptions: impl IntoIterator<Item = &'a EndpointDescription>,
) -> Result<String, WriteError> {
    let mut writer = Writer::new(Vec::new())?;
    for description in descriptions {
        writer.write(description)?;
    }
    let document = writer.finish()?;
    // All of it was written as text.
    Ok(String::from_utf8_lossy(&document).into_owned())
}

fn property(out: &mut String, name: &str, value: &Value) -> Result<(), String> {
    check(name).map_err(|problem| format!("has a name that {problem}"))?;
    out.push_str("    <property name");
    push_attribute_value(out, name);
    match value {
        Value::Array(array) => {
            let items = array.items().iter();
            let items: Vec<_> = items
                .filter_map(scalar_text)
                .map(|(_, text)| text)
                .collect();
            collection(out, "array", array_type(array), &items)
        }
        Value::Bytes(bytes) => {
            let value_type = ValueType {
                scalar: ScalarType::Byte,
                primitive: true,
            };
            let items = bytes.iter().map(|b| b.cast_signed().to_string().into());
            collection(out, "array", value_type, &items.collect::<Vec<_>>())
        }
        Value::List(items) => mixed(out, "list", items),
        Value::Set(items) => mixed(out, "set", items),
        scalar => {
            let (value_type, text) = scalar_text(scalar).ok_or("has a type without a form")?;
            check(&text)?;
            push_type(out, value_type);
            out.push_str(" value");
            push_attribute_value(out, &text);
            out.push_str("/>\n");
            Ok(())
        }
    }
}

fn array_type(array: &Array) -> ValueType {
    ValueType {
        scalar: array.item_type(),
        primitive: array.is_primitive(),
    }
}

/// A list or a set, whose items must all be of one type.
fn mixed(out: &mut String, kind: &str, items: &[Value]) -> Result<(), String> {
    let mut texts = Vec::with_capacity(items.len());
    let mut common = None;
    for item in items {
        let (value_type, text) = scalar_text(item).ok_or_else(|| {
            let item = item.type_name();
            format!("is a {kind} with {item} in it, and EDEF nests no collections: leave it out")
        })?;
        if *common.get_or_insert(value_type) != value_type {
            return Err(format!(
                "is a {kind} of values of several types, and EDEF has one type for all: \
                 use one, such as String"
            ));
        }
        texts.push(text);
    }
    collection(out, kind, common.unwrap_or(ValueType::STRING), &texts)
}

fn collection(
    out: &mut String,
    kind: &str,
    value_type: ValueType,
    items: &[Cow<'_, str>],
) -> Result<(), String> {
    push_type(out, value_type);
    if items.is_empty() {
        out.push_str(&format!("><{kind}/></property>\n"));
        return Ok(());
    }
    out.push_str(&format!(">\n      <{kind}>\n"));
    for item in items {
        check(item)?;
        out.push_str("        <value>");
        escape_text(out, item);
        out.push_str("</value>\n");
    }
    out.push_str(&format!("      </{kind}>\n    </property>\n"));
    Ok(())
}

/// The type is named, but for the default (rule Z05).
fn push_type(out: &mut String, value_type: ValueType) {
    if value_type != ValueType::STRING {
        out.push_str(" value-type");
        push_attribute_value(out, value_type.name());
    }
}

fn check(text: &str) -> Result<(), String> {
    match text.chars().find(|c| !is_xml_char(*c)) {
        None => Ok(()),
        Some(c) => Err(format!(
            "holds U+{:04X}, which XML cannot carry: write it as an array of bytes",
            u32::from(c)
        )),
    }
}

/// `="..."`, with all that a reader would change escaped (rule Z16).
pub(super) fn push_attribute_value(out: &mut String, value: &str) {
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            c => push_escaped(out, c),
        }
    }
    out.push('"');
}

pub(super) fn escape_text(out: &mut String, text: &str) {
    for c in text.chars() {
        push_escaped(out, c);
    }
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        // A reader makes a line feed of it.
        '\r' => out.push_str("&#13;"),
        c => out.push(c),
    }
}
