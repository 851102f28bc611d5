//! ECF: `org.eclipse.ecf.provider.etcd3` and its Remote Service Admin.
//!
//! A value is read from its beginning, and the first thing that does not read decides: ECF catches
//! what its JSON reader throws, and drops the endpoint; anything else ends its watcher. What comes
//! of the properties is decided later and elsewhere, and never worse than a dropped endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::java::{self, Location};
use super::json::Json;
use super::{Effect, Problem, ipopo, shortened};
use crate::names::{ecf, osgi};
use crate::properties::{self, Version};

/// The service type that its Remote Service Admin listens for.
const SERVICE: &str = "ecfosgirsvc";

/// Whether it looks at the value of the key.
pub(super) fn is_endpoint(key: &str) -> bool {
    parts(key).is_some_and(java::is_uuid)
}

/// The session of a key with an endpoint, as ECF takes it apart: at each `/`, without what is
/// empty at the end.
fn parts(key: &str) -> Option<&str> {
    let parts: Vec<&str> = key.trim_end_matches('/').split('/').collect();
    (parts.len() >= 3).then(|| parts[1])
}

/// What it makes of a key in its range. It takes bytes that are not UTF-8 for U+FFFD.
pub(super) fn judge(key: &str, value: &[u8]) -> Vec<Problem> {
    if !is_endpoint(key) {
        let for_others = parts(key).filter(|_| ipopo::is_endpoint(key));
        return for_others.map(unreadable_session).into_iter().collect();
    }
    let value = String::from_utf8_lossy(value);
    let json = match Json::parse(&value) {
        Ok(json) => json,
        Err(error) => {
            let cause = format!("the value is not JSON: {error}");
            return vec![drops(cause, "put the endpoint's description as JSON").at("value")];
        }
    };
    match service_info(&json) {
        Ok(properties) => properties.judge(),
        Err(problem) => vec![problem],
    }
}

fn unreadable_session(session: &str) -> Problem {
    let cause = format!(
        "Java reads no UUID in the session id '{}'",
        shortened(session)
    );
    Problem::new(Effect::Drops, cause, "write it as 8-4-4-4-12 hex digits").at("key")
}

fn drops(cause: impl Into<String>, cure: impl Into<String>) -> Problem {
    Problem::new(Effect::Drops, cause, cure)
}

fn stops(cause: impl Into<String>, cure: impl Into<String>) -> Problem {
    Problem::new(Effect::StopsWatching, cause, cure)
}

/// What a value's type must be, in its order; the first that is wrong is told.
fn service_info(json: &Json) -> Result<Properties<'_>, Problem> {
    if let Some(name) = json.repeated() {
        return Err(drops(format!("'{name}' is there twice"), "leave one of them out").at(name));
    }
    let location = text(json, "location", "location")?;
    if Location::of(location) == Location::NoUri {
        let cause = format!("the location '{}' is no URI", shortened(location));
        return Err(drops(cause, LOCATION_CURE).at("location"));
    }
    for name in ["priority", "weight", "ttl"] {
        let number = member(json, name, name)?;
        if !is_number(number) {
            let cause = format!("{name} is {}, and no number", number.kind());
            return Err(drops(cause, "write 0").at(name));
        }
    }
    let services = service_type(member(json, "servicetype", "servicetype")?)?;
    let entries = member(json, "properties", "properties")?;
    let Some(entries) = entries.as_array() else {
        let cause = format!("the properties are {}, and no array", entries.kind());
        return Err(drops(cause, "write an array of entries").at("properties"));
    };
    let mut read = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        read.push(property(entry, &format!("properties[{at}]"))?);
    }
    match Location::of(location) {
        Location::Good | Location::NoUri => {}
        Location::NoHost => {
            let cause = format!(
                "Java reads no host in the location '{}'",
                shortened(location)
            );
            return Err(stops(cause, LOCATION_CURE).at("location"));
        }
        Location::Unescaped => {
            let cause = format!(
                "it takes the escapes out of the location '{}' and reads it again",
                shortened(location)
            );
            return Err(stops(cause, LOCATION_CURE).at("location"));
        }
    }
    if !services.contains(&SERVICE) {
        let cause = format!("servicetype.services does not hold '{SERVICE}'");
        let cure = format!("write \"services\": [\"{SERVICE}\"]");
        return Err(drops(cause, cure).at("servicetype.services"));
    }
    Ok(Properties { entries: read })
}

const LOCATION_CURE: &str = "write ecfosgirsvc://HOST:32565/NAME, of letters, digits, '-' and '.'";

fn member<'a>(json: &'a Json, name: &str, path: &str) -> Result<&'a Json, Problem> {
    json.get(name).ok_or_else(|| {
        let cause = match json {
            Json::Object(_) => format!("{path} is missing"),
            other => format!("the value is {}, and no object", other.kind()),
        };
        drops(cause, "add it").at(path)
    })
}

fn text<'a>(json: &'a Json, name: &str, path: &str) -> Result<&'a str, Problem> {
    let value = member(json, name, path)?;
    let wrong = || {
        let cause = format!("{path} is {}, and no string", value.kind());
        drops(cause, "write a string").at(path)
    };
    value.as_text().ok_or_else(wrong)
}

/// Numbers may be text to it.
fn is_number(json: &Json) -> bool {
    match json {
        Json::Int(_) | Json::Float(_) => true,
        Json::Text(text) => text.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// The services of a service type that reads.
fn service_type(json: &Json) -> Result<Vec<&str>, Problem> {
    let list = |name: &str| {
        let path = format!("servicetype.{name}");
        let wrong = |kind: &str| {
            let cause = format!("{path} is {kind}, and no array of strings");
            drops(cause, "write [\"default\"]").at(&path)
        };
        let value = member(json, name, &path)?;
        let items = value.as_array().ok_or_else(|| wrong(value.kind()))?;
        let items = items
            .iter()
            .map(|item| item.as_text().ok_or_else(|| wrong("an array with others")));
        items.collect::<Result<Vec<&str>, Problem>>()
    };
    let (services, scopes, protocols) = (list("services")?, list("scopes")?, list("protocols")?);
    let authority = text(json, "namingauth", "servicetype.namingauth")?;
    let name = type_name(&services, &protocols, &scopes, authority);
    if reads_back(&name) {
        return Ok(services);
    }
    let cause = format!("it does not read the service type '{}'", shortened(&name));
    let cure =
        "write services [\"ecfosgirsvc\"], scopes and protocols [\"default\"], namingauth \"iana\"";
    Err(stops(cause, cure).at("servicetype"))
}

/// The one text that ECF makes of a service type.
fn type_name(services: &[&str], protocols: &[&str], scopes: &[&str], authority: &str) -> String {
    let services: String = services
        .iter()
        .map(|service| format!("{service}._"))
        .collect();
    let protocols = match protocols {
        [] => String::new(),
        protocols => format!("{}.", protocols.join("._")),
    };
    let scopes: String = scopes.iter().map(|scope| format!("{scope}._")).collect();
    format!("_{services}{protocols}{scopes}{authority}")
}

/// Whether ECF gets the same service type from the text as it made the text of.
fn reads_back(name: &str) -> bool {
    let name = name.trim();
    let mut name = name.strip_suffix('.').unwrap_or(name).to_owned();
    let dot_before_underscore = name.rfind('.').map(|at| at + 1) == name.rfind('_');
    if !dot_before_underscore {
        name.push_str("._IANA");
    }
    let parts: Vec<&str> = name[1..].split("._").collect();
    let [services @ .., both, authority] = parts.as_slice() else {
        return false;
    };
    let Some((protocol, scope)) = both.split_once('.') else {
        return false;
    };
    let whole = !protocol.is_empty() && !scope.is_empty() && !authority.is_empty();
    whole && type_name(services, &[protocol], &[scope], authority) == name
}

/// A property as ECF's service info holds it.
struct Entry<'a> {
    path: String,
    name: &'a str,
    kind: &'a str,
    value: &'a Json,
}

fn property<'a>(entry: &'a Json, path: &str) -> Result<Entry<'a>, Problem> {
    if !matches!(entry, Json::Object(_)) {
        let cause = format!("{path} is {}, and no object", entry.kind());
        return Err(drops(cause, "write an object with type, name and value").at(path));
    }
    let kind = text(entry, "type", &format!("{path}.type"))?;
    let name = text(entry, "name", &format!("{path}.name"))?;
    let at = format!("{path}.value");
    let value = member(entry, "value", &at)?;
    let wrong = |effect, cure: &str| {
        let cause = format!(
            "{} is of type {kind}, and its value is {}",
            shortened(name),
            value.kind()
        );
        Err(Problem::new(effect, cause, cure).at(&at))
    };
    let (drop, stop) = (Effect::Drops, Effect::StopsWatching);
    match (kind, value) {
        ("string" | "bytes" | "char", value) if value.as_text().is_none() => {
            return wrong(drop, "write a string");
        }
        ("list" | "set", value) if value.as_array().is_none() => {
            return wrong(stop, "write an array, or another type");
        }
        ("float" | "double" | "long" | "int", value) if !is_number(value) => {
            return wrong(drop, "write a number, or another type");
        }
        ("char", Json::Text(text)) if text.is_empty() => {
            let cause = format!("{} is of type char, and empty", shortened(name));
            return Err(stops(cause, "write one character, or leave it out").at(at));
        }
        ("bytes", Json::Text(text)) if BASE64.decode(text).is_err() => {
            let cause = format!("{} is of type bytes, and no base64", shortened(name));
            return Err(stops(cause, "write base64 with its padding").at(at));
        }
        _ => {}
    }
    Ok(Entry {
        path: path.to_owned(),
        name,
        kind,
        value,
    })
}

struct Properties<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Properties<'a> {
    /// The entry that counts: the last one.
    fn entry(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().rev().find(|entry| entry.name == name)
    }

    /// The value as text; `None` also if it is something else, as for ECF.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.entry(name)?.value.as_text()
    }

    fn list(&self, name: &str) -> Vec<&'a str> {
        let text = self.text(name).unwrap_or_default();
        text.split(' ').filter(|name| !name.is_empty()).collect()
    }

    fn judge(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.id());
        problems.extend(self.names(osgi::OBJECT_CLASS, "one interface or more"));
        problems.extend(self.names(osgi::SERVICE_IMPORTED_CONFIGS, "one config type or more"));
        problems.extend(self.versions());
        problems.extend(self.async_interfaces());
        for name in [ecf::ENDPOINT_ID_NS, ecf::ENDPOINT_ID] {
            if self.text(name).is_some_and(str::is_empty) {
                let cause = format!("{name} is empty, and no id can be made of it");
                problems.push(drops(cause, "write it, or leave it out").at(name));
            }
        }
        problems.extend(self.misspelled());
        if problems.is_empty() {
            problems.extend(self.numbers());
            problems.extend(self.nulls());
        }
        problems
    }

    /// A property that must be there as text, and how it is there instead.
    fn missing(&self, name: &str, what: &str) -> Problem {
        match self.entry(name) {
            Some(entry) if entry.value.as_text().is_some() => {
                drops(format!("{name} is empty"), format!("write {what}")).at(name)
            }
            Some(entry) => {
                let cause = format!("{name} is of type {}, and it reads a string", entry.kind);
                drops(cause, format!("write {what}, as type string")).at(&entry.path)
            }
            None => {
                let cause = format!("{name} is missing");
                drops(cause, format!("add it as an entry of type string: {what}")).at(name)
            }
        }
    }

    fn id(&self) -> Option<Problem> {
        let is_there = self.text(osgi::ENDPOINT_ID).is_some();
        // In another case it comes in by another way.
        (!is_there && !self.in_another_case(osgi::ENDPOINT_ID))
            .then(|| self.missing(osgi::ENDPOINT_ID, "what the key ends with"))
    }

    fn names(&self, name: &str, what: &str) -> Option<Problem> {
        let comes_in = name != osgi::OBJECT_CLASS && self.in_another_case(name);
        (self.list(name).is_empty() && !comes_in).then(|| self.missing(name, what))
    }

    fn in_another_case(&self, name: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.name != name && properties::same_name(entry.name, name))
    }

    fn versions(&self) -> Option<Problem> {
        self.list(osgi::OBJECT_CLASS)
            .into_iter()
            .find_map(|interface| {
                let (package, _) = interface.rsplit_once('.')?;
                let name = format!("{}{package}", osgi::ENDPOINT_PACKAGE_VERSION_PREFIX);
                let error = self.text(&name)?.parse::<Version>().err()?;
                Some(drops(error.to_string(), "write it so, or leave it out").at(name))
            })
    }

    fn async_interfaces(&self) -> Option<Problem> {
        let entry = self.entry(ecf::EXPORTED_ASYNC_INTERFACES)?;
        // Other provider's proxies are no matter for it.
        let needed = self.entry(ecf::ASYNC_NO_PROXY).is_none();
        (needed && entry.value.as_text() != Some("*")).then(|| {
            let cause = format!("{} is not '*'", ecf::EXPORTED_ASYNC_INTERFACES);
            drops(cause, "write '*' as a string, or leave it out").at(&entry.path)
        })
    }

    /// Names that OSGi takes for the same, and ECF does not where it looks for them.
    fn misspelled(&self) -> Vec<Problem> {
        let fatal = [osgi::OBJECT_CLASS, osgi::ENDPOINT_SERVICE_ID];
        let others = [
            osgi::ENDPOINT_ID,
            osgi::ENDPOINT_FRAMEWORK_UUID,
            osgi::SERVICE_IMPORTED_CONFIGS,
            ecf::ENDPOINT_ID,
            ecf::ENDPOINT_ID_NS,
            ecf::RSVC_ID,
            ecf::ENDPOINT_TIMESTAMP,
        ];
        let standard = || fatal.into_iter().chain(others);
        let entries = self.entries.iter().filter_map(|entry| {
            let name = standard().find(|name| properties::same_name(name, entry.name))?;
            (name != entry.name).then_some((entry, name))
        });
        let problem = |(entry, name): (&Entry<'_>, &str)| {
            let effect = if fatal.contains(&name) {
                Effect::Drops
            } else {
                Effect::Misreads
            };
            let cause = format!("'{}' is written in another case than '{name}'", entry.name);
            Problem::new(effect, cause, format!("write '{name}'"))
                .at(format!("{}.name", entry.path))
        };
        entries.map(problem).collect()
    }

    /// Numbers that count as 0 because they do not read.
    fn numbers(&self) -> Vec<Problem> {
        let names = [
            osgi::ENDPOINT_SERVICE_ID,
            ecf::RSVC_ID,
            ecf::ENDPOINT_TIMESTAMP,
        ];
        let entries = names.into_iter().filter_map(|name| self.entry(name));
        let wrong = entries.filter(|entry| match (entry.kind, entry.value) {
            (_, Json::Text(text)) => text.parse::<i64>().is_err(),
            ("long" | "int", _) => false,
            _ => true,
        });
        let problem = |entry: &Entry<'_>| {
            let cause = format!("{} is no whole number, and counts as 0", entry.name);
            Problem::new(Effect::Misreads, cause, "write digits").at(&entry.path)
        };
        wrong.map(problem).collect()
    }

    fn nulls(&self) -> Option<Problem> {
        let null = self
            .entries
            .iter()
            .find(|entry| *entry.value == Json::Null)?;
        let cause = format!(
            "{} is null, and a property has a value",
            shortened(null.name)
        );
        Some(Problem::new(Effect::Misreads, cause, "leave it out").at(&null.path))
    }
}
