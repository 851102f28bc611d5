//! The keys that a session wants, against those that it knows to be in the store.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::keyspace::range::Entry;

/// Names one caller who waits for a key to be written.
pub(crate) type WaiterId = u64;

/// A caller whose key is settled, and the revision that settled it.
pub(crate) type Settled = (WaiterId, i64);

/// One operation of a transaction, valid only while the key's modification revision is `base`.
///
/// A request may be carried out long after its caller gave up on it (a stopped server finds it in
/// its socket when it is resumed). Without the comparison such a late write or delete would undo
/// what was written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) key: String,
    /// The key's expected modification revision; zero when the key must not exist.
    pub(crate) base: i64,
    /// The value to put, or none to delete.
    pub(crate) value: Option<Bytes>,
    pub(crate) waiters: Vec<WaiterId>,
}

impl Op {
    /// What the operation takes in a request, generously: the key stands in it twice, in the
    /// comparison and in the operation.
    pub(crate) fn size(&self) -> usize {
        request_size(&self.key, self.value.as_ref().map_or(0, Bytes::len))
    }
}

/// What one key takes in a request, in bytes.
pub(crate) const fn request_size(key: &str, value_len: usize) -> usize {
    const FIELDS: usize = 64;
    2 * key.len() + value_len + FIELDS
}

/// What is known to be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    mod_revision: i64,
    lease: i64,
    value: Bytes,
}

#[derive(Debug, Default)]
struct Slot {
    want: Option<Bytes>,
    stored: Option<Stored>,
    /// In the order of their calls. While a write is on its way its waiters are with it.
    waiters: Vec<WaiterId>,
    queued: bool,
}

impl Slot {
    fn is_settled(&self, lease: i64) -> bool {
        match (&self.want, &self.stored) {
            (None, None) => true,
            (Some(want), Some(stored)) => stored.lease == lease && stored.value == *want,
            _ => false,
        }
    }
}

/// Wanted against stored, and the queue of keys in which they may differ.
///
/// The memory is that of the wanted values: a stored value shares the bytes of the wanted one.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    slots: BTreeMap<String, Slot>,
    queue: VecDeque<String>,
    /// The newest revision known here.
    revision: i64,
    wanted: usize,
}

impl Wanted {
    /// The number of keys that are wanted.
    pub(crate) const fn len(&self) -> usize {
        self.wanted
    }

    /// The number of keys that wait to be written.
    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Takes later news of a key. News not yet written is replaced, and its waiters then wait for
    /// the later commit.
    pub(crate) fn want(&mut self, key: String, value: Option<Bytes>, waiters: Vec<WaiterId>) {
        let slot = self.slots.entry(key.clone()).or_default();
        match (slot.want.is_some(), value.is_some()) {
            (false, true) => self.wanted += 1,
            (true, false) => self.wanted -= 1,
            _ => {}
        }
        slot.want = value;
        slot.waiters.extend(waiters);
        if !slot.queued {
            slot.queued = true;
            self.queue.push_back(key);
        }
    }

    /// Takes a complete reading of the session's prefix, and queues every key that differs.
    ///
    /// `is_ours` tells the leases whose keys may be deleted when they are not wanted: our own,
    /// those that we had before, and none at all (nobody would ever remove such a key).
    pub(crate) fn survey(
        &mut self,
        found: Vec<Entry>,
        revision: i64,
        lease: i64,
        is_ours: impl Fn(i64) -> bool,
    ) -> Vec<Settled> {
        self.revision = self.revision.max(revision);
        for slot in self.slots.values_mut() {
            slot.stored = None;
        }
        for entry in found {
            // Every key of ours is a string.
            let Ok(key) = String::from_utf8(entry.key) else {
                continue;
            };
            let stored = Stored {
                mod_revision: entry.mod_revision,
                lease: entry.lease,
                value: entry.value,
            };
            match self.slots.get_mut(&key) {
                Some(slot) => slot.stored = Some(stored),
                None if is_ours(stored.lease) => {
                    let slot = self.slots.entry(key).or_default();
                    slot.stored = Some(stored);
                }
                None => tracing::debug!(key, lease = stored.lease, "a key of another lease stays"),
            }
        }
        // Only now, because the values that agree are to share their bytes with the wanted ones.
        self.requeue(lease)
    }

    fn requeue(&mut self, lease: i64) -> Vec<Settled> {
        let mut settled = Vec::new();
        let revision = self.revision;
        let queue = &mut self.queue;
        // The order of the calls is kept for what was queued before.
        queue.retain(|key| self.slots.contains_key(key));
        self.slots.retain(|key, slot| {
            if slot.is_settled(lease) {
                if let (Some(want), Some(stored)) = (&slot.want, &mut slot.stored) {
                    stored.value = want.clone();
                }
                let at = slot.stored.as_ref().map_or(revision, |s| s.mod_revision);
                settled.extend(slot.waiters.drain(..).map(|waiter| (waiter, at)));
            } else if !slot.queued {
                slot.queued = true;
                queue.push_back(key.clone());
            }
            slot.queued || slot.want.is_some()
        });
        settled
    }

    /// Whether a reading of keys alone shows exactly what is known to be stored. Keys that wait to
    /// be written are not looked at.
    pub(crate) fn is_intact(&self, found: &[Entry], is_ours: impl Fn(i64) -> bool) -> bool {
        let mut seen = 0;
        for entry in found {
            let slot = std::str::from_utf8(&entry.key)
                .ok()
                .and_then(|key| self.slots.get(key));
            match slot {
                Some(slot) if slot.queued => {}
                Some(slot) => match &slot.stored {
                    Some(stored)
                        if stored.mod_revision == entry.mod_revision
                            && stored.lease == entry.lease =>
                    {
                        seen += 1;
                    }
                    _ => return false,
                },
                None if is_ours(entry.lease) => return false,
                None => {}
            }
        }
        let expected = self
            .slots
            .values()
            .filter(|slot| !slot.queued && slot.stored.is_some())
            .count();
        seen == expected
    }

    /// Takes the next operations from the queue: at most `count`, and at most `bytes` unless a
    /// single one is larger.
    pub(crate) fn take_ops(
        &mut self,
        lease: i64,
        count: usize,
        bytes: usize,
    ) -> (Vec<Op>, Vec<Settled>) {
        let mut ops = Vec::new();
        let mut settled = Vec::new();
        let mut size = 0;
        while ops.len() < count {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            let Some(slot) = self.slots.get_mut(&key) else {
                continue;
            };
            if slot.is_settled(lease) {
                slot.queued = false;
                let at = slot
                    .stored
                    .as_ref()
                    .map_or(self.revision, |s| s.mod_revision);
                settled.extend(slot.waiters.drain(..).map(|waiter| (waiter, at)));
                if slot.want.is_none() {
                    self.slots.remove(&key);
                }
                continue;
            }
            let needed = request_size(&key, slot.want.as_ref().map_or(0, Bytes::len));
            if !ops.is_empty() && size + needed > bytes {
                self.queue.push_front(key);
                break;
            }
            size += needed;
            slot.queued = false;
            ops.push(Op {
                base: slot.stored.as_ref().map_or(0, |s| s.mod_revision),
                value: slot.want.clone(),
                waiters: std::mem::take(&mut slot.waiters),
                key,
            });
        }
        (ops, settled)
    }

    /// Returns operations that were not carried out, or perhaps not, to the queue's front.
    pub(crate) fn put_back(&mut self, ops: Vec<Op>) {
        for op in ops.into_iter().rev() {
            let slot = self.slots.entry(op.key.clone()).or_default();
            let later = std::mem::replace(&mut slot.waiters, op.waiters);
            slot.waiters.extend(later);
            if !slot.queued {
                slot.queued = true;
                self.queue.push_front(op.key);
            }
        }
    }

    /// Takes operations as carried out.
    pub(crate) fn commit(&mut self, ops: Vec<Op>, lease: i64, revision: i64) -> Vec<Settled> {
        self.revision = self.revision.max(revision);
        let mut settled = Vec::new();
        for op in ops {
            settled.extend(op.waiters.iter().map(|waiter| (*waiter, revision)));
            let Some(slot) = self.slots.get_mut(&op.key) else {
                continue;
            };
            slot.stored = op.value.map(|value| Stored {
                mod_revision: revision,
                lease,
                value,
            });
            if slot.want.is_none() && slot.stored.is_none() && !slot.queued {
                self.slots.remove(&op.key);
            }
        }
        settled
    }

    /// Gives an operation up, because etcd will never take it: the key falls back to what is in
    /// the store. Returns the callers to be told.
    pub(crate) fn reject(&mut self, op: Op) -> Vec<WaiterId> {
        if let Some(slot) = self.slots.get_mut(&op.key)
            && slot.want == op.value
        {
            let before = slot.want.is_some();
            slot.want = slot.stored.as_ref().map(|stored| stored.value.clone());
            match (before, slot.want.is_some()) {
                (true, false) => self.wanted -= 1,
                (false, true) => self.wanted += 1,
                _ => {}
            }
            match slot.want {
                None if !slot.queued => {
                    self.slots.remove(&op.key);
                }
                Some(_) if !slot.queued => {
                    // The lease may have changed since that value was written.
                    slot.queued = true;
                    self.queue.push_back(op.key);
                }
                _ => {}
            }
        }
        op.waiters
    }
}
