//! Endpoints of remote services.

use std::collections::BTreeMap;

use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::endpoint::service_info;
use osgi_remote::names::TopKey;
use osgi_remote::properties::Value;
use serde::{Deserialize, Serialize};

use super::address;

/// An endpoint, as templates see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// `endpoint.id`.
    pub(crate) id: String,
    /// The session whose lease it is under.
    pub(crate) session: String,
    /// `endpoint.framework.uuid`, if it says so.
    pub(crate) framework: Option<String>,
    pub(crate) interfaces: Vec<String>,
    /// Config types, such as `ecf.xmlrpc.server`.
    pub(crate) configs: Vec<String>,
    pub(crate) intents: Vec<String>,
    /// `ecf.endpoint.id`, the URL of the server, where there is one.
    pub(crate) uri: Option<String>,
    /// Of the URI.
    pub(crate) host: Option<String>,
    /// Of the URI.
    pub(crate) port: Option<u16>,
    /// `host:port` of the URI, with brackets for IPv6.
    pub(crate) address: Option<String>,
    /// Lower is to be preferred.
    pub(crate) priority: i64,
    /// The share among those of one priority.
    pub(crate) weight: i64,
    /// All properties, by their names.
    pub(crate) properties: BTreeMap<String, serde_json::Value>,
}

/// Reads a key below the top key; none for a session's own key.
pub(super) fn parse(top: &TopKey, key: &[u8], value: &[u8]) -> Result<Option<Endpoint>, String> {
    let (session, id) = match keys::parse(top, key).map_err(|error| error.to_string())? {
        Key::Session(_) => return Ok(None),
        Key::Endpoint(session, id) => (session, id),
    };
    let info = service_info::decode(value).map_err(|error| error.to_string())?;
    let description = info.description;
    if *description.id() != id {
        return Err(format!(
            "the key ends with '{id}', and the value's endpoint.id is '{}'",
            description.id()
        ));
    }
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let uri = description.container_id().map(str::to_owned);
    let place = uri.as_deref().and_then(address::split);
    Ok(Some(Endpoint {
        id: id.to_string(),
        session: session.to_string(),
        framework: description.framework_uuid().map(str::to_owned),
        interfaces: owned(description.interfaces()),
        configs: owned(description.config_types()),
        intents: owned(description.intents()),
        host: place.as_ref().map(|place| place.host.clone()),
        port: place.as_ref().map(|place| place.port),
        address: place.map(|place| place.joined()),
        uri,
        priority: info.priority,
        weight: info.weight,
        properties: description
            .properties()
            .iter()
            .map(|(name, value)| (name.to_owned(), json(value)))
            .collect(),
    }))
}

/// A property's value: numbers, booleans and lists stay what they are, all else is text.
fn json(value: &Value) -> serde_json::Value {
    if let Some(items) = value.items() {
        return items.iter().map(json).collect();
    }
    match value {
        Value::Boolean(flag) => (*flag).into(),
        Value::Float(number) => f64::from(*number).into(),
        Value::Double(number) => (*number).into(),
        Value::Bytes(bytes) => bytes.iter().copied().collect(),
        Value::Byte(_) | Value::Short(_) | Value::Integer(_) | Value::Long(_) => {
            value.to_i64().into()
        }
        other => other.to_string().into(),
    }
}
