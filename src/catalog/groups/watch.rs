//! Watching groups and nodes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::view::{Thing, Things, View};
use super::{Error, Group, GroupName, Groups, Node, Stranger};
use crate::feed::{self, Listener};
use crate::keyspace::{WatchConfig, WatchStatus, Watcher};

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All groups and all nodes.
    All,
    /// One group and its nodes. A user of etcd needs to read the keys from the group's up to the
    /// group's with a `0` in place of the slash, in which siblings such as `a-b` of `a` lie.
    Group(GroupName),
    /// The nodes of one group.
    Nodes(GroupName),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A group was created, updated or deleted.
    Group(Change<Group>),
    /// A node was created, updated or deleted.
    Node {
        /// Its group.
        group: GroupName,
        /// What happened to it.
        change: Change<Node>,
    },
    /// A key is neither a group nor a node, or its value cannot be read. It is told once; a node
    /// that was there under this key is deleted first.
    Stranger(Arc<Stranger>),
}

/// What happened to one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// It is there now.
    Created(Arc<T>),
    /// It is another than before.
    Updated {
        /// As it is.
        now: Arc<T>,
        /// As it was told before.
        before: Arc<T>,
    },
    /// It is gone.
    Deleted(Arc<T>),
}

/// A watch: first all that is there is created, and then come the changes.
///
/// It never goes silent. While etcd cannot be reached nothing comes and nothing is deleted;
/// afterwards the differences are told, also after a compaction, and when etcd was wiped. An
/// update in which only a node's `last_seen` changed is left out, and so is one that changes
/// nothing.
///
/// Events that are not taken wait: of each key only the latest, so that there are never more than
/// there are keys. What was created and deleted before it was taken is not told then.
///
/// Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    news: News,
    watcher: Watcher,
}

/// Turns what the feed tells into events.
#[derive(Debug)]
struct News {
    listener: Listener<Vec<u8>, Thing>,
    /// One change of a key may be two events.
    ready: VecDeque<Event>,
}

impl Groups {
    /// Watches; returns at once. That etcd cannot be reached is no error here: see
    /// [`Watch::status`].
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] for options that cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn watch(&self, scope: Scope) -> Result<Watch, Error> {
        let range = match &scope {
            Scope::All => WatchConfig::prefix(self.base.prefix()),
            Scope::Group(name) => {
                let key = self.base.group_key(name);
                let end = format!("{key}0");
                WatchConfig::range(key, end)
            }
            Scope::Nodes(name) => WatchConfig::prefix(self.base.nodes_prefix(name)),
        };
        let things = Things::new();
        let news = News::of(&things);
        let view = View::new(self.base.clone(), scope, things);
        let watcher = Watcher::open(self.options.clone(), range, view);
        Ok(Watch {
            news,
            watcher: watcher.map_err(Error::Connect)?,
        })
    }
}

impl Watch {
    /// The next event; waits for it. None once the watch is closed. Cancellation safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.news.next().await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.news.try_next()
    }

    /// Waits until all that was there at the beginning can be taken, by
    /// [`try_next`](Self::try_next). Waits for ever while etcd cannot be reached. Can be cancelled
    /// and called again at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] once the watch is closed.
    pub async fn synced(&self) -> Result<(), Error> {
        self.watcher
            .synced()
            .await
            .map(drop)
            .map_err(Error::Connect)
    }

    /// How it is with etcd: since when changes may be missing, and the last error.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<WatchStatus> {
        self.watcher.status()
    }

    /// Ends the watch and waits for its end. What is waiting can still be taken.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if it had ended by itself, which it never should.
    pub async fn close(&self) -> Result<(), Error> {
        self.watcher.close().await.map_err(Error::Connect)
    }
}

impl News {
    fn of(things: &Things) -> Self {
        Self {
            listener: things.listen(|_| true),
            ready: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let change = self.listener.next().await?;
            self.take(change);
        }
    }

    fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let change = self.listener.try_next()?;
            self.take(change);
        }
    }

    fn take(&mut self, change: feed::Change<Vec<u8>, Thing>) {
        match change {
            feed::Change::Added(_, now) => self.ready.push_back(created(now)),
            feed::Change::Modified { value, before, .. }
            | feed::Change::EndMatch { value, before, .. } => self.changed(before, value),
            feed::Change::Removed(_, before) => self.ready.extend(deleted(&before)),
        }
    }

    fn changed(&mut self, before: Thing, now: Thing) {
        let event = match (before, now) {
            // What went and came back as it was, before anybody asked, is no news.
            (Thing::Group(before), Thing::Group(now)) if before == now => return,
            (Thing::Group(before), Thing::Group(now)) => {
                Event::Group(Change::Updated { now, before })
            }
            (Thing::Node(before), Thing::Node(now)) => {
                let (before, group) = (Arc::new(before.node()), now.group.clone());
                let now = Arc::new(now.node());
                if now.same_but_last_seen(&before) {
                    return;
                }
                let change = Change::Updated { now, before };
                Event::Node { group, change }
            }
            (before, now) => {
                self.ready.extend(deleted(&before));
                created(now)
            }
        };
        self.ready.push_back(event);
    }
}

fn created(now: Thing) -> Event {
    match now {
        Thing::Group(group) => Event::Group(Change::Created(group)),
        Thing::Node(seen) => Event::Node {
            group: seen.group.clone(),
            change: Change::Created(Arc::new(seen.node())),
        },
        Thing::Stranger(stranger) => Event::Stranger(stranger),
    }
}

/// That a stranger is gone is nobody's concern.
fn deleted(before: &Thing) -> Option<Event> {
    match before {
        Thing::Group(group) => Some(Event::Group(Change::Deleted(Arc::clone(group)))),
        Thing::Node(seen) => Some(Event::Node {
            group: seen.group.clone(),
            change: Change::Deleted(Arc::new(seen.node())),
        }),
        Thing::Stranger(_) => None,
    }
}

#[cfg(test)]
mod tests;
