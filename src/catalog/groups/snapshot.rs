//! What is below the base, as it was read.

use std::collections::BTreeMap;

use super::{BasePath, Group, GroupName, Labels, Node, Stored, decode};
use crate::keyspace::Entry;

/// Groups and nodes, and what is neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The groups by their names, with those of which only nodes are there.
    pub groups: BTreeMap<GroupName, Members>,
    /// Keys that are neither a group nor a node, or cannot be read, by key.
    pub strangers: Vec<Stranger>,
}

/// A group and its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The group; none if only nodes are there, or if its value cannot be read.
    pub group: Option<Group>,
    /// The nodes, by key.
    pub nodes: Vec<Registered>,
}

/// A node in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its key.
    pub key: String,
    /// As it is in etcd. Its labels are those of the time when it was registered.
    pub node: Node,
    /// The lease that it goes with.
    pub lease: Option<i64>,
}

/// A key in range that is neither a group nor a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The key; bytes that are no UTF-8 are replaced.
    pub key: String,
    /// What is wrong with it. It tells nothing of the value.
    pub problem: String,
}

impl Members {
    /// The labels of one of the nodes: its own, and of the group's those whose keys it has not.
    #[must_use]
    pub fn labels_of(&self, node: &Node) -> Labels {
        match &self.group {
            Some(group) => node.labels.with_common(&group.spec.common_labels),
            None => node.labels.clone(),
        }
    }
}

pub(super) fn of(base: &BasePath, mut entries: Vec<Entry>) -> Snapshot {
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let mut snapshot = Snapshot::default();
    for entry in entries {
        match decode(base, &entry.key, &entry.value) {
            Ok(stored) => add(stored, &entry, &mut snapshot.groups),
            Err(stranger) => snapshot.strangers.push(stranger),
        }
    }
    snapshot
}

fn add(stored: Stored, entry: &Entry, groups: &mut BTreeMap<GroupName, Members>) {
    match stored {
        Stored::Group(group) => {
            let members = groups.entry(group.name.clone()).or_default();
            members.group = Some(group);
        }
        Stored::Node { group, node } => groups.entry(group).or_default().nodes.push(Registered {
            key: entry.key_text().into_owned(),
            node,
            lease: entry.lease,
        }),
    }
}
