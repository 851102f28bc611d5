//! The keys, their versions, and the history of changes.

pub(crate) mod event;

use std::collections::VecDeque;
use std::sync::Arc;

use self::event::Commit;

/// The keys with their history.
#[derive(Debug)]
pub(crate) struct Store {
    revision: i64,
    compacted: i64,
    history: VecDeque<Arc<Commit>>,
}

impl Store {
    /// An empty store, at revision 1 as etcd's.
    pub(crate) fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            history: VecDeque::new(),
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
}
