//! The hub without a socket. The answers are those of etcd 3.4.23 and 3.5.1 to the same requests.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::task::Waker;

use proptest::prelude::*;

use super::*;

struct World {
    store: Store,
    hub: Hub,
}

fn from(start: i64) -> Create {
    Create {
        id: 0,
        range: Range::requested(b"k".to_vec(), b"l".to_vec()),
        start,
        no_put: false,
        no_delete: false,
        previous: false,
        fragment: false,
        progress: false,
    }
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::new(),
            hub: Hub::default(),
        }
    }

    fn put_all(&mut self, keys: &[&str]) {
        let mut writer = self.store.write();
        for key in keys {
            writer.put(key.as_bytes().to_vec(), b"v".to_vec(), 0);
        }
        let commit = writer.commit().unwrap();
        self.hub.publish(&commit);
    }

    fn put(&mut self, key: &str) {
        self.put_all(&[key]);
    }

    fn put_value(&mut self, key: &str, bytes: usize) {
        let mut writer = self.store.write();
        writer.put(key.into(), vec![b'v'; bytes], 0);
        let commit = writer.commit().unwrap();
        self.hub.publish(&commit);
    }

    fn remove(&mut self, key: &str) {
        let mut writer = self.store.write();
        writer.remove(key.as_bytes());
        let commit = writer.commit().unwrap();
        self.hub.publish(&commit);
    }

    fn create(&mut self, stream: StreamKey, create: Create) {
        self.hub.create(stream, create, self.store.revision());
    }

    fn cancel(&mut self, stream: StreamKey, id: i64) {
        self.hub.cancel(stream, id, self.store.revision());
    }

    /// The next message that there is, if there is one.
    fn next(&mut self, stream: StreamKey) -> Option<Message> {
        loop {
            match self.hub.next(stream, &self.store, Waker::noop()) {
                Next::Message(message) => return Some(message),
                Next::Again => {}
                Next::Wait => return None,
                Next::End => panic!("the hub ended"),
            }
        }
    }

    /// All that the stream is told now.
    fn read(&mut self, stream: StreamKey) -> Vec<String> {
        std::iter::from_fn(|| self.next(stream).map(|message| told(&message))).collect()
    }
}

/// A message as `what id@revision`.
fn told(message: &Message) -> String {
    match message {
        Message::Created { id, revision } => format!("created {id}@{revision}"),
        Message::Refused { refusal, revision } => format!("{refusal:?}@{revision}"),
        Message::Canceled { id, revision } => format!("canceled {id}@{revision}"),
        Message::Compacted { id, compacted } => format!("compacted {id}@{compacted}"),
        Message::Progress { id, revision } => format!("progress {id}@{revision}"),
        Message::Events(events) => {
            let all: Vec<String> = events
                .commits
                .iter()
                .map(|c| c.revision.to_string())
                .collect();
            format!(
                "events {}@{}: {}",
                events.id,
                events.revision,
                all.join(" ")
            )
        }
    }
}

#[test]
fn the_created_answer_comes_before_events_and_the_next_revision_is_the_first() {
    let mut world = World::new();
    world.put("k1");
    let stream = world.hub.open();
    world.create(stream, from(0));
    world.put("k2");
    world.put("other");
    assert_eq!(world.read(stream), ["created 0@2", "events 0@3: 3"]);
}

#[test]
fn ids_are_the_clients_or_counted_from_zero_past_those_in_use() {
    let mut world = World::new();
    let stream = world.hub.open();
    for id in [0, 7, 7, 1, 0, -5] {
        world.create(stream, Create { id, ..from(0) });
    }
    let other = world.hub.open();
    world.create(other, from(0));
    assert_eq!(
        world.read(stream),
        [
            "created 0@1",
            "created 7@1",
            "Duplicate@1",
            "created 1@1",
            "created 2@1",
            "created -5@1"
        ]
    );
    assert_eq!(world.read(other), ["created 0@1"], "ids are each stream's");
    for id in [0, 1, 2] {
        world.cancel(stream, id);
    }
    world.create(stream, from(0));
    let last = world.read(stream).pop();
    assert_eq!(
        last.unwrap(),
        "created 3@1",
        "chosen ids are not used twice"
    );
}

#[test]
fn a_range_without_keys_is_refused() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(
        stream,
        Create {
            range: None,
            ..from(0)
        },
    );
    assert_eq!(world.read(stream), ["EmptyRange@1"]);
}

#[test]
fn a_watch_begins_in_the_past_with_history_and_goes_on_live() {
    let mut world = World::new();
    for key in ["k1", "other", "k2", "k1"] {
        world.put(key);
    }
    let stream = world.hub.open();
    world.create(stream, from(2));
    assert_eq!(world.read(stream), ["created 0@5", "events 0@5: 2 4 5"]);
    world.put("k3");
    assert_eq!(world.read(stream), ["events 0@6: 6"]);
}

#[test]
fn a_watch_from_the_future_waits_for_its_revision() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(4));
    for _ in 0..4 {
        world.put("k");
    }
    assert_eq!(
        world.read(stream),
        ["created 0@1", "events 0@4: 4", "events 0@5: 5"]
    );
}

#[test]
fn history_comes_in_batches_of_a_thousand_revisions_under_the_present_one() {
    let mut world = World::new();
    for _ in 0..2500 {
        world.put("k");
    }
    let stream = world.hub.open();
    world.create(stream, from(1));
    assert_eq!(
        world.next(stream).as_ref().map(told).unwrap(),
        "created 0@2501"
    );
    let mut sizes = Vec::new();
    while let Some(Message::Events(events)) = world.next(stream) {
        assert_eq!(events.revision, 2501);
        sizes.push(events.commits.len());
    }
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn a_commit_of_many_keys_is_told_once_and_whole() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(0));
    world.put_all(&["k1", "a", "k2", "k3"]);
    assert_eq!(world.read(stream), ["created 0@1", "events 0@2: 2"]);
}

#[test]
fn filtered_kinds_are_told_neither_live_nor_from_history() {
    let mut world = World::new();
    let stream = world.hub.open();
    let filtered = |id, no_put, no_delete, start| Create {
        id,
        no_put,
        no_delete,
        ..from(start)
    };
    world.create(stream, filtered(1, true, false, 0));
    world.create(stream, filtered(2, false, true, 0));
    world.create(stream, filtered(3, true, true, 0));
    world.put("k");
    world.remove("k");
    let live = world.read(stream).split_off(3);
    assert_eq!(live, ["events 2@2: 2", "events 1@3: 3"]);
    world.create(stream, filtered(11, true, false, 2));
    world.create(stream, filtered(12, false, true, 2));
    world.create(stream, filtered(13, true, true, 2));
    let history = world.read(stream).split_off(3);
    assert_eq!(history, ["events 11@3: 3", "events 12@3: 2"]);
}

#[test]
fn a_watch_from_a_compacted_revision_is_created_and_then_ended() {
    let mut world = World::new();
    for _ in 0..4 {
        world.put("k");
    }
    world.store.compact(4).unwrap();
    let stream = world.hub.open();
    world.create(stream, from(3));
    assert_eq!(world.read(stream), ["created 0@5", "compacted 0@4"]);
    world.put("k");
    assert_eq!(world.read(stream), Vec::<String>::new(), "it ended");
    world.create(stream, from(4));
    assert_eq!(
        world.read(stream),
        ["created 1@6", "events 1@6: 4 5 6"],
        "the compacted revision itself can be had, and the id 0 is still in use"
    );
    world.cancel(stream, 0);
    assert_eq!(world.read(stream), ["canceled 0@6"], "as etcd answers");
    world.create(stream, from(-3));
    assert_eq!(world.read(stream), ["created 2@6", "compacted 2@4"]);
}

#[test]
fn a_cancel_is_answered_once_and_is_the_last_of_a_watch() {
    let mut world = World::new();
    world.put("k");
    let stream = world.hub.open();
    world.create(stream, from(0));
    world.create(stream, from(2));
    world.put("k");
    world.cancel(stream, 0);
    world.cancel(stream, 1);
    world.cancel(stream, 1);
    world.cancel(stream, 99);
    world.put("k");
    assert_eq!(
        world.read(stream),
        ["created 0@2", "created 1@2", "canceled 0@3", "canceled 1@3"]
    );
    assert!(world.hub.watches.is_empty());
}

#[test]
fn a_closed_stream_leaves_nothing() {
    let mut world = World::new();
    world.put("k");
    let stream = world.hub.open();
    world.create(stream, from(0));
    world.create(stream, from(2));
    world.hub.close(stream);
    world.put("k");
    assert!(world.hub.watches.is_empty() && world.hub.streams.is_empty());
    let mut found = false;
    world.hub.index.find(b"k", |_| found = true);
    assert!(!found);
}

#[test]
fn progress_is_answered_at_once_when_all_have_caught_up() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.hub.ask_progress(stream, 1);
    world.create(stream, from(0));
    world.put("k");
    world.hub.ask_progress(stream, 2);
    assert_eq!(
        world.read(stream),
        [
            "progress -1@1",
            "created 0@1",
            "events 0@2: 2",
            "progress -1@2"
        ]
    );
}

#[test]
fn progress_waits_for_watches_that_are_behind() {
    let mut world = World::new();
    world.put("k");
    let stream = world.hub.open();
    world.create(stream, from(2));
    world.hub.ask_progress(stream, 2);
    world.put("k");
    assert_eq!(
        world.read(stream),
        ["created 0@2", "events 0@3: 2 3", "progress -1@3"],
        "with the revision that all have reached"
    );
}

#[test]
fn a_tick_tells_progress_only_to_quiet_watches_that_asked_for_it() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(
        stream,
        Create {
            progress: true,
            ..from(0)
        },
    );
    world.create(stream, from(0));
    world.put("other");
    world.hub.tick(stream, 2);
    assert_eq!(
        world.read(stream),
        ["created 0@1", "created 1@1", "progress 0@2"]
    );
    world.put("k");
    assert_eq!(world.read(stream).len(), 2);
    world.hub.tick(stream, 3);
    assert_eq!(
        world.read(stream),
        Vec::<String>::new(),
        "an event says it too"
    );
    world.hub.tick(stream, 3);
    assert_eq!(world.read(stream), ["progress 0@3"]);
}

#[test]
fn a_stream_that_is_not_read_holds_a_short_queue_and_loses_nothing() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(0));
    for _ in 0..20_000 {
        world.put("k");
    }
    assert!(world.hub.streams[&stream].queue.len() <= QUEUE);
    assert_eq!(world.hub.streams[&stream].behind.len(), 1);
    let mut revisions = Vec::new();
    while let Some(message) = world.next(stream) {
        if let Message::Events(events) = message {
            revisions.extend(events.commits.iter().map(|commit| commit.revision));
        }
    }
    assert!(revisions.into_iter().eq(2..=20_001));
}

/// Else each client that does not read would hold as much as 128 of the largest commits.
#[test]
fn a_stream_that_is_not_read_holds_few_bytes() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(0));
    for _ in 0..20 {
        world.put_value("k", 300_000);
    }
    let queued = |world: &World| {
        let queue = world.hub.streams[&stream].queue.iter();
        let sizes = queue.map(|message| match message {
            Message::Events(events) => events.size(),
            _ => 0,
        });
        sizes.sum::<usize>()
    };
    assert!(queued(&world) < QUEUE_BYTES + 700_000, "{}", queued(&world));
    assert_eq!(queued(&world), world.hub.streams[&stream].queued_bytes);
    assert_eq!(world.hub.streams[&stream].behind.len(), 1);
    let told = world.read(stream).concat();
    for revision in 2..=21 {
        assert!(told.contains(&format!(" {revision}")), "{revision}: {told}");
    }
    assert_eq!(world.hub.streams[&stream].queued_bytes, 0);
    world.put_value("k", 300_000);
    world.cancel(stream, 0);
    assert_eq!(world.hub.streams[&stream].queued_bytes, 0);
}

/// etcd has no limit of bytes here.
#[test]
fn history_comes_in_batches_of_a_mebibyte_with_what_was_before_if_that_is_told() {
    for (previous, commits) in [(false, vec![3, 3, 2]), (true, vec![2, 1, 1, 1, 1, 1, 1])] {
        let mut world = World::new();
        for _ in 0..8 {
            world.put_value("k", 300_000);
        }
        let stream = world.hub.open();
        world.create(
            stream,
            Create {
                previous,
                ..from(2)
            },
        );
        let mut batches = Vec::new();
        while let Some(message) = world.next(stream) {
            if let Message::Events(events) = message {
                batches.push(events.commits.len());
            }
        }
        assert_eq!(batches, commits, "with what was before: {previous}");
    }
}

#[test]
fn a_stream_that_is_not_read_is_told_when_compaction_overtook_it() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(0));
    for _ in 0..1000 {
        world.put("k");
    }
    world.store.compact(900).unwrap();
    let told = world.read(stream);
    assert_eq!(told.len(), QUEUE + 1, "what was in the queue, then the end");
    assert_eq!(told.last().unwrap(), "compacted 0@900");
}

#[test]
fn no_stream_is_told_anything_after_the_end() {
    let mut world = World::new();
    let stream = world.hub.open();
    world.create(stream, from(0));
    world.hub.end();
    let late = world.hub.open();
    for stream in [stream, late] {
        let next = world.hub.next(stream, &world.store, Waker::noop());
        assert!(matches!(next, Next::End));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    PutTwo(u8, u8),
    /// Of one of the keys, from so many revisions ago.
    Watch(u8, i64),
    Read(usize),
    Compact(i64),
    Burst,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..4u8;
    let step = prop_oneof![
        4 => key().prop_map(Step::Put),
        2 => (key(), key()).prop_map(|(a, b)| Step::PutTwo(a, b)),
        2 => (key(), -3..30i64).prop_map(|(key, back)| Step::Watch(key, back)),
        3 => (1..40usize).prop_map(Step::Read),
        1 => (0..100i64).prop_map(Step::Compact),
        1 => Just(Step::Burst),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the order of writes, reads and compactions: a watch is told of each revision of its
    /// key from its start on, once and in order, up to now or to a compaction that overtook it.
    #[test]
    fn each_watch_is_told_all_once_and_in_order_or_that_it_was_overtaken(steps in steps()) {
        let mut world = World::new();
        let stream = world.hub.open();
        let mut written: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        // Key, first revision, revisions told, and whether it was ended, for each id.
        let mut watches: Vec<(String, i64, Vec<i64>, Option<i64>)> = Vec::new();
        let name = |key: u8| format!("k{key}");
        let heard = |message, watches: &mut Vec<(String, i64, Vec<i64>, Option<i64>)>| match message {
            Message::Events(events) => {
                let of_it = events.commits.iter().map(|commit| commit.revision);
                watches[events.id as usize].2.extend(of_it);
            }
            Message::Compacted { id, compacted } => watches[id as usize].3 = Some(compacted),
            _ => {}
        };
        for step in steps {
            match step {
                Step::Put(key) => {
                    world.put(&name(key));
                    written.insert(world.store.revision(), vec![name(key)]);
                }
                Step::PutTwo(a, b) => {
                    let keys = [name(a), name(b)];
                    world.put_all(&[&keys[0], &keys[1]]);
                    written.insert(world.store.revision(), keys.to_vec());
                }
                Step::Burst => for turn in 0..200u8 {
                    world.put(&name(turn % 4));
                    written.insert(world.store.revision(), vec![name(turn % 4)]);
                },
                Step::Watch(key, back) => {
                    let start = (world.store.revision() + 1 - back).max(1);
                    let range = Range::requested(name(key).into_bytes(), Vec::new());
                    world.create(stream, Create { range, ..from(start) });
                    watches.push((name(key), start, Vec::new(), None));
                }
                Step::Read(count) => for _ in 0..count {
                    let Some(message) = world.next(stream) else { break };
                    heard(message, &mut watches);
                },
                Step::Compact(back) => {
                    let revision = world.store.revision() - back;
                    if revision > world.store.compacted().max(0) {
                        world.store.compact(revision).unwrap();
                    }
                }
            }
        }
        while let Some(message) = world.next(stream) {
            heard(message, &mut watches);
        }
        for (key, start, told, ended) in watches {
            let all: Vec<i64> = written.range(start..)
                .filter(|(_, keys)| keys.contains(&key))
                .map(|(revision, _)| *revision)
                .collect();
            prop_assert!(all.starts_with(&told), "{told:?} of {all:?}");
            match ended {
                // What it was not told of had to be forgotten, at least in part.
                Some(compacted) => prop_assert!(
                    told.last().map_or(start, |last| last + 1) < compacted
                ),
                None => prop_assert_eq!(told, all),
            }
        }
    }
}
