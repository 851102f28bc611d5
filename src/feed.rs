//! News of a changing set of things, to any number of listeners.
//!
//! A [`Feed`] knows the latest value of each key. Each listener has a queue of
//! its own, in which later news of a key takes the place of earlier news that
//! was not delivered yet. So a queue is never longer than there are keys, a
//! slow listener holds nobody up, and what a listener was told, folded, is
//! always the truth of some moment: each thing is added once, then modified
//! any number of times, then removed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;

/// What a listener is told of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// It is there now, and matches what the listener asked for.
    Added(K, V),
    /// It changed and matches still.
    Modified {
        /// Which one.
        key: K,
        /// What it is now.
        value: V,
        /// What the listener was told before.
        before: V,
    },
    /// It changed and does not match any more.
    EndMatch {
        /// Which one.
        key: K,
        /// What it is now.
        value: V,
        /// What the listener was told before.
        before: V,
    },
    /// It is gone; the value is what the listener was told last.
    Removed(K, V),
}

impl<K, V> Change<K, V> {
    /// The key of which this is news.
    pub fn key(&self) -> &K {
        match self {
            Self::Added(key, _)
            | Self::Modified { key, .. }
            | Self::EndMatch { key, .. }
            | Self::Removed(key, _) => key,
        }
    }
}

/// The source of news. Cheap to clone; all clones are one feed.
pub struct Feed<K, V>(Arc<Mutex<State<K, V>>>);

struct State<K, V> {
    latest: BTreeMap<K, V>,
    listeners: Vec<Weak<Mutex<Queue<K, V>>>>,
}

struct Queue<K, V> {
    /// The keys with news, in the order in which the news began.
    order: VecDeque<K>,
    /// Their latest value; `None` where they are gone.
    news: BTreeMap<K, Option<V>>,
    waker: Option<Waker>,
    closed: bool,
}

type Select<V> = Box<dyn Fn(&V) -> bool + Send + Sync>;

/// One listener's end of a feed: a stream that ends when the feed does.
///
/// Dropping it stops the news. Taking from it is cancellation safe.
pub struct Listener<K, V> {
    queue: Arc<Mutex<Queue<K, V>>>,
    told: BTreeMap<K, V>,
    select: Select<V>,
}

impl<K: Ord + Clone, V: Clone> Feed<K, V> {
    /// A feed of nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            latest: BTreeMap::new(),
            listeners: Vec::new(),
        })))
    }

    /// Sets a key's value and tells all listeners; gives back the one before.
    pub fn set(&self, key: K, value: V) -> Option<V> {
        let mut state = self.0.lock();
        state.tell(&key, Some(&value));
        state.latest.insert(key, value)
    }

    /// Takes a key out and tells all listeners; gives back its last value.
    pub fn remove(&self, key: &K) -> Option<V> {
        let mut state = self.0.lock();
        let value = state.latest.remove(key)?;
        state.tell(key, None);
        Some(value)
    }

    /// The latest value of a key.
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.lock().latest.get(key).cloned()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.lock().latest.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and values, by key.
    pub fn snapshot(&self) -> Vec<(K, V)> {
        let state = self.0.lock();
        let entries = state.latest.iter();
        entries.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// A listener to what `select` picks. It is told first of all that is
    /// there already; nothing is lost or told twice in between.
    pub fn listen(&self, select: impl Fn(&V) -> bool + Send + Sync + 'static) -> Listener<K, V> {
        let mut state = self.0.lock();
        let queue = Arc::new(Mutex::new(Queue {
            order: state.latest.keys().cloned().collect(),
            news: state
                .latest
                .iter()
                .map(|(k, v)| (k.clone(), Some(v.clone())))
                .collect(),
            waker: None,
            closed: false,
        }));
        state.listeners.push(Arc::downgrade(&queue));
        Listener {
            queue,
            told: BTreeMap::new(),
            select: Box::new(select),
        }
    }

    /// Ends the listeners' streams, once they have taken what is queued.
    pub fn close(&self) {
        for listener in self.0.lock().listeners.drain(..) {
            if let Some(queue) = listener.upgrade() {
                let mut queue = queue.lock();
                queue.closed = true;
                queue.wake();
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> State<K, V> {
    fn tell(&mut self, key: &K, value: Option<&V>) {
        self.listeners.retain(|listener| {
            let Some(queue) = listener.upgrade() else {
                return false;
            };
            let mut queue = queue.lock();
            if queue.news.insert(key.clone(), value.cloned()).is_none() {
                queue.order.push_back(key.clone());
            }
            queue.wake();
            true
        });
    }
}

impl<K, V> Queue<K, V> {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<K: Ord + Clone, V: Clone> Listener<K, V> {
    /// The next change; `None` when the feed is closed. Cancellation safe.
    pub async fn next(&mut self) -> Option<Change<K, V>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Change<K, V>> {
        loop {
            let (key, value) = self.queue.lock().pop()?;
            if let Some(change) = self.change(key, value) {
                return Some(change);
            }
        }
    }

    /// What the listener was told, folded: the keys that it has been told of
    /// and not lost again.
    pub fn told(&self) -> impl Iterator<Item = (&K, &V)> {
        self.told.iter()
    }

    /// What this news means to one who was told what this listener was told.
    fn change(&mut self, key: K, value: Option<V>) -> Option<Change<K, V>> {
        let before = self.told.remove(&key);
        match (before, value) {
            (None, None) => None,
            (Some(before), None) => Some(Change::Removed(key, before)),
            (before, Some(value)) if (self.select)(&value) => {
                self.told.insert(key.clone(), value.clone());
                Some(match before {
                    None => Change::Added(key, value),
                    Some(before) => Change::Modified { key, value, before },
                })
            }
            (None, Some(_)) => None,
            (Some(before), Some(value)) => Some(Change::EndMatch { key, value, before }),
        }
    }
}

impl<K: Ord, V> Queue<K, V> {
    fn pop(&mut self) -> Option<(K, Option<V>)> {
        let key = self.order.pop_front()?;
        let value = self.news.remove(&key).flatten();
        Some((key, value))
    }
}

impl<K: Ord + Clone, V: Clone> Stream for Listener<K, V> {
    type Item = Change<K, V>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change<K, V>>> {
        let listener = &mut *self;
        loop {
            let mut queue = listener.queue.lock();
            let Some((key, value)) = queue.pop() else {
                if queue.closed {
                    return Poll::Ready(None);
                }
                queue.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // The selection is the user's code: not under the lock.
            drop(queue);
            if let Some(change) = listener.change(key, value) {
                return Poll::Ready(Some(change));
            }
        }
    }
}

impl<K, V> Unpin for Listener<K, V> {}

impl<K: Ord + Clone, V: Clone> Default for Feed<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Clone for Feed<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Feed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for Listener<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn even(value: &i32) -> bool {
        value % 2 == 0
    }

    #[test]
    fn a_late_listener_is_told_first_of_what_is_there() {
        let feed = Feed::new();
        feed.set("a", 0);
        feed.set("b", 1);
        let mut listener = feed.listen(even);
        feed.set("c", 2);
        assert_eq!(listener.try_next(), Some(Change::Added("a", 0)));
        assert_eq!(listener.try_next(), Some(Change::Added("c", 2)));
        assert_eq!(listener.try_next(), None);
    }

    #[test]
    fn each_change_is_told_by_what_the_listener_knew() {
        let feed = Feed::new();
        let mut listener = feed.listen(even);
        let mut next = |value| {
            match value {
                Some(value) => drop(feed.set("k", value)),
                None => drop(feed.remove(&"k")),
            }
            listener.try_next()
        };
        let key = "k";
        assert_eq!(next(Some(1)), None);
        assert_eq!(next(Some(2)), Some(Change::Added(key, 2)));
        assert_eq!(
            next(Some(4)),
            Some(Change::Modified {
                key,
                value: 4,
                before: 2
            })
        );
        assert_eq!(
            next(Some(5)),
            Some(Change::EndMatch {
                key,
                value: 5,
                before: 4
            })
        );
        assert_eq!(next(Some(7)), None);
        assert_eq!(next(None), None);
        assert_eq!(next(Some(8)), Some(Change::Added(key, 8)));
        assert_eq!(next(None), Some(Change::Removed(key, 8)));
        assert_eq!(next(None), None);
    }

    #[test]
    fn news_not_yet_taken_is_replaced_and_never_piles_up() {
        let feed = Feed::new();
        let mut listener = feed.listen(|_| true);
        for value in 0..1000 {
            feed.set("k", value);
        }
        assert_eq!(listener.queue.lock().order.len(), 1);
        assert_eq!(listener.try_next(), Some(Change::Added("k", 999)));
        feed.remove(&"k");
        feed.set("k", 0);
        feed.remove(&"k");
        assert_eq!(listener.try_next(), Some(Change::Removed("k", 999)));
        assert_eq!(listener.try_next(), None);
    }

    #[tokio::test]
    async fn a_waiting_listener_wakes_and_ends_with_the_feed() {
        let feed = Feed::new();
        let mut listener = feed.listen(|_| true);
        let waiting = tokio::spawn(async move {
            let first = listener.next().await;
            (first, listener.next().await)
        });
        tokio::task::yield_now().await;
        feed.set(1, "one");
        feed.close();
        let (first, end) = waiting.await.unwrap();
        assert_eq!((first, end), (Some(Change::Added(1, "one")), None));
    }

    #[test]
    fn a_dropped_listener_is_forgotten() {
        let feed = Feed::new();
        drop(feed.listen(|_| true));
        feed.set(1, 1);
        assert!(feed.0.lock().listeners.is_empty());
    }

    proptest! {
        /// RELIABILITY's I4: whatever is set and taken in whatever order, the
        /// changes folded are what the feed selects in the end.
        #[test]
        fn changes_folded_give_the_view(
            steps in proptest::collection::vec((0..4_u8, proptest::option::of(0..6_i32), any::<bool>()), 0..60)
        ) {
            let feed = Feed::new();
            let mut listener = feed.listen(even);
            let mut view = BTreeMap::new();
            let mut fold = |change| match change {
                Change::Added(key, value) => assert_eq!(view.insert(key, value), None),
                Change::Modified { key, value, before } => {
                    assert_eq!(view.insert(key, value), Some(before));
                }
                Change::EndMatch { key, before, .. } | Change::Removed(key, before) => {
                    assert_eq!(view.remove(&key), Some(before));
                }
            };
            for (key, value, take) in steps {
                match value {
                    Some(value) => drop(feed.set(key, value)),
                    None => drop(feed.remove(&key)),
                }
                if take && let Some(change) = listener.try_next() {
                    fold(change);
                }
            }
            while let Some(change) = listener.try_next() {
                fold(change);
            }
            let selected: BTreeMap<_, _> =
                feed.snapshot().into_iter().filter(|(_, v)| even(v)).collect();
            prop_assert_eq!(view, selected);
        }
    }
}
