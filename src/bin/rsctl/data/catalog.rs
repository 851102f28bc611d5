//! empusa's services and switches, etcd-registry's groups and nodes, as templates see them.

use std::collections::BTreeMap;

use osgi_remote::catalog::groups::{self, BasePath, GroupName, Labels, Stored};
use osgi_remote::catalog::{TreeRoot, services, switches};
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

impl Node {
    fn new(group: &GroupName, node: &groups::Node, common: &Labels) -> Self {
        let labels = owned(&node.labels.with_common(common));
        let host = labels.get("ingress_host").filter(|host| !host.is_empty());
        let host = host.unwrap_or(&node.id).clone();
        let path = match node.metrics_path.as_str() {
            "" => "/metrics",
            path => path,
        };
        Self {
            id: node.id.clone(),
            group: group.to_string(),
            exporter_type: node.exporter_type.clone(),
            port: Some(node.port),
            address: address::is_host(&host).then(|| address::join(&host, node.port)),
            host,
            metrics_path: path.to_owned(),
            labels,
            status: node.status.clone(),
        }
    }
}

impl Group {
    /// Its nodes come in any order.
    pub(super) fn new<'a>(
        name: &GroupName,
        common: &Labels,
        nodes: impl IntoIterator<Item = &'a groups::Node>,
    ) -> Self {
        let nodes = nodes.into_iter();
        let mut nodes: Vec<_> = nodes.map(|node| Node::new(name, node, common)).collect();
        nodes.sort_by(|a, b| (&a.id, &a.exporter_type).cmp(&(&b.id, &b.exporter_type)));
        Self {
            name: name.to_string(),
            labels: owned(common),
            nodes,
        }
    }
}

fn owned(labels: &Labels) -> BTreeMap<String, String> {
    let labels = labels.iter();
    labels
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

pub(super) fn service(root: &TreeRoot, key: &[u8], value: &[u8]) -> Result<Service, String> {
    let (kind, name) = services::name_of(root, key)
        .ok_or("the key is not of a service: it must end with TYPE/NAME, and be UTF-8")?;
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

pub(super) fn switch(root: &TreeRoot, key: &[u8], value: &[u8]) -> Result<Switch, String> {
    let name = switches::name_of(root, key)
        .ok_or("the key is not of a switch: it must end with a name, and be UTF-8")?;
    let value = String::from_utf8_lossy(value).into_owned();
    Ok(Switch {
        name: name.to_owned(),
        boolean: switches::boolean(&value),
        value,
    })
}

/// Of a group nothing is kept but its labels: its credentials are nobody's business here.
pub(super) fn group_or_node(base: &BasePath, key: &[u8], value: &[u8]) -> Result<Item, String> {
    match groups::decode(base, key, value) {
        Ok(Stored::Group(group)) => Ok(Item::Group(group.name, group.spec.common_labels)),
        Ok(Stored::Node { group, node }) => Ok(Item::Node(group, node)),
        Err(stranger) => Err(stranger.problem),
    }
}
