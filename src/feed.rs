//! News of a changing set of things, to any number of listeners.
//!
//! A [`Feed`] knows the latest value of each key. Each listener has a queue of
//! its own, in which later news of a key takes the place of earlier news that
//! was not delivered yet. So a queue is never longer than there are keys, a
//! slow listener holds nobody up, and what a listener was told, folded, is
//! always the truth of some moment: each thing is added once, then modified
//! any number of times, then removed.
//!
//! A feed may know *topics* of its values, such as the interfaces of an
//! endpoint. Who listens to some topics only is then neither told of what
//! concerns others, nor woken for it, nor asked about it.

mod listener;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use listener::Queue;
pub use listener::{Interest, Listener};

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

/// What a listener wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topics {
    /// Everything.
    #[default]
    All,
    /// What has one of these topics; the rest cannot be of interest. Of a
    /// feed that knows no topics it is everything all the same.
    Of(BTreeSet<String>),
}

/// How a feed reads the topics of a value.
type TopicsOf<V> = for<'a> fn(&'a V) -> Vec<&'a str>;

/// The source of news. Cheap to clone; all clones are one feed.
pub struct Feed<K, V>(Arc<Mutex<State<K, V>>>);

struct State<K, V> {
    latest: BTreeMap<K, Latest<V>>,
    last_revision: u64,
    topics_of: Option<TopicsOf<V>>,
    last_listener: u64,
    /// In order, because they are told in it.
    listeners: BTreeMap<u64, Member<K, V>>,
    /// Those of the listeners that hear of everything.
    of_all: BTreeSet<u64>,
    by_topic: HashMap<String, BTreeSet<u64>>,
    closed: bool,
}

/// A value, and the number of its setting.
#[derive(Clone)]
struct Latest<V> {
    revision: u64,
    value: V,
}

struct Member<K, V> {
    queue: Arc<Mutex<Queue<K, V>>>,
    topics: Topics,
}

impl<K: Ord + Clone, V: Clone> Feed<K, V> {
    /// A feed of nothing yet, that knows no topics: all listeners are asked
    /// about everything.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A feed of nothing yet, whose values have topics.
    pub fn with_topics(topics_of: for<'a> fn(&'a V) -> Vec<&'a str>) -> Self {
        Self::with(Some(topics_of))
    }

    fn with(topics_of: Option<TopicsOf<V>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            latest: BTreeMap::new(),
            last_revision: 0,
            topics_of,
            last_listener: 0,
            listeners: BTreeMap::new(),
            of_all: BTreeSet::new(),
            by_topic: HashMap::new(),
            closed: false,
        })))
    }

    /// Sets a key's value and tells the listeners; gives back the one before.
    pub fn set(&self, key: K, value: V) -> Option<V> {
        let mut state = self.0.lock();
        state.last_revision += 1;
        let latest = Latest {
            revision: state.last_revision,
            value,
        };
        state.tell(&key, Some(&latest));
        let before = state.latest.insert(key, latest)?;
        Some(before.value)
    }

    /// Takes a key out and tells the listeners; gives back its last value.
    pub fn remove(&self, key: &K) -> Option<V> {
        let mut state = self.0.lock();
        if !state.latest.contains_key(key) {
            return None;
        }
        state.tell(key, None);
        Some(state.latest.remove(key)?.value)
    }

    /// The latest value of a key.
    pub fn get(&self, key: &K) -> Option<V> {
        Some(self.0.lock().latest.get(key)?.value.clone())
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
        entries.map(|(k, v)| (k.clone(), v.value.clone())).collect()
    }

    /// A listener to what `select` picks. It is told first of all that is
    /// there already; nothing is lost or told twice in between.
    pub fn listen(&self, select: impl Fn(&V) -> bool + Send + Sync + 'static) -> Listener<K, V> {
        self.listen_to(Topics::All, move |value| select(value).then_some(()))
    }

    /// [`Feed::listen`] to these topics. `select` also says why it picks a
    /// value, which the listener is told with each change. It is not asked
    /// about what has none of the topics.
    pub fn listen_to<M>(
        &self,
        topics: Topics,
        select: impl Fn(&V) -> Option<M> + Send + Sync + 'static,
    ) -> Listener<K, V, M> {
        let mut state = self.0.lock();
        let queue = Arc::new(Mutex::new(Queue::new(state.closed)));
        state.last_listener += 1;
        let id = state.last_listener;
        for (key, latest) in &state.latest {
            if state.concerns(&latest.value, &topics) {
                queue.lock().push(key, Some(latest));
            }
        }
        let listener = Listener::new(Arc::downgrade(&self.0), id, Arc::clone(&queue), select);
        state.join(id, &topics);
        state.listeners.insert(id, Member { queue, topics });
        listener
    }

    /// Ends the listeners' streams, once they have taken what is queued. Later
    /// listeners are told of what is there, and end.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        for member in state.listeners.values() {
            member.queue.lock().close();
        }
    }
}

impl<K: Ord + Clone, V: Clone> State<K, V> {
    /// Tells those whom the value before or the new one concerns: who was told
    /// of the one before must hear that it is another.
    fn tell(&self, key: &K, latest: Option<&Latest<V>>) {
        let tell = |id: &u64| {
            if let Some(member) = self.listeners.get(id) {
                member.queue.lock().push(key, latest);
            }
        };
        let Some(topics_of) = self.topics_of else {
            return self.listeners.keys().for_each(tell);
        };
        self.of_all.iter().for_each(tell);
        // Whom two topics lead to is told twice, which is told once.
        for latest in self.latest.get(key).into_iter().chain(latest) {
            for topic in topics_of(&latest.value) {
                self.by_topic
                    .get(topic)
                    .into_iter()
                    .flatten()
                    .for_each(tell);
            }
        }
    }

    fn concerns(&self, value: &V, topics: &Topics) -> bool {
        match (topics, self.topics_of) {
            (Topics::All, _) | (_, None) => true,
            (Topics::Of(topics), Some(topics_of)) => {
                topics_of(value).iter().any(|topic| topics.contains(*topic))
            }
        }
    }

    fn join(&mut self, id: u64, topics: &Topics) {
        match topics {
            Topics::All => drop(self.of_all.insert(id)),
            Topics::Of(topics) => {
                for topic in topics {
                    self.by_topic.entry(topic.clone()).or_default().insert(id);
                }
            }
        }
    }

    fn leave(&mut self, id: u64, topics: &Topics) {
        match topics {
            Topics::All => drop(self.of_all.remove(&id)),
            Topics::Of(topics) => {
                for topic in topics {
                    if let Some(listeners) = self.by_topic.get_mut(topic) {
                        listeners.remove(&id);
                        if listeners.is_empty() {
                            self.by_topic.remove(topic);
                        }
                    }
                }
            }
        }
    }

    /// Gives a listener other topics, and asks it again about everything that
    /// was or is of interest.
    fn change(&mut self, id: u64, topics: Topics) {
        let Some(member) = self.listeners.get_mut(&id) else {
            return;
        };
        let queue = Arc::clone(&member.queue);
        let before = std::mem::replace(&mut member.topics, topics.clone());
        self.leave(id, &before);
        self.join(id, &topics);
        // What waits may be old: news outside of the topics did not come.
        queue.lock().refresh(|key| self.latest.get(key));
        for (key, latest) in &self.latest {
            let concerns = |topics| self.concerns(&latest.value, topics);
            if concerns(&before) || concerns(&topics) {
                queue.lock().push(key, Some(latest));
            }
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(member) = self.listeners.remove(&id) {
            self.leave(id, &member.topics);
        }
    }
}

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
