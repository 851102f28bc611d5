//! Writing what neither ECF's nor iPOPO's watcher can choke on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Number, Value as Json, json};

use super::{EXACT, LOCATION_PORT, SERVICE_TYPE, ServiceInfo, exact};
use crate::endpoint::EndpointDescription;
use crate::names::{DECIMAL_TEXTS, NameError, SPACED_LISTS, ecf, osgi};
use crate::properties::{self, Value};

/// A description that a peer's watcher would choke on. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A property is missing that iPOPO cannot do without.
    #[error("endpoint {endpoint}: {name} is missing, and iPOPO's discovery would stop: set it")]
    Missing {
        /// The `endpoint.id`.
        endpoint: String,
        /// The property.
        name: &'static str,
    },
    /// A property's value cannot be carried.
    #[error("endpoint {endpoint}: {name} {reason}")]
    Unfit {
        /// The `endpoint.id`.
        endpoint: String,
        /// The property.
        name: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The id cannot be the segment of a key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The host cannot be part of a URI that Java reads.
    #[error(
        "host '{host}' cannot stand in an endpoint's location, and ECF's discovery would stop: \
         use a name of letters, digits, '-' and '.', or an IP address"
    )]
    Host {
        /// The host as it was given.
        host: String,
    },
}

#[derive(Serialize)]
struct Wire<'a> {
    location: &'a str,
    priority: i64,
    weight: i64,
    servicename: &'a str,
    ttl: i64,
    servicetype: ServiceType,
    properties: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct ServiceType {
    services: [&'static str; 1],
    scopes: [&'static str; 1],
    protocols: [&'static str; 1],
    namingauth: &'static str,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    value: Json,
}

/// Writes the value of an endpoint's key.
///
/// `host` goes into `location`, which is made unique by the endpoint's id:
/// ECF removes endpoints by their location alone.
///
/// # Errors
///
/// If ECF's or iPOPO's watcher would stop, or lose or confuse the endpoint,
/// on reading it.
pub fn encode(info: &ServiceInfo, host: &str) -> Result<String, EncodeError> {
    let description = &info.description;
    check(description)?;
    let name = service_name(description.id().as_str());
    let location = format!("ecfosgirsvc://{}:{LOCATION_PORT}/{name}", uri_host(host)?);
    let mut entries = Vec::new();
    for (name, value) in description.properties().iter() {
        push(description, &mut entries, name, value)?;
    }
    let inexact = description.properties().iter().filter(|(name, value)| {
        !is_standard(name) && (!keeps_type(value) || is_listed_star(name, value))
    });
    if let Some(exact) = exact::describe(inexact) {
        entries.push(text(EXACT, exact));
    }
    let wire = Wire {
        location: &location,
        priority: info.priority,
        weight: info.weight,
        servicename: &name,
        ttl: 0,
        servicetype: ServiceType {
            services: [SERVICE_TYPE],
            scopes: ["default"],
            protocols: ["default"],
            namingauth: "iana",
        },
        properties: entries,
    };
    serde_json::to_string(&wire).map_err(|error| {
        unfit(
            description,
            "the description",
            format!("has no JSON form: {error}"),
        )
    })
}

fn unfit(description: &EndpointDescription, name: &str, reason: impl Into<String>) -> EncodeError {
    EncodeError::Unfit {
        endpoint: description.id().to_string(),
        name: name.to_owned(),
        reason: reason.into(),
    }
}

/// The seven without which iPOPO's watcher ends.
pub(crate) const REQUIRED: [&str; 7] = [
    osgi::ENDPOINT_ID,
    osgi::ENDPOINT_SERVICE_ID,
    osgi::ENDPOINT_FRAMEWORK_UUID,
    ecf::ENDPOINT_ID,
    ecf::ENDPOINT_ID_NS,
    ecf::RSVC_ID,
    ecf::ENDPOINT_TIMESTAMP,
];

fn check(description: &EndpointDescription) -> Result<(), EncodeError> {
    description.id().check_key_segment()?;
    let properties = description.properties();
    if let Some(name) = REQUIRED.into_iter().find(|name| !properties.contains(name)) {
        return Err(EncodeError::Missing {
            endpoint: description.id().to_string(),
            name,
        });
    }
    for name in REQUIRED {
        if properties
            .get_str(name)
            .is_some_and(|text| text.trim().is_empty())
        {
            return Err(unfit(description, name, "is empty: iPOPO cannot import it"));
        }
    }
    let mut optional = properties.iter();
    optional.try_for_each(|(name, value)| check_optional(description, name, value))
}

/// Whether a property can be carried without which the endpoint would do.
fn check_optional(
    description: &EndpointDescription,
    name: &str,
    value: &Value,
) -> Result<(), EncodeError> {
    let reason = if name.trim().is_empty() {
        return Err(unfit(description, "a property", "has an empty name"));
    } else if properties::same_name(name, EXACT) {
        "is written by osgi-remote itself: leave it out"
    } else if is_async_interfaces(name) && value.string_plus() != ["*"] {
        "names interfaces, and ECF would drop the endpoint: write '*' or leave it out"
    } else {
        return Ok(());
    };
    Err(unfit(description, name, reason))
}

/// Leaves out the properties that cannot be carried and without which an
/// importer can do (OSGi rule P15), and gives the reason for each.
///
/// What an importer needs is left as it is, so that [`encode`] refuses it:
/// what describes the endpoint and says how to call it, and the intents, which
/// both sides must know.
pub fn leave_out_unfit(mut info: ServiceInfo) -> (ServiceInfo, Vec<EncodeError>) {
    let description = &info.description;
    let mut left_out = Vec::new();
    let mut kept = Vec::new();
    for (name, value) in description.properties().iter() {
        let checked = check_optional(description, name, value).and_then(|()| {
            if properties::same_name(name, ecf::ENDPOINT_ID_FILTER_IDS) {
                spaced_list(description, name, value)?;
            }
            Ok(())
        });
        match checked {
            Ok(()) => kept.push(name),
            Err(error) => left_out.push(error),
        }
    }
    if left_out.is_empty() {
        return (info, left_out);
    }
    let mut properties = description.properties().clone();
    properties.retain(|name, _| kept.contains(&name));
    match EndpointDescription::new(properties) {
        Ok(description) => info.description = description,
        // None of what is left out belongs to what makes a description.
        Err(error) => left_out.push(unfit(description, "the description", error.to_string())),
    }
    (info, left_out)
}

fn is_async_interfaces(name: &str) -> bool {
    properties::same_name(name, ecf::EXPORTED_ASYNC_INTERFACES)
}

/// ECF drops an endpoint whose `ecf.exported.async.interfaces` is anything but
/// the plain text, so that a list of it alone is written as that.
fn is_listed_star(name: &str, value: &Value) -> bool {
    is_async_interfaces(name) && !matches!(value, Value::String(_))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|n| properties::same_name(n, name))
}

fn is_standard(name: &str) -> bool {
    is_one_of(&SPACED_LISTS, name) || is_one_of(&DECIMAL_TEXTS, name)
}

/// The spelling that peers look for: to iPOPO, case counts.
fn canonical(name: &str) -> &str {
    let standard = SPACED_LISTS.into_iter().chain(REQUIRED);
    let optional = [
        ecf::ENDPOINT_CONNECT_TARGET_ID,
        ecf::ENDPOINT_RS_FILTER,
        ecf::EXPORTED_ASYNC_INTERFACES,
        osgi::BASIC_TIMEOUT,
    ];
    standard
        .chain(optional)
        .find(|n| properties::same_name(n, name))
        .unwrap_or(name)
}

fn text(name: &str, value: impl Into<String>) -> Entry<'_> {
    Entry {
        kind: "string",
        name,
        value: Json::String(value.into()),
    }
}

fn push<'a>(
    description: &EndpointDescription,
    entries: &mut Vec<Entry<'a>>,
    name: &'a str,
    value: &Value,
) -> Result<(), EncodeError> {
    let name = canonical(name);
    if is_one_of(&SPACED_LISTS, name) {
        if let Some(list) = spaced_list(description, name, value)? {
            entries.push(text(name, list));
        }
        return Ok(());
    }
    // Every importer adds it.
    if properties::same_name(name, osgi::SERVICE_IMPORTED) && value.as_str() == Some("true") {
        return Ok(());
    }
    // ECF takes a version that is not there for 0.0.0.
    if properties::name_starts_with(name, osgi::ENDPOINT_PACKAGE_VERSION_PREFIX)
        && value.as_str().and_then(|v| v.parse().ok()) == Some(properties::Version::default())
    {
        return Ok(());
    }
    if is_listed_star(name, value) {
        entries.push(text(name, "*"));
        return Ok(());
    }
    match value {
        Value::String(string) => entries.push(text(name, &**string)),
        // For iPOPO, which ignores typed entries, and after it for ECF, where
        // the later of two entries counts.
        value => {
            entries.push(text(name, python_text(value)));
            if !is_one_of(&DECIMAL_TEXTS, name)
                && let Some((kind, value)) = typed(value)
            {
                entries.push(Entry { kind, name, value });
            }
        }
    }
    Ok(())
}

/// Joins a list by spaces; an empty one is left out.
fn spaced_list(
    description: &EndpointDescription,
    name: &str,
    value: &Value,
) -> Result<Option<String>, EncodeError> {
    let items = value.string_plus();
    for item in &items {
        if item.is_empty() || item.contains(char::is_whitespace) {
            return Err(unfit(
                description,
                name,
                format!("holds '{item}', and spaces separate its items on the wire: rename it"),
            ));
        }
    }
    Ok((!items.is_empty()).then(|| items.join(" ")))
}

/// Whether text and ECF's types alone give back the very same value.
fn keeps_type(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Boolean(_) | Value::Integer(_) | Value::Long(_) => true,
        Value::Bytes(_) => true,
        // A float's shortest decimal form reads back as the same float.
        Value::Float(f) => f.is_finite() && f.to_bits() != (-0.0_f32).to_bits(),
        Value::Double(f) => f.is_finite() && f.to_bits() != (-0.0_f64).to_bits(),
        Value::Character(c) => is_java_char(*c),
        Value::List(items) | Value::Set(items) => items
            .iter()
            .all(|i| matches!(i, Value::String(_) | Value::Boolean(_) | Value::Integer(_))),
        Value::Byte(_) | Value::Short(_) | Value::Array(_) => false,
    }
}

/// Java's `char` is one UTF-16 unit.
fn is_java_char(c: char) -> bool {
    c.len_utf16() == 1
}

/// The entry that ECF reads, if it has a type for the value.
fn typed(value: &Value) -> Option<(&'static str, Json)> {
    Some(match value {
        Value::String(s) => ("string", json!(&**s)),
        Value::Boolean(b) => ("object", json!(b)),
        Value::Byte(n) => ("int", json!(n)),
        Value::Short(n) => ("int", json!(n)),
        Value::Integer(n) => ("int", json!(n)),
        Value::Long(n) => ("long", json!(n)),
        Value::Float(f) => ("float", Json::Number(shortest(*f)?)),
        Value::Double(f) => ("double", Json::Number(Number::from_f64(*f)?)),
        Value::Character(c) if is_java_char(*c) => ("char", json!(c.to_string())),
        Value::Character(_) => return None,
        Value::Bytes(b) => ("bytes", json!(BASE64.encode(b))),
        Value::Array(array) => ("list", json_items(array.items())?),
        Value::List(items) => ("list", json_items(items)?),
        Value::Set(items) => ("set", json_items(items)?),
    })
}

/// A float's shortest decimal form: widened by its bits, 0.1 would be written
/// as 0.10000000149011612.
fn shortest(f: f32) -> Option<Number> {
    let wide = f.to_string().parse().ok()?;
    Number::from_f64(wide)
}

/// JSON's form of a collection, if no item is lost in it.
fn json_items(items: &[Value]) -> Option<Json> {
    items
        .iter()
        .map(|item| match item {
            Value::Bytes(_) => None,
            Value::Array(_) | Value::List(_) | Value::Set(_) => typed(item).map(|(_, json)| json),
            Value::Character(c) => Some(json!(c.to_string())),
            scalar => typed(scalar).map(|(_, json)| json),
        })
        .collect()
}

/// The text that Python gives to a value, as iPOPO writes its own.
fn python_text(value: &Value) -> String {
    let items = |items: &[Value]| items.iter().map(python_item).collect::<Vec<_>>().join(", ");
    match value {
        Value::Boolean(true) => "True".to_owned(),
        Value::Boolean(false) => "False".to_owned(),
        Value::Bytes(bytes) => BASE64.encode(bytes),
        Value::Array(array) => format!("[{}]", items(array.items())),
        Value::List(list) => format!("[{}]", items(list)),
        Value::Set(set) if set.is_empty() => "set()".to_owned(),
        Value::Set(set) => format!("{{{}}}", items(set)),
        Value::Float(f) => format!("{f:?}"),
        Value::Double(f) => format!("{f:?}"),
        scalar => scalar.to_string(),
    }
}

fn python_item(value: &Value) -> String {
    match value {
        Value::String(_) | Value::Character(_) => python_literal(&value.to_string()),
        Value::Bytes(_) => python_literal(&python_text(value)),
        other => python_text(other),
    }
}

/// Text as Python's `repr` has it, so that Python reads the whole list again.
fn python_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\\' | '\'' => literal.extend(['\\', c]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            // All controls of Unicode lie below U+0100.
            c if c.is_control() => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// Checks a host for Java's URI; IPv6 addresses go into brackets.
fn uri_host(host: &str) -> Result<String, EncodeError> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let mut labels = name.split('.');
    // The last label of a name must begin with a letter; else it is an
    // address, and every part of that is a number below 256.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = last.starts_with(|c: char| c.is_ascii_alphabetic()) && labels.all(label);
    if is_name || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    Err(EncodeError::Host {
        host: host.to_owned(),
    })
}

/// The name under which the endpoint with this id is announced, the end of its `location`: the id,
/// with what may not stand in a URI's path as `~` and two hexadecimal digits. Different ids have
/// different names.
///
/// ECF names each service by a fresh id instead, so that the name tells who announced an endpoint.
#[must_use]
pub fn service_name(endpoint_id: &str) -> String {
    let mut name = "osgirsvc_".to_owned();
    for byte in endpoint_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            name.push(char::from(byte));
        } else {
            // Not with `%`: ECF takes such escapes out and reads the URI once more, and its watcher
            // ends on the space, brace or quote that is then in it.
            name.push_str(&format!("~{byte:02X}"));
        }
    }
    name
}
