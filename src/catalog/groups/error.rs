//! What can go wrong with groups and nodes, by the step that failed.

use super::GroupName;
use crate::keyspace;

/// An error of the registry of groups, named after the step that failed. No error tells a
/// credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key below which groups are to be cannot be used.
    #[error("`{path}` is no place for groups: {problem}; write a key such as /services")]
    Base {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A name cannot be used.
    #[error("`{name}` is no name for a group: {problem}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A label cannot be used.
    #[error("label `{label}` cannot be used: {problem}")]
    Label {
        /// As it was given.
        label: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A node cannot be registered as it is.
    #[error("node `{node}` cannot be registered: {problem}")]
    Node {
        /// Its id.
        node: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },

    /// There is no such group.
    #[error("there is no group `{group}`: etcd has no key `{key}`")]
    Missing {
        /// The group.
        group: GroupName,
        /// Its key.
        key: String,
    },

    /// There is no such node.
    #[error("there is no such node: etcd has no key `{key}`")]
    NoNode {
        /// The node's key.
        key: String,
    },

    /// The node's key holds another node: id and type stand in the key with `_` between, which
    /// either may have itself.
    #[error(
        "`{key}` is the key of another node, id `{id}` and type `{exporter_type}`, and is left \
         alone; give that id and that type if it is meant"
    )]
    OtherNode {
        /// The key.
        key: String,
        /// The id of the node that is there.
        id: String,
        /// What that one exports.
        exporter_type: String,
    },

    /// The group has nodes, and was to be deleted only without.
    #[error(
        "group `{group}` has {} below `{key}`; end them first, or delete them with it",
        counted(*nodes)
    )]
    Occupied {
        /// The group.
        group: GroupName,
        /// How many nodes it has.
        nodes: usize,
        /// The key below which they are.
        key: String,
    },

    /// What a key holds cannot be read.
    #[error(
        "the value of `{key}` cannot be used: {problem}; put a good one there, or delete the key"
    )]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// Others were faster, again and again.
    #[error("`{key}` was changed by others {attempts} times while it was to be changed; try again")]
    Conflict {
        /// The key.
        key: String,
        /// How often it was tried.
        attempts: usize,
    },

    /// A group could not be created or joined.
    #[error("group `{group}` cannot be created or joined: {cause}")]
    Create {
        /// The group.
        group: GroupName,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// Groups and nodes could not be read.
    #[error("`{key}` cannot be read: {cause}")]
    Read {
        /// The key, or the prefix of the keys.
        key: String,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// A group could not be changed.
    #[error("group `{group}` cannot be configured: {cause}")]
    Configure {
        /// The group.
        group: GroupName,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// A group could not be deleted.
    #[error("group `{group}` cannot be deleted: {cause}")]
    Delete {
        /// The group.
        group: GroupName,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// A node could not be registered.
    #[error("node `{key}` cannot be registered: {cause}")]
    Register {
        /// The node's key.
        key: String,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// A node could not be taken out.
    #[error("node `{key}` cannot be deregistered: {cause}")]
    Deregister {
        /// The node's key.
        key: String,
        /// What stood behind it.
        #[source]
        cause: Box<keyspace::Error>,
    },

    /// The way to etcd cannot be used as it is set.
    #[error(transparent)]
    Connect(keyspace::Error),
}

fn counted(nodes: usize) -> String {
    match nodes {
        1 => "1 node".to_owned(),
        many => format!("{many} nodes"),
    }
}

impl Error {
    pub(super) fn name(name: &str, problem: &'static str) -> Self {
        Self::Name {
            name: name.to_owned(),
            problem,
        }
    }

    /// What the key space said, if it was asked.
    #[must_use]
    pub fn cause(&self) -> Option<&keyspace::Error> {
        match self {
            Self::Create { cause, .. }
            | Self::Read { cause, .. }
            | Self::Configure { cause, .. }
            | Self::Delete { cause, .. }
            | Self::Register { cause, .. }
            | Self::Deregister { cause, .. } => Some(cause),
            Self::Connect(cause) => Some(cause),
            _ => None,
        }
    }
}
