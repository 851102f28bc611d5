//! The keys, their versions, and the history of changes.
//!
//! `current` has the keys that are there now, so that reading now never meets
//! what was. `past` has the versions that were replaced or removed and are not
//! compacted yet. The history shares all values with both.

mod compaction;
pub(crate) mod event;
pub(crate) mod range;
#[cfg(test)]
mod tests;
pub(crate) mod txn;
pub(crate) mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::proto::PbKeyValue;

use self::event::{Change, Commit, Kind};

/// The keys with their history.
#[derive(Debug)]
pub(crate) struct Store {
    revision: i64,
    compacted: i64,
    current: BTreeMap<Bytes, Arc<PbKeyValue>>,
    past: BTreeMap<Bytes, Superseded>,
    history: VecDeque<Arc<Commit>>,
    /// Of keys and values in `current` and `past`.
    bytes: usize,
    /// About what `current` takes in memory, and what `past` and `history` do.
    live: usize,
    kept: usize,
}

impl Store {
    /// An empty store, at revision 1 as etcd's.
    pub(crate) fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            current: BTreeMap::new(),
            past: BTreeMap::new(),
            history: VecDeque::new(),
            bytes: 0,
            live: 0,
            kept: 0,
        }
    }

    /// The revision of the latest change; 1 when there was none.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision up to which older versions are forgotten; -1 when it was
    /// never compacted. What the store was at this revision can still be read.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The history from a revision on, ascending. It begins at
    /// [`Store::compacted`], or later if that changed nothing.
    pub(crate) fn commits_from(&self, revision: i64) -> impl Iterator<Item = &Arc<Commit>> {
        let first = self.history.partition_point(|c| c.revision < revision);
        self.history.range(first..)
    }

    /// How many bytes the keys and values of all versions have.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes the present keys take in memory, without what was.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live
    }

    /// About how many bytes the history takes in memory, with the versions that are no more.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept
    }

    fn get(&self, key: &[u8]) -> Option<&Arc<PbKeyValue>> {
        self.current.get(key)
    }
}

/// The versions of one key that are no more, oldest first.
#[derive(Debug, Default)]
struct Superseded(VecDeque<Version>);

/// A version from its `mod_revision` until before `until`, when it was replaced
/// or removed. So no tombstones are needed.
#[derive(Debug)]
struct Version {
    kv: Arc<PbKeyValue>,
    until: i64,
}

impl Superseded {
    /// The version that was there at a revision.
    fn at(&self, revision: i64) -> Option<&Arc<PbKeyValue>> {
        let first_after = self.0.partition_point(|v| v.until <= revision);
        let version = self.0.get(first_after)?;
        (version.kv.mod_revision <= revision).then_some(&version.kv)
    }
}

fn size(kv: &PbKeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

/// What a version takes beside key and value, about; etcd reckons with the same.
const OVERHEAD: usize = 256;
/// The same for an event of the history, which shares key and value with the version.
const EVENT: usize = 96;

/// About what a version takes in memory.
pub(crate) fn footprint(key: &[u8], value: &[u8]) -> usize {
    OVERHEAD + key.len() + value.len()
}

fn footprint_of(kv: &PbKeyValue) -> usize {
    footprint(&kv.key, &kv.value)
}

/// About what a commit takes in memory beside the versions that are in `current` and `past`.
fn footprint_of_commit(commit: &Commit) -> usize {
    let removed = |change: &&Change| change.kind == Kind::Delete;
    let removed = commit.events.iter().filter(removed);
    let tombstones: usize = removed.map(|change| footprint_of(&change.kv)).sum();
    EVENT * (1 + commit.events.len()) + tombstones + commit.unseen
}
