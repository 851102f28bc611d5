//! What is to be advertised: descriptions from a file, with what the command line sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::edef::Reader;
use osgi_remote::names::{DECIMAL_TEXTS, SPACED_LISTS, ecf};
use osgi_remote::properties::{self, Properties, Value};
use serde::Deserialize;

use crate::endpoint::value::{self, Typed};
use crate::failure::Failure;

/// A property that the command line sets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    name: String,
    value: Value,
}

/// `NAME=VALUE` or `NAME:TYPE=VALUE`. Without a type, a standard property has its own and any
/// other one is text.
impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write NAME=VALUE, or NAME:TYPE=VALUE")?;
        let (name, kind) = match name.split_once(':') {
            Some((name, kind)) => (name, Some(kind)),
            None => (name, None),
        };
        if name.trim().is_empty() {
            return Err("the property has no name: write NAME=VALUE".to_owned());
        }
        let is = |names: &[&str]| names.iter().any(|known| properties::same_name(known, name));
        let kind = kind.unwrap_or(if is(&DECIMAL_TEXTS) {
            "Long"
        } else if is(&SPACED_LISTS) {
            "String[]"
        } else {
            "String"
        });
        Ok(Self {
            name: name.to_owned(),
            value: value::from_text(kind, value)?,
        })
    }
}

/// Reads all descriptions of a file, `-` for stdin. One that is not good spoils all.
pub(crate) fn read(path: &Path, settings: &[Setting]) -> Result<Vec<EndpointDescription>, Failure> {
    let shown = path.display();
    let read = if path == Path::new("-") {
        parse(std::io::stdin().lock())
    } else {
        match File::open(path) {
            Ok(file) => parse(BufReader::new(file)),
            Err(error) => Err(error.to_string()),
        }
    };
    let wrong = |problem| Failure::usage(format!("{shown} cannot be advertised: {problem}"));
    let read = read.map_err(wrong)?;
    if read.is_empty() {
        return Err(wrong("it holds no endpoint description".to_owned()));
    }
    let complete = |properties| complete(properties, settings);
    let complete: Result<Vec<_>, String> = read.into_iter().map(complete).collect();
    let complete = complete.map_err(wrong)?;
    let mut ids = BTreeSet::new();
    match complete
        .iter()
        .find(|description| !ids.insert(description.id()))
    {
        None => Ok(complete),
        Some(twice) => Err(wrong(format!(
            "it describes endpoint {} twice: an endpoint.id names one endpoint",
            twice.id()
        ))),
    }
}

fn parse(mut source: impl BufRead) -> Result<Vec<Properties>, String> {
    let begin = source.fill_buf().map_err(|error| error.to_string())?;
    let first = begin.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) {
        parse_json(source)
    } else {
        parse_edef(source)
    }
}

fn parse_edef(source: impl BufRead) -> Result<Vec<Properties>, String> {
    let mut good = Vec::new();
    for read in Reader::new(source) {
        let description = read.map_err(|error| error.to_string())?;
        good.push(description.properties().clone());
    }
    Ok(good)
}

/// What `rsctl endpoint show`, `list` and `watch` print as JSON: their properties count.
#[derive(Deserialize)]
struct Shown {
    properties: BTreeMap<String, Typed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Many(Vec<Shown>),
    One(Shown),
}

fn parse_json(source: impl BufRead) -> Result<Vec<Properties>, String> {
    let mut good = Vec::new();
    for document in serde_json::Deserializer::from_reader(source).into_iter() {
        let document: serde_json::Value = document.map_err(|error| error.to_string())?;
        let document: Document = serde_json::from_value(document).map_err(|_| {
            "the JSON is not of endpoints as `rsctl endpoint show` prints them: each has \
             \"properties\" by name, with a \"type\" and a \"value\""
                .to_owned()
        })?;
        let shown = match document {
            Document::Many(shown) => shown,
            Document::One(shown) => vec![shown],
        };
        for endpoint in shown {
            good.push(typed(&endpoint.properties)?);
        }
    }
    Ok(good)
}

fn typed(shown: &BTreeMap<String, Typed>) -> Result<Properties, String> {
    let mut properties = Properties::new();
    for (name, typed) in shown {
        if properties.contains(name) {
            return Err(format!("property {name} is there twice, in another case"));
        }
        let value = typed
            .read()
            .map_err(|problem| format!("property {name}: {problem}"))?;
        properties.set(name.as_str(), value);
    }
    Ok(properties)
}

/// Adds what the command line sets, and the time if none is given.
fn complete(
    mut properties: Properties,
    settings: &[Setting],
) -> Result<EndpointDescription, String> {
    for Setting { name, value } in settings {
        properties.set(name.as_str(), value.clone());
    }
    if !properties.contains(ecf::ENDPOINT_TIMESTAMP) {
        properties.set(ecf::ENDPOINT_TIMESTAMP, Timestamp::now().as_millisecond());
    }
    EndpointDescription::new(properties).map_err(|error| format!("{error}: give it by --set"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_type_that_is_given_or_the_propertys_own() {
        let setting = |text: &str| text.parse::<Setting>().unwrap();
        assert_eq!(setting("a=b=c").value, Value::from("b=c"));
        assert_eq!(setting("ecf.rsvc.id=7").value, Value::from(7_i64));
        assert_eq!(
            setting("objectClass=a.A,b.B").value,
            Value::from(["a.A", "b.B"])
        );
        assert_eq!(setting("n:Integer=7").value, Value::from(7_i32));
        assert_eq!(setting("url=http://h:1/").value, Value::from("http://h:1/"));
    }

    #[test]
    fn a_setting_that_cannot_be_used_says_why() {
        let problem = |text: &str| text.parse::<Setting>().unwrap_err();
        assert!(problem("a").contains("NAME=VALUE"));
        assert!(problem("=a").contains("no name"));
        assert!(problem("n:Integer=x").contains("'x' is no Integer"));
        assert!(problem("n:Int=1").contains("'Int' is no type"));
    }

    #[test]
    fn json_is_read_as_one_endpoint_as_a_list_and_as_lines() {
        let one = |id: &str| serde_json::json!({ "properties": { "endpoint.id": { "type": "String", "value": id } }});
        let ids = |text: String| -> Vec<String> {
            let read = parse(text.as_bytes()).unwrap();
            let id = |p: &Properties| p.get_str("endpoint.id").unwrap().to_owned();
            read.iter().map(id).collect()
        };
        assert_eq!(ids(one("a").to_string()), ["a"]);
        assert_eq!(ids(format!("[{},{}]", one("a"), one("b"))), ["a", "b"]);
        assert_eq!(ids(format!("{}\n{}\n", one("a"), one("b"))), ["a", "b"]);
        let problem = parse(&b"{\"a\": 1}"[..]).unwrap_err();
        assert!(
            problem.contains("as `rsctl endpoint show` prints them"),
            "{problem}"
        );
    }

    #[test]
    fn a_time_is_added_and_a_given_one_is_kept() {
        let properties = || {
            Properties::new()
                .with("endpoint.id", "e")
                .with("objectClass", ["a.A"])
                .with("service.imported.configs", ["c"])
        };
        let made = complete(properties(), &[]).unwrap();
        assert!(made.timestamp() > 1_600_000_000_000);
        let set = ["ecf.endpoint.ts=5".parse().unwrap()];
        assert_eq!(complete(properties(), &set).unwrap().timestamp(), 5);
    }
}
