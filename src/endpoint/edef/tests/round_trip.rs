//! What is written is read again (rule Z16).

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::properties::{Properties, arbitrary};
use crate::props;

fn described(extra: &Properties) -> EndpointDescription {
    let mut properties = props! {
        "endpoint.id" => "e", "objectClass" => ["a.B"], "service.imported.configs" => "c",
    };
    properties.overlay(extra);
    EndpointDescription::new(properties).unwrap()
}

fn unfit(value: impl Into<Value>) -> String {
    let description = described(&props! { "p" => value });
    to_string([&description]).unwrap_err().to_string()
}

#[test]
fn what_has_no_form_is_refused_by_name_and_leaves_the_document_whole() {
    assert_eq!(
        unfit(Value::List(vec![Value::List(Vec::new())])),
        "endpoint e: property 'p' is a list with a list in it, and EDEF nests no collections: \
         leave it out"
    );
    assert_eq!(
        unfit(Value::Set(vec![Value::from(1_i32), Value::from("x")])),
        "endpoint e: property 'p' is a set of values of several types, and EDEF has one type \
         for all: use one, such as String"
    );
    assert_eq!(
        unfit("a\u{0}b"),
        "endpoint e: property 'p' holds U+0000, which XML cannot carry: write it as an array of \
         bytes"
    );
    let mut writer = Writer::new(Vec::new()).unwrap();
    let good = described(&props! {});
    writer.write(&good).unwrap();
    writer
        .write(&described(&props! { "p" => "\u{1}" }))
        .unwrap_err();
    writer
        .write(&described(&props! { "\u{1}" => "p" }))
        .unwrap_err();
    writer.write(&good).unwrap();
    let document = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert_eq!(outcome(&document), ["e", "e"]);
}

/// Rule P15.
#[test]
fn what_has_no_form_can_be_left_out_and_is_told() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let mixed = Value::Set(vec![Value::from(1_i32), Value::from("x")]);
    let description = described(&props! { "p" => "\u{0}", "q" => mixed, "colour" => "red" });
    let left_out = writer.write_leaving_out(&description).unwrap();
    let named: Vec<_> = left_out
        .iter()
        .map(|error| match error {
            WriteError::Property { name, .. } => name.as_str(),
            WriteError::Write(_) => "",
        })
        .collect();
    assert_eq!(named, ["p", "q"]);
    // What nobody can do without is not left out.
    let unusable = described(&props! { "service.intents" => "\u{1}" });
    writer.write_leaving_out(&unusable).unwrap_err();
    let document = String::from_utf8(writer.finish().unwrap()).unwrap();
    let read = read(&document);
    assert_eq!(read.len(), 1);
    let expected = described(&props! { "colour" => "red" });
    assert!(read[0].as_ref().unwrap().same_content(&expected));
}

#[test]
fn a_written_document_is_one_of_plain_edef() {
    let description = described(&props! {
        "n" => 1_i32, "s" => "a\t\"<\n>\r", "l" => Value::List(vec![Value::from(" x\r")]),
        "e" => Value::Set(Vec::new()), "b" => vec![255_u8],
    });
    assert_eq!(
        to_string([&description]).unwrap(),
        r#"<?xml version="1.0" encoding="UTF-8"?>
<endpoint-descriptions xmlns="http://www.osgi.org/xmlns/rsa/v1.0.0">
  <endpoint-description>
    <property name="b" value-type="byte">
      <array>
        <value>-1</value>
      </array>
    </property>
    <property name="e"><set/></property>
    <property name="endpoint.id" value="e"/>
    <property name="l">
      <list>
        <value> x&#13;</value>
      </list>
    </property>
    <property name="n" value-type="Integer" value="1"/>
    <property name="objectClass">
      <array>
        <value>a.B</value>
      </array>
    </property>
    <property name="s" value="a&#9;&quot;&lt;&#10;&gt;&#13;"/>
    <property name="service.imported" value="true"/>
    <property name="service.imported.configs" value="c"/>
  </endpoint-description>
</endpoint-descriptions>
"#
    );
}

/// Text that XML can carry.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![arbitrary::text(), "[ \t\r\n\u{85}\u{2028}<>&'\"]{0,6}",]
        .prop_filter("XML carries it", |text| text.chars().all(xml::is_xml_char))
}

fn has_twice(items: &[Value]) -> bool {
    (1..items.len()).any(|at| items[..at].contains(&items[at]))
}

/// Scalars of one type each.
fn scalars(n: std::ops::Range<usize>) -> BoxedStrategy<(ScalarType, Vec<Value>)> {
    fn of<S>(
        scalar_type: ScalarType,
        item: S,
        n: std::ops::Range<usize>,
    ) -> BoxedStrategy<(ScalarType, Vec<Value>)>
    where
        S: Strategy + 'static,
        S::Value: Into<Value>,
    {
        let item = item.prop_map(Into::into);
        vec(item, n)
            .prop_map(move |items| (scalar_type, items))
            .boxed()
    }
    let f32s = any::<f32>().prop_map(|f| if f.is_nan() { f32::NAN } else { f });
    let f64s = any::<f64>().prop_map(|f| if f.is_nan() { f64::NAN } else { f });
    let chars = any::<char>().prop_filter("XML carries it", |c| xml::is_xml_char(*c));
    prop_oneof![
        of(ScalarType::String, text(), n.clone()),
        of(ScalarType::Boolean, any::<bool>(), n.clone()),
        of(ScalarType::Byte, any::<i8>(), n.clone()),
        of(ScalarType::Short, any::<i16>(), n.clone()),
        of(ScalarType::Integer, any::<i32>(), n.clone()),
        of(ScalarType::Long, any::<i64>(), n.clone()),
        of(ScalarType::Float, f32s, n.clone()),
        of(ScalarType::Double, f64s, n.clone()),
        of(ScalarType::Character, chars, n),
    ]
    .boxed()
}

/// Every value that EDEF has a form for.
fn value() -> impl Strategy<Value = Value> {
    let set = |items: Vec<Value>| {
        let mut distinct: Vec<Value> = Vec::new();
        for item in items {
            if !distinct.contains(&item) {
                distinct.push(item);
            }
        }
        Value::Set(distinct)
    };
    prop_oneof![
        scalars(1..2).prop_map(|(_, mut items)| items.remove(0)),
        scalars(0..4).prop_map(|(t, items)| Value::from(Array::new(t, items).unwrap())),
        scalars(0..4).prop_map(|(t, items)| match t {
            // An array of primitive bytes is a value of its own.
            ScalarType::Byte => Value::from(vec![1_u8, 128]),
            t => Value::from(Array::primitive(t, items).unwrap()),
        }),
        vec(any::<u8>(), 0..6).prop_map(Value::from),
        scalars(0..4).prop_map(|(_, items)| Value::List(items)),
        scalars(0..4).prop_map(move |(_, items)| set(items)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_equal_in_value_and_type(
        descriptions in vec(vec(("x[ -~]{0,8}|x\\PC{0,6}", value()), 0..6), 0..4)
    ) {
        let descriptions: Vec<EndpointDescription> = descriptions
            .into_iter()
            .map(|entries| described(&entries.into_iter().collect()))
            .collect();
        let document = to_string(&descriptions).unwrap();
        // The schema wants a description, where the specification's text
        // allows a document without one.
        let expected: &[&str] = match descriptions.is_empty() {
            true => &["endpoint-descriptions: it has 0 elements"],
            false => &[],
        };
        prop_assert_eq!(schema::violations(&document), expected);
        let read = read(&document);
        prop_assert_eq!(read.len(), descriptions.len());
        for (read, written) in read.into_iter().zip(&descriptions) {
            let read = read.unwrap();
            prop_assert!(read.same_content(written), "{:?}\n{:?}\n{}", read, written, document);
        }
    }

    /// Whatever has a form in EDEF is written, and nothing else.
    #[test]
    fn any_value_is_written_as_it_is_or_refused(value in arbitrary::value()) {
        // A value that calls itself a set and is none comes back as one.
        prop_assume!(!matches!(&value, Value::Set(items) if has_twice(items)));
        let described = described(&props! { "p" => value });
        if let Ok(document) = to_string([&described]) {
            let read = read(&document).remove(0).unwrap();
            let text = |d: &EndpointDescription| format!("{:?}", d.properties());
            // As text: a NaN has many bits, and Java but one.
            prop_assert_eq!(text(&read), text(&described));
        }
    }
}
