//! `xml` literals: an element as the text of a document by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead;

use super::error::ReadError;
use super::xml::{Element, Piece, Xml};
use super::{NAMESPACE, write};

/// Reads an element to its end and gives it as text (rules Z10, Z11).
///
/// The declarations of namespaces that it inherits are written into it: names
/// in its content may need them too, where nobody can see it. EDEF's own is
/// left out unless the literal uses it.
///
/// # Errors
///
/// Only those that end the document.
pub(super) fn read<R: BufRead>(xml: &mut Xml<R>, root: Element) -> Result<String, ReadError> {
    let inherited: BTreeMap<String, String> = xml.declarations()?.into_iter().collect();
    let depth = xml.depth();
    let mut literal = Literal {
        text: String::new(),
        uses: Vec::new(),
        open: false,
    };
    literal.begin(&root);
    while xml.depth() >= depth {
        match xml.next()? {
            Piece::Open(element) => literal.begin(&element),
            Piece::Close(name) => literal.end(&name),
            Piece::Text(text) => {
                literal.close_tag();
                write::escape_text(&mut literal.text, &text);
            }
            Piece::Comment(text) => {
                literal.close_tag();
                // Writing to a String does not fail.
                let _ = write!(literal.text, "<!--{text}-->");
            }
            Piece::End => break,
        }
    }
    let mut declarations = String::new();
    for (prefix, namespace) in inherited {
        let own = declaration(&prefix);
        if root.attributes.iter().any(|a| a.name == own) {
            continue;
        }
        if namespace != NAMESPACE || literal.uses.contains(&prefix) {
            declarations.push(' ');
            declarations.push_str(&own);
            write::push_attribute_value(&mut declarations, &namespace);
        }
    }
    literal.text.insert_str(1 + root.name.len(), &declarations);
    Ok(literal.text)
}

/// The attribute that declares a prefix; the empty one is the default.
fn declaration(prefix: &str) -> String {
    if prefix.is_empty() {
        "xmlns".to_owned()
    } else {
        format!("xmlns:{prefix}")
    }
}

struct Literal {
    text: String,
    /// The prefixes of names in EDEF's own namespace.
    uses: Vec<String>,
    /// Whether the last start tag may still become an empty one.
    open: bool,
}

impl Literal {
    fn begin(&mut self, element: &Element) {
        self.close_tag();
        self.text.push('<');
        self.text.push_str(&element.name);
        if element.edef().is_some() {
            self.note_prefix(&element.name);
        }
        for attribute in &element.attributes {
            self.text.push(' ');
            self.text.push_str(&attribute.name);
            write::push_attribute_value(&mut self.text, &attribute.value);
            if attribute.is_edef {
                self.note_prefix(&attribute.name);
            }
        }
        self.open = true;
    }

    fn note_prefix(&mut self, name: &str) {
        let prefix = name.split_once(':').map_or("", |(prefix, _)| prefix);
        if !self.uses.iter().any(|known| known == prefix) {
            self.uses.push(prefix.to_owned());
        }
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.open) {
            self.text.push('>');
        }
    }

    fn end(&mut self, name: &str) {
        if std::mem::take(&mut self.open) {
            self.text.push_str("/>");
        } else {
            let _ = write!(self.text, "</{name}>");
        }
    }
}
