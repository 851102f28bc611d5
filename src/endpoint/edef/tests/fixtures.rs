//! Documents as files: by the rules of the specification's schema, as far as
//! `schema.rs` checks them, and each with something in it that readers get
//! wrong.

use super::*;
use crate::properties::Properties;
use crate::props;

const TYPES: &str = include_str!("../../../../tests/fixtures/edef/types.xml");
const COLLECTIONS: &str = include_str!("../../../../tests/fixtures/edef/collections.xml");
const LITERALS: &str = include_str!("../../../../tests/fixtures/edef/literals.xml");

fn assert_has(description: &EndpointDescription, expected: &Properties) {
    for (name, value) in expected.iter() {
        let there = description.properties().get(name);
        assert_eq!(there, Some(value), "{name}");
        let types = (there.map(Value::type_name), value.type_name());
        assert_eq!(types.0, Some(types.1), "{name}");
    }
}

#[test]
fn the_files_keep_the_rules_of_the_schema() {
    for document in [TYPES, COLLECTIONS, LITERALS] {
        assert_eq!(schema::violations(document), [""; 0]);
    }
}

/// Rules Z05, Z06, Z08, Z09 and Z13.
#[test]
fn a_file_with_each_value_type_is_read_with_the_types_of_the_schema() {
    let read = read(TYPES);
    let [twice, types] = read.as_slice() else {
        panic!("{read:?}");
    };
    let error = twice.as_ref().unwrap_err().to_string();
    assert!(error.contains("given twice, first as 'long'"), "{error}");
    let expected = props! {
        "1" => 0.5_f64, "2" => -1e300_f64, "3" => 0.1_f32, "4" => 2.0_f32, "5" => i32::MIN,
        "6" => 7_i32, "7" => Value::Byte(-128), "8" => Value::Byte(127), "9" => 'c',
        "10" => '\u{20ac}', "11" => true, "12" => false, "13" => Value::Short(i16::MIN),
        "14" => Value::Short(i16::MAX), "15" => i64::MIN, "16" => 1_i64,
        "17" => " kept as it is ", "18" => "5",
    };
    assert_has(types.as_ref().unwrap(), &expected);
}

/// Rules Z01, Z06, Z07 and Z08.
#[test]
fn a_file_with_prefixes_and_collections_keeps_their_kinds() {
    let read = read(COLLECTIONS);
    let description = read[0].as_ref().unwrap();
    let array = |array: Result<Array, _>| Value::Array(array.unwrap());
    let ints = vec![1_i32.into(), 2_i32.into()];
    let expected = props! {
        "objectClass" => ["org.example.One", "org.example.Two"],
        "ints" => array(Array::primitive(ScalarType::Integer, ints)),
        "integers" => array(Array::new(ScalarType::Integer, vec![1_i32.into()])),
        "list" => Value::List(vec![" a ".into(), "".into()]),
        "set" => Value::Set(vec![3_i64.into()]), "none" => Value::Set(Vec::new()),
    };
    assert_has(description, &expected);
}

/// Rules Z01, Z02, Z10, Z11 and Z13.
#[test]
fn a_file_within_another_document_gives_its_literals_as_documents() {
    let read = read(LITERALS);
    assert_eq!(read.len(), 2);
    let map = read[0]
        .as_ref()
        .unwrap()
        .properties()
        .get_str("map")
        .unwrap();
    assert!(map.contains(r#"xmlns:m="urn:example:map""#), "{map}");
    assert!(
        map.contains("A &lt; B") && map.starts_with("<m:map "),
        "{map}"
    );
    let error = read[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("objectClass is missing"), "{error}");
}

/// Rule Z16, on what was not written by us.
#[test]
fn what_is_read_of_the_files_is_written_and_read_again_the_same() {
    for document in [TYPES, COLLECTIONS, LITERALS] {
        for description in read(document).into_iter().flatten() {
            let again = read(&to_string([&description]).unwrap()).remove(0).unwrap();
            assert!(again.same_content(&description), "{again:?}");
        }
    }
}
