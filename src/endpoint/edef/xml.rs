//! XML with namespaces, piece by piece, checked for being well-formed.
//!
//! quick-xml leaves some checks to its user: one root, no text beside it, all
//! elements closed at the end, distinct attributes, names and characters that
//! XML allows. Half a file must not pass for a whole one.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attribute as RawAttribute;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, PrefixDeclaration, QName, ResolveResult};

use super::error::{Position, Problem, ReadError};
use super::source::Source;
use super::{Limits, NAMESPACE};

/// The longest name of a namespace, in bytes as it is written. It is resolved
/// again for each element that is in it.
pub(super) const MAX_NAMESPACE: usize = 1024;

/// A piece of a document.
pub(super) enum Piece {
    Open(Element),
    /// The tag that closes the innermost element; its name as written.
    Close(String),
    /// Part of a text, references resolved.
    Text(String),
    Comment(String),
    End,
}

/// A start tag.
pub(super) struct Element {
    pub(super) position: Position,
    /// The name as written, with its prefix.
    pub(super) name: String,
    /// Whether it is in EDEF's namespace.
    is_edef: bool,
    /// All attributes, declarations of namespaces too.
    pub(super) attributes: Vec<Attribute>,
}

pub(super) struct Attribute {
    /// The name as written, with its prefix.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_edef: bool,
}

impl Element {
    /// The local name, if this is an element of EDEF.
    pub(super) fn edef(&self) -> Option<&str> {
        let local = || self.name.rsplit(':').next().unwrap_or_default();
        self.is_edef.then(local)
    }

    /// An attribute without a prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|a| a.name == name);
        found.map(|attribute| attribute.value.as_str())
    }

    /// EDEF's own attribute that marks extensions (schema; rule Z02).
    pub(super) fn must_be_understood(&self) -> bool {
        let marks = |a: &&Attribute| a.is_edef && a.name.ends_with(":must-understand");
        let mark = self.attributes.iter().find(marks);
        mark.is_some_and(|a| matches!(a.value.trim(), "true" | "1"))
    }
}

pub(super) struct Xml<R> {
    reader: NsReader<Source<R>>,
    buffer: Vec<u8>,
    limits: Limits,
    depth: usize,
    has_root: bool,
    /// Where the piece begins that was given last.
    position: Position,
    /// Whether every piece has the whole budget for itself.
    refresh: bool,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(source: R, limits: Limits) -> Self {
        let mut reader = NsReader::from_reader(Source::new(source, limits.description));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Self {
            position: reader.get_ref().position(),
            reader,
            buffer: Vec::new(),
            limits,
            depth: 0,
            has_root: false,
            refresh: true,
        }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Where the last piece begins.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn error(&self, problem: Problem) -> ReadError {
        ReadError::new(self.position, problem)
    }

    fn malformed(&self, detail: impl Into<String>) -> ReadError {
        self.error(Problem::Malformed(detail.into()))
    }

    /// From here on all pieces share one budget, until [`Xml::end_of_budget`].
    pub(super) fn begin_budget(&mut self) {
        self.refresh = false;
        self.reader.get_mut().allow(self.limits.description);
    }

    pub(super) fn end_of_budget(&mut self) {
        self.refresh = true;
    }

    /// The declarations of namespaces that hold here: prefix (empty for the
    /// default) and namespace.
    ///
    /// They are copies of what was read once, and so they are taken from the
    /// budget: many small elements may inherit the same large declarations.
    ///
    /// # Errors
    ///
    /// If the budget does not cover them.
    pub(super) fn declarations(&mut self) -> Result<Vec<(String, String)>, ReadError> {
        let bindings = self.reader.resolver().bindings();
        let size: usize = bindings
            .map(|(prefix, Namespace(namespace))| prefix_of(prefix).len() + namespace.len())
            .sum();
        if !self.reader.get_mut().charge(size) {
            return Err(self.too_large());
        }
        let bindings = self.reader.resolver().bindings();
        let named = bindings.map(|(prefix, Namespace(namespace))| {
            (prefix_of(prefix).to_owned(), resolved(namespace))
        });
        Ok(named.collect())
    }

    fn too_large(&self) -> ReadError {
        let limit = self.limits.description;
        self.error(Problem::TooLarge { limit })
    }

    /// The next piece.
    ///
    /// # Errors
    ///
    /// Only those that end the document.
    pub(super) fn next(&mut self) -> Result<Piece, ReadError> {
        loop {
            if self.refresh {
                self.reader.get_mut().allow(self.limits.description);
            }
            self.position = self.reader.get_ref().position();
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let piece = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => {
                    // The event borrows the buffer; what it says is copied.
                    let event = event.into_owned();
                    self.piece(event)
                }
                Err(error) => Err(self.failed(&error)),
            };
            self.buffer = buffer;
            if let Some(piece) = piece? {
                return Ok(piece);
            }
        }
    }

    fn failed(&self, error: &quick_xml::Error) -> ReadError {
        let problem = match error {
            quick_xml::Error::Io(_) if self.reader.get_ref().is_exceeded() => {
                return self.too_large();
            }
            quick_xml::Error::Io(cause) => Problem::Read(cause.clone()),
            quick_xml::Error::Encoding(_) => {
                Problem::Encoding("what follows is not UTF-8".to_owned())
            }
            error => Problem::Malformed(error.to_string()),
        };
        self.error(problem)
    }

    fn piece(&mut self, event: Event<'static>) -> Result<Option<Piece>, ReadError> {
        Ok(Some(match event {
            Event::Start(start) => Piece::Open(self.open(&start)?),
            Event::End(end) => {
                self.depth -= 1;
                Piece::Close(end.name().0.to_owned())
            }
            Event::Text(text) => {
                if text.contains("]]>") {
                    return Err(self.malformed("']]>' stands in a text: write ']]&gt;'"));
                }
                return self.text(text.xml10_content().into_owned());
            }
            Event::CData(text) => return self.text(text.xml10_content().into_owned()),
            Event::GeneralRef(reference) => {
                let c = self.resolve(&reference)?;
                return self.text(c.into());
            }
            Event::Comment(text) => Piece::Comment(self.checked(text.into_inner().into_owned())?),
            Event::Decl(declaration) => return self.declared(&declaration).map(|()| None),
            // Instructions to a processor of texts are no part of one (Z10).
            Event::PI(_) => return Ok(None),
            Event::DocType(_) => return Err(self.error(Problem::Dtd)),
            Event::Empty(start) => {
                return Err(self.malformed(format!("<{}/> was not expanded", start.name().0)));
            }
            Event::Eof if self.depth > 0 => {
                return Err(self.malformed("the document ends before all elements do"));
            }
            Event::Eof if !self.has_root => return Err(self.malformed("there is no element")),
            Event::Eof => Piece::End,
        }))
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<Element, ReadError> {
        if self.depth == 0 && std::mem::replace(&mut self.has_root, true) {
            return Err(self.malformed("there is a second root element"));
        }
        self.depth += 1;
        if self.depth > self.limits.depth {
            let limit = self.limits.depth;
            return Err(self.error(Problem::TooDeep { limit }));
        }
        let name = start.name();
        let mut element = Element {
            position: self.position,
            is_edef: self.namespace(name, true)?.as_deref() == Some(NAMESPACE),
            name: name.0.to_owned(),
            attributes: Vec::new(),
        };
        let mut prefixes = Prefixes::default();
        let mut seen = HashSet::new();
        // quick-xml compares each with all others; a tag may have many.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| self.malformed(error.to_string()))?;
            let name = attribute.key.0;
            if attribute.value.contains('<') {
                return Err(self.malformed(format!("attribute {name} holds a '<'")));
            }
            let value = attribute
                .normalized_value(XmlVersion::default())
                .map_err(|error| self.malformed(format!("attribute {name}: {error}")))?;
            let (expanded, is_edef) = match attribute.key.as_namespace_binding() {
                Some(PrefixDeclaration::Named(prefix)) if value.is_empty() => {
                    return Err(self.malformed(format!("prefix {prefix} stands for nothing")));
                }
                Some(_) if attribute.value.len() > MAX_NAMESPACE => {
                    let limit = MAX_NAMESPACE;
                    return Err(self.error(Problem::LongNamespace { limit }));
                }
                Some(_) => (("", name), false),
                None => prefixes.expand(self, attribute.key)?,
            };
            if !seen.insert(expanded) {
                return Err(self.malformed(format!("attribute {name} is given twice")));
            }
            element.attributes.push(Attribute {
                name: name.to_owned(),
                value: self.checked(value.into_owned())?,
                is_edef,
            });
        }
        Ok(element)
    }

    fn check_name(&self, name: &str) -> Result<(), ReadError> {
        match is_qualified_name(name) {
            true => Ok(()),
            false => Err(self.malformed(format!("'{}' is no name", excerpt(name)))),
        }
    }

    fn namespace(&self, name: QName<'_>, element: bool) -> Result<Option<String>, ReadError> {
        self.check_name(name.0)?;
        match self
            .reader
            .resolver()
            .resolve_prefix(name.prefix(), element)
        {
            ResolveResult::Bound(Namespace(namespace)) => Ok(Some(resolved(namespace))),
            ResolveResult::Unbound => Ok(None),
            ResolveResult::Unknown(prefix) => {
                let prefix = excerpt(&prefix);
                Err(self.malformed(format!("the prefix '{prefix}' stands for no namespace")))
            }
        }
    }

    fn text(&self, text: String) -> Result<Option<Piece>, ReadError> {
        if self.depth > 0 {
            return self.checked(text).map(|text| Some(Piece::Text(text)));
        }
        if is_blank(&text) {
            return Ok(None);
        }
        Err(self.malformed(format!(
            "'{}' stands outside of the root element",
            excerpt(text.trim())
        )))
    }

    fn checked(&self, text: String) -> Result<String, ReadError> {
        match text.chars().find(|c| !is_xml_char(*c)) {
            None => Ok(text),
            Some(c) => Err(self.malformed(format!(
                "it holds U+{:04X}, which XML cannot carry",
                u32::from(c)
            ))),
        }
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char, ReadError> {
        let name: &str = reference;
        Ok(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "apos" => '\'',
            "quot" => '"',
            _ => match reference.resolve_char_ref() {
                Ok(Some(c)) => c,
                Ok(None) => {
                    return Err(self.malformed(format!("unknown entity '&{};'", excerpt(name))));
                }
                Err(error) => return Err(self.malformed(error.to_string())),
            },
        })
    }

    fn declared(&self, declaration: &BytesDecl<'_>) -> Result<(), ReadError> {
        if self.position != (Position { line: 1, column: 1 }) {
            return Err(self.malformed("an XML declaration stands at the very beginning only"));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name))
                if ["utf-8", "us-ascii"]
                    .iter()
                    .any(|e| name.eq_ignore_ascii_case(e)) =>
            {
                Ok(())
            }
            Some(Ok(name)) => {
                let problem = format!("the encoding is declared to be '{}'", excerpt(&name));
                Err(self.error(Problem::Encoding(problem)))
            }
            Some(Err(error)) => Err(self.malformed(error.to_string())),
        }
    }

    /// Skips what is left of the elements deeper than `depth`.
    pub(super) fn skip_to(&mut self, depth: usize) -> Result<(), ReadError> {
        while self.depth > depth {
            self.next()?;
        }
        Ok(())
    }
}

/// The prefixes of one tag's attributes, by which two names are compared: each
/// is resolved once, so that as many attributes as a tag may have do not copy
/// as many names of namespaces.
#[derive(Default)]
struct Prefixes<'a> {
    /// The first prefix here that stands for the same, and whether that is
    /// EDEF's namespace.
    known: HashMap<&'a str, (&'a str, bool)>,
    first: HashMap<String, &'a str>,
}

impl<'a> Prefixes<'a> {
    /// An attribute's name, the same for the same namespace and local name,
    /// and whether it is one of EDEF's.
    fn expand<R: BufRead>(
        &mut self,
        xml: &Xml<R>,
        name: QName<'a>,
    ) -> Result<((&'a str, &'a str), bool), ReadError> {
        let (local, prefix) = name.decompose();
        let Some(prefix) = prefix.map(quick_xml::name::Prefix::into_inner) else {
            xml.check_name(name.0)?;
            return Ok((("", name.0), false));
        };
        let (first, is_edef) = match self.known.get(prefix) {
            Some(known) => {
                xml.check_name(name.0)?;
                *known
            }
            None => {
                let namespace = xml.namespace(name, false)?.unwrap_or_default();
                let is_edef = namespace == NAMESPACE;
                // Two prefixes may stand for one namespace.
                let known = (*self.first.entry(namespace).or_insert(prefix), is_edef);
                self.known.insert(prefix, known);
                known
            }
        };
        Ok(((first, local.into_inner()), is_edef))
    }
}

fn prefix_of(declaration: PrefixDeclaration<'_>) -> &str {
    match declaration {
        PrefixDeclaration::Default => "",
        PrefixDeclaration::Named(prefix) => prefix,
    }
}

/// The name of a namespace with its references resolved: quick-xml keeps it
/// as it was written. What cannot be resolved was refused with its attribute.
fn resolved(namespace: &str) -> String {
    let raw = RawAttribute {
        key: QName("xmlns"),
        value: namespace.into(),
    };
    let value = raw.normalized_value(XmlVersion::default());
    value.map_or_else(|_| namespace.to_owned(), |value| value.into_owned())
}

/// White space as XML has it.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
}

/// Characters of XML 1.0 (fifth edition, section 2.2).
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// A name with at most one prefix (Namespaces in XML 1.0, section 4).
fn is_qualified_name(name: &str) -> bool {
    let mut parts = name.split(':');
    let starts = |c: char| {
        matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}'
            | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}'
            | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
            | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}')
    };
    let goes_on = |c: char| {
        starts(c)
            || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}'
                | '\u{203F}'..='\u{2040}')
    };
    let is_part = |part: &str| part.starts_with(starts) && part.chars().all(goes_on);
    parts.by_ref().take(2).all(is_part) && parts.next().is_none()
}

/// The beginning of a text, short and printable enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push_str("...");
    }
    short
}
