//! Groups and nodes by single calls.

use std::time::{Duration, SystemTime};

use super::snapshot::{self, Registered, Snapshot};
use super::{BasePath, Error, Group, GroupName, Node, Spec, json};
use crate::ambient;
use crate::keyspace::{self, Client, Condition, ConnectOptions, Entry, Range, Transaction};

/// How often a change is tried when others change the same group. Whenever one fails another has
/// succeeded, so that this many in a row means a crowd.
const ATTEMPTS: usize = 32;

/// The registry of groups below a base. Cheap to clone; clones share a connection, which is made
/// with the first call.
///
/// Calls that are dropped before they end may have been carried out. A call that fails after it
/// was sent says so in its error's cause.
#[derive(Debug, Clone)]
pub struct Groups {
    pub(super) client: Client,
    pub(super) options: ConnectOptions,
    pub(super) base: BasePath,
}

/// A group that was created or joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// As it is in etcd.
    pub group: Group,
    /// Whether it was created by this call.
    pub created: bool,
}

/// A group that was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// As it was.
    pub before: Group,
    /// As it is. What does not differ was not written.
    pub group: Group,
}

/// What is to become of the nodes of a group that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithNodes {
    /// A group that has nodes is not deleted.
    Refuse,
    /// They are deleted with it. Those whose processes live come back, and then the group comes
    /// back too, without its credentials.
    Delete,
}

/// What is to become of a group without nodes when its last one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyGroup {
    /// It stays, with its labels and credentials. So it is in Go's module when a node's process
    /// ends.
    #[default]
    Keep,
    /// It goes, unless it has nodes again in that moment. So it is in Go's module when a node is
    /// deleted.
    Delete,
}

/// What was deleted with a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was a group. Nodes may be there without one.
    pub group: bool,
    /// The keys of the nodes that were there.
    pub nodes: Vec<String>,
}

/// A node that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deregistered {
    /// Its key.
    pub key: String,
    /// The node as it was; none if its value was not readable.
    pub node: Option<Node>,
    /// Whether its group was deleted, because this was the last node.
    pub group_deleted: bool,
}

impl Groups {
    /// The registry below `base`. Nothing is asked of etcd yet.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] for options that cannot be used.
    pub fn new(options: ConnectOptions, base: BasePath) -> Result<Self, Error> {
        let client = Client::new(options.clone()).map_err(Error::Connect)?;
        Ok(Self {
            client,
            options,
            base,
        })
    }

    /// Where the groups are.
    #[must_use]
    pub const fn base(&self) -> &BasePath {
        &self.base
    }

    /// Creates a group, or joins the one that is there, in one transaction. One that is there
    /// stays as it is, whatever `spec` says.
    ///
    /// # Errors
    ///
    /// [`Error::Create`], and [`Error::Malformed`] if what is there is no group.
    pub async fn create_or_join(&self, name: &GroupName, spec: Spec) -> Result<Joined, Error> {
        let key = self.base.group_key(name);
        let group = Group::new(name.clone(), spec, now());
        let value = json::encode_group(&group).map_err(|problem| malformed(&key, problem))?;
        let transaction = Transaction::new()
            .when(Condition::absent(key.as_str()))
            .then_put(key.as_str(), value, None)
            .or_get(key.as_str());
        let outcome = self.client.transact(transaction).await;
        let outcome = outcome.map_err(|cause| Error::Create {
            group: name.clone(),
            cause: Box::new(cause),
        })?;
        if outcome.succeeded {
            return Ok(Joined {
                group,
                created: true,
            });
        }
        let mut answers = outcome.answers.into_iter();
        let mut there = answers.next().map_or_else(Vec::new, |a| a.into_entries());
        let there = there.pop().ok_or_else(|| missing(name, &key))?;
        Ok(Joined {
            group: decode(name, &there)?,
            created: false,
        })
    }

    /// A group; none if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] and [`Error::Malformed`].
    pub async fn get(&self, name: &GroupName) -> Result<Option<Group>, Error> {
        let entry = self.entry(name).await?;
        entry.map(|entry| decode(name, &entry)).transpose()
    }

    async fn entry(&self, name: &GroupName) -> Result<Option<Entry>, Error> {
        let key = self.base.group_key(name);
        let entry = self.client.get(key.as_str()).await;
        entry.map_err(|cause| Error::Read {
            key,
            cause: Box::new(cause),
        })
    }

    /// All groups and nodes, as they are at one revision.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]. What cannot be read of single keys is in the snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let prefix = self.base.prefix();
        let listing = self.list(&prefix).await?;
        Ok(snapshot::of(&self.base, listing))
    }

    /// A group and its nodes. The group is read after them, so that one which is created or
    /// deleted in between may be seen with what it had before.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]. What cannot be read of single keys is in the snapshot.
    pub async fn snapshot_of(&self, name: &GroupName) -> Result<Snapshot, Error> {
        let prefix = format!("{}/", self.base.group_key(name));
        let mut listing = self.list(&prefix).await?;
        listing.extend(self.entry(name).await?);
        Ok(snapshot::of(&self.base, listing))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let listing = self.client.list(Range::prefix(prefix)).await;
        let listing = listing.map_err(|cause| Error::Read {
            key: prefix.to_owned(),
            cause: Box::new(cause),
        })?;
        Ok(listing.entries)
    }

    /// How long the lease of a node still runs; none if it has none, or if it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub async fn lease_left(&self, node: &Registered) -> Result<Option<Duration>, Error> {
        let Some(lease) = node.lease else {
            return Ok(None);
        };
        let info = self.client.lease(lease).await;
        let info = info.map_err(|cause| Error::Read {
            key: node.key.clone(),
            cause: Box::new(cause),
        })?;
        Ok(info.map(|info| info.left))
    }

    /// Changes a group by comparing and swapping: if another changes it in the same moment, it is
    /// read and `edit` is called again. What does not differ is not written.
    ///
    /// # Errors
    ///
    /// What `edit` says; [`Error::Missing`], [`Error::Read`], [`Error::Malformed`],
    /// [`Error::Configure`], and [`Error::Conflict`] after 32 changes by others in a row.
    pub async fn configure(
        &self,
        name: &GroupName,
        mut edit: impl FnMut(&mut Spec) -> Result<(), Error>,
    ) -> Result<Configured, Error> {
        let key = self.base.group_key(name);
        for _ in 0..ATTEMPTS {
            let entry = self.entry(name).await?;
            let entry = entry.ok_or_else(|| missing(name, &key))?;
            let before = decode(name, &entry)?;
            let mut group = before.clone();
            edit(&mut group.spec)?;
            if group == before || self.swap(&entry, &group).await? {
                return Ok(Configured { before, group });
            }
        }
        Err(Error::Conflict {
            key,
            attempts: ATTEMPTS,
        })
    }

    /// Writes a group over what was read. A lease that it may be under stays.
    async fn swap(&self, read: &Entry, group: &Group) -> Result<bool, Error> {
        let key = self.base.group_key(&group.name);
        let value = json::encode_group(group).map_err(|problem| malformed(&key, problem))?;
        let transaction = Transaction::new()
            .when(Condition::mod_revision(key.as_str(), read.mod_revision))
            .then_put(key.as_str(), value, read.lease);
        let outcome = self.client.transact(transaction).await;
        let outcome = outcome.map_err(|cause| Error::Configure {
            group: group.name.clone(),
            cause: Box::new(cause),
        })?;
        Ok(outcome.succeeded)
    }

    /// Deletes a group in one transaction: its key and, if that is wished, those of its nodes.
    /// No other key is touched, not even of a group whose name begins alike, which Go's module
    /// deletes too.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is neither group nor node, [`Error::Occupied`] if there are
    /// nodes which are not to be deleted, and [`Error::Delete`].
    pub async fn delete(&self, name: &GroupName, nodes: WithNodes) -> Result<Deleted, Error> {
        let (key, below) = (self.base.group_key(name), self.base.nodes_prefix(name));
        let of_nodes = Range::prefix(below.as_str());
        let delete = Transaction::new().then_delete(key.as_str());
        let delete = match nodes {
            WithNodes::Refuse => delete.when(Condition::empty(of_nodes)),
            WithNodes::Delete => delete.then_delete(of_nodes),
        };
        let outcome = self.client.transact(delete).await;
        let outcome = outcome.map_err(|cause| Error::Delete {
            group: name.clone(),
            cause: Box::new(cause),
        })?;
        if !outcome.succeeded {
            let nodes = self.count_nodes(&below).await?;
            return Err(Error::Occupied {
                group: name.clone(),
                nodes,
                key: below,
            });
        }
        let mut answers = outcome.answers.into_iter().map(|a| a.into_entries());
        let group = answers.next().is_some_and(|there| !there.is_empty());
        let nodes = answers.next().unwrap_or_default();
        let nodes: Vec<String> = nodes.iter().map(|n| n.key_text().into_owned()).collect();
        if !group && nodes.is_empty() {
            return Err(missing(name, &key));
        }
        Ok(Deleted { group, nodes })
    }

    async fn count_nodes(&self, below: &str) -> Result<usize, Error> {
        let listing = self.client.list_keys(Range::prefix(below)).await;
        let listing = listing.map_err(|cause| Error::Read {
            key: below.to_owned(),
            cause: Box::new(cause),
        })?;
        Ok(listing.entries.len())
    }

    /// Deletes exactly the key of a node, whoever registered it, unless it holds a node of another
    /// id or type. One whose process lives comes back. Then, if that is wished, the group is deleted, provided that it has no node in that
    /// moment.
    ///
    /// # Errors
    ///
    /// [`Error::NoNode`], [`Error::OtherNode`], [`Error::Read`], [`Error::Conflict`] and
    /// [`Error::Deregister`]. If only the group could not be deleted, the
    /// node is gone all the same: [`Error::Delete`].
    pub async fn deregister(
        &self,
        group: &GroupName,
        id: &str,
        exporter_type: &str,
        empty: EmptyGroup,
    ) -> Result<Deregistered, Error> {
        let key = self.base.node_key(group, id, exporter_type);
        let node = self.delete_node(&key, id, exporter_type).await?;
        let group_deleted = match empty {
            EmptyGroup::Keep => false,
            EmptyGroup::Delete => self.delete_if_empty(group).await?,
        };
        Ok(Deregistered {
            key,
            node,
            group_deleted,
        })
    }

    /// Deletes the key of a node as it was read, and returns the node; none if it was unreadable.
    /// Its process may write it in between, and then it is read again.
    async fn delete_node(
        &self,
        key: &str,
        id: &str,
        exporter_type: &str,
    ) -> Result<Option<Node>, Error> {
        for _ in 0..ATTEMPTS {
            let entry = self.client.get(key).await.map_err(|cause| Error::Read {
                key: key.to_owned(),
                cause: Box::new(cause),
            })?;
            let Some(entry) = entry else {
                let key = key.to_owned();
                return Err(Error::NoNode { key });
            };
            let node = json::decode_node(&entry.value).ok();
            if let Some(other) = &node
                && (other.id != id || other.exporter_type != exporter_type)
            {
                return Err(Error::OtherNode {
                    key: key.to_owned(),
                    id: other.id.clone(),
                    exporter_type: other.exporter_type.clone(),
                });
            }
            let delete = Transaction::new()
                .when(Condition::mod_revision(key, entry.mod_revision))
                .then_delete(key);
            let outcome = self.client.transact(delete).await;
            let outcome = outcome.map_err(|cause| Error::Deregister {
                key: key.to_owned(),
                cause: Box::new(cause),
            })?;
            if outcome.succeeded {
                return Ok(node);
            }
        }
        Err(Error::Conflict {
            key: key.to_owned(),
            attempts: ATTEMPTS,
        })
    }

    /// Deletes a group if it has no node, in one transaction: a node that is registered in the
    /// same moment is either seen, and then the group stays, or finds no group and makes it again.
    ///
    /// Returns whether the group was there and is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Delete`].
    pub async fn delete_if_empty(&self, name: &GroupName) -> Result<bool, Error> {
        let key = self.base.group_key(name);
        let nodes = Range::prefix(self.base.nodes_prefix(name));
        let transaction = Transaction::new()
            .when(Condition::present(key.as_str()))
            .when(Condition::empty(nodes))
            .then_delete(key);
        let outcome = self.client.transact(transaction).await;
        let outcome = outcome.map_err(|cause| Error::Delete {
            group: name.clone(),
            cause: Box::new(cause),
        })?;
        Ok(outcome.succeeded)
    }

    /// Makes the group of a node again if it is gone while the node is there.
    pub(super) async fn restore(&self, group: &Group, node_key: &str) -> Result<bool, Error> {
        let key = self.base.group_key(&group.name);
        let value = json::encode_group(group).map_err(|problem| malformed(&key, problem))?;
        let transaction = Transaction::new()
            .when(Condition::absent(key.as_str()))
            .when(Condition::present(node_key))
            .then_put(key, value, None);
        let outcome = self.client.transact(transaction).await;
        let outcome = outcome.map_err(|cause| Error::Create {
            group: group.name.clone(),
            cause: Box::new(cause),
        })?;
        Ok(outcome.succeeded)
    }
}

/// The time of day, which a simulation may set.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + ambient::since_1970()
}

fn decode(name: &GroupName, entry: &Entry) -> Result<Group, Error> {
    json::decode_group(name.clone(), &entry.value).map_err(|problem| Error::Malformed {
        key: entry.key_text().into_owned(),
        problem,
    })
}

fn missing(group: &GroupName, key: &str) -> Error {
    Error::Missing {
        group: group.clone(),
        key: key.to_owned(),
    }
}

fn malformed(key: &str, problem: String) -> Error {
    Error::Malformed {
        key: key.to_owned(),
        problem,
    }
}

/// For whoever turns a session's error into ours.
pub(super) fn cannot_register(key: &str, cause: keyspace::Error) -> Error {
    Error::Register {
        key: key.to_owned(),
        cause: Box::new(cause),
    }
}
