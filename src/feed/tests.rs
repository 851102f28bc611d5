//! Feeds, their listeners, and their topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::Stream;
use proptest::prelude::*;

use super::*;

/// A text's topics are its words.
fn words<'a>(text: &'a &'static str) -> Vec<&'a str> {
    text.split(' ').collect()
}

fn of(topics: &[&str]) -> Topics {
    Topics::Of(topics.iter().map(|topic| (*topic).to_owned()).collect())
}

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
    let state = feed.0.lock();
    assert!(state.listeners.is_empty() && state.of_all.is_empty() && state.by_topic.is_empty());
}

#[test]
fn who_listens_to_a_topic_is_asked_about_nothing_else() {
    let feed = Feed::with_topics(words);
    feed.set(1, "a one");
    feed.set(2, "b one");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let mut listener = feed.listen_to(of(&["a", "c"]), move |text: &&'static str| {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(text.len())
    });
    for key in 3..1000 {
        feed.set(key, "b more");
    }
    feed.set(1, "a changed");
    feed.set(2, "c now");
    assert_eq!(listener.queue.lock().order.len(), 2);
    assert_eq!(listener.try_next(), Some(Change::Added(1, "a changed")));
    assert_eq!(listener.try_next(), Some(Change::Added(2, "c now")));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_value_that_leaves_the_topics_is_told_all_the_same() {
    let feed = Feed::with_topics(words);
    let starts = |text: &&'static str| text.starts_with('a').then_some(());
    let mut listener = feed.listen_to(of(&["a"]), starts);
    feed.set(1, "a");
    assert_eq!(listener.try_next(), Some(Change::Added(1, "a")));
    feed.set(1, "b");
    feed.set(1, "c");
    let end = Change::EndMatch {
        key: 1,
        value: "b",
        before: "a",
    };
    assert_eq!(listener.try_next(), Some(end));
    feed.remove(&1);
    assert_eq!(listener.try_next(), None);
    feed.set(1, "a");
    feed.remove(&1);
    feed.set(1, "a again");
    assert_eq!(listener.try_next(), Some(Change::Added(1, "a again")));
    feed.remove(&1);
    assert_eq!(listener.try_next(), Some(Change::Removed(1, "a again")));
}

#[test]
fn a_changed_interest_tells_only_the_differences() {
    let feed = Feed::with_topics(words);
    for (key, text) in [(1, "a"), (2, "b"), (3, "c"), (4, "a b")] {
        feed.set(key, text);
    }
    let wanted = Arc::new(Mutex::new(vec!["a"]));
    let asked = Arc::clone(&wanted);
    let mut listener = feed.listen_to(of(&["a"]), move |text: &&'static str| {
        let wanted = asked.lock();
        wanted.iter().find(|w| words(text).contains(w)).copied()
    });
    let interest = listener.interest();
    assert_eq!(listener.try_next(), Some(Change::Added(1, "a")));
    assert_eq!(listener.try_next(), Some(Change::Added(4, "a b")));

    *wanted.lock() = vec!["b"];
    interest.change(of(&["b"]));
    let end = Change::EndMatch {
        key: 1,
        value: "a",
        before: "a",
    };
    assert_eq!(listener.try_next(), Some(end));
    assert_eq!(listener.try_next(), Some(Change::Added(2, "b")));
    assert_eq!(listener.try_next(), None);

    // Real news of what is to be judged anew stays news.
    *wanted.lock() = vec!["b", "c"];
    interest.change(Topics::All);
    feed.set(2, "b changed");
    let modified = Change::Modified {
        key: 2,
        value: "b changed",
        before: "b",
    };
    assert_eq!(listener.try_next(), Some(modified));
    assert_eq!(listener.try_next(), Some(Change::Added(3, "c")));
    assert_eq!(listener.try_next(), None);
    drop(listener);
    assert!(interest.is_over());
    interest.change(Topics::All);
}

#[test]
fn what_the_selection_said_goes_with_each_change() {
    let feed = Feed::new();
    let mut listener = feed.listen_to(Topics::All, |value: &i32| {
        (*value > 0).then_some(value % 10)
    });
    let mut told = |value: Option<i32>| {
        match value {
            Some(value) => drop(feed.set("k", value)),
            None => drop(feed.remove(&"k")),
        }
        let mut context = Context::from_waker(Waker::noop());
        match listener.poll_matched(&mut context) {
            Poll::Ready(Some((_, why))) => Some(why),
            _ => None,
        }
    };
    assert_eq!(told(Some(11)), Some(1));
    assert_eq!(told(Some(12)), Some(2));
    assert_eq!(told(Some(-1)), Some(2), "what matched before");
    assert_eq!(told(Some(13)), Some(3));
    assert_eq!(told(None), Some(3), "what matched before");
}

#[test]
fn a_feed_that_is_closed_tells_what_is_there_and_ends() {
    let feed = Feed::new();
    feed.set(1, "one");
    feed.close();
    let mut listener = feed.listen(|_| true);
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || Pin::new(&mut listener).poll_next(&mut context);
    assert_eq!(next(), Poll::Ready(Some(Change::Added(1, "one"))));
    assert_eq!(next(), Poll::Ready(None));
}

proptest! {
    /// I4 under topics and changes of interest: what is told, folded, is what
    /// the last interest picks.
    #[test]
    fn whatever_the_interest_was_in_between_the_view_is_that_of_the_last(
        steps in proptest::collection::vec(
            (0..3_u8, proptest::option::of(0..6_usize), 0..4_usize, any::<bool>()), 0..60)
    ) {
        const TEXTS: [&str; 6] = ["a", "b", "c", "a b", "b c", "d"];
        const TOPICS: [&[&str]; 3] = [&["a"], &["b", "c"], &[]];
        let feed = Feed::with_topics(words);
        let wanted = Arc::new(Mutex::new(BTreeSet::from(["a"])));
        let asked = Arc::clone(&wanted);
        let mut listener = feed.listen_to(of(&["a"]), move |text: &&'static str| {
            words(text).iter().any(|w| asked.lock().contains(w)).then_some(())
        });
        let interest = listener.interest();
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
        for (key, text, topics, take) in steps {
            match text {
                Some(text) => drop(feed.set(key, TEXTS[text])),
                None => drop(feed.remove(&key)),
            }
            if let Some(topics) = TOPICS.get(topics) {
                *wanted.lock() = topics.iter().copied().collect();
                interest.change(of(topics));
            }
            if take && let Some(change) = listener.try_next() {
                fold(change);
            }
        }
        while let Some(change) = listener.try_next() {
            fold(change);
        }
        let wanted = wanted.lock();
        let picked: BTreeMap<_, _> = feed
            .snapshot()
            .into_iter()
            .filter(|(_, text)| words(text).iter().any(|w| wanted.contains(w)))
            .collect();
        prop_assert_eq!(view, picked);
    }
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
