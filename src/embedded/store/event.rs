//! What a revision changed, as the history keeps it and watchers are told it.

use std::sync::Arc;

use etcd_client::proto::PbKeyValue;

/// Whether a key was written or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Written.
    Put,
    /// Removed.
    Delete,
}

/// What happened to one key in one revision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// Written or removed.
    pub(crate) kind: Kind,
    /// The key as it is now. Of a removed one etcd tells the key and the
    /// revision of the removal, and so does this.
    pub(crate) kv: Arc<PbKeyValue>,
    /// The key as it was, if it was there.
    pub(crate) previous: Option<Arc<PbKeyValue>>,
}

/// All that one revision changed, in the order in which it was done.
///
/// The store, the history and all watchers share one of these and the values
/// in it; bytes are copied only when a response is put together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Commit {
    /// Above 1: the empty store is at revision 1.
    pub(crate) revision: i64,
    /// Empty only where compaction left nothing.
    pub(crate) events: Vec<Change>,
    /// Bytes of versions that nothing but this has, since they came and went within the revision.
    pub(super) unseen: usize,
}
