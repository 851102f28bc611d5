//! Hearing of the endpoints in etcd, without a session of one's own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use super::memory::Memory;
use super::view::{View, ViewStatus};
use super::{EtcdConfig, keys, staleness, suspects};
use crate::discovery::{EndpointFeed, Subscriber, endpoint_feed};
use crate::keyspace::{self, WatchConfig, WatchStatus, Watcher};
use crate::names::SessionId;

/// Hears of all endpoints in etcd and writes nothing: it needs no permission but to read below the
/// top key. [`EtcdDiscovery`](super::EtcdDiscovery) is this and a session that announces.
///
/// It sees what an importer sees: the same rules choose among several keys of one endpoint, leave
/// out what cannot be read, and keep for a while what vanished with many others
/// ([`EtcdConfig::guard`]).
pub struct EtcdObserver {
    watcher: Arc<Watcher>,
    feed: EndpointFeed,
    view: View,
    memory: Option<Memory>,
    /// What goes on beside the watcher.
    tasks: Mutex<JoinSet<()>>,
}

impl EtcdObserver {
    /// Starts the watcher, and returns at once. It finds etcd when it is there, and goes on until
    /// [`EtcdObserver::close`].
    ///
    /// Of the settings, those of a session and its lease are of no meaning here: no session's
    /// endpoints are left out. Reads [`EtcdConfig::last_known`], if it is set.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(config: &EtcdConfig) -> Result<Self, keyspace::Error> {
        Self::open(config, None)
    }

    /// As [`EtcdObserver::start`], deaf to the endpoints of `own`.
    pub(super) fn open(
        config: &EtcdConfig,
        own: Option<&SessionId>,
    ) -> Result<Self, keyspace::Error> {
        let top = &config.top_key;
        let feed = endpoint_feed();
        let view = View::new(
            top.clone(),
            own.cloned(),
            feed.clone(),
            config.guard.clone(),
        );
        let path = config.last_known.clone();
        let memory = path.map(|path| Memory::new(path, top.clone()));
        let mut tasks = JoinSet::new();
        if let Some(memory) = &memory {
            match memory.load() {
                Ok(known) => view.remember(known),
                Err(error) => warn!(%error, "beginning with nothing"),
            }
            tasks.spawn(memory.clone().keep(view.clone()));
        }
        let range = keys::range(top);
        let range = WatchConfig::range(range.start, range.end);
        let watcher = Watcher::open(config.connect.clone(), range, view.clone())?;
        let watcher = Arc::new(watcher);
        let lister = Arc::clone(&watcher);
        tasks.spawn(suspects::end(view.clone(), watcher.status(), move || {
            lister.relist();
        }));
        if let Some(limit) = config.stale_limit {
            let (status, watcher) = (watcher.status(), Arc::clone(&watcher));
            tasks.spawn(staleness::keep_limit(limit, status, watcher, view.clone()));
        }
        Ok(Self {
            watcher,
            feed,
            view,
            memory,
            tasks: Mutex::new(tasks),
        })
    }

    pub(super) fn watcher(&self) -> &Arc<Watcher> {
        &self.watcher
    }

    /// Waits until all endpoints are known. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If that did not come about within `limit`: which address was tried, and what went wrong
    /// last. The watcher goes on trying.
    pub async fn synced_within(&self, limit: Duration) -> Result<(), keyspace::Error> {
        match tokio::time::timeout(limit, self.watcher.synced()).await {
            Ok(result) => result.map(drop),
            Err(_) => {
                let status = self.watcher.status().borrow().clone();
                Err(status.last_error.unwrap_or(keyspace::Error::Connect {
                    endpoint: status.endpoint,
                    elapsed: limit,
                    cause: keyspace::Cause::new("the endpoints were not listed yet"),
                }))
            }
        }
    }

    /// The state of the watcher: since when the view may be stale, and why. News of it come as
    /// they happen.
    pub fn watch_status(&self) -> watch::Receiver<WatchStatus> {
        self.watcher.status()
    }

    /// The state of the view: keys that are no endpoints, and endpoints that are kept as suspects.
    /// News of it come as they happen.
    pub fn view_status(&self) -> watch::Receiver<ViewStatus> {
        self.view.status()
    }

    /// Ends the watcher and the listeners' feeds. When it returns no task is left. Closing twice
    /// does nothing.
    ///
    /// # Errors
    ///
    /// [`keyspace::Error::Closed`] if the watcher was over already, because it panicked.
    pub async fn close(&self) -> Result<(), keyspace::Error> {
        let watched = self.watcher.close().await;
        self.feed.close();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        if let Some(memory) = &self.memory {
            memory.write(&self.view).await;
        }
        watched
    }
}

impl Subscriber for EtcdObserver {
    fn endpoints(&self) -> &EndpointFeed {
        &self.feed
    }
}
