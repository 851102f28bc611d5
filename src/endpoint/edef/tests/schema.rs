//! A checker of documents by the rules that the schema of EDEF has (`rsa.xsd`
//! 1.0.1; OSGI rules Z01 to Z12): stricter than the reader, and apart from it.
//!
//! Besides, a property has a value or a child and not both, which the schema
//! cannot say (rule Z03).

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use super::NAMESPACE;

/// What an element may hold.
struct Type {
    name: &'static str,
    /// Children of EDEF, of which there may be several kinds.
    children: &'static [&'static str],
    least: usize,
    most: usize,
    /// Whether text may stand in it.
    mixed: bool,
}

const TYPES: [Type; 8] = [
    of(
        "endpoint-descriptions",
        &["endpoint-description"],
        1,
        usize::MAX,
        false,
    ),
    of("endpoint-description", &["property"], 1, usize::MAX, false),
    of("property", &["array", "list", "set", "xml"], 0, 1, true),
    of("array", &["value"], 0, usize::MAX, false),
    of("list", &["value"], 0, usize::MAX, false),
    of("set", &["value"], 0, usize::MAX, false),
    of("value", &["xml"], 0, 1, true),
    of("xml", &[], 0, 0, false),
];

const fn of(
    name: &'static str,
    children: &'static [&'static str],
    least: usize,
    most: usize,
    mixed: bool,
) -> Type {
    Type {
        name,
        children,
        least,
        most,
        mixed,
    }
}

const VALUE_TYPES: &str = "String long Long double Double float Float int Integer byte Byte char \
                           Character boolean Boolean short Short";

/// A name: its namespace, empty for none, and its local part.
type Name = (String, String);

struct Element {
    name: Name,
    attributes: Vec<(Name, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn edef(&self) -> Option<&str> {
        (self.name.0 == NAMESPACE).then_some(self.name.1.as_str())
    }

    fn attribute(&self, namespace: &str, local: &str) -> Option<&str> {
        let same = |name: &Name| name.0 == namespace && name.1 == local;
        let found = self.attributes.iter().find(|(name, _)| same(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What is against the rules in a document that is well-formed. All that is
/// about an `endpoint-descriptions` is none of its business.
pub(super) fn violations(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut roots = 0;
    let mut open = vec![tree(document)];
    while let Some(element) = open.pop() {
        if element.edef() == Some("endpoint-descriptions") {
            roots += 1;
            check(&element, &mut found);
        } else {
            open.extend(element.children);
        }
    }
    if roots == 0 {
        found.push("there is no endpoint-descriptions".to_owned());
    }
    found
}

fn check(element: &Element, found: &mut Vec<String>) {
    let name = element.edef().unwrap();
    let rules = TYPES.iter().find(|rules| rules.name == name);
    let Some(rules) = rules else {
        return found.push(format!("{name} is no element"));
    };
    let mut say = |what: &str| found.push(format!("{name}: {what}"));
    if !rules.mixed && !element.text.trim().is_empty() {
        say("it holds text");
    }
    if let Some(mark) = element.attribute(NAMESPACE, "must-understand")
        && !["true", "false", "1", "0"].contains(&mark.trim())
    {
        say("must-understand is no boolean");
    }
    let own = element
        .children
        .iter()
        .filter(|child| child.edef().is_some());
    let own = own.count();
    if !(rules.least..=rules.most).contains(&own) {
        say(&format!("it has {own} elements"));
    }
    // Extensions come last, and have a namespace.
    let first = element.children.iter().take(own);
    if first.clone().count() != first.filter(|child| child.edef().is_some()).count() {
        say("an extension comes before its own elements");
    }
    if element.children.iter().any(|child| child.name.0.is_empty()) {
        say("an element in it has no namespace");
    }
    if name == "property" {
        let value = element.attribute("", "value");
        if element.attribute("", "name").is_none() {
            say("it has no name");
        }
        if value.is_some() == (own > 0) {
            say("it must have a value or a child");
        }
        let value_type = element.attribute("", "value-type").unwrap_or("String");
        if !VALUE_TYPES.split(' ').any(|known| known == value_type) {
            say(&format!("{value_type} is no value-type"));
        }
    }
    if name == "xml" && element.children.len() != 1 {
        say("it must hold one element");
    }
    for child in &element.children {
        match child.edef() {
            Some(kind) if !rules.children.contains(&kind) => {
                found.push(format!("{name}: {kind} may not stand in it"));
            }
            Some(_) => check(child, found),
            None => {}
        }
    }
}

fn tree(document: &str) -> Element {
    let mut reader = NsReader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let outside = Element {
        name: Name::default(),
        attributes: Vec::new(),
        children: Vec::new(),
        text: String::new(),
    };
    let mut open = vec![outside];
    loop {
        let innermost = open.len() - 1;
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(element(&reader, &start)),
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open[innermost - 1].children.push(closed);
            }
            Event::Text(text) => open[innermost].text.push_str(&text),
            Event::CData(text) => open[innermost].text.push_str(&text),
            // Whatever it stands for, it is text.
            Event::GeneralRef(_) => open[innermost].text.push('&'),
            Event::Eof => return open.swap_remove(0),
            _ => {}
        }
    }
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Element {
    let resolver = reader.resolver();
    let name = |(namespace, local): (ResolveResult<'_>, quick_xml::name::LocalName<'_>)| {
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(namespace)) => namespace.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(prefix) => panic!("the prefix {prefix} stands for nothing"),
        };
        (namespace, local.into_inner().to_owned())
    };
    let attribute = |attribute: quick_xml::events::attributes::Attribute<'_>| {
        let value = attribute.normalized_value(XmlVersion::default()).unwrap();
        (
            name(resolver.resolve_attribute(attribute.key)),
            value.into_owned(),
        )
    };
    let attributes = start.attributes().map(Result::unwrap);
    let declares =
        |a: &quick_xml::events::attributes::Attribute<'_>| a.key.as_namespace_binding().is_some();
    Element {
        name: name(resolver.resolve_element(start.name())),
        attributes: attributes.filter(|a| !declares(a)).map(attribute).collect(),
        children: Vec::new(),
        text: String::new(),
    }
}

#[test]
fn a_document_against_the_schema_is_found_out() {
    let whole = |inner: &str| {
        format!(
            "<d><endpoint-descriptions xmlns='{NAMESPACE}' xmlns:x='urn:x'>{inner}</endpoint-descriptions></d>"
        )
    };
    let with = |property: &str| {
        whole(&format!(
            "<endpoint-description x:a='1' b=''>{property}</endpoint-description><x:e>text</x:e>"
        ))
    };
    let good = "<property name='n' value='' value-type='long' c=''>text<x:e/></property>\
                <property name='l'><list><value>1<x:e/></value><value/><x:e/></list></property>\
                <property name='l'><set><value><xml><x:e/></xml></value></set></property>\
                <property name='a'><array/></property><property name='x'><xml><x:e/></xml></property>";
    assert_eq!(violations(&with(good)), [""; 0]);
    for (document, said) in [
        ("<d/>".to_owned(), "there is no endpoint-descriptions"),
        (whole(""), "endpoint-descriptions: it has 0 elements"),
        (with(""), "endpoint-description: it has 0 elements"),
        (
            with(&format!("{good}text")),
            "endpoint-description: it holds text",
        ),
        (
            with(&format!("<x:e/>{good}")),
            "endpoint-description: an extension comes before its own elements",
        ),
        (
            with(&format!("{good}<e xmlns=''/>")),
            "endpoint-description: an element in it has no namespace",
        ),
        (
            with(&format!("{good}<value/>")),
            "endpoint-description: value may not stand in it",
        ),
        (with("<property value=''/>"), "property: it has no name"),
        (
            with("<property name=''/>"),
            "property: it must have a value or a child",
        ),
        (
            with("<property name='' value=''><set/></property>"),
            "property: it must have a value or a child",
        ),
        (
            with("<property name=''><set/><set/></property>"),
            "property: it has 2 elements",
        ),
        (
            with("<property name='' value='' value-type='string'/>"),
            "property: string is no value-type",
        ),
        (
            with(&format!(
                "<property name='' value='' xmlns:r='{NAMESPACE}' r:must-understand='yes'/>"
            )),
            "property: must-understand is no boolean",
        ),
        (
            with("<property name=''><list><list/></list></property>"),
            "list: list may not stand in it",
        ),
        (
            with("<property name=''><list>1</list></property>"),
            "list: it holds text",
        ),
        (
            with("<property name=''><xml/></property>"),
            "xml: it must hold one element",
        ),
        (
            with("<property name=''><xml><array/></xml></property>"),
            "xml: it has 1 elements",
        ),
    ] {
        let found = violations(&document);
        assert_eq!(found.first().map(String::as_str), Some(said), "{document}");
    }
}
