//! empusa's services and switches, etcd-registry's groups and nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Item;
use super::address;

/// A service of empusa.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) location: String,
    /// Of the location.
    pub(crate) host: Option<String>,
    /// Of the location.
    pub(crate) port: Option<u16>,
    /// `host:port` of the location, with brackets for IPv6.
    pub(crate) address: Option<String>,
}

/// A switch of empusa.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Switch {
    pub(crate) name: String,
    pub(crate) value: String,
    /// What the value says, if it says yes or no.
    pub(crate) boolean: Option<bool>,
}

/// A group of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Those of the group alone.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) nodes: Vec<Node>,
}

/// A node of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) exporter_type: String,
    /// The label `ingress_host` if there is one, else the id: so promster, which etcd-registry was
    /// made for, finds the node.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// `host:port`, with brackets for IPv6.
    pub(crate) address: Option<String>,
    pub(crate) metrics_path: String,
    /// The group's, and the node's own, which win.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: String,
}

/// What a group's key holds, without its credentials, which are not even read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupEntry {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// What a node's key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeEntry {
    pub(super) group: String,
    id: String,
    exporter_type: String,
    port: Option<u16>,
    metrics_path: String,
    labels: BTreeMap<String, String>,
    status: String,
}

impl NodeEntry {
    /// The node with the labels of its group.
    pub(super) fn with(&self, common: &BTreeMap<String, String>) -> Node {
        let mut labels = common.clone();
        labels.extend(self.labels.clone());
        let host = labels.get("ingress_host").filter(|host| !host.is_empty());
        let host = host.unwrap_or(&self.id).clone();
        let port = self.port.filter(|_| address::is_host(&host));
        Node {
            id: self.id.clone(),
            group: self.group.clone(),
            exporter_type: self.exporter_type.clone(),
            address: port.map(|port| address::join(&host, port)),
            host,
            port: self.port,
            metrics_path: self.metrics_path.clone(),
            labels,
            status: self.status.clone(),
        }
    }
}

/// What of a key is below the prefix.
fn below<'a>(prefix: &str, key: &'a [u8]) -> Result<&'a str, String> {
    let key = std::str::from_utf8(key).map_err(|_| "the key is not UTF-8".to_owned())?;
    let below = key.strip_prefix(prefix).unwrap_or(key);
    if below.is_empty() {
        return Err("the key has no name".to_owned());
    }
    Ok(below)
}

/// Reads `<prefix><type>/<name>`; the name may have more slashes, as empusa's may.
pub(super) fn service(prefix: &str, key: &[u8], value: &[u8]) -> Result<Service, String> {
    let name = below(prefix, key)?;
    let (kind, name) = name
        .split_once('/')
        .filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
        .ok_or("the key is not of a service: it must end with TYPE/NAME")?;
    let location = String::from_utf8_lossy(value).into_owned();
    let place = address::split(&location);
    Ok(Service {
        kind: kind.to_owned(),
        name: name.to_owned(),
        host: place.as_ref().map(|place| place.host.clone()),
        port: place.as_ref().map(|place| place.port),
        address: place.map(|place| place.joined()),
        location,
    })
}

/// Reads `<prefix><name>`.
pub(super) fn switch(prefix: &str, key: &[u8], value: &[u8]) -> Result<Switch, String> {
    let name = below(prefix, key)?.to_owned();
    let value = String::from_utf8_lossy(value).into_owned();
    let boolean = match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "y" | "on" | "1" | "enabled" => Some(true),
        "no" | "false" | "n" | "off" | "0" | "disabled" => Some(false),
        _ => None,
    };
    Ok(Switch {
        name,
        value,
        boolean,
    })
}

#[derive(Deserialize)]
struct WireGroup {
    spec: Option<WireSpec>,
}

#[derive(Deserialize)]
struct WireSpec {
    common_labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct WireNode {
    id: String,
    exporter_type: String,
    port: Option<i64>,
    metrics_path: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    status: Option<String>,
}

/// What is wrong with a value, without anything of it: it may hold a password.
fn wrong(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field is missing or of another type",
        _ => "it is no JSON",
    };
    format!("the value cannot be read: {what} (line {line}, column {column})")
}

/// Reads `<prefix><group>` and `<prefix><group>/nodes/<id>_<type>`.
pub(super) fn group_or_node(prefix: &str, key: &[u8], value: &[u8]) -> Result<Item, String> {
    let segments: Vec<&str> = below(prefix, key)?.split('/').collect();
    match segments[..] {
        [name] => {
            let group: WireGroup = serde_json::from_slice(value).map_err(|error| wrong(&error))?;
            let labels = group.spec.and_then(|spec| spec.common_labels);
            Ok(Item::Group(GroupEntry {
                name: name.to_owned(),
                labels: labels.unwrap_or_default(),
            }))
        }
        [group, "nodes", _] => {
            let node: WireNode = serde_json::from_slice(value).map_err(|error| wrong(&error))?;
            let port = node.port.and_then(|port| u16::try_from(port).ok());
            let path = node.metrics_path.filter(|path| !path.is_empty());
            Ok(Item::Node(NodeEntry {
                group: group.to_owned(),
                id: node.id,
                exporter_type: node.exporter_type,
                port: port.filter(|port| *port != 0),
                metrics_path: path.unwrap_or_else(|| "/metrics".to_owned()),
                labels: node.labels.unwrap_or_default(),
                status: node.status.unwrap_or_default(),
            }))
        }
        _ => Err("the key is of no group and no node".to_owned()),
    }
}
