//! One listener's end of a feed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;

use super::{Change, Latest, State, Topics};

/// What a listener was not told yet.
pub(super) struct Queue<K, V> {
    /// The keys with news, in the order in which the news began.
    pub(super) order: VecDeque<K>,
    /// Their latest value; `None` where they are gone.
    news: BTreeMap<K, Option<Latest<V>>>,
    waker: Option<Waker>,
    closed: bool,
}

impl<K: Ord + Clone, V: Clone> Queue<K, V> {
    pub(super) fn new(closed: bool) -> Self {
        Self {
            order: VecDeque::new(),
            news: BTreeMap::new(),
            waker: None,
            closed,
        }
    }

    pub(super) fn push(&mut self, key: &K, latest: Option<&Latest<V>>) {
        if self.news.insert(key.clone(), latest.cloned()).is_none() {
            self.order.push_back(key.clone());
        }
        self.wake();
    }

    /// Brings what waits up to date.
    pub(super) fn refresh<'a>(&mut self, latest: impl Fn(&K) -> Option<&'a Latest<V>>)
    where
        V: 'a,
    {
        for (key, news) in &mut self.news {
            *news = latest(key).cloned();
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn pop(&mut self) -> Option<(K, Option<Latest<V>>)> {
        let key = self.order.pop_front()?;
        let news = self.news.remove(&key)?;
        Some((key, news))
    }
}

type Select<V, M> = Box<dyn Fn(&V) -> Option<M> + Send + Sync>;

/// One listener's end of a feed: a stream that ends when the feed does. `M` is
/// what its selection says of what it picks.
///
/// Dropping it stops the news. Taking from it is cancellation safe.
pub struct Listener<K: Ord + Clone, V: Clone, M = ()> {
    feed: Weak<Mutex<State<K, V>>>,
    id: u64,
    pub(super) queue: Arc<Mutex<Queue<K, V>>>,
    told: BTreeMap<K, (Latest<V>, M)>,
    select: Select<V, M>,
}

impl<K: Ord + Clone, V: Clone, M> Listener<K, V, M> {
    pub(super) fn new(
        feed: Weak<Mutex<State<K, V>>>,
        id: u64,
        queue: Arc<Mutex<Queue<K, V>>>,
        select: impl Fn(&V) -> Option<M> + Send + Sync + 'static,
    ) -> Self {
        Self {
            feed,
            id,
            queue,
            told: BTreeMap::new(),
            select: Box::new(select),
        }
    }

    /// A handle by which others change what this listener wants to hear of.
    pub fn interest(&self) -> Interest<K, V> {
        Interest {
            feed: self.feed.clone(),
            id: self.id,
        }
    }

    /// What the listener was told, folded: the keys that it has been told of
    /// and not lost again.
    pub fn told(&self) -> impl Iterator<Item = (&K, &V)> {
        self.told.iter().map(|(key, (told, _))| (key, &told.value))
    }

    /// Why a key concerns the listener, if it was told of it and has not lost
    /// it again. The selection may have another reason now than when it was.
    pub fn why(&self, key: &K) -> Option<&M> {
        self.told.get(key).map(|(_, why)| why)
    }
}

impl<K: Ord + Clone, V: Clone, M: Clone> Listener<K, V, M> {
    /// The next change; `None` when the feed is closed. Cancellation safe.
    pub async fn next(&mut self) -> Option<Change<K, V>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Change<K, V>> {
        loop {
            let (key, news) = self.queue.lock().pop()?;
            if let Some((change, _)) = self.change(key, news) {
                return Some(change);
            }
        }
    }

    /// The next change, and why it concerns the listener: what the selection
    /// says of the value or, at the end, said of it before.
    pub fn poll_matched(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Change<K, V>, M)>> {
        loop {
            let mut queue = self.queue.lock();
            let Some((key, news)) = queue.pop() else {
                if queue.closed {
                    return Poll::Ready(None);
                }
                queue.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // The selection is the user's code: not under the lock.
            drop(queue);
            if let Some(change) = self.change(key, news) {
                return Poll::Ready(Some(change));
            }
        }
    }

    /// What this news means to one who was told what this listener was told.
    fn change(&mut self, key: K, news: Option<Latest<V>>) -> Option<(Change<K, V>, M)> {
        let before = self.told.remove(&key);
        let Some(latest) = news else {
            let (before, why) = before?;
            return Some((Change::Removed(key, before.value), why));
        };
        let Some(why) = (self.select)(&latest.value) else {
            let (before, why) = before?;
            let (value, before) = (latest.value, before.value);
            return Some((Change::EndMatch { key, value, before }, why));
        };
        let told = (latest.clone(), why.clone());
        self.told.insert(key.clone(), told);
        let value = latest.value;
        let change = match before.map(|(before, _)| before) {
            None => Change::Added(key, value),
            // It was only to be judged anew.
            Some(before) if before.revision == latest.revision => return None,
            Some(before) => Change::Modified {
                key,
                value,
                before: before.value,
            },
        };
        Some((change, why))
    }
}

impl<K: Ord + Clone, V: Clone, M: Clone> Stream for Listener<K, V, M> {
    type Item = Change<K, V>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change<K, V>>> {
        self.poll_matched(cx)
            .map(|next| next.map(|(change, _)| change))
    }
}

impl<K: Ord + Clone, V: Clone, M> Unpin for Listener<K, V, M> {}

impl<K: Ord + Clone, V: Clone, M> Drop for Listener<K, V, M> {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            feed.lock().forget(self.id);
        }
    }
}

impl<K: Ord + Clone, V: Clone, M> fmt::Debug for Listener<K, V, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// Changes what a [`Listener`] wants to hear of, while it listens. It does
/// nothing once the listener or the feed is gone.
pub struct Interest<K: Ord + Clone, V: Clone> {
    feed: Weak<Mutex<State<K, V>>>,
    id: u64,
}

impl<K: Ord + Clone, V: Clone> Interest<K, V> {
    /// The topics from now on. The listener's selection is asked again about
    /// what there is: what it picks now is added, what it does not pick any
    /// more ends its match, and what it picked and picks is no news.
    ///
    /// A selection that changes is to be changed before this is called.
    pub fn change(&self, topics: Topics) {
        if let Some(feed) = self.feed.upgrade() {
            feed.lock().change(self.id, topics);
        }
    }

    /// Whether the feed, or the listener, is gone.
    pub fn is_over(&self) -> bool {
        let feed = self.feed.upgrade();
        feed.is_none_or(|feed| !feed.lock().listeners.contains_key(&self.id))
    }
}

impl<K: Ord + Clone, V: Clone> fmt::Debug for Interest<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interest").finish_non_exhaustive()
    }
}
