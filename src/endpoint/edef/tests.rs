//! The rules of EDEF by their ids, on documents of our own words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod broken;
mod fixtures;
mod round_trip;
mod schema;

use super::*;
use crate::properties::{Array, ScalarType, Value};

const REQUIRED: &str = r#"<property name="endpoint.id" value="e1"/>
    <property name="objectClass"><array><value>a.B</value></array></property>
    <property name="service.imported.configs" value="c"/>"#;

/// A document of one description with these properties besides the required.
fn document(properties: &str) -> String {
    format!(
        r#"<endpoint-descriptions xmlns="{NAMESPACE}"><endpoint-description>{REQUIRED}
{properties}</endpoint-description></endpoint-descriptions>"#
    )
}

/// What all of a document is read as: ids, or errors.
fn outcome(document: &str) -> Vec<String> {
    let shown = |read: Result<EndpointDescription, ReadError>| match read {
        Ok(description) => description.id().to_string(),
        Err(error) => error.to_string(),
    };
    read(document).into_iter().map(shown).collect()
}

/// The one value of a property named `p` with this rest.
fn value(rest: &str) -> Value {
    let document = document(&format!("<property name=\"p\" {rest}"));
    let mut read = read(&document);
    assert_eq!(read.len(), 1, "{document}");
    let description = read.remove(0).unwrap();
    description.properties().get("p").unwrap().clone()
}

/// What is said of a property with this rest.
fn refused(rest: &str) -> String {
    let document = document(&format!("<property name=\"p\" {rest}"));
    let mut read = read(&document);
    assert_eq!(read.len(), 1, "{document}");
    let error = read.remove(0).unwrap_err();
    assert!(!error.ends_the_document(), "{error}");
    assert_eq!(error.position.line, 4, "{error}");
    error.to_string()
}

fn strings(items: &[&str]) -> Vec<Value> {
    items.iter().map(|item| Value::from(*item)).collect()
}

/// Rule Z01.
#[test]
fn elements_are_known_by_their_namespace_whatever_the_prefix_and_what_is_around_them() {
    let plain = document("");
    let prefixed = plain
        .replace("<property", "<r:property")
        .replace("</property", "</r:property")
        .replace("endpoint-description", "r:endpoint-description")
        .replace("array", "r:array")
        .replace("value>", "r:value>")
        .replace("xmlns=", "xmlns:r=");
    assert!(prefixed.contains("<r:array><r:value>"), "{prefixed}");
    let nested = format!("<config><a>text</a><b x='1'>{plain}</b>more</config>");
    let twice = format!("<both>{plain}<other/>{prefixed}</both>");
    for (document, ids) in [
        (&plain, vec!["e1"]),
        (&prefixed, vec!["e1"]),
        (&nested, vec!["e1"]),
        (&twice, vec!["e1", "e1"]),
        (&plain.replace("www.osgi", "www&#46;osgi"), vec!["e1"]),
    ] {
        assert_eq!(outcome(document), ids, "{document}");
    }
    let other = plain.replace(NAMESPACE, "http://example.org/other");
    assert_eq!(
        outcome(&other),
        [format!(
            "line 4, column 48: there is no <endpoint-descriptions> of the namespace {NAMESPACE}"
        )]
    );
}

/// Rules Z01 and Z02.
#[test]
fn what_is_of_another_namespace_is_skipped_wherever_it_stands() {
    let extended = format!(
        r#"<endpoint-descriptions xmlns="{NAMESPACE}" xmlns:x="urn:x" x:a="1">
        <x:property name="n" value="v">text<property name="inner" value="v"/></x:property>
        <endpoint-description x:a="1" b="2"><x:e/>
          <x:property name="endpoint.id" value="not this"/>
          <property name="endpoint.id" value="e1" x:value="2" x:name="n"><x:e>text</x:e></property>
          <property name="objectClass"><x:array><x:value>x</x:value></x:array><array x:a="1"><x:e/>
            <value x:a="1">a.<x:e>skipped</x:e>B</value></array></property>
          <property name="service.imported.configs" value="c"/>
        </endpoint-description><x:e/></endpoint-descriptions>"#
    );
    let mut read = read(&extended);
    assert_eq!(read.len(), 1);
    let description = read.remove(0).unwrap();
    assert_eq!(description.id().as_str(), "e1");
    assert_eq!(description.interfaces(), ["a.B"]);
    assert!(!description.properties().contains("n"));
    assert!(!description.properties().contains("inner"));
}

/// Rule Z02.
#[test]
fn an_extension_that_must_be_understood_is_refused_for_its_description_alone() {
    let good = document("");
    let extension = |mark: &str| {
        document(&format!(
            r#"<x:e xmlns:x="urn:x" xmlns:r="{NAMESPACE}" r:must-understand="{mark}"/>"#
        ))
    };
    let both = |first: &str| format!("<d>{first}{good}</d>");
    assert_eq!(outcome(&both(&extension("false"))), ["e1", "e1"]);
    assert_eq!(
        outcome(&both(&extension("true"))),
        [
            "line 4, column 1: <x:e> must be understood and is not: it is an extension of \
             another provider",
            "e1"
        ]
    );
}

/// Rule Z03.
#[test]
fn a_property_has_a_name_and_exactly_one_value() {
    assert_eq!(value(r#"value="v"/>"#), Value::from("v"));
    assert_eq!(value("><list/></property>"), Value::List(Vec::new()));
    let neither = refused("/>");
    assert!(
        neither.contains("property 'p': it has no value"),
        "{neither}"
    );
    for two in [
        r#"value="v"><list/></property>"#,
        "><list/><array/></property>",
        "><set/><set/></property>",
    ] {
        let error = refused(two);
        assert!(error.contains("property 'p': it has two values"), "{error}");
    }
    for nameless in [
        r#"<property value="v"/>"#,
        r#"<property name=" " value="v"/>"#,
    ] {
        let error = outcome(&document(nameless)).remove(0);
        assert!(error.contains("<property> has no name"), "{error}");
    }
    let strange = refused("><map/></property>");
    assert!(
        strange.contains("<map> may not stand in <property>"),
        "{strange}"
    );
}

/// Rule Z04.
#[test]
fn white_space_around_elements_is_no_error_and_other_text_is() {
    assert_eq!(value("value=\"v\">\n \t</property>"), Value::from("v"));
    let spaced =
        "> \n <list> \n <value>a</value> <!-- and --> <value>b</value> </list> </property>";
    assert_eq!(value(spaced), Value::list_of(["a", "b"]));
    for (text, place) in [
        ("value=\"v\">text</property>", "in <property>"),
        ("><list>text</list></property>", "in <list>"),
        ("><xml>text<a/></xml></property>", "in <xml>"),
    ] {
        let error = refused(text);
        assert!(
            error.contains(&format!("the text 'text' stands {place}")),
            "{error}"
        );
    }
}

/// Rule Z05.
#[test]
fn there_are_seventeen_value_types_and_case_counts() {
    for (name, text, expected) in [
        ("String", "s", Value::from("s")),
        ("long", "-9223372036854775808", Value::from(i64::MIN)),
        ("Long", "9223372036854775807", Value::from(i64::MAX)),
        ("double", "1.5e300", Value::from(1.5e300)),
        ("Double", "-Infinity", Value::from(f64::NEG_INFINITY)),
        ("float", "0.1", Value::from(0.1_f32)),
        ("Float", "NaN", Value::from(f32::NAN)),
        ("int", "+7", Value::from(7_i32)),
        ("Integer", "-2147483648", Value::from(i32::MIN)),
        ("byte", "-128", Value::from(-128_i8)),
        ("Byte", "127", Value::from(127_i8)),
        ("char", "x", Value::from('x')),
        ("Character", "&#x1F600;", Value::from('\u{1F600}')),
        ("boolean", "TRUE", Value::from(true)),
        ("Boolean", "false", Value::from(false)),
        ("short", "-32768", Value::from(i16::MIN)),
        ("Short", "32767", Value::from(i16::MAX)),
    ] {
        let read = value(&format!(r#"value-type="{name}" value="{text}"/>"#));
        assert_eq!(read, expected, "{name}");
    }
    assert_eq!(value(r#"value="7"/>"#), Value::from("7"));
    for unknown in ["string", "Bytes", "Int", "", "java.lang.String"] {
        let error = refused(&format!(r#"value-type="{unknown}" value="1"/>"#));
        let said = format!("the value-type is '{unknown}': it must be one of String, long");
        assert!(error.contains(&said), "{error}");
    }
}

/// Rule Z06.
#[test]
fn strings_are_taken_as_they_are_and_other_values_are_trimmed() {
    assert_eq!(value(r#"value=" a "/>"#), Value::from(" a "));
    assert_eq!(value(r#"value=""/>"#), Value::from(""));
    assert_eq!(
        value("><list><value> a\n</value><value></value></list></property>"),
        Value::list_of([" a\n", ""])
    );
    assert_eq!(
        value("value-type='int' value=' 1&#9;'/>"),
        Value::from(1_i32)
    );
    assert_eq!(
        value("value-type='int'><list><value> 1\n</value></list></property>"),
        Value::List(vec![Value::from(1_i32)])
    );
    // A lone space is a character; more of them around one are not.
    assert_eq!(value("value-type='char' value=' '/>"), Value::from(' '));
    assert_eq!(value("value-type='char' value=' x '/>"), Value::from('x'));
}

/// Rules Z07 and Z08.
#[test]
fn the_kind_of_a_collection_and_primitive_items_of_arrays_are_kept() {
    let of = |kind: &str, value_type: &str| {
        let values = "<value>1</value><value>2</value>";
        value(&format!(
            "value-type='{value_type}'><{kind}>{values}</{kind}></property>"
        ))
    };
    let items = || vec![Value::from(1_i32), Value::from(2_i32)];
    let array = Array::new(ScalarType::Integer, items()).unwrap();
    let primitive = Array::primitive(ScalarType::Integer, items()).unwrap();
    assert_eq!(of("array", "Integer"), Value::from(array));
    assert_eq!(of("array", "int"), Value::from(primitive));
    assert_eq!(of("list", "int"), Value::List(items()));
    assert_eq!(of("set", "int"), Value::Set(items()));
    assert_eq!(of("array", "byte"), Value::from(vec![1_u8, 2]));
    assert_eq!(
        value("value-type='int' value='1'/>"),
        value("value-type='Integer' value='1'/>")
    );
    for (kind, empty) in [
        ("array", Value::array_of([""; 0])),
        ("list", Value::List(Vec::new())),
        ("set", Value::Set(Vec::new())),
    ] {
        assert_eq!(value(&format!("><{kind}/></property>")), empty);
    }
    // A set has each item once.
    assert_eq!(
        value("><set><value>a</value><value>b</value><value>a</value></set></property>"),
        Value::Set(strings(&["a", "b"]))
    );
}

/// Rule Z09.
#[test]
fn a_value_that_does_not_convert_is_told_with_its_property() {
    for (value_type, text) in [
        ("int", "x"),
        ("byte", "128"),
        ("Long", "1.0"),
        ("short", ""),
        ("double", "inf"),
        ("float", "0x1p3"),
        ("char", "ab"),
        ("Character", ""),
    ] {
        let error = refused(&format!("value-type='{value_type}' value='{text}'/>"));
        let said = format!("property 'p': '{text}' is no {value_type}: write ");
        assert!(error.contains(&said), "{error}");
        let item = format!("value-type='{value_type}'><set><value>{text}</value></set></property>");
        assert!(refused(&item).contains(&said));
    }
    // As Core converts: what is not true is false.
    assert_eq!(
        value("value-type='Boolean' value='yes'/>"),
        Value::from(false)
    );
}

/// Rule Z10.
#[test]
fn a_literal_is_the_text_of_a_document_by_itself() {
    let literal = |inner: &str| value(&format!("><xml>{inner}</xml></property>"));
    assert_eq!(
        literal(" \n<x xmlns='urn:x'/> <!-- not part of it -->"),
        Value::from(r#"<x xmlns="urn:x"/>"#)
    );
    assert_eq!(
        literal("<x xmlns='urn:x'><?pi x?>a<!--b--><y>c</y></x>"),
        Value::from(r#"<x xmlns="urn:x">a<!--b--><y>c</y></x>"#)
    );
    // As the compatibility tests of the specification have it.
    assert_eq!(
        literal("<myxml>test</myxml>"),
        Value::from(format!(r#"<myxml xmlns="{NAMESPACE}">test</myxml>"#))
    );
    let typed = refused("value-type='Long'><xml><x/></xml></property>");
    assert!(
        typed.contains("<xml> is a String, and the value-type is Long"),
        "{typed}"
    );
    assert_eq!(
        value("value-type='String'><xml><x xmlns=''/></xml></property>"),
        Value::from(r#"<x xmlns=""/>"#)
    );
    assert!(refused("><xml/></property>").contains("<xml> is empty"));
    assert!(refused("><xml><a/><b/></xml></property>").contains("a second element"));
}

/// Rule Z11: read by itself, the text gives the same elements, attributes and
/// characters.
#[test]
fn a_literal_keeps_its_meaning_outside_of_the_document() {
    let document = document("<property name='p'><xml>LITERAL</xml></property>").replace(
        "xmlns=",
        "xmlns:o='urn:outer' xmlns:unused='urn:\"&amp;' xmlns=",
    );
    let inner = r#"<o:x a="1 &lt; &quot;2&quot;&#10;" o:b="'"><y xmlns="urn:y" o:c=""/>&lt;z/&gt; &amp;amp; <![CDATA[<&]]></o:x>"#;
    let mut read = read(&document.replace("LITERAL", inner));
    let description = read.remove(0).unwrap();
    assert_eq!(
        description.properties().get_str("p"),
        Some(
            r#"<o:x xmlns:o="urn:outer" xmlns:unused="urn:&quot;&amp;" a="1 &lt; &quot;2&quot;&#10;" o:b="'"><y xmlns="urn:y" o:c=""/>&lt;z/&gt; &amp;amp; &lt;&amp;</o:x>"#
        )
    );
    // An own declaration wins over the inherited one.
    let own = r#"<o:x xmlns:o="urn:own" xmlns:unused="urn:u"/>"#;
    let mut read = super::read(&document.replace("LITERAL", own));
    let description = read.remove(0).unwrap();
    assert_eq!(description.properties().get_str("p"), Some(own));
}

/// Rule Z12.
#[test]
fn a_literal_may_stand_in_a_collection() {
    let items = "<value><xml><a xmlns=''/></xml></value> <value> <xml><b xmlns=''/></xml> </value>";
    assert_eq!(
        value(&format!("><list>{items}<value>c</value></list></property>")),
        Value::list_of([r#"<a xmlns=""/>"#, r#"<b xmlns=""/>"#, "c"])
    );
    let both = refused("><list><value>x<xml><a/></xml></value></list></property>");
    assert!(
        both.contains("<value> holds both a text and <xml>"),
        "{both}"
    );
}

/// Rules Z13 and D01.
#[test]
fn a_bad_description_is_reported_by_itself_and_the_others_are_used() {
    let [one, three] = ["e1", "e3"].map(|id| {
        let text = document("").replace("\"e1\"", &format!("\"{id}\""));
        text[text.find("<endpoint-description>").unwrap()..]
            .trim_end_matches("</endpoint-descriptions>")
            .to_owned()
    });
    let all = |second: &str| {
        format!(
            "<endpoint-descriptions xmlns='{NAMESPACE}'>\n{one}\n{second}\n{three}</endpoint-descriptions>"
        )
    };
    for (second, said) in [
        (
            "<endpoint-description/>",
            "line 6, column 1: the description is not valid: endpoint.id is missing: every \
             endpoint has one that is unique in the network",
        ),
        (
            "<endpoint-description>\n <property name='A' value='1'/>\n <property name='a' value='2'/>\
             </endpoint-description>",
            "line 8, column 2: property 'a': given twice, first as 'A' at line 7, column 2: \
             property names ignore case; keep one",
        ),
        (
            "<endpoint-description><value>x<list/></value>x</endpoint-description>",
            "line 6, column 23: <value> may not stand in <endpoint-description>",
        ),
        (
            "<property name='x'><array/></property>",
            "line 6, column 1: <property> may not stand in <endpoint-descriptions>",
        ),
        (
            "text",
            "line 5, column 24: the text 'text' stands in <endpoint-descriptions>",
        ),
    ] {
        assert_eq!(outcome(&all(second)), ["e1", said, "e3"]);
    }
}

#[test]
fn a_document_may_have_no_description() {
    let none = format!("<endpoint-descriptions xmlns='{NAMESPACE}'/>");
    assert_eq!(outcome(&none), [""; 0]);
}
