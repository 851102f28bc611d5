//! Reading: a document to descriptions, one at a time.

use std::collections::HashSet;
use std::io::BufRead;

use super::error::{Position, Problem, ReadError};
use super::types::ValueType;
use super::xml::{Element, Piece, Xml, excerpt, is_blank};
use super::{Limits, literal};
use crate::endpoint::EndpointDescription;
use crate::properties::{Properties, Value};

/// The namespaces of all open elements are kept; no document needs more.
const MAX_DEPTH: usize = 1000;

/// Reads a document from any source, one description at a time: an iterator
/// over descriptions and errors, in the order of the document.
///
/// It never keeps more than one description, whose size is
/// [limited](Limits). After an error that
/// [ends the document](ReadError::ends_the_document) it is at its end;
/// any other error is that of one description.
///
/// The source is read as it comes, and reading blocks as the source does.
pub struct Reader<R> {
    xml: Xml<R>,
    /// The depth of the `endpoint-descriptions` that is open.
    inside: Option<usize>,
    found: bool,
    done: bool,
}

/// A property as it was read.
struct Read {
    position: Position,
    name: String,
    value: Value,
}

impl<R: BufRead> Reader<R> {
    /// A reader with the default limits.
    pub fn new(source: R) -> Self {
        Self::with_limits(source, Limits::default())
    }

    /// A reader with these limits.
    pub fn with_limits(source: R, limits: Limits) -> Self {
        let limits = Limits {
            depth: limits.depth.min(MAX_DEPTH),
            ..limits
        };
        Self {
            xml: Xml::new(source, limits),
            inside: None,
            found: false,
            done: false,
        }
    }

    /// The next description; `None` at the end of the document.
    fn read(&mut self) -> Result<Option<EndpointDescription>, ReadError> {
        loop {
            let piece = self.xml.next()?;
            match (piece, self.inside) {
                (Piece::Open(element), None) => match element.edef() {
                    Some("endpoint-descriptions") => {
                        self.inside = Some(self.xml.depth());
                        self.found = true;
                    }
                    Some(_) => {
                        return Err(self.misplaced(&element, "outside of <endpoint-descriptions>"));
                    }
                    // A larger document around the descriptions (rule Z01).
                    None => {}
                },
                (Piece::Open(element), Some(_)) => match element.edef() {
                    Some("endpoint-description") => return self.description(&element).map(Some),
                    Some(_) => {
                        return Err(self.misplaced(&element, "in <endpoint-descriptions>"));
                    }
                    None => self.skip(&element)?,
                },
                (Piece::Close(_), Some(depth)) if self.xml.depth() < depth => self.inside = None,
                (Piece::Text(text), Some(_)) => self.no_text(&text, "endpoint-descriptions")?,
                (Piece::End, _) if self.found => return Ok(None),
                (Piece::End, _) => return Err(self.xml.error(Problem::NoDescriptions)),
                (Piece::Close(_) | Piece::Text(_) | Piece::Comment(_), _) => {}
            }
        }
    }

    /// Skips an element of EDEF that stands where it may not.
    fn misplaced(&mut self, element: &Element, place: &str) -> ReadError {
        if let Err(end) = self.xml.skip_to(self.xml.depth() - 1) {
            return end;
        }
        structure(
            element.position,
            format!("<{}> may not stand {place}", excerpt(&element.name)),
        )
    }

    fn no_text(&self, text: &str, element: &str) -> Result<(), ReadError> {
        if is_blank(text) {
            return Ok(());
        }
        Err(structure(
            self.xml.position(),
            format!("the text '{}' stands in <{element}>", excerpt(text.trim())),
        ))
    }

    /// Skips an extension (rule Z02).
    fn skip(&mut self, extension: &Element) -> Result<(), ReadError> {
        self.xml.skip_to(self.xml.depth() - 1)?;
        if extension.must_be_understood() {
            let problem = Problem::NotUnderstood(excerpt(&extension.name));
            return Err(ReadError::new(extension.position, problem));
        }
        Ok(())
    }

    fn description(&mut self, element: &Element) -> Result<EndpointDescription, ReadError> {
        self.xml.begin_budget();
        let depth = self.xml.depth();
        let read = self.properties(depth);
        // What is wrong with this one must not be with the next.
        let skipped = match &read {
            Err(error) if error.ends_the_document() => Ok(()),
            _ => self.xml.skip_to(depth - 1),
        };
        self.xml.end_of_budget();
        let properties = assemble(read?)?;
        skipped?;
        EndpointDescription::new(properties)
            .map_err(|error| ReadError::new(element.position, Problem::Description(error)))
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<Read>, ReadError> {
        let mut properties = Vec::new();
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Piece::Open(element) => match element.edef() {
                    Some("property") => properties.push(self.property(&element)?),
                    Some(_) => {
                        return Err(self.misplaced(&element, "in <endpoint-description>"));
                    }
                    None => self.skip(&element)?,
                },
                Piece::Text(text) => self.no_text(&text, "endpoint-description")?,
                Piece::Close(_) | Piece::Comment(_) | Piece::End => {}
            }
        }
        Ok(properties)
    }

    fn property(&mut self, element: &Element) -> Result<Read, ReadError> {
        let name = element.attribute("name").unwrap_or_default();
        if name.trim().is_empty() {
            return Err(structure(
                element.position,
                "<property> has no name: name=\"...\" is required",
            ));
        }
        match self.value(element) {
            Ok(value) => Ok(Read {
                position: element.position,
                name: name.to_owned(),
                value,
            }),
            Err(error) => Err(ReadError {
                property: Some(excerpt(name)),
                ..error
            }),
        }
    }

    /// The value of a property: its attribute, or its one child (rule Z03).
    fn value(&mut self, element: &Element) -> Result<Value, ReadError> {
        let given = element.attribute("value-type");
        let value_type = given.map_or(Ok(ValueType::STRING), ValueType::parse);
        let value_type = value_type.map_err(|problem| wrong(element.position, problem))?;
        let mut value = match element.attribute("value") {
            Some(text) => {
                let scalar = value_type.scalar(text);
                Some(scalar.map_err(|problem| wrong(element.position, problem))?)
            }
            None => None,
        };
        let depth = self.xml.depth();
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Piece::Open(child) => {
                    let Some(kind) = child.edef() else {
                        self.skip(&child)?;
                        continue;
                    };
                    let before = value.replace(match kind {
                        "array" | "list" | "set" => self.collection(&child, kind, value_type)?,
                        "xml" => Value::from(self.literal(&child, value_type)?),
                        _ => return Err(self.misplaced(&child, "in <property>")),
                    });
                    if before.is_some() {
                        return Err(structure(
                            child.position,
                            "it has two values: keep the attribute or one child",
                        ));
                    }
                }
                Piece::Text(text) => self.no_text(&text, "property")?,
                Piece::Close(_) | Piece::Comment(_) | Piece::End => {}
            }
        }
        value.ok_or_else(|| {
            structure(
                element.position,
                "it has no value: give value=\"...\", or one of <array>, <list>, <set>, <xml>",
            )
        })
    }

    fn collection(
        &mut self,
        element: &Element,
        kind: &str,
        value_type: ValueType,
    ) -> Result<Value, ReadError> {
        let depth = self.xml.depth();
        let mut items = Vec::new();
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Piece::Open(child) => match child.edef() {
                    Some("value") => items.push(self.item(&child, value_type)?),
                    Some(_) => return Err(self.misplaced(&child, &format!("in <{kind}>"))),
                    None => self.skip(&child)?,
                },
                Piece::Text(text) => self.no_text(&text, kind)?,
                Piece::Close(_) | Piece::Comment(_) | Piece::End => {}
            }
        }
        match kind {
            "list" => Ok(Value::List(items)),
            "set" => Ok(Value::Set(distinct(items))),
            _ => value_type
                .array(items)
                .map_err(|error| wrong(element.position, error.to_string())),
        }
    }

    /// One `value` of a collection: text, or a literal (rule Z12).
    fn item(&mut self, element: &Element, value_type: ValueType) -> Result<Value, ReadError> {
        let depth = self.xml.depth();
        let (mut text, mut literal) = (String::new(), None);
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Piece::Open(child) => match child.edef() {
                    Some("xml") if literal.is_none() => {
                        literal = Some(self.literal(&child, value_type)?);
                    }
                    Some(_) => return Err(self.misplaced(&child, "in <value>")),
                    None => self.skip(&child)?,
                },
                Piece::Text(part) => text.push_str(&part),
                Piece::Close(_) | Piece::Comment(_) | Piece::End => {}
            }
        }
        match literal {
            Some(literal) if is_blank(&text) => Ok(Value::from(literal)),
            Some(_) => Err(structure(
                element.position,
                "<value> holds both a text and <xml>: keep one",
            )),
            None => value_type
                .scalar(&text)
                .map_err(|problem| wrong(element.position, problem)),
        }
    }

    /// The one element in an `xml`, as text (rule Z10). The specification
    /// wants it to be of another namespace; its own compatibility tests have
    /// it inherit EDEF's, and so that is accepted.
    fn literal(&mut self, element: &Element, value_type: ValueType) -> Result<String, ReadError> {
        if value_type != ValueType::STRING {
            let problem = format!(
                "<xml> is a String, and the value-type is {}: leave it out",
                value_type.name()
            );
            return Err(wrong(element.position, problem));
        }
        let depth = self.xml.depth();
        let mut literal = None;
        while self.xml.depth() >= depth {
            match self.xml.next()? {
                Piece::Open(root) if literal.is_none() => {
                    literal = Some(literal::read(&mut self.xml, root)?);
                }
                Piece::Open(root) => {
                    return Err(structure(
                        root.position,
                        "<xml> holds a second element: one root is allowed",
                    ));
                }
                Piece::Text(text) => self.no_text(&text, "xml")?,
                Piece::Close(_) | Piece::Comment(_) | Piece::End => {}
            }
        }
        literal
            .ok_or_else(|| structure(element.position, "<xml> is empty: it must hold an element"))
    }
}

fn structure(position: Position, problem: impl Into<String>) -> ReadError {
    ReadError::new(position, Problem::Structure(problem.into()))
}

fn wrong(position: Position, problem: impl Into<String>) -> ReadError {
    ReadError::new(position, Problem::Value(problem.into()))
}

/// Rules D01, Z13: names that differ in case only are a mistake too.
fn assemble(read: Vec<Read>) -> Result<Properties, ReadError> {
    let mut positions: Vec<(String, Position)> = Vec::with_capacity(read.len());
    let mut properties = Properties::new();
    for Read {
        position,
        name,
        value,
    } in read
    {
        if properties.contains(&name) {
            let same = |(known, _): &&(String, _)| crate::properties::same_name(known, &name);
            let first = positions.iter().find(same);
            let (first, at) = first.cloned().unwrap_or((name.clone(), position));
            return Err(ReadError {
                position,
                property: Some(excerpt(&name)),
                problem: Problem::Repeated { first, at },
            });
        }
        positions.push((name.clone(), position));
        properties.set(name, value);
    }
    Ok(properties)
}

/// A set has each item once.
fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::with_capacity(items.len());
    let mut distinct = items;
    distinct.retain(|item| seen.insert(item.clone()));
    distinct
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<EndpointDescription, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.read() {
            Ok(Some(description)) => Some(Ok(description)),
            Ok(None) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = error.ends_the_document();
                Some(Err(error))
            }
        }
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("found", &self.found)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
