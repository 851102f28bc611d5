//! Discovery through EDEF files (OSGi Compendium 122.8): endpoints that
//! somebody wrote down.
//!
//! The files are looked at again and again, and not watched by the system's
//! notices. Notices do not tell what another host did on a network file
//! system; in a Kubernetes ConfigMap the names stay and what they link to is
//! swapped; and queues of notices overflow, after which one has to look
//! anyway. To look at a hundred files takes less than a millisecond.
//!
//! - A file is read when its time, size, inode or device changed, and again
//!   while it is so young that a second change might not show in its time.
//! - A file that is broken, or half written, is reported with line and column,
//!   and what it said before stays, until it is good again or removed. Of a
//!   file with a bad description the good ones count.
//! - A file that is not there is gone at the second look.
//! - If several files describe one endpoint, the one modified last counts.
//!
//! Endpoints are there while their files are (rule Z15): adding, changing and
//! removing files gives the same events as discovery through etcd does.

mod config;
mod files;
mod view;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use config::{EdefConfig, EdefConfigError, EdefSource};
pub use files::FileError;
pub use view::Problems;

use super::{EndpointFeed, Subscriber, endpoint_feed};
use view::View;

/// When to look again while something is unsettled.
const SOON: Duration = Duration::from_millis(200);

/// Discovery ended, or its file system never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("discovery by EDEF files has ended")]
pub struct EdefClosed;

/// How discovery by files stands at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EdefHealth {
    /// Files that are there.
    pub files: usize,
    /// Endpoints that they describe.
    pub endpoints: usize,
    /// What is wrong with files and folders.
    pub problems: Arc<Problems>,
    /// When the files were looked at last; `None` before the first time.
    pub looked_at: Option<Instant>,
    /// How often they were looked at.
    pub looks: u64,
}

/// One line, for people.
impl fmt::Display for EdefHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} endpoints in {} files", self.endpoints, self.files)?;
        if !self.problems.is_empty() {
            write!(f, ", {} WITH ERRORS", self.problems.len())?;
        }
        Ok(())
    }
}

/// Discovery through EDEF files.
///
/// It hears and does not announce. Dropping it ends it without waiting.
pub struct EdefDiscovery {
    feed: EndpointFeed,
    health: watch::Receiver<EdefHealth>,
    asked: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl EdefDiscovery {
    /// Begins to look at the files, and returns at once.
    /// [`EdefDiscovery::look`] waits for the first look.
    ///
    /// It must be called in a tokio runtime.
    pub fn start(config: EdefConfig) -> Self {
        let feed = endpoint_feed();
        let (tell, health) = watch::channel(EdefHealth::default());
        // Who asks waits; more than a few never do at once.
        let (asked, asking) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let watching = Watching {
            config: Arc::new(config),
            view: View::new(feed.clone()),
            feed: feed.clone(),
            tell,
            asking,
        };
        let task = tokio::spawn(watching.run(stop.clone()));
        Self {
            feed,
            health,
            asked,
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Looks at the files now, and returns when what they say was told.
    /// Cancellation safe.
    ///
    /// # Errors
    ///
    /// If discovery has ended.
    pub async fn look(&self) -> Result<(), EdefClosed> {
        let (done, wait) = oneshot::channel();
        self.asked.send(done).await.map_err(|_| EdefClosed)?;
        wait.await.map_err(|_| EdefClosed)
    }

    /// How discovery stands now.
    pub fn health(&self) -> EdefHealth {
        self.health.borrow().clone()
    }

    /// How discovery stands, as it changes. Every look is a change.
    pub fn health_updates(&self) -> watch::Receiver<EdefHealth> {
        self.health.clone()
    }

    /// Ends it, and the listeners' feeds. When it returns no task is left; it
    /// waits for a look that is under way. Closing twice does nothing.
    pub async fn close(&self) {
        self.stop.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            error!(%error, "discovery by EDEF files ended badly");
        }
        self.feed.close();
    }
}

impl Drop for EdefDiscovery {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Subscriber for EdefDiscovery {
    fn endpoints(&self) -> &EndpointFeed {
        &self.feed
    }
}

impl fmt::Debug for EdefDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdefDiscovery")
            .field("health", &*self.health.borrow())
            .finish_non_exhaustive()
    }
}

/// The task that looks.
struct Watching {
    config: Arc<EdefConfig>,
    view: View,
    feed: EndpointFeed,
    tell: watch::Sender<EdefHealth>,
    asking: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Watching {
    async fn run(mut self, stop: CancellationToken) {
        let mut waiting: Option<oneshot::Sender<()>> = None;
        while !stop.is_cancelled() {
            if !self.look().await {
                return;
            }
            if let Some(asked) = waiting.take() {
                // Who asked may have given up.
                let _ = asked.send(());
            }
            let pause = match self.view.is_unsettled() {
                true => self.config.interval.min(SOON),
                false => self.config.interval,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(asked) = self.asking.recv() => waiting = Some(asked),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether it could: at the end of a runtime nothing can be begun.
    async fn look(&mut self) -> bool {
        let (config, known) = (Arc::clone(&self.config), self.view.settled());
        let looking = tokio::task::spawn_blocking(move || files::look(&config, &known));
        let look = match looking.await {
            Ok(look) => look,
            Err(error) => {
                error!(%error, "the EDEF files cannot be looked at any more");
                return false;
            }
        };
        self.view.apply(look);
        self.tell.send_modify(|health| {
            health.files = self.view.files();
            health.endpoints = self.feed.len();
            health.problems = Arc::new(self.view.problems());
            health.looked_at = Some(Instant::now());
            health.looks += 1;
        });
        true
    }
}
