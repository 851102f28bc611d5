//! Generated values for property tests.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Array, ScalarType, Value};

/// Text with all that is awkward: quotes, escapes, spaces, other scripts.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just(String::new()),
        Just("\u{0}\n\t\u{1f600}".to_owned()),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].prop_map(Value::from),
        any::<char>().prop_map(Value::from),
        vec(any::<u8>(), 0..6).prop_map(Value::from),
    ]
}

fn array() -> impl Strategy<Value = Value> {
    let numbers = (vec(any::<i32>(), 0..4), any::<bool>()).prop_map(|(items, primitive)| {
        let items = items.into_iter().map(Value::from).collect();
        let array = if primitive {
            Array::primitive(ScalarType::Integer, items)
        } else {
            Array::new(ScalarType::Integer, items)
        };
        Value::Array(array.unwrap())
    });
    let floats = vec(any::<f64>(), 0..4).prop_map(|items| {
        let items = items.into_iter().map(Value::from).collect();
        Value::Array(Array::primitive(ScalarType::Double, items).unwrap())
    });
    prop_oneof![vec(text(), 0..4).prop_map(Value::from), numbers, floats]
}

/// Any value, nested a little.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![scalar(), array()].prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec(inner, 0..4).prop_map(Value::Set),
        ]
    })
}
