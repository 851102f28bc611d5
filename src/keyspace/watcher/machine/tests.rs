//! Each rule of a watcher. Random schedules are in `keyspace::schedules`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;

use bytes::Bytes;

use super::listing::change;
use super::*;
use crate::keyspace::range::PageRequest;

const SECOND: Duration = Duration::from_secs(1);

fn unavailable<T>() -> Result<T, Failure> {
    Err(Failure::new(FailureKind::Unavailable, "made up", SECOND))
}

fn header(revision: i64) -> Header {
    Header {
        cluster: 1,
        term: 2,
        revision,
    }
}

fn entry(key: &str, mod_revision: i64) -> Entry {
    Entry {
        key: key.as_bytes().to_vec(),
        value: Bytes::from_static(b"v"),
        create_revision: 0,
        mod_revision,
        version: 0,
        lease: 7,
    }
}

fn put(key: &str, mod_revision: i64) -> Change {
    change(entry(key, mod_revision))
}

fn delete(key: &str, mod_revision: i64) -> Change {
    Change::Delete {
        key: key.as_bytes().to_vec(),
        mod_revision,
    }
}

fn events(revision: i64, changes: Vec<Change>) -> Message {
    Message {
        header: header(revision),
        addressed: true,
        changes,
        ..Message::default()
    }
}

fn created(revision: i64) -> Message {
    Message {
        created: true,
        ..events(revision, vec![])
    }
}

struct Bench {
    machine: WatcherMachine,
    now: Instant,
    actions: VecDeque<Action>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let mut config = WatchConfig::prefix("k/");
        config.audit_interval = None;
        let machine = WatcherMachine::new(config, 2, 3 * SECOND, 1, now);
        let mut bench = Self {
            machine,
            now,
            actions: VecDeque::new(),
        };
        bench.step(Event::Tick);
        bench
    }

    /// A watcher that has listed these keys at revision 10 and is live.
    fn live(entries: Vec<Entry>) -> Self {
        let mut bench = Self::new();
        bench.connect(10);
        bench.page(10, entries, false);
        bench.watch(created(10));
        assert_eq!(bench.machine.phase(), WatchPhase::Live);
        bench.actions.clear();
        bench
    }

    fn step(&mut self, event: Event) {
        self.actions.extend(self.machine.step(event, self.now));
    }

    fn wake(&mut self) {
        let at = self.machine.next_wake().expect("something is due");
        self.now = self.now.max(at);
        self.step(Event::Tick);
    }

    fn connect(&mut self, revision: i64) {
        self.connect_to(header(revision));
    }

    fn connect_to(&mut self, header: Header) {
        let call = self.machine.next_call;
        assert!(matches!(self.machine.state, State::Dialling { .. }));
        let result = Ok(header);
        self.step(Event::Dialled { call, result });
    }

    fn page(&mut self, revision: i64, entries: Vec<Entry>, more: bool) {
        self.page_of(header(revision), entries, more);
    }

    fn page_of(&mut self, header: Header, entries: Vec<Entry>, more: bool) {
        self.page_result(Ok(Page {
            header,
            entries,
            more,
        }));
    }

    fn page_result(&mut self, result: Result<Page, Failure>) {
        let State::Listing { call, .. } = self.machine.state else {
            panic!("no page is awaited: {:?}", self.machine.state);
        };
        self.step(Event::Page { call, result });
    }

    fn watch(&mut self, message: Message) {
        self.watch_result(Ok(message));
    }

    fn watch_result(&mut self, result: Result<Message, Failure>) {
        let (State::Opening { call, .. } | State::Live { call, .. }) = self.machine.state else {
            panic!("no watch is open: {:?}", self.machine.state);
        };
        self.step(Event::Watch { call, result });
    }

    fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Action) -> Option<T>) -> T {
        while let Some(action) = self.actions.pop_front() {
            if let Some(picked) = pick(&action) {
                return picked;
            }
        }
        panic!("no {what} was asked for");
    }

    fn expect_open(&mut self) -> i64 {
        self.expect("watch", |action| match action {
            Action::Open { revision, .. } => Some(*revision),
            _ => None,
        })
    }

    fn expect_page(&mut self) -> PageRequest {
        self.expect("page", |action| match action {
            Action::ReadPage { request, .. } => Some(request.clone()),
            _ => None,
        })
    }

    fn delivered(&mut self) -> Vec<Change> {
        self.actions
            .drain(..)
            .filter_map(|action| match action {
                Action::Deliver(changes) => Some(changes),
                _ => None,
            })
            .flatten()
            .collect()
    }
}

#[test]
fn the_first_listing_is_delivered_page_by_page_at_one_revision_and_then_watched() {
    let mut bench = Bench::new();
    bench.connect(10);
    assert_eq!(bench.expect_page().revision, 0);
    bench.page(10, vec![entry("k/a", 3)], true);
    let request = bench.expect_page();
    assert_eq!((request.revision, &request.start[..]), (10, &b"k/a\0"[..]));
    assert_eq!(bench.delivered(), [put("k/a", 3)]);
    // Meanwhile the store went on.
    bench.page(14, vec![entry("k/b", 4)], false);
    assert!(matches!(&bench.actions[0], Action::Deliver(c) if *c == [put("k/b", 4)]));
    assert!(matches!(bench.actions[1], Action::Synced(10)));
    assert_eq!(bench.expect_open(), 11);
    assert_eq!(bench.machine.synced(), Some(10));
}

#[test]
fn the_next_page_is_asked_for_before_the_last_one_is_delivered() {
    let mut bench = Bench::new();
    bench.connect(10);
    bench.actions.clear();
    bench.page(10, vec![entry("k/a", 3)], true);
    assert!(matches!(bench.actions[0], Action::ReadPage { .. }));
    assert!(matches!(bench.actions[1], Action::Deliver(_)));
}

#[test]
fn a_compaction_between_pages_restarts_the_listing_and_repeats_nothing() {
    let mut bench = Bench::new();
    bench.connect(10);
    bench.page(10, vec![entry("k/a", 3), entry("k/b", 4)], true);
    bench.actions.clear();
    bench.page_result(Err(Failure::new(FailureKind::Compacted, "x", SECOND)));
    bench.wake();
    assert_eq!(bench.expect_page().revision, 0);
    bench.page(20, vec![entry("k/a", 3), entry("k/c", 15)], false);
    assert_eq!(bench.delivered(), [delete("k/b", 20), put("k/c", 15)]);
}

#[test]
fn a_page_too_large_is_asked_for_in_halves_and_stays_so() {
    let mut bench = Bench::new();
    bench.connect(10);
    assert_eq!(bench.expect_page().limit, 2000);
    bench.page_result(Err(Failure::new(FailureKind::TooLarge, "x", SECOND)));
    assert_eq!(bench.expect_page().limit, 1000);
    bench.page(10, vec![], false);
    bench.watch(created(10));
    bench.step(Event::Relist);
    assert_eq!(bench.expect_page().limit, 1000);
}

#[test]
fn a_broken_watch_is_opened_from_the_cursor_on_the_next_endpoint() {
    let mut bench = Bench::live(vec![]);
    bench.watch(events(12, vec![put("k/a", 12)]));
    bench.watch(events(13, vec![put("k/b", 13)]));
    bench.watch_result(unavailable());
    bench.wake();
    bench.expect("dial", |action| {
        matches!(action, Action::Dial { endpoint: 1, .. }).then_some(())
    });
    bench.connect(13);
    assert_eq!(
        bench.expect_open(),
        13,
        "the last revision may be incomplete"
    );
    bench.watch(created(13));
    bench.watch(events(13, vec![put("k/b", 13), put("k/c", 13)]));
    assert_eq!(bench.delivered(), [put("k/c", 13)]);
    assert_eq!(bench.machine.counts().lists, 1);
}

#[test]
fn the_end_of_a_stream_between_fragments_loses_nothing() {
    let mut bench = Bench::live(vec![]);
    bench.watch(events(12, vec![put("k/a", 12), put("k/b", 12)]));
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(12);
    assert_eq!(bench.expect_open(), 12);
}

#[test]
fn a_notification_of_progress_moves_the_cursor_and_an_answer_to_a_request_does_not() {
    let mut bench = Bench::live(vec![]);
    bench.watch(events(40, vec![]));
    bench.watch(Message {
        addressed: false,
        ..events(90, vec![])
    });
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(95);
    assert_eq!(bench.expect_open(), 41);
}

#[test]
fn the_header_of_an_event_does_not_move_the_cursor() {
    let mut bench = Bench::live(vec![]);
    bench.watch(events(99, vec![put("k/a", 12)]));
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(99);
    assert_eq!(bench.expect_open(), 12);
}

#[test]
fn a_canceled_watch_is_not_taken_for_a_created_one() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(50);
    bench.actions.clear();
    bench.watch(Message {
        canceled: true,
        compact_revision: 30,
        ..created(0)
    });
    assert_eq!(bench.expect_page().revision, 0, "it lists again");
    bench.page(50, vec![entry("k/b", 40)], false);
    assert_eq!(bench.delivered(), [delete("k/a", 50), put("k/b", 40)]);
}

#[test]
fn a_watch_canceled_for_another_reason_is_a_failure() {
    let mut bench = Bench::live(vec![]);
    bench.watch(Message {
        canceled: true,
        reason: "permission denied".to_owned(),
        ..events(10, vec![])
    });
    let trouble = bench.expect("report", |action| match action {
        Action::Report(trouble) => Some(trouble.clone()),
        _ => None,
    });
    assert!(
        trouble
            .failure
            .cause
            .to_string()
            .contains("permission denied")
    );
}

#[test]
fn a_watch_created_below_its_revision_lists_again() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(10);
    bench.actions.clear();
    bench.watch(created(4));
    bench.expect_page();
}

#[test]
fn another_history_is_listed_and_every_key_is_told() {
    for other in [
        Header {
            cluster: 9,
            ..header(50)
        },
        Header {
            term: 1,
            ..header(50)
        },
        header(5),
    ] {
        let mut bench = Bench::live(vec![entry("k/a", 3), entry("k/b", 4)]);
        bench.watch_result(unavailable());
        bench.wake();
        bench.connect_to(other);
        bench.expect_page();
        bench.page_of(other, vec![entry("k/a", 3)], false);
        assert!(matches!(bench.actions[0], Action::HistoryLost), "{other:?}");
        let delivered = bench.delivered();
        assert_eq!(delivered, [delete("k/b", other.revision), put("k/a", 3)]);
        assert_eq!(bench.machine.counts().histories_lost, 1);
    }
}

#[test]
fn a_wiped_store_that_has_grown_is_known_by_a_term_below_that_of_a_restart_before() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    let of = |term, revision| Header {
        term,
        ..header(revision)
    };
    let first = header(3).term;
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect_to(of(first + 1, 10));
    assert_eq!(bench.machine.counts().histories_lost, 0);
    bench.actions.clear();
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect_to(of(first, 50));
    bench.expect_page();
    assert_eq!(bench.machine.counts().histories_lost, 1);
}

#[test]
fn a_watch_that_speaks_for_another_cluster_is_not_followed() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.watch(Message {
        header: Header {
            cluster: 9,
            ..header(50)
        },
        ..events(50, vec![put("k/b", 50)])
    });
    assert_eq!(bench.delivered(), []);
    bench.wake();
    bench.expect_page();
    assert_eq!(bench.machine.counts().histories_lost, 1);
}

#[test]
fn pages_of_two_clusters_make_no_listing() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.step(Event::Relist);
    bench.page(20, vec![entry("k/a", 3)], true);
    let other = Header {
        cluster: 9,
        ..header(20)
    };
    bench.page_of(other, vec![entry("k/b", 4)], false);
    assert_eq!(bench.delivered(), []);
    bench.wake();
    bench.page_of(other, vec![entry("k/b", 4)], false);
    assert_eq!(bench.delivered(), [delete("k/a", 20), put("k/b", 4)]);
}

#[test]
fn a_key_older_than_delivered_shows_another_history() {
    let mut bench = Bench::live(vec![entry("k/a", 3), entry("k/b", 9)]);
    bench.step(Event::Relist);
    bench.page(60, vec![entry("k/a", 3), entry("k/b", 5)], false);
    bench.page(60, vec![entry("k/a", 3), entry("k/b", 5)], false);
    assert_eq!(bench.delivered(), [put("k/a", 3), put("k/b", 5)]);
    assert_eq!(bench.machine.counts().histories_lost, 1);
    assert_eq!(bench.machine.counts().lists, 2);
}

#[test]
fn a_listing_again_delivers_only_differences_and_removals_first() {
    let mut bench = Bench::live(vec![entry("k/a", 3), entry("k/b", 4), entry("k/c", 5)]);
    bench.step(Event::Relist);
    bench.page(20, vec![entry("k/a", 3), entry("k/b", 15)], true);
    assert_eq!(bench.delivered(), []);
    bench.page(20, vec![entry("k/d", 16)], false);
    assert_eq!(
        bench.delivered(),
        [delete("k/c", 20), put("k/b", 15), put("k/d", 16)]
    );
}

#[test]
fn nothing_is_removed_while_etcd_cannot_be_reached() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.watch_result(unavailable());
    for _ in 0..50 {
        bench.wake();
        if let State::Dialling { call } = bench.machine.state {
            let result = unavailable();
            bench.step(Event::Dialled { call, result });
        }
    }
    assert_eq!(bench.delivered(), []);
    assert_eq!(bench.machine.keys(), 1);
}

#[test]
fn silence_is_asked_about_and_then_another_endpoint_is_tried() {
    let mut bench = Bench::live(vec![]);
    let start = bench.now;
    bench.wake();
    assert_eq!(bench.now - start, 30 * SECOND);
    assert!(matches!(
        bench.actions.make_contiguous(),
        [Action::AskProgress]
    ));
    // An answer calms it.
    bench.watch(Message {
        addressed: false,
        ..events(10, vec![])
    });
    bench.actions.clear();
    bench.wake();
    assert_eq!(bench.now - start, 60 * SECOND);
    bench.wake();
    assert_eq!(bench.now - start, 65 * SECOND);
    assert_eq!(bench.machine.phase(), WatchPhase::Connecting);
    assert_eq!(bench.machine.endpoint(), 1);
}

#[test]
fn a_watch_that_is_never_created_is_given_up() {
    let mut bench = Bench::new();
    bench.connect(10);
    bench.page(10, vec![], false);
    assert_eq!(bench.machine.phase(), WatchPhase::Opening);
    let start = bench.now;
    bench.wake();
    assert_eq!(bench.now - start, 3 * SECOND);
    assert_eq!(bench.machine.phase(), WatchPhase::Connecting);
}

#[test]
fn an_audit_comes_in_its_interval_and_counts_what_the_watch_missed() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.machine.config.audit_interval = Some(600 * SECOND);
    bench.step(Event::Relist);
    bench.page(10, vec![entry("k/a", 3)], false);
    bench.watch(created(10));
    bench.watch(events(30, vec![]));
    let start = bench.now;
    while bench.machine.phase() == WatchPhase::Live {
        bench.wake();
        if bench.machine.phase() == WatchPhase::Live {
            bench.watch(events(30, vec![]));
        }
    }
    let pause = bench.now - start;
    assert!((400 * SECOND..=800 * SECOND).contains(&pause), "{pause:?}");
    bench.actions.clear();
    // The watch said that everything up to 30 was delivered, and 20 was not.
    bench.page(31, vec![entry("k/a", 20), entry("k/b", 31)], false);
    assert_eq!(bench.delivered(), [put("k/a", 20), put("k/b", 31)]);
    assert_eq!(bench.machine.counts().repairs, 1);
}

#[test]
fn a_server_that_accepts_and_dies_is_not_hammered() {
    let mut bench = Bench::new();
    let start = bench.now;
    for _ in 0..40 {
        bench.connect(10);
        if matches!(bench.machine.state, State::Listing { .. }) {
            bench.page(10, vec![], false);
        }
        bench.watch(created(10));
        bench.watch_result(unavailable());
        bench.wake();
    }
    let elapsed = bench.now - start;
    assert!(elapsed > 200 * SECOND, "40 rounds in {elapsed:?}");
}

#[test]
fn a_watch_that_lived_resets_the_backoff() {
    let mut bench = Bench::live(vec![]);
    for _ in 0..20 {
        bench.watch_result(unavailable());
        bench.wake();
        bench.connect(10);
        bench.watch(created(10));
    }
    bench.now += HEALTHY;
    bench.watch_result(unavailable());
    let pause = bench.machine.next_wake().unwrap() - bench.now;
    assert!(pause <= Duration::from_millis(800), "{pause:?}");
}

#[test]
fn news_of_a_call_that_was_given_up_changes_nothing() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    let State::Live { call, .. } = bench.machine.state else {
        unreachable!("it is live")
    };
    bench.watch_result(unavailable());
    let before = format!("{:?}", bench.machine);
    bench.actions.clear();
    let result = Ok(events(11, vec![delete("k/a", 11)]));
    bench.step(Event::Watch { call, result });
    let result = Ok(header(1));
    bench.step(Event::Dialled { call, result });
    assert!(bench.actions.is_empty());
    assert_eq!(format!("{:?}", bench.machine), before);
}

/// etcd issue 17507.
#[test]
fn a_watch_opened_again_that_answers_nothing_is_listed_once_and_not_reopened_for_ever() {
    let mut bench = Bench::live(vec![entry("k/a", 3)]);
    bench.watch_result(unavailable());
    bench.wake();
    bench.connect(10);
    bench.watch(created(10));
    let start = bench.now;
    bench.wake();
    bench.expect("request for progress", |action| {
        matches!(action, Action::AskProgress).then_some(())
    });
    bench.wake();
    assert_eq!(bench.now - start, 35 * SECOND);
    assert_eq!(
        bench.expect_page().revision,
        0,
        "it lists on this connection"
    );
    bench.page(12, vec![entry("k/a", 3)], false);
    assert_eq!(bench.expect_open(), 13);
    bench.watch(created(12));
    // After a listing an answer is to be expected from every etcd.
    bench.wake();
    bench.wake();
    assert_eq!(bench.machine.phase(), WatchPhase::Connecting);
    assert_eq!(bench.machine.counts().lists, 2);
}
