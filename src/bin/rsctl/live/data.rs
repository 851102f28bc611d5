//! What crosses a call, as JSON.
//!
//! What JSON has no form for is an object with one member, whose name begins with `$`:
//!
//! | value | JSON |
//! |---|---|
//! | bytes | `{"$bytes": "AAEC/w=="}`, base64 |
//! | a date | `{"$date": "20260131T12:34:56"}` |
//! | a number that is none | `{"$double": "NaN"}`, `"Infinity"`, `"-Infinity"` |
//! | a struct that looks like one of these | `{"$struct": {"$date": "…"}}` |
//!
//! Both ways lead back to the same value. A number with a point or an exponent is a double, any
//! other a whole number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osgi_remote::interface::Data;
use serde_json::{Map, Number, Value, json};

use crate::failure::Failure;
use crate::output::{self, Format, Output, Table};

/// The JSON of a value.
pub(crate) fn to_json(data: &Data) -> Value {
    match data {
        Data::Nil => Value::Null,
        Data::Bool(value) => json!(value),
        Data::Int(number) => json!(number),
        Data::Double(number) => match Number::from_f64(*number) {
            Some(number) => Value::Number(number),
            None => json!({"$double": not_finite(*number)}),
        },
        Data::String(text) => json!(text),
        Data::Bytes(bytes) => json!({"$bytes": STANDARD.encode(bytes)}),
        Data::DateTime(date) => json!({"$date": date.to_string()}),
        Data::Array(items) => items.iter().map(to_json).collect(),
        Data::Struct(members) => {
            let object: Map<String, Value> = members
                .iter()
                .map(|(name, value)| (name.clone(), to_json(value)))
                .collect();
            if marked(&object).is_some() {
                json!({"$struct": object})
            } else {
                Value::Object(object)
            }
        }
        // A later version of the library may carry more.
        other => json!({"$unknown": other.type_name()}),
    }
}

fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// The one member of an object, if its name begins with `$`.
fn marked(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, value) = object.iter().next()?;
    (object.len() == 1 && name.starts_with('$')).then_some((name, value))
}

/// The value of a JSON.
///
/// # Errors
///
/// A number that needs more than 64 bits, or an object that claims a form that it has not.
pub(crate) fn from_json(value: Value) -> Result<Data, String> {
    Ok(match value {
        Value::Null => Data::Nil,
        Value::Bool(value) => Data::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Data::Int(whole),
            (None, Some(double)) if !number.is_u64() => Data::Double(double),
            _ => return Err(format!("{number} needs more than 64 bits with a sign")),
        },
        Value::String(text) => Data::String(text),
        Value::Array(items) => {
            Data::Array(items.into_iter().map(from_json).collect::<Result<_, _>>()?)
        }
        Value::Object(object) => match marked(&object) {
            Some((mark, value)) => from_marked(mark, value)?,
            None => members(object)?,
        },
    })
}

fn members(object: Map<String, Value>) -> Result<Data, String> {
    let members = object
        .into_iter()
        .map(|(name, value)| Ok((name, from_json(value)?)));
    Ok(Data::Struct(members.collect::<Result<_, String>>()?))
}

fn from_marked(mark: &str, value: &Value) -> Result<Data, String> {
    let text = || match value {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("{mark} has {other} and not a text")),
    };
    match mark {
        "$bytes" => match STANDARD.decode(text()?) {
            Ok(bytes) => Ok(Data::Bytes(bytes)),
            Err(error) => Err(format!("$bytes is not base64: {error}")),
        },
        "$date" => match text()?.parse() {
            Ok(date) => Ok(Data::DateTime(date)),
            Err(error) => Err(format!("$date cannot be read: {error}")),
        },
        "$double" => match text()? {
            "NaN" => Ok(Data::Double(f64::NAN)),
            "Infinity" => Ok(Data::Double(f64::INFINITY)),
            "-Infinity" => Ok(Data::Double(f64::NEG_INFINITY)),
            other => Err(format!(
                "$double is '{other}': it must be NaN, Infinity or -Infinity"
            )),
        },
        "$struct" => match value {
            Value::Object(object) => members(object.clone()),
            other => Err(format!("$struct has {other} and not an object")),
        },
        other => Err(format!(
            "an object whose only member is {other} stands for something else: there are \
             $bytes, $date, $double and $struct; write {{\"$struct\": {{\"{other}\": …}}}} if it \
             is meant as it is"
        )),
    }
}

/// One value from text that somebody typed.
///
/// # Errors
///
/// If the text is no JSON, with what to write instead.
pub(crate) fn read(text: &str) -> Result<Data, String> {
    let value = serde_json::from_str(text).map_err(|error| {
        let quoted = Value::from(text);
        format!("{text} is no JSON ({error}): for a text write '{quoted}', with both quotes")
    })?;
    from_json(value)
}

/// The arguments of a call from the command line.
///
/// # Errors
///
/// If one is no JSON.
pub(crate) fn arguments(texts: &[String], strings: bool) -> Result<Vec<Data>, Failure> {
    let one = |(index, text): (usize, &String)| {
        if strings {
            return Ok(Data::from(text.as_str()));
        }
        read(text).map_err(|problem| {
            let hint = "; with --string all arguments are texts";
            Failure::usage(format!("argument {}: {problem}{hint}", index + 1))
        })
    };
    texts.iter().enumerate().map(one).collect()
}

/// Shows the result of a call: as JSON, unless a form was asked for.
pub(crate) fn show(data: &Data, asked: Option<Format>, output: &Output) -> Result<(), Failure> {
    let json = to_json(data);
    if asked.is_none() {
        return output::print(&output::pretty_json(&json)?);
    }
    output.show_text(&json, || as_text(&json))
}

/// For people: a line, or a table of what is in it.
fn as_text(value: &Value) -> String {
    let mut table = match value {
        Value::Array(_) => Table::new(&["INDEX", "VALUE"], "no items"),
        Value::Object(_) => Table::new(&["NAME", "VALUE"], "no members"),
        scalar => return line(scalar),
    };
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                table.row([index.to_string(), line(item)]);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                table.row([name.clone(), line(member)]);
            }
        }
        _ => {}
    }
    table.to_string()
}

fn line(value: &Value) -> String {
    match value {
        Value::String(text) => output::printable(text),
        other => output::printable(&other.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_json_that_leads_back_to_it() {
        let date: osgi_remote::interface::DateTime = "20260131T12:34:56Z".parse().unwrap();
        let marked = |name: &str, value: Data| Data::Struct([(name.to_owned(), value)].into());
        for data in [
            Data::Nil,
            Data::Bool(true),
            Data::Int(i64::MIN),
            Data::Double(1.0),
            Data::Double(-2.5e300),
            Data::Double(f64::INFINITY),
            Data::Double(f64::NEG_INFINITY),
            Data::from("a \"text\"\n"),
            Data::Bytes(vec![0, 255, 1]),
            Data::DateTime(date),
            Data::Array(vec![Data::Nil, Data::Array(vec![])]),
            Data::Struct([("a".to_owned(), Data::Int(1)), ("$b".to_owned(), Data::Nil)].into()),
            marked("$date", Data::from("a struct")),
            marked("$struct", marked("$else", Data::Nil)),
        ] {
            let text = to_json(&data).to_string();
            assert_eq!(read(&text).unwrap(), data, "{text}");
        }
        let nan = read(&to_json(&Data::Double(f64::NAN)).to_string()).unwrap();
        assert!(matches!(nan, Data::Double(number) if number.is_nan()));
    }

    #[test]
    fn a_whole_number_is_no_double() {
        assert_eq!(read("1").unwrap(), Data::Int(1));
        assert_eq!(read("1.0").unwrap(), Data::Double(1.0));
        assert_eq!(read("1e2").unwrap(), Data::Double(100.0));
        assert!(
            read("18446744073709551615")
                .unwrap_err()
                .contains("64 bits")
        );
    }

    #[test]
    fn a_bare_word_is_refused_with_how_to_quote_it() {
        let error = arguments(&["World".to_owned()], false).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("argument 1: World is no JSON"), "{text}");
        assert!(text.contains("write '\"World\"'"), "{text}");
        let texts = arguments(&["1".to_owned()], true).unwrap();
        assert_eq!(texts, [Data::from("1")]);
    }

    #[test]
    fn wrong_marks_are_refused() {
        for (text, part) in [
            (r#"{"$bytes": "?"}"#, "not base64"),
            (r#"{"$bytes": 1}"#, "not a text"),
            (r#"{"$date": "today"}"#, "$date cannot be read"),
            (r#"{"$double": "1"}"#, "NaN, Infinity or -Infinity"),
            (r#"{"$struct": 1}"#, "not an object"),
            (r#"{"$other": 1}"#, "{\"$struct\": {\"$other\""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
