//! Forgetting what is old, and all that is there at once.

use std::collections::HashSet;
use std::sync::Arc;

use etcd_client::proto::PbKeyValue;

use super::event::{Change, Commit, Kind};
use super::range::KeyRange;
use super::{Store, footprint_of, footprint_of_commit, size};
use crate::embedded::error::Error;

impl Store {
    /// Forgets the versions that no read at `revision` or later can see, and
    /// the history before it. The work is that of the commits forgotten.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Error> {
        self.compact_to(revision, survivors)
    }

    /// Leaves of the revision that it ends with what `left` makes of it.
    fn compact_to(&mut self, revision: i64, left: fn(&Commit) -> Commit) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        while let Some(commit) = self.history.pop_front() {
            if commit.revision > revision {
                self.history.push_front(commit);
                break;
            }
            self.kept -= footprint_of_commit(&commit);
            for change in &commit.events {
                self.forget(&change.kv.key, revision);
            }
            if commit.revision == revision {
                // A watch may begin here, and sees what is still there.
                let left = left(&commit);
                self.kept += footprint_of_commit(&left);
                self.history.push_front(Arc::new(left));
                break;
            }
        }
        Ok(())
    }

    /// Compacts so that no more than `count` revisions before the present one
    /// can be read.
    pub(crate) fn keep(&mut self, count: u64) {
        let oldest = self.revision.saturating_sub_unsigned(count);
        if oldest > self.compacted.max(1) {
            let done = self.compact_to(oldest, last_words);
            debug_assert!(done.is_ok(), "between compacted and present");
        }
    }

    /// Compacts, the oldest revision first, until the history has no more than so many bytes, or is
    /// as short as it can be.
    pub(crate) fn keep_bytes(&mut self, bytes: usize) {
        while self.kept > bytes && self.compacted < self.revision {
            // Those in between changed nothing: they were compacted with others.
            let oldest = self.commits_from(self.compacted + 1).next();
            let oldest = oldest.map_or(self.revision, |commit| commit.revision);
            let done = self.compact_to(oldest, last_words);
            debug_assert!(done.is_ok(), "between compacted and present");
        }
    }

    fn forget(&mut self, key: &[u8], revision: i64) {
        let Some(versions) = self.past.get_mut(key) else {
            return;
        };
        while let Some(oldest) = versions.0.pop_front_if(|v| v.until <= revision) {
            self.bytes -= size(&oldest.kv);
            self.kept -= footprint_of(&oldest.kv);
        }
        if versions.0.is_empty() {
            self.past.remove(key);
        }
    }

    /// All keys as they were at a revision, 0 for now.
    pub(crate) fn snapshot(&self, revision: i64) -> Result<Snapshot, Error> {
        self.check_readable(revision, self.revision)?;
        let at = if revision > 0 {
            revision
        } else {
            self.revision
        };
        let kvs = self.as_of(KeyRange::From(&[]), at);
        Ok(Snapshot(kvs.map(Arc::clone).collect()))
    }
}

/// All keys as they were at one revision.
#[derive(Debug)]
pub(crate) struct Snapshot(Vec<Arc<PbKeyValue>>);

impl Snapshot {
    /// A hash: equal for equal contents, but not the number that etcd has for
    /// them. It reads every byte: do it outside of the lock.
    pub(crate) fn hash(&self) -> u32 {
        let mut hash = Fnv::default();
        for kv in &self.0 {
            for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
                hash.eat(&number.to_le_bytes());
            }
            for bytes in [&kv.key, &kv.value] {
                hash.eat(&bytes.len().to_le_bytes());
                hash.eat(bytes);
            }
        }
        hash.0
    }
}

/// What etcd keeps of the revision that a compaction ends with: the keys that were there after it, and
/// nothing of what was before.
fn survivors(commit: &Commit) -> Commit {
    let mut left = last_words(commit);
    left.events.retain(|change| change.kind == Kind::Put);
    left
}

/// What is kept of it where nobody asked for a compaction: for each key how it went out, also if that
/// is its end. A watch that has seen all before goes on here, and would never hear of it.
fn last_words(commit: &Commit) -> Commit {
    let mut later = HashSet::new();
    let mut events: Vec<Change> = Vec::new();
    for change in commit.events.iter().rev() {
        if later.insert(&change.kv.key) {
            events.push(Change {
                kind: change.kind,
                kv: Arc::clone(&change.kv),
                previous: None,
            });
        }
    }
    events.reverse();
    Commit {
        revision: commit.revision,
        events,
        unseen: 0,
    }
}

/// FNV-1a of 32 bits: the standard library's hashers promise no stable result.
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}
