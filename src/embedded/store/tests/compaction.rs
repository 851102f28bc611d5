use proptest::prelude::*;

use super::{contents, delete, put};
use crate::embedded::error::Error;
use crate::embedded::store::event::Kind;
use crate::embedded::store::{Store, footprint_of, footprint_of_commit};

#[test]
fn what_was_compacted_cannot_be_read_and_the_rest_is_as_before() {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        put(&mut store, "a", value);
    }
    delete(&mut store, "a", "").unwrap();
    put(&mut store, "b", "4");
    let before: Vec<_> = (3..=6).map(|at| contents(&store, at)).collect();
    store.compact(3).unwrap();
    assert_eq!(store.compacted(), 3);
    assert_eq!(contents(&store, 2), Err(Error::Compacted));
    let after: Vec<_> = (3..=6).map(|at| contents(&store, at)).collect();
    assert_eq!(before, after);
}

#[test]
fn compaction_goes_forward_and_not_beyond_the_present() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    assert_eq!(store.compacted(), -1);
    assert_eq!(store.compact(-1), Err(Error::Compacted));
    assert_eq!(store.compact(0), Ok(()));
    assert_eq!(store.compact(4), Err(Error::FutureRevision));
    assert_eq!(store.compact(3), Ok(()));
    assert_eq!(store.compact(3), Err(Error::Compacted));
    assert_eq!(store.compact(2), Err(Error::Compacted));
    assert_eq!(contents(&store, 3).unwrap().len(), 1);
}

#[test]
fn the_history_begins_at_the_compacted_revision_without_what_was_before() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    put(&mut store, "a", "3");
    store.compact(3).unwrap();
    let commits: Vec<_> = store.commits_from(0).collect();
    assert_eq!(commits.len(), 2);
    assert_eq!(commits[0].revision, 3);
    assert_eq!(commits[0].events[0].kind, Kind::Put);
    assert_eq!(commits[0].events[0].previous, None);
}

#[test]
fn what_was_before_an_event_is_what_was_before_its_revision() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    let mut writer = store.write();
    writer.put(b"b".into(), b"1".into(), 0);
    writer.remove(b"b");
    writer.remove(b"a");
    writer.put(b"a".into(), b"2".into(), 0);
    let commit = writer.commit().unwrap();
    let before =
        |c: &crate::embedded::store::event::Change| c.previous.as_ref().map(|kv| kv.value.clone());
    let before: Vec<_> = commit.events.iter().map(before).collect();
    assert_eq!(before, [None, None, Some(b"1".to_vec()), None]);
}

#[test]
fn of_the_compacted_revision_only_that_is_left_which_is_still_there() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    put(&mut store, "b", "1");
    let mut writer = store.write();
    writer.put(b"c".into(), b"1".into(), 0);
    writer.remove(b"a");
    writer.remove(b"b");
    writer.put(b"b".into(), b"2".into(), 0);
    writer.put(b"d".into(), b"1".into(), 0);
    writer.remove(b"d");
    writer.commit();
    store.compact(4).unwrap();
    let commit = store.commits_from(0).next().unwrap();
    let left: Vec<_> = commit.events.iter().map(|c| (c.kind, &c.kv.key)).collect();
    assert_eq!(
        left,
        [(Kind::Put, &b"c".to_vec()), (Kind::Put, &b"b".to_vec())]
    );
}

#[test]
fn compaction_frees_what_no_read_can_see() {
    let mut store = Store::new();
    for round in 0..100 {
        put(&mut store, "a", "12345");
        put(&mut store, "b", "12345");
        if round % 2 == 0 {
            delete(&mut store, "a", "c").unwrap();
        }
    }
    assert_eq!(store.bytes(), 200 * 6);
    let last = store.revision();
    store.compact(last - 1).unwrap();
    assert_eq!(store.bytes(), 2 * 6);
    assert!(store.past.is_empty());
    assert_eq!(store.history.len(), 2);
    delete(&mut store, "a", "c").unwrap();
    store.compact(last + 1).unwrap();
    assert_eq!(store.bytes(), 0);
    assert!(store.past.is_empty() && store.current.is_empty());
}

#[test]
fn a_bounded_history_keeps_as_many_revisions_as_it_says() {
    let mut store = Store::new();
    for _ in 0..50 {
        put(&mut store, "a", "1");
        store.keep(10);
    }
    assert_eq!((store.revision(), store.compacted()), (51, 41));
    assert_eq!(store.history.len(), 11);
    assert!(contents(&store, 41).is_ok());
    assert_eq!(contents(&store, 40), Err(Error::Compacted));
}

/// A watch that has seen all before such a revision goes on with it, and is told of no compaction.
#[test]
fn what_a_bound_forgets_up_to_still_says_which_keys_went() {
    let ends: [fn(&mut Store); 2] = [|store| store.keep(0), |store| store.keep_bytes(0)];
    for end in ends {
        let mut store = Store::new();
        put(&mut store, "a", &"1".repeat(900));
        put(&mut store, "b", "1");
        delete(&mut store, "a", "b").unwrap();
        end(&mut store);
        assert_eq!(store.compacted(), store.revision());
        let left: Vec<_> = store.commits_from(store.compacted()).collect();
        let [commit] = left.as_slice() else {
            panic!("{left:?}");
        };
        assert_eq!(commit.events.len(), 1, "{commit:?}");
        let event = &commit.events[0];
        assert_eq!(
            (event.kind, event.kv.key.as_slice()),
            (Kind::Delete, &b"a"[..])
        );
        assert_eq!(event.previous, None, "what was before is forgotten");
    }
}

#[test]
fn equal_contents_have_equal_hashes_at_any_revision() {
    let filled = |last: &str| {
        let mut store = Store::new();
        put(&mut store, "a", "1");
        put(&mut store, "b", last);
        store
    };
    let hash = |store: &Store, at| store.snapshot(at).unwrap().hash();
    let (store, same, other) = (filled("2"), filled("2"), filled("3"));
    assert_eq!(hash(&store, 0), hash(&same, 3));
    assert_ne!(hash(&store, 0), hash(&other, 0));
    assert_eq!(hash(&store, 2), hash(&other, 2));
    assert_eq!(store.snapshot(4).unwrap_err(), Error::FutureRevision);
}

#[test]
fn the_hash_is_of_the_content_alone_and_another_one_than_etcds() {
    let hash = |store: &Store| store.snapshot(0).unwrap().hash();
    let mut store = Store::new();
    assert_eq!(hash(&store), 0x811c_9dc5, "what FNV-1a begins with");
    put(&mut store, "a", "1");
    let before = hash(&store);
    put(&mut store, "b", "1");
    assert_ne!(hash(&store), before);
    delete(&mut store, "b", "").unwrap();
    assert_eq!(hash(&store), before);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize),
    Delete(u8),
    /// Both in one revision, so that a version comes and goes unseen.
    PutAndDelete(u8, usize),
    Compact(i64),
    KeepBytes(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4u8, 0..500usize).prop_map(|(key, size)| Step::Put(key, size)),
        2 => (0..4u8).prop_map(Step::Delete),
        1 => (0..4u8, 0..500usize).prop_map(|(key, size)| Step::PutAndDelete(key, size)),
        1 => (0..20i64).prop_map(Step::Compact),
        1 => (0..5000usize).prop_map(Step::KeepBytes),
    ];
    prop::collection::vec(step, 0..60)
}

/// What the store holds, counted anew.
fn counted(store: &Store) -> (usize, usize) {
    let live = store.current.values().map(|kv| footprint_of(kv)).sum();
    let past = store.past.values().flat_map(|versions| &versions.0);
    let past: usize = past.map(|version| footprint_of(&version.kv)).sum();
    let commits = store
        .history
        .iter()
        .map(|commit| footprint_of_commit(commit));
    (live, past + commits.sum::<usize>())
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_what_is_there(steps in steps()) {
        let mut store = Store::new();
        for step in steps {
            let mut writer = store.write();
            match step {
                Step::Put(key, size) => {
                    writer.put(vec![key], vec![b'v'; size], 0);
                    writer.commit();
                }
                Step::Delete(key) => {
                    writer.remove(&[key]);
                    writer.commit();
                }
                Step::PutAndDelete(key, size) => {
                    writer.put(vec![key], vec![b'v'; size], 0);
                    writer.remove(&[key]);
                    let commit = writer.commit().unwrap();
                    prop_assert!(commit.unseen > size);
                }
                Step::Compact(ago) => {
                    let at = store.revision() - ago;
                    let may = at > store.compacted();
                    prop_assert_eq!(store.compact(at).is_ok(), may);
                }
                Step::KeepBytes(bytes) => {
                    store.keep_bytes(bytes);
                    let least = store.compacted() == store.revision();
                    prop_assert!(store.kept_bytes() <= bytes || least);
                }
            }
            prop_assert_eq!((store.live_bytes(), store.kept_bytes()), counted(&store));
        }
    }
}

#[test]
fn no_more_is_forgotten_than_the_bytes_ask_for() {
    let mut store = Store::new();
    for _ in 0..100 {
        put(&mut store, "a", "12345");
    }
    let all = store.kept_bytes();
    store.keep_bytes(all);
    assert_eq!(store.compacted(), -1);
    store.keep_bytes(all / 2);
    let half = store.compacted();
    assert!((45..=55).contains(&half), "{half}");
    store.keep_bytes(0);
    assert_eq!(store.compacted(), store.revision());
    assert_eq!(contents(&store, 0).unwrap().len(), 1, "what is there stays");
}
