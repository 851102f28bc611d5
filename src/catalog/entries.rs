//! The entries of one registry: keys below a prefix, each with text as its value.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{EntryName, TreeRoot};
use crate::keyspace::{Client, Committed, Entry, Error, Range};

/// Leases that are asked for their time at once.
const LEASES_AT_ONCE: usize = 16;

/// An entry of a list, with the time that it has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entry.
    pub entry: T,
    /// How long its lease lasts, in whole seconds, rounded up as etcd v2 does; `None` for an entry
    /// without a lease, which stays until somebody removes it.
    pub left: Option<Duration>,
}

/// One entry as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    /// What follows the prefix in its key.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) mod_revision: i64,
    pub(super) lease: Option<i64>,
}

impl Raw {
    /// `None` for a key that is not text or not below the prefix. A value that is no text is read
    /// with replacements: a location that cannot be shown whole is better than none.
    pub(super) fn read(
        prefix: &str,
        key: &[u8],
        value: &Bytes,
        mod_revision: i64,
        lease: Option<i64>,
    ) -> Option<Self> {
        let Ok(text) = std::str::from_utf8(key) else {
            let key = String::from_utf8_lossy(key);
            tracing::warn!(%key, "a key that is not UTF-8 is no entry");
            return None;
        };
        let name = text.strip_prefix(prefix).filter(|name| !name.is_empty())?;
        Some(Self {
            name: name.to_owned(),
            value: String::from_utf8_lossy(value).into_owned(),
            mod_revision,
            lease,
        })
    }

    fn of(prefix: &str, entry: &Entry) -> Option<Self> {
        let (value, revision) = (&entry.value, entry.mod_revision);
        Self::read(prefix, &entry.key, value, revision, entry.lease)
    }
}

/// One registry.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    client: Client,
    prefix: String,
}

impl Entries {
    pub(super) fn new(client: Client, root: &TreeRoot, registry: &str) -> Self {
        let prefix = root.of(registry);
        Self { client, prefix }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn key(&self, name: &EntryName) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn read(&self, entry: &Entry) -> Option<Raw> {
        Raw::of(&self.prefix, entry)
    }

    pub(super) async fn get(&self, name: &EntryName) -> Result<Option<Raw>, Error> {
        let entry = self.client.get(self.key(name)).await?;
        Ok(entry.and_then(|entry| self.read(&entry)))
    }

    /// Those below a name, or the one of this name if there are none; all without a name. In the
    /// order of their names.
    pub(super) async fn list(&self, below: Option<&EntryName>) -> Result<Vec<Listed<Raw>>, Error> {
        let prefix = match below {
            Some(name) => format!("{}{name}/", self.prefix),
            None => self.prefix.clone(),
        };
        let mut entries = self.client.list(Range::prefix(prefix)).await?.entries;
        if let Some(name) = below
            && entries.is_empty()
        {
            entries.extend(self.client.get(self.key(name)).await?);
        }
        let raw = entries.iter().filter_map(|entry| self.read(entry));
        self.with_time_left(raw.collect()).await
    }

    async fn with_time_left(&self, raw: Vec<Raw>) -> Result<Vec<Listed<Raw>>, Error> {
        let leases: BTreeSet<i64> = raw.iter().filter_map(|raw| raw.lease).collect();
        let left: HashMap<i64, Option<Duration>> = stream::iter(leases)
            .map(|lease| async move { Ok::<_, Error>((lease, self.time_left(lease).await?)) })
            .buffer_unordered(LEASES_AT_ONCE)
            .try_collect()
            .await?;
        let listed = raw.into_iter().filter_map(|entry| {
            let left = match entry.lease {
                None => None,
                // The lease ended since the keys were read, and took this one along.
                Some(lease) => Some((*left.get(&lease)?)?),
            };
            Some(Listed { entry, left })
        });
        Ok(listed.collect())
    }

    /// `None` if the lease is gone. etcd v3 rounds down what v2 rounded up.
    async fn time_left(&self, lease: i64) -> Result<Option<Duration>, Error> {
        let info = self.client.lease(lease).await?;
        Ok(info.map(|info| (info.left + Duration::from_secs(1)).min(info.granted)))
    }

    /// Puts an entry, without a lease or under a fresh one. A write that fails gives the lease back:
    /// also one of which nobody knows whether it was carried out then leaves nothing behind.
    pub(super) async fn put(
        &self,
        name: &EntryName,
        value: &str,
        ttl: Option<Duration>,
    ) -> Result<Committed, Error> {
        let lease = match ttl {
            Some(ttl) => Some(self.client.grant(ttl).await?.id),
            None => None,
        };
        let result = self
            .client
            .put(self.key(name), value.to_owned(), lease)
            .await;
        if let (Err(_), Some(lease)) = (&result, lease) {
            self.give_back(lease).await;
        }
        result
    }

    /// A lease with nothing under it ends by itself, so that this may fail.
    pub(super) async fn give_back(&self, lease: i64) {
        if let Err(error) = self.client.revoke(lease).await {
            tracing::warn!(%error, "a lease that is not needed ends only with its time");
        }
    }

    pub(super) async fn remove(&self, name: &EntryName) -> Result<Option<Raw>, Error> {
        let removed = self.client.delete(self.key(name)).await?;
        Ok(removed.and_then(|entry| self.read(&entry)))
    }
}
