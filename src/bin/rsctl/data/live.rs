//! Sources that are kept up to date, and what is said of them on stderr.

use std::sync::{Arc, OnceLock};

use osgi_remote::keyspace::{
    Change, ConnectOptions, Error, Sink, WatchConfig, WatchPhase, WatchStatus, Watcher,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::held::Held;
use super::{Rules, Snapshot, Source};
use crate::denial::{is_denial, is_hopeless};
use crate::failure::Failure;
use crate::output;

/// Sources under watch. Dropping it ends all its tasks.
#[derive(Debug)]
pub(crate) struct Live {
    views: Vec<(Arc<View>, Arc<Watcher>)>,
    changes: watch::Receiver<u64>,
    /// One for each view.
    _minders: JoinSet<()>,
}

/// How a source stands, for those who look after it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) source: String,
    /// Entries that are there.
    pub(crate) entries: usize,
    /// Entries that vanished and are kept.
    pub(crate) held: usize,
    /// Keys that could not be read.
    pub(crate) rejected: usize,
    /// Whether all of it was read once.
    pub(crate) read: bool,
    /// Since when changes may be missing; none while the watch is live.
    pub(crate) stale_since: Option<Instant>,
    /// The last error, while it matters.
    pub(crate) error: Option<String>,
}

#[derive(Debug)]
struct View {
    name: String,
    held: Mutex<Held>,
    /// Of the watcher, once there is one.
    status: OnceLock<watch::Receiver<WatchStatus>>,
    /// Wakes the minder, for notes and deadlines.
    touched: Notify,
    changes: Arc<watch::Sender<u64>>,
}

impl View {
    fn touch(&self) {
        self.touched.notify_one();
        self.changes.send_modify(|version| *version += 1);
    }
}

/// What the watcher of a view writes to.
struct Delivery {
    view: Arc<View>,
    /// Connections given up, as far as they are known here.
    failures: u64,
}

impl Delivery {
    /// Notices an outage before the changes that come after it: the minder may be late.
    fn notice(&mut self, now: Instant) {
        let Some(status) = self.view.status.get() else {
            return;
        };
        let (failures, synced) = {
            let status = status.borrow();
            (status.counts.failures, status.synced.is_some())
        };
        if std::mem::replace(&mut self.failures, failures) != failures && synced {
            self.view.held.lock().unsettle(now);
        }
    }
}

impl Sink for Delivery {
    fn apply(&mut self, changes: Vec<Change>) {
        let now = Instant::now();
        self.notice(now);
        self.view.held.lock().apply(changes, now);
        self.view.touch();
    }

    fn synced(&mut self, _: i64) {
        self.view.held.lock().synced(Instant::now());
        self.view.touch();
    }

    fn history_lost(&mut self) {
        let name = &self.view.name;
        let mut held = self.view.held.lock();
        held.unsettle(Instant::now());
        held.note(format!(
            "{name}: etcd's history is another than before: it was wiped, restored or replaced"
        ));
        drop(held);
        self.view.touch();
    }
}

impl Live {
    /// Starts to watch, and returns at once.
    pub(crate) fn start(
        options: &ConnectOptions,
        sources: &[Source],
        rules: impl Fn(&Source) -> Rules,
    ) -> Result<Self, Failure> {
        let (sender, changes) = watch::channel(0);
        let sender = Arc::new(sender);
        let mut views = Vec::new();
        let mut minders = JoinSet::new();
        for source in sources {
            let view = Arc::new(View {
                name: source.name().to_owned(),
                held: Mutex::new(Held::new(source.clone(), rules(source))),
                status: OnceLock::new(),
                touched: Notify::new(),
                changes: Arc::clone(&sender),
            });
            let delivery = Delivery {
                view: Arc::clone(&view),
                failures: 0,
            };
            let config = WatchConfig::prefix(source.prefix());
            let watcher = Arc::new(Watcher::open(options.clone(), config, delivery)?);
            view.status.get_or_init(|| watcher.status());
            minders.spawn(mind(Arc::clone(&view), Arc::clone(&watcher)));
            views.push((view, watcher));
        }
        Ok(Self {
            views,
            changes,
            _minders: minders,
        })
    }

    /// Waits until all sources were read once.
    ///
    /// # Errors
    ///
    /// If etcd denies it, now: what was granted later would come as a surprise. An etcd that cannot
    /// be reached is waited for.
    pub(crate) async fn read_once(&self) -> Result<(), Failure> {
        for (view, watcher) in &self.views {
            let mut status = watcher.status();
            let known = status
                .wait_for(|status| status.synced.is_some() || hopeless(status).is_some())
                .await
                .map_err(|_| Error::Closed)?;
            if known.synced.is_none()
                && let Some(error) = hopeless(&known)
            {
                return Err(Failure::from(error.clone()).of(&view.name));
            }
        }
        Ok(())
    }

    /// Waits for the next change of anything. Changes since the last call count.
    pub(crate) async fn changed(&mut self) -> Result<(), Failure> {
        let changed = self.changes.changed().await;
        changed.map_err(|_| Failure::from(Error::Closed))
    }

    /// Takes what was delivered up to now for known: only what comes is a change.
    pub(crate) fn seen(&mut self) {
        self.changes.mark_unchanged();
    }

    /// A number that grows with each change.
    pub(crate) fn version(&self) -> u64 {
        *self.changes.borrow()
    }

    /// The data now. It is whole only after [`Live::read_once`].
    pub(crate) fn snapshot(&self) -> Snapshot {
        let views = self.views.iter();
        let data = views.map(|(view, _)| (view.name.clone(), view.held.lock().data()));
        Snapshot(data.collect())
    }

    pub(crate) fn standing(&self) -> Vec<Standing> {
        let views = self.views.iter();
        views
            .map(|(view, watcher)| view.standing(&watcher.status().borrow()))
            .collect()
    }
}

impl View {
    fn standing(&self, status: &WatchStatus) -> Standing {
        let (entries, held, rejected) = self.held.lock().counts();
        let stale = status.stale_since.is_some();
        let error = status.last_error.as_ref().filter(|_| stale);
        Standing {
            source: self.name.clone(),
            entries,
            held,
            rejected,
            read: status.synced.is_some(),
            stale_since: status.stale_since,
            error: error.map(Error::to_string),
        }
    }
}

/// An error that waiting does not end.
fn hopeless(status: &WatchStatus) -> Option<&Error> {
    let error = status.last_error.as_ref();
    error.filter(|error| is_hopeless(error))
}

/// Tells of a view's connection and of what it holds, and lets suspects go in time.
async fn mind(view: Arc<View>, watcher: Arc<Watcher>) {
    let mut status = watcher.status();
    let mut failures = 0;
    let mut lost = false;
    loop {
        let now = status.borrow_and_update().clone();
        if now.counts.failures > failures && !lost {
            lost = true;
            // What waiting does not end, ends the command, which says so itself.
            if now.synced.is_some() || hopeless(&now).is_none() {
                tell_lost(&view.name, &now);
            }
        }
        failures = now.counts.failures;
        let live = now.phase == WatchPhase::Live;
        if lost && live {
            lost = false;
            view.held.lock().unsettle(Instant::now());
            output::note(&format!(
                "{}: connected to etcd at {} again",
                view.name, now.endpoint
            ));
        }
        let (notes, deadline) = {
            let mut held = view.held.lock();
            (held.take_notes(), held.next_deadline())
        };
        for note in notes {
            output::note(&output::printable(&note));
        }
        // Without a connection nothing can be confirmed, and nothing goes.
        let deadline = deadline.filter(|_| live);
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = view.touched.notified() => {}
            () = until(deadline) => {
                view.held.lock().confirm();
                watcher.relist();
            }
        }
    }
}

fn tell_lost(name: &str, status: &WatchStatus) {
    let error = status
        .last_error
        .as_ref()
        .map(Error::to_string)
        .unwrap_or_default();
    let error = output::printable(&error);
    output::note(&if status.synced.is_some() {
        let what = if status.last_error.as_ref().is_some_and(is_denial) {
            "reading is denied"
        } else {
            "the connection to etcd is lost"
        };
        format!("{name}: {what}, and what was read is kept: {error}")
    } else {
        format!("{name}: waiting for etcd: {error}")
    });
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
