//! A watcher: what is in a range of keys, and every change after that.

pub(super) mod event;
pub(super) mod machine;
mod task;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{ConnectOptions, Endpoint, Error};

/// What is watched, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WatchConfig {
    /// The first key of the range.
    pub start: Vec<u8>,
    /// The end of the range, which does not belong to it.
    pub end: Vec<u8>,
    /// Keys in one page of a listing. Default: 2000. Halved when a page is larger than
    /// [`ConnectOptions::max_message_size`].
    pub page_size: u32,
    /// The silence after which the server is asked for a sign of life. Default: 30 s.
    pub silence: Duration,
    /// The time for that sign to arrive, before the next endpoint is tried. Default: 5 s.
    pub patience: Duration,
    /// The pause between two listings that check the watch, spread by a third either way; none for
    /// no such check. Default: 450 s. Some versions of etcd lose watch events, and a store that was
    /// replaced by another of the same name is seen in no other way.
    pub audit_interval: Option<Duration>,
}

impl WatchConfig {
    /// Watches the keys from `start` up to but not including `end`.
    #[must_use]
    pub fn range(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self {
            start: start.into(),
            end: end.into(),
            page_size: 2000,
            silence: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            audit_interval: Some(Duration::from_secs(450)),
        }
    }

    /// Watches all keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let mut end = start.clone();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            // No key is greater than all that begin with 0xff...; etcd writes "no end" as a zero
            // byte.
            None => end = vec![0],
        }
        Self::range(start, end)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |setting, problem: &str| {
            Err(Error::Config {
                setting,
                problem: problem.to_owned(),
            })
        };
        if self.start.is_empty() {
            return refuse("start", "it is empty; name the first key or a prefix");
        }
        if self.end <= self.start && self.end != [0] {
            return refuse("end", "the range is empty; the end must be after the start");
        }
        if self.page_size == 0 {
            return refuse("page_size", "it is zero; give at least one");
        }
        if self.silence.is_zero() || self.patience.is_zero() {
            return refuse(
                "silence or patience",
                "it is zero; give a positive duration",
            );
        }
        if self.audit_interval.is_some_and(|pause| pause.is_zero()) {
            return refuse("audit_interval", "it is zero; give a positive one or none");
        }
        Ok(())
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key has this value.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Bytes,
        /// The revision of this change. It grows with every change of the key, within one history
        /// of the store.
        mod_revision: i64,
        /// The lease that the key goes with; zero for none.
        lease: i64,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Vec<u8>,
        /// The revision of the deletion; when it was found by listing, the revision of the
        /// listing.
        mod_revision: i64,
    },
}

impl Change {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    #[must_use]
    pub const fn mod_revision(&self) -> i64 {
        match self {
            Self::Put { mod_revision, .. } | Self::Delete { mod_revision, .. } => *mod_revision,
        }
    }
}

/// Where changes go. Called from the watcher's task, so that there is no queue in between: an
/// implementation is to be quick, and must not block.
///
/// The changes of a key come in order, a deletion only for a key that was put, and no change twice.
/// While etcd cannot be reached nothing comes, and nothing is removed. A panic ends the watcher.
pub trait Sink: Send + 'static {
    /// Takes changes, in the order in which they happened.
    fn apply(&mut self, changes: Vec<Change>);

    /// Everything up to `revision` has been delivered. Called after each complete listing: after
    /// the first one the state is whole.
    fn synced(&mut self, revision: i64) {
        let _ = revision;
    }

    /// The store is another than before: wiped, restored, or replaced. Revisions start over; the
    /// differences between the two follow as changes.
    fn history_lost(&mut self) {}
}

/// The state of a watcher, in the order in which it usually goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchPhase {
    /// There is no connection: dialling, or waiting to dial again.
    Connecting,
    /// The range is read.
    Listing,
    /// The watch is being opened.
    Opening,
    /// Changes arrive as they happen.
    Live,
}

/// What happened so far in a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WatchCounts {
    /// Connections attempted.
    pub dials: u64,
    /// Listings completed.
    pub lists: u64,
    /// Watches opened.
    pub watches: u64,
    /// Changes delivered.
    pub changes: u64,
    /// Events dropped because they were not newer than what was delivered.
    pub repeats: u64,
    /// Differences that an audit found and that the watch should have delivered.
    pub repairs: u64,
    /// Times that the store's history was found to be another.
    pub histories_lost: u64,
    /// Connections given up.
    pub failures: u64,
}

/// A snapshot of a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatus {
    /// The state.
    pub phase: WatchPhase,
    /// The endpoint in use, or the one to be tried next.
    pub endpoint: Endpoint,
    /// The revision of the last complete listing. None before the first one.
    pub synced: Option<i64>,
    /// When the last listing was complete. A listing also checks what the watch delivered.
    pub listed_at: Option<Instant>,
    /// Since when changes may be missing: the last sign of life of a watch that broke, or the
    /// start. None while the watch is live.
    pub stale_since: Option<Instant>,
    /// Keys in the range, as delivered.
    pub keys: usize,
    /// The last error, also when all is well again.
    pub last_error: Option<Error>,
    /// What happened so far.
    pub counts: WatchCounts,
}

/// The handle of a watcher.
///
/// The watcher runs in one task of its own, which goes on for ever. Dropping the handle ends it.
#[derive(Debug)]
pub struct Watcher {
    status: watch::Receiver<WatchStatus>,
    relist: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Watcher {
    /// Starts a watcher and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for settings that cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn open(
        options: ConnectOptions,
        config: WatchConfig,
        sink: impl Sink,
    ) -> Result<Self, Error> {
        options.check()?;
        config.check()?;
        let relist = Arc::new(Notify::new());
        let (status, task) = task::spawn(options, config, Box::new(sink), Arc::clone(&relist));
        Ok(Self {
            status,
            relist,
            task: Mutex::new(Some(task)),
        })
    }

    /// Waits until the first listing has been delivered. Can be cancelled and called again at any
    /// time. Returns the revision of the last listing.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the task is over.
    pub async fn synced(&self) -> Result<i64, Error> {
        let mut status = self.status.clone();
        let status = status
            .wait_for(|status| status.synced.is_some())
            .await
            .map_err(|_| Error::Closed)?;
        status.synced.ok_or(Error::Closed)
    }

    /// The current status, and a way to wait for changes of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<WatchStatus> {
        self.status.clone()
    }

    /// Lists the range again soon and delivers the differences. For callers who have reason to
    /// think that the store is another one, such as a lease that is gone before its time.
    pub fn relist(&self) {
        self.relist.notify_one();
    }

    /// Ends the task and waits for its end. No change is delivered after that. Closing twice does
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the task was over already because the sink panicked.
    pub async fn close(&self) -> Result<(), Error> {
        let Some(task) = self.task.lock().take() else {
            return Ok(());
        };
        task.abort();
        match task.await {
            Err(error) if error.is_panic() => Err(Error::Closed),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_greater_string() {
        assert_eq!(WatchConfig::prefix("a/").end, b"a0");
        assert_eq!(WatchConfig::prefix([b'a', 0xff]).end, b"b");
        assert_eq!(WatchConfig::prefix([0xff]).end, [0]);
    }

    #[test]
    fn an_empty_range_is_refused() {
        assert!(WatchConfig::range("b", "a").check().is_err());
        assert!(WatchConfig::range("a", "a").check().is_err());
        assert!(WatchConfig::prefix("").check().is_err());
        WatchConfig::prefix("a").check().unwrap();
        WatchConfig::prefix([0xff]).check().unwrap();
    }
}
