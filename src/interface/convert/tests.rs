use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::*;
use crate::interface::DateTime;

fn round_trip<T>(value: T, data: Data)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(to_data(&value).unwrap(), data);
    assert_eq!(from_data::<T>(data).unwrap(), value);
}

fn object<const N: usize>(members: [(&str, Data); N]) -> Data {
    Data::Struct(
        members
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect(),
    )
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    label: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i32, i32),
    Named { name: String },
}

#[test]
fn scalars_keep_their_value() {
    round_trip(true, Data::Bool(true));
    round_trip(-5_i8, Data::Int(-5));
    round_trip(u64::from(u32::MAX), Data::Int(4_294_967_295));
    round_trip(1.5_f64, Data::Double(1.5));
    round_trip('ß', Data::from("ß"));
    round_trip("text".to_owned(), Data::from("text"));
    round_trip((), Data::Nil);
    round_trip(None::<i32>, Data::Nil);
    round_trip(Some(3), Data::Int(3));
}

#[test]
fn collections_and_structs_keep_their_shape() {
    round_trip(vec![1, 2], Data::Array(vec![Data::Int(1), Data::Int(2)]));
    round_trip(
        (1, "a".to_owned()),
        Data::Array(vec![Data::Int(1), Data::from("a")]),
    );
    round_trip(
        Point { x: 1, label: None },
        object([("x", Data::Int(1)), ("label", Data::Nil)]),
    );
    round_trip(HashSet::from([7]), Data::Array(vec![Data::Int(7)]));
    round_trip(
        HashMap::from([("k".to_owned(), 1)]),
        object([("k", Data::Int(1))]),
    );
    round_trip(
        BTreeMap::from([(5_u16, true)]),
        object([("5", Data::Bool(true))]),
    );
}

#[test]
fn enums_are_a_name_or_a_struct_of_one_member() {
    round_trip(Shape::Empty, Data::from("Empty"));
    round_trip(Shape::Circle(1.0), object([("Circle", Data::Double(1.0))]));
    let line = Data::Array(vec![Data::Int(1), Data::Int(2)]);
    round_trip(Shape::Line(1, 2), object([("Line", line)]));
    let named = object([("name", Data::from("n"))]);
    round_trip(
        Shape::Named { name: "n".into() },
        object([("Named", named)]),
    );
    assert!(from_data::<Shape>(Data::from("Square")).is_err());
    assert!(from_data::<Shape>(object([])).is_err());
}

#[test]
fn dates_are_dates_and_elsewhere_text() {
    let date: DateTime = "20261121T01:27:22".parse().unwrap();
    round_trip(date, Data::DateTime(date));
    assert_eq!(
        from_data::<DateTime>(Data::from("20261121T01:27:22")).unwrap(),
        date
    );
    assert_eq!(
        from_data::<String>(Data::DateTime(date)).unwrap(),
        "20261121T01:27:22"
    );
    assert_eq!(
        serde_json::to_string(&date).unwrap(),
        "\"20261121T01:27:22\""
    );
    assert!(from_data::<DateTime>(Data::Int(3)).is_err());
}

#[test]
fn bytes_read_as_bytes_or_as_a_sequence() {
    assert_eq!(
        from_data::<Vec<u8>>(Data::Bytes(vec![1, 2])).unwrap(),
        [1, 2]
    );
    assert_eq!(
        to_data(&[1_u8, 2][..]).unwrap(),
        Data::Array(vec![Data::Int(1), Data::Int(2)])
    );
}

#[test]
fn untyped_data_passes_through_unchanged() {
    let date: DateTime = "20261121T01:27:22".parse().unwrap();
    let data = object([
        ("list", Data::Array(vec![Data::Nil, Data::Bytes(vec![0])])),
        ("when", Data::DateTime(date)),
    ]);
    assert_eq!(to_data(&data).unwrap(), data);
    // Only the date's type is lost on the way to an untyped value.
    let json: Data = serde_json::from_str(r#"{"a": [1, 2.5, null, "x"]}"#).unwrap();
    assert_eq!(to_data(&json).unwrap(), json);
}

#[test]
fn numbers_that_do_not_fit_are_refused_and_never_cut_off() {
    assert!(
        to_data(&u64::MAX)
            .unwrap_err()
            .to_string()
            .contains("64 bits")
    );
    let error = from_data::<u8>(Data::Int(300)).unwrap_err();
    assert!(error.to_string().contains("300"), "{error}");
    assert!(from_data::<i32>(Data::Double(1.5)).is_err());
    assert_eq!(from_data::<f64>(Data::Int(2)).unwrap(), 2.0);
}

#[test]
fn errors_name_what_came_and_what_was_expected() {
    let error = from_data::<String>(Data::Int(3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid type: integer `3`, expected a string"
    );
    let error = from_data::<Point>(object([("label", Data::Nil)])).unwrap_err();
    assert!(error.to_string().contains("`x`"), "{error}");
    let error = to_data(&HashMap::from([(vec![1], 1)])).unwrap_err();
    assert!(error.to_string().contains("key of a map"), "{error}");
    assert!(from_data::<(i32,)>(Data::Array(vec![Data::Int(1), Data::Int(2)])).is_err());
}

#[test]
fn untyped_data_comes_back_as_it_was_dates_included() {
    let date: DateTime = "20261121T01:27:22".parse().unwrap();
    let forged = Data::Struct(BTreeMap::from([(DATE_TIME.to_owned(), Data::from("x"))]));
    for data in [
        Data::DateTime(date),
        Data::Array(vec![Data::DateTime(date), Data::Nil]),
        Data::Struct(BTreeMap::from([("when".to_owned(), Data::DateTime(date))])),
        Data::Bytes(vec![0, 255]),
        forged,
    ] {
        assert_eq!(from_data::<Data>(data.clone()).unwrap(), data);
        assert_eq!(
            from_data::<Option<Data>>(data.clone()).unwrap(),
            Some(data.clone())
        );
        assert_eq!(to_data(&data).unwrap(), data);
    }
    let json: Data = serde_json::from_str(r#"{"when": ["20261121T01:27:22", 1]}"#).unwrap();
    let items = Data::Array(vec![Data::from("20261121T01:27:22"), Data::Int(1)]);
    assert_eq!(
        json,
        Data::Struct(BTreeMap::from([("when".to_owned(), items)]))
    );
}
