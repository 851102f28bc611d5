//! iPOPO 3.2.4: `pelix.rsa.providers.discovery.etcd3` and `pelix.rsa.endpointdescription`.
//!
//! Its loop ends on any exception. What is wrong with the properties is looked for to the end, and
//! not only up to the first thing that it would end on.

use super::json::Json;
use super::{Effect, Item, Problem, python, shortened};
use crate::endpoint::service_info::REQUIRED;
use crate::names::{SPACED_LISTS, ecf, osgi};
use crate::properties;

/// The config type of the one distribution provider that iPOPO has without Java.
const XMLRPC_CONFIG: &str = "ecf.xmlrpc.server";

/// The intents of that provider.
const XMLRPC_INTENTS: [&str; 2] = [osgi::INTENT_BASIC, osgi::INTENT_ASYNC];

/// Session and endpoint of a key, as iPOPO takes it apart: at each `/`, without what is empty.
fn parts(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.split('/').filter(|part| !part.is_empty());
    let (_, session, id) = (parts.next()?, parts.next()?, parts.next()?);
    python::is_uuid(session).then_some((session, id))
}

/// Whether it looks at the value of the key.
pub(super) fn is_endpoint(key: &str) -> bool {
    parts(key).is_some()
}

/// What it makes of a key in its range.
pub(super) fn judge(item: Item<'_>) -> Vec<Problem> {
    // It turns all bytes into text before it looks at the key.
    let texts = (
        std::str::from_utf8(item.key),
        std::str::from_utf8(item.value),
    );
    let (key, value) = match texts {
        (Ok(key), Ok(value)) => (key, value),
        (key, _) => {
            let what = if key.is_err() { "key" } else { "value" };
            let cause = format!("the {what} is not UTF-8");
            return vec![stop(cause, "delete the key, or put text").at(what)];
        }
    };
    let Some((_, id)) = parts(key) else {
        return Vec::new();
    };
    if value.is_empty() {
        let cause = "the value is empty, which counts as the end of the endpoint";
        return vec![
            Problem::new(Effect::Drops, cause, "put the endpoint's description").at("value"),
        ];
    }
    let json = match Json::parse(value) {
        Ok(json) => json,
        Err(error) => {
            let cause = format!("the value is not JSON: {error}");
            return vec![stop(cause, "put the endpoint's description as JSON").at("value")];
        }
    };
    match entries(&json) {
        Ok(entries) => Properties { entries }.judge(id),
        Err(problems) => problems,
    }
}

fn stop(cause: impl Into<String>, cure: impl Into<String>) -> Problem {
    Problem::new(Effect::StopsWatching, cause, cure)
}

/// An entry of `properties` with a type.
struct Entry<'a> {
    at: usize,
    is_text: bool,
    name: &'a Json,
    value: &'a Json,
}

/// The entries, or why it ends on them.
fn entries(json: &Json) -> Result<Vec<Entry<'_>>, Vec<Problem>> {
    const SHAPE: &str = "an entry is {\"type\": \"string\", \"name\": …, \"value\": …}";
    let Some(properties) = json.get("properties").and_then(Json::as_array) else {
        let cause = match json.get("properties") {
            Some(other) => format!("the properties are {}, and no array", other.kind()),
            None => "there are no properties".to_owned(),
        };
        return Err(vec![stop(cause, SHAPE).at("properties")]);
    };
    let mut entries = Vec::with_capacity(properties.len());
    let mut problems = Vec::new();
    for (at, entry) in properties.iter().enumerate() {
        let path = format!("properties[{at}]");
        let Some(kind) = entry.get("type") else {
            let cause = match entry {
                Json::Object(_) => "an entry has no type".to_owned(),
                other => format!("an entry is {}, and no object", other.kind()),
            };
            problems.push(stop(cause, SHAPE).at(path));
            continue;
        };
        let is_text = kind.as_text() == Some("string");
        let (name, value) = (entry.get("name"), entry.get("value"));
        // It looks no further at entries of other types.
        if is_text {
            for (member, there) in [("name", name), ("value", value)] {
                if there.is_none() {
                    let of = match name.and_then(Json::as_text) {
                        Some(name) => format!("the entry of {}", shortened(name)),
                        None => "an entry".to_owned(),
                    };
                    problems.push(stop(format!("{of} has no {member}"), SHAPE).at(&path));
                }
            }
            if let Some(name) = name.filter(|name| name.as_text().is_none()) {
                let cause = format!("the name of a property is {}", name.kind());
                problems.push(stop(cause, "a name is a string").at(format!("{path}.name")));
            }
        }
        if let (Some(name), Some(value)) = (name, value) {
            entries.push(Entry {
                at,
                is_text,
                name,
                value,
            });
        }
    }
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems)
    }
}

struct Properties<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Properties<'a> {
    /// The value that counts: of several that of the last, and of entries of type string alone.
    fn get(&self, name: &str) -> Option<&'a Json> {
        let mut texts = self.entries.iter().rev().filter(|entry| entry.is_text);
        let entry = texts.find(|entry| entry.name.as_text() == Some(name))?;
        Some(entry.value)
    }

    fn judge(&self, id_in_key: &str) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for name in REQUIRED {
            match self.get(name) {
                None => problems.push(self.missing(name)),
                Some(value) => problems.extend(required(name, value)),
            }
        }
        let lists = SPACED_LISTS
            .into_iter()
            .chain([ecf::EXPORTED_ASYNC_INTERFACES]);
        for name in lists {
            if let Some(value) = self.get(name).filter(|value| is_true(value))
                && value.as_text().is_none()
            {
                let cause = format!("{name} is {}, and no string", value.kind());
                problems.push(
                    stop(cause, "write its names as one string, with spaces between").at(name),
                );
            }
        }
        if !self
            .get(osgi::SERVICE_IMPORTED_CONFIGS)
            .is_some_and(is_true)
        {
            problems.push(match self.get(osgi::SERVICE_IMPORTED_CONFIGS) {
                Some(_) => stop(
                    "service.imported.configs is empty",
                    format!("name a config type, such as {XMLRPC_CONFIG}"),
                )
                .at(osgi::SERVICE_IMPORTED_CONFIGS),
                None => self.missing(osgi::SERVICE_IMPORTED_CONFIGS),
            });
        }
        if problems.is_empty() {
            self.look_closer(id_in_key)
        } else {
            problems
        }
    }

    /// Says also where it might have been meant to be.
    fn missing(&self, name: &str) -> Problem {
        let same = |entry: &&Entry<'_>| {
            let text = entry.name.as_text();
            text.is_some_and(|text| properties::same_name(text, name))
        };
        match self.entries.iter().find(same) {
            Some(entry) if !entry.is_text => stop(
                format!(
                    "{name} is missing: its entry is not of type string, and iPOPO reads no other"
                ),
                "write it as a string",
            )
            .at(format!("properties[{}].type", entry.at)),
            Some(entry) => {
                let written = entry.name.as_text().unwrap_or_default();
                stop(
                    format!(
                        "{name} is missing: it is written '{written}', and to iPOPO case counts"
                    ),
                    format!("write '{name}'"),
                )
                .at(format!("properties[{}].name", entry.at))
            }
            None => stop(
                format!("{name} is missing"),
                format!("add it as an entry of type string: {}", meaning(name)),
            )
            .at(name),
        }
    }

    /// What is not as it is meant, though it reads.
    fn look_closer(&self, id_in_key: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let id = self.get(osgi::ENDPOINT_ID).and_then(Json::as_text);
        if let Some(id) = id.map(python::strip).filter(|id| *id != id_in_key) {
            let cause = format!(
                "it adds '{}', as endpoint.id says, and removes '{}', as the key says",
                shortened(id),
                shortened(id_in_key)
            );
            let cure = "end the key with the endpoint.id, which holds no '/'";
            problems.push(Problem::new(Effect::NeverRemoves, cause, cure).at(osgi::ENDPOINT_ID));
        }
        for name in SPACED_LISTS {
            let text = self.get(name).and_then(Json::as_text).unwrap_or_default();
            let parts = || text.split(' ');
            if !text.is_empty()
                && parts().any(|part| part.is_empty() || part.contains(python::is_space))
            {
                let cause = format!(
                    "it splits {name} at single spaces, and this is '{}'",
                    shortened(text)
                );
                let cure = "put one space between names, and none around them";
                problems.push(Problem::new(Effect::Misreads, cause, cure).at(name));
            }
        }
        problems.extend(self.overlooked());
        problems.extend(self.not_imported());
        problems
    }

    fn overlooked(&self) -> Option<Problem> {
        let typed = self.entries.iter().filter(|entry| !entry.is_text);
        let names = typed.filter_map(|entry| entry.name.as_text());
        let mut names: Vec<&str> = names.filter(|name| self.get(name).is_none()).collect();
        names.dedup();
        (!names.is_empty()).then(|| {
            let cause = format!(
                "it reads entries of type string alone, and not {}",
                few(&names)
            );
            let cure = "add an entry of type string for each that matters to it";
            Problem::new(Effect::Overlooks, cause, cure).at("properties")
        })
    }

    fn not_imported(&self) -> Option<Problem> {
        let list = |name| {
            let text = self.get(name).and_then(Json::as_text).unwrap_or_default();
            let names = text.split(' ').filter(|name| !name.is_empty());
            names.collect::<Vec<_>>()
        };
        let configs = list(osgi::REMOTE_CONFIGS_SUPPORTED);
        let intents = list(osgi::SERVICE_INTENTS);
        let unknown = intents
            .iter()
            .find(|intent| !XMLRPC_INTENTS.contains(intent));
        let (path, cause) = if configs.iter().any(|config| *config != XMLRPC_CONFIG) {
            let name = osgi::REMOTE_CONFIGS_SUPPORTED;
            (name, format!("{name} is '{}'", few(&configs)))
        } else {
            let name = osgi::SERVICE_INTENTS;
            (name, format!("{name} holds '{}'", unknown?))
        };
        let cause = format!(
            "{cause}, and its XML-RPC provider knows {XMLRPC_CONFIG}, osgi.basic and osgi.async"
        );
        let cure = "nothing, unless it is to import this: another provider of its may";
        Some(Problem::new(Effect::DoesNotImport, cause, cure).at(path))
    }
}

/// A few of many names.
fn few(names: &[&str]) -> String {
    const MOST: usize = 4;
    let mut text = names
        .iter()
        .take(MOST)
        .map(|name| shortened(name))
        .collect::<Vec<_>>()
        .join(" ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

fn meaning(name: &str) -> &'static str {
    match name {
        osgi::ENDPOINT_ID => "what the key ends with",
        osgi::ENDPOINT_SERVICE_ID => "the service's number in its framework, or 0",
        osgi::ENDPOINT_FRAMEWORK_UUID => "the id of the service's framework",
        ecf::ENDPOINT_ID => "where it is called, such as a URL",
        ecf::ENDPOINT_ID_NS => "the namespace of ecf.endpoint.id, such as ecf.namespace.xmlrpc",
        ecf::RSVC_ID => "the service's number where it is called",
        ecf::ENDPOINT_TIMESTAMP => "milliseconds since 1970, growing with each update",
        _ => "a config type, such as ecf.xmlrpc.server",
    }
}

/// What it ends on in the value of a property that it needs.
fn required(name: &str, value: &Json) -> Option<Problem> {
    let is_number = match name {
        ecf::RSVC_ID | ecf::ENDPOINT_TIMESTAMP => true,
        // What Python takes for false counts as 0 here.
        osgi::ENDPOINT_SERVICE_ID => is_true(value),
        _ => false,
    };
    if is_number && !is_int(value) {
        let shown = match value {
            Json::Text(text) => format!("'{}'", shortened(text)),
            other => other.kind().to_owned(),
        };
        let cause = format!("{name} is {shown}, and no whole number");
        return Some(stop(cause, format!("write digits: {}", meaning(name))).at(name));
    }
    let is_text = !matches!(
        name,
        ecf::RSVC_ID | ecf::ENDPOINT_TIMESTAMP | osgi::ENDPOINT_SERVICE_ID
    );
    (is_text && *value == Json::Null).then(|| {
        stop(
            format!("{name} is null"),
            format!("write {}", meaning(name)),
        )
        .at(name)
    })
}

/// Whether `int(value)` gives a number.
fn is_int(value: &Json) -> bool {
    match value {
        Json::Bool(_) | Json::Int(_) => true,
        Json::Float(float) => float.is_finite(),
        Json::Text(text) => python::is_int(text),
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

/// What Python takes for true.
fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(bool) => *bool,
        Json::Int(digits) => digits.trim_start_matches('-') != "0",
        Json::Float(float) => *float != 0.0,
        Json::Text(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(members) => !members.is_empty(),
    }
}
