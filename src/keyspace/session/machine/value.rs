//! The session key's own value: what it is to be, what it is in the store, and who waits for it.

use bytes::Bytes;

use super::super::wanted::{Settled, WaiterId};

#[derive(Debug)]
pub(super) struct Value {
    wanted: Bytes,
    /// What is in the store, while the session key is known to be ours.
    stored: Bytes,
    /// In the order of their calls.
    waiters: Vec<WaiterId>,
    /// How many of them a write that is on its way answers. Whoever comes later waits for the
    /// next one.
    sent: usize,
}

impl Value {
    pub(super) const fn new(wanted: Bytes) -> Self {
        Self {
            wanted,
            stored: Bytes::new(),
            waiters: Vec::new(),
            sent: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether the store has what is wanted. Only while the session key is ours.
    pub(super) fn is_stored(&self) -> bool {
        self.wanted == self.stored
    }

    /// Takes later news, which replaces earlier news that is not written yet.
    pub(super) fn want(&mut self, value: Bytes, waiters: Vec<WaiterId>) {
        self.wanted = value;
        self.waiters.extend(waiters);
    }

    /// What a write is to put now.
    pub(super) fn send(&mut self) -> Bytes {
        self.sent = self.waiters.len();
        self.wanted.clone()
    }

    /// The write that was on its way was not carried out, or perhaps not.
    pub(super) const fn put_back(&mut self) {
        self.sent = 0;
    }

    /// The write that was on its way was carried out.
    pub(super) fn commit(&mut self, value: Bytes, revision: i64) -> Vec<Settled> {
        self.stored = value;
        let sent = std::mem::take(&mut self.sent);
        let waiters = self.waiters.drain(..sent);
        waiters.map(|waiter| (waiter, revision)).collect()
    }

    /// What a reading found.
    pub(super) fn found(&mut self, value: Bytes) {
        self.stored = value;
        if self.is_stored() {
            // One allocation for both.
            self.stored.clone_from(&self.wanted);
        }
    }

    /// What is wanted is in the store: nobody has to wait any more.
    pub(super) fn settle(&mut self, revision: i64) -> Vec<Settled> {
        self.sent = self.waiters.len();
        self.commit(self.wanted.clone(), revision)
    }

    /// etcd will never take what was sent: the value falls back to what is in the store, unless
    /// another one is wanted by now. Returns the callers to be told.
    pub(super) fn reject(&mut self, value: &Bytes) -> Vec<WaiterId> {
        if self.wanted == *value {
            self.wanted.clone_from(&self.stored);
        }
        let sent = std::mem::take(&mut self.sent);
        self.waiters.drain(..sent).collect()
    }
}
