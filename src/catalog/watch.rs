//! Hearing of the changes of a registry.

use std::fmt;

use tokio::sync::watch;

use super::TreeRoot;
use super::entries::Raw;
use crate::feed::{Feed, Listener};
use crate::keyspace::{Change, ConnectOptions, Error, Sink, WatchConfig, WatchStatus, Watcher};

/// A registry as it is, kept up to date by a [`Watcher`]: without gaps, whatever happens to etcd.
///
/// While etcd cannot be reached the last known entries stay, and [`status`](Self::status) says
/// since when they may be out of date. Dropping the handle ends the watch and its listeners.
pub struct Watch<T: Clone> {
    watcher: Watcher,
    feed: Feed<String, T>,
}

impl<T: Clone + Send + 'static> Watch<T> {
    pub(super) fn open(
        options: ConnectOptions,
        root: &TreeRoot,
        registry: &str,
        read: fn(Raw) -> T,
    ) -> Result<Self, Error> {
        let prefix = root.of(registry);
        let feed = Feed::new();
        let config = WatchConfig::prefix(prefix.as_bytes());
        let told = Told {
            prefix,
            read,
            feed: feed.clone(),
        };
        let watcher = Watcher::open(options, config, told)?;
        Ok(Self { watcher, feed })
    }

    /// Waits until all that there is has been read for the first time, for ever while etcd cannot
    /// be reached. Returns the revision of the last reading. Cancellation safe.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the watch is over.
    pub async fn synced(&self) -> Result<i64, Error> {
        self.watcher.synced().await
    }

    /// All entries, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<T> {
        let entries = self.feed.snapshot();
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// A listener with a queue of its own, by the name of the entry (`type/name` of a service). It
    /// is told first of all that is there already. The queue is never longer than there are names:
    /// later news of an entry takes the place of earlier news that was not taken yet.
    #[must_use]
    pub fn listen(&self) -> Listener<String, T> {
        self.feed.listen(|_| true)
    }

    /// How the watch does: connected, since when out of date, the last error.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<WatchStatus> {
        self.watcher.status()
    }

    /// Ends the watch and its listeners. Closing twice does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the watch ended before by a fault of its own.
    pub async fn close(&self) -> Result<(), Error> {
        self.watcher.close().await
    }
}

impl<T: Clone> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watcher = &self.watcher;
        f.debug_struct("Watch")
            .field("watcher", watcher)
            .finish_non_exhaustive()
    }
}

/// Turns changes of keys into changes of entries.
struct Told<T: Clone> {
    prefix: String,
    read: fn(Raw) -> T,
    feed: Feed<String, T>,
}

impl<T: Clone + Send + 'static> Sink for Told<T> {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put {
                    key,
                    value,
                    mod_revision,
                    lease,
                } => {
                    let lease = (lease != 0).then_some(lease);
                    let raw = Raw::read(&self.prefix, &key, &value, mod_revision, lease);
                    if let Some(raw) = raw {
                        self.feed.set(raw.name.clone(), (self.read)(raw));
                    }
                }
                Change::Delete { key, .. } => {
                    let name = std::str::from_utf8(&key).ok();
                    if let Some(name) = name.and_then(|key| key.strip_prefix(&self.prefix)) {
                        self.feed.remove(&name.to_owned());
                    }
                }
            }
        }
    }
}

/// The listeners end with the watcher's task.
impl<T: Clone> Drop for Told<T> {
    fn drop(&mut self) {
        self.feed.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::feed::Change as News;

    fn told(feed: &Feed<String, Raw>) -> Told<Raw> {
        Told {
            prefix: "/r/switch/".to_owned(),
            read: |raw| raw,
            feed: feed.clone(),
        }
    }

    fn put(key: &[u8], value: &str, lease: i64) -> Change {
        Change::Put {
            key: key.to_vec(),
            value: value.to_owned().into(),
            mod_revision: 7,
            lease,
        }
    }

    #[test]
    fn changes_of_keys_are_changes_of_entries_by_their_names() {
        let feed = Feed::new();
        let mut told = told(&feed);
        let mut listener = feed.listen(|_| true);
        told.apply(vec![
            put(b"/r/switch/a/b", "yes", 0),
            put(b"/r/switch/c", "no", 5),
        ]);
        let Some(News::Added(name, entry)) = listener.try_next() else {
            panic!("nothing was told");
        };
        assert_eq!((name.as_str(), entry.value.as_str()), ("a/b", "yes"));
        assert_eq!((entry.mod_revision, entry.lease), (7, None));
        assert_eq!(feed.get(&"c".to_owned()).unwrap().lease, Some(5));
        told.apply(vec![Change::Delete {
            key: b"/r/switch/a/b".to_vec(),
            mod_revision: 8,
        }]);
        assert_eq!(feed.len(), 1);
    }

    #[test]
    fn keys_that_are_no_entries_change_nothing() {
        let feed = Feed::new();
        let mut told = told(&feed);
        told.apply(vec![
            put(b"/r/switch/\xff", "x", 0),
            put(b"/r/switch/", "x", 0),
            put(b"/r/switches", "x", 0),
        ]);
        assert!(feed.is_empty());
    }

    #[tokio::test]
    async fn listeners_end_with_the_watch() {
        let feed = Feed::new();
        let sink = told(&feed);
        let mut listener = feed.listen(|_| true);
        drop(sink);
        assert!(listener.next().await.is_none());
    }
}
