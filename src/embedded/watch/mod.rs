//! Who is told of changes.

use std::sync::Arc;

use super::store::event::Commit;

/// The watchers.
#[derive(Debug, Default)]
pub(crate) struct Hub {}

impl Hub {
    /// Tells the watchers of a commit, in the critical section that made it.
    pub(crate) fn publish(&mut self, _commit: &Arc<Commit>) {}
}
