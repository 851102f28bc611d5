//! Each rule of a session. Random schedules are in `keyspace::schedules`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::event::Wish;
use super::super::wanted::{Settled, WaiterId};
use super::*;
use crate::keyspace::range::PageRequest;

const ROOT: &str = "top/s";
const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(30);

/// A machine, a clock, and the actions that nobody has looked at yet.
struct Bench {
    machine: SessionMachine,
    now: Instant,
    actions: VecDeque<Action>,
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "made up", SECOND)
}

fn unavailable<T>() -> Result<T, Failure> {
    Err(failure(FailureKind::Unavailable))
}

fn entry(key: &str, value: &str, mod_revision: i64, lease: i64) -> Entry {
    Entry {
        key: key.as_bytes().to_vec(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        create_revision: 0,
        mod_revision,
        version: 0,
        lease,
    }
}

impl Bench {
    fn with(config: SessionConfig, endpoints: usize) -> Self {
        let now = Instant::now();
        let machine = SessionMachine::new(config, endpoints, 3 * SECOND, 1, now);
        Self::of(machine, now)
    }

    fn of(machine: SessionMachine, now: Instant) -> Self {
        let mut bench = Self {
            machine,
            now,
            actions: VecDeque::new(),
        };
        bench.step(Event::Tick);
        bench
    }

    fn new() -> Self {
        Self::with(SessionConfig::new(ROOT, "s"), 2)
    }

    /// A session that is held, with its lease.
    fn held() -> (Self, i64) {
        let mut bench = Self::new();
        let lease = bench.connect_and_grant();
        bench.read_pages(vec![]);
        bench.commit(10);
        assert_eq!(bench.machine.phase(), SessionPhase::Held);
        (bench, lease)
    }

    fn step(&mut self, event: Event) {
        self.actions.extend(self.machine.step(event, self.now));
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        self.step(Event::Done { call, answer });
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.step(Event::Tick);
    }

    /// Lets time pass up to the next thing that is due.
    fn wake(&mut self) {
        let at = self.machine.next_wake().expect("something is due");
        self.now = self.now.max(at);
        self.step(Event::Tick);
    }

    fn want(&mut self, key: &str, value: Option<&str>, waiter: WaiterId) {
        self.step(Event::Want(vec![Wish {
            key: format!("{ROOT}/{key}"),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
            waiters: vec![waiter],
        }]));
    }

    fn value(&mut self, value: &str, waiter: WaiterId) {
        self.step(Event::Want(vec![Wish {
            key: ROOT.to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            waiters: vec![waiter],
        }]));
    }

    /// The next action that `pick` takes; others before it are dropped.
    fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Action) -> Option<T>) -> T {
        while let Some(action) = self.actions.pop_front() {
            if let Some(picked) = pick(&action) {
                return picked;
            }
        }
        panic!("no {what} was asked for");
    }

    fn expect_dial(&mut self) -> (CallId, usize) {
        self.expect("dial", |action| match action {
            Action::Dial { call, endpoint } => Some((*call, *endpoint)),
            _ => None,
        })
    }

    fn expect_grant(&mut self) -> (CallId, i64) {
        self.expect("grant", |action| match action {
            Action::Grant { call, lease, .. } => Some((*call, *lease)),
            _ => None,
        })
    }

    fn expect_renewal(&mut self) -> (CallId, i64) {
        self.expect("renewal", |action| match action {
            Action::Renew { call, lease } => Some((*call, *lease)),
            _ => None,
        })
    }

    fn expect_page(&mut self) -> (CallId, PageRequest) {
        self.expect("page", |action| match action {
            Action::ReadPage { call, request } => Some((*call, request.clone())),
            _ => None,
        })
    }

    fn expect_write(&mut self) -> (CallId, Batch) {
        self.expect("write", |action| match action {
            Action::Write { call, batch } => Some((*call, batch.clone())),
            _ => None,
        })
    }

    fn connect(&mut self) {
        let (call, _) = self.expect_dial();
        self.answer(call, Answer::Dialled(Ok(Header::default())));
    }

    fn connect_and_grant(&mut self) -> i64 {
        self.connect();
        let (call, lease) = self.expect_grant();
        self.answer(call, Answer::Granted(Ok(TTL)));
        lease
    }

    fn read_pages(&mut self, entries: Vec<Entry>) {
        let (call, _) = self.expect_page();
        self.answer(call, Answer::Page(Ok(page(entries, false))));
    }

    fn commit(&mut self, revision: i64) -> Batch {
        let (call, batch) = self.expect_write();
        self.answer(call, Answer::Written(Ok((true, revision))));
        batch
    }

    /// Reconnects after a failure and renews the lease that was held before.
    fn reconnect(&mut self) {
        self.wake();
        self.connect();
        let (call, _) = self.expect_renewal();
        self.answer(call, Answer::Renewed(Ok(TTL)));
    }

    fn settled(&mut self) -> Vec<Settled> {
        self.actions
            .drain(..)
            .filter_map(|action| match action {
                Action::Settle(settled) => Some(settled),
                _ => None,
            })
            .flatten()
            .collect()
    }

    fn nothing_is_written(&mut self) {
        let writes: Vec<_> = self
            .actions
            .drain(..)
            .filter(|action| matches!(action, Action::Write { .. }))
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
}

fn page(entries: Vec<Entry>, more: bool) -> Page {
    Page {
        header: Header {
            revision: 100,
            ..Header::default()
        },
        entries,
        more,
    }
}

/// The session key is put as it was at first, over what has this revision.
fn take(mod_revision: i64) -> Guard {
    let value = Bytes::from_static(b"s");
    Guard::Take {
        mod_revision,
        value,
    }
}

fn keys(batch: &Batch) -> Vec<(&str, bool)> {
    batch
        .ops
        .iter()
        .map(|op| (op.key.as_str(), op.value.is_some()))
        .collect()
}

#[test]
fn the_session_key_and_the_wanted_keys_go_in_one_transaction() {
    let mut bench = Bench::new();
    bench.want("a", Some("1"), 1);
    let lease = bench.connect_and_grant();
    bench.read_pages(vec![]);
    let batch = bench.commit(10);
    assert_eq!(batch.guard, take(0));
    assert_eq!(batch.lease, lease);
    assert_eq!(keys(&batch), [("top/s/a", true)]);
    assert_eq!(batch.ops[0].base, 0);
    assert_eq!(bench.settled(), [(1, 10)]);
    assert_eq!(bench.machine.first(), Some((lease, 10, 0)));
}

#[test]
fn lease_ids_are_positive_and_chosen_here() {
    for seed in 0..200 {
        let now = Instant::now();
        let config = SessionConfig::new(ROOT, "s");
        let mut machine = SessionMachine::new(config, 1, SECOND, seed, now);
        machine.step(Event::Tick, now);
        let answer = Answer::Dialled(Ok(Header::default()));
        let actions = machine.step(Event::Done { call: 1, answer }, now);
        assert!(
            matches!(actions[..], [Action::Grant { lease, .. }] if lease > 0),
            "{actions:?}"
        );
    }
}

#[test]
fn a_grant_that_is_tried_again_asks_for_the_same_lease() {
    let mut bench = Bench::new();
    bench.connect();
    let (call, first) = bench.expect_grant();
    bench.answer(call, Answer::Granted(unavailable()));
    bench.wake();
    bench.connect();
    let (call, second) = bench.expect_grant();
    assert_eq!(first, second);
    // The first one was carried out after all. It counts from its own sending, and is asked about.
    bench.answer(
        call,
        Answer::Granted(Err(failure(FailureKind::LeaseExists))),
    );
    let (call, lease) = bench.expect_renewal();
    assert_eq!(lease, first);
    assert!(bench.actions.is_empty(), "nothing rests on it yet");
    bench.answer(call, Answer::Renewed(Ok(TTL)));
    bench.expect_page();
}

#[test]
fn a_lease_id_that_somebody_else_has_is_drawn_again() {
    let mut bench = Bench::new();
    bench.connect();
    let (call, first) = bench.expect_grant();
    bench.answer(
        call,
        Answer::Granted(Err(failure(FailureKind::LeaseExists))),
    );
    let (_, second) = bench.expect_grant();
    assert_ne!(first, second);
}

#[test]
fn a_failed_dial_is_tried_again_on_the_next_endpoint_after_a_pause() {
    let mut bench = Bench::new();
    let (call, first) = bench.expect_dial();
    bench.answer(call, Answer::Dialled(unavailable()));
    assert_eq!(
        bench.machine.next_wake().map(|at| at > bench.now),
        Some(true)
    );
    bench.wake();
    let (call, second) = bench.expect_dial();
    assert_eq!((first, second), (0, 1));
    bench.answer(call, Answer::Dialled(unavailable()));
    bench.wake();
    assert_eq!(bench.expect_dial().1, 0);
}

#[test]
fn retries_stay_under_the_backoffs_bound() {
    let mut bench = Bench::new();
    let start = bench.now;
    for _ in 0..60 {
        let (call, _) = bench.expect_dial();
        bench.answer(call, Answer::Dialled(unavailable()));
        bench.wake();
    }
    let elapsed = bench.now - start;
    // Five seconds on the average once the ceiling is reached.
    assert!(elapsed > 150 * SECOND, "60 dials in {elapsed:?}");
    assert!(elapsed < 600 * SECOND, "60 dials in {elapsed:?}");
}

#[test]
fn a_key_is_put_again_only_when_it_is_missing_different_or_under_another_lease() {
    let (mut bench, lease) = Bench::held();
    for (key, waiter) in [("same", 1), ("missing", 2), ("other", 3), ("lease", 4)] {
        bench.want(key, Some("1"), waiter);
        bench.commit(11);
    }
    // A transaction whose fate is unknown makes for a full reading.
    bench.want("x", Some("1"), 5);
    let (call, _) = bench.expect_write();
    bench.answer(call, Answer::Written(unavailable()));
    bench.reconnect();
    let (_, request) = bench.expect_page();
    assert!(!request.keys_only);
    let call = bench.machine.next_call;
    let found = vec![
        entry(ROOT, "s", 10, lease),
        entry("top/s/lease", "1", 11, 999),
        entry("top/s/other", "2", 12, lease),
        entry("top/s/same", "1", 11, lease),
        entry("top/s/x", "1", 13, lease),
    ];
    bench.answer(call, Answer::Page(Ok(page(found, false))));
    let (_, batch) = bench.expect_write();
    let mut written = keys(&batch);
    written.sort_unstable();
    assert_eq!(
        written,
        [
            ("top/s/lease", true),
            ("top/s/missing", true),
            ("top/s/other", true)
        ]
    );
    assert_eq!(batch.guard, Guard::Held);
}

#[test]
fn a_write_that_was_carried_out_without_an_answer_is_not_repeated() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("1"), 1);
    let (call, _) = bench.expect_write();
    bench.answer(call, Answer::Written(unavailable()));
    bench.reconnect();
    bench.read_pages(vec![
        entry(ROOT, "s", 10, lease),
        entry("top/s/a", "1", 12, lease),
    ]);
    assert_eq!(bench.settled(), [(1, 12)]);
    bench.nothing_is_written();
}

#[test]
fn every_operation_is_bound_to_the_revision_that_it_replaces() {
    let (mut bench, _) = Bench::held();
    bench.want("a", Some("1"), 1);
    assert_eq!(bench.commit(11).ops[0].base, 0);
    bench.want("a", Some("2"), 2);
    assert_eq!(bench.commit(12).ops[0].base, 11);
    bench.want("a", None, 3);
    let batch = bench.commit(13);
    assert_eq!(
        (batch.ops[0].base, keys(&batch)),
        (12, vec![("top/s/a", false)])
    );
    bench.want("a", Some("3"), 4);
    assert_eq!(bench.commit(14).ops[0].base, 0);
}

#[test]
fn news_that_comes_while_a_write_is_under_way_is_written_after_it() {
    let (mut bench, _) = Bench::held();
    bench.want("a", Some("1"), 1);
    let (call, _) = bench.expect_write();
    bench.want("a", Some("2"), 2);
    bench.want("a", Some("3"), 3);
    bench.answer(call, Answer::Written(Ok((true, 11))));
    assert!(matches!(&bench.actions[0], Action::Settle(s) if *s == [(1, 11)]));
    let batch = bench.commit(12);
    assert_eq!(batch.ops[0].value.as_deref(), Some(&b"3"[..]));
    assert_eq!(bench.settled(), [(2, 12), (3, 12)]);
}

#[test]
fn a_value_that_is_stored_already_is_not_put_again() {
    let (mut bench, _) = Bench::held();
    bench.want("a", Some("1"), 1);
    bench.commit(11);
    bench.want("a", Some("1"), 2);
    assert_eq!(bench.settled(), [(1, 11), (2, 11)]);
    bench.want("b", None, 3);
    // Absent as of the newest revision that was read.
    assert_eq!(bench.settled(), [(3, 100)]);
}

#[test]
fn keys_of_ours_that_nobody_wants_are_deleted_and_those_of_others_stay() {
    let mut bench = Bench::new();
    let lease = bench.connect_and_grant();
    bench.read_pages(vec![
        entry("top/s-2/x", "not below the session", 5, 0),
        entry("top/s/foreign", "x", 5, 4711),
        entry("top/s/immortal", "x", 6, 0),
        entry("top/s/mine", "x", 7, lease),
    ]);
    let (_, batch) = bench.expect_write();
    assert_eq!(
        keys(&batch),
        [("top/s/immortal", false), ("top/s/mine", false)]
    );
    assert_eq!([batch.ops[0].base, batch.ops[1].base], [6, 7]);
}

#[test]
fn a_session_key_under_a_living_lease_is_an_error_and_is_looked_at_again() {
    let mut bench = Bench::new();
    bench.connect_and_grant();
    bench.read_pages(vec![entry(ROOT, "s", 5, 4711)]);
    let call = bench.expect("question", |action| match action {
        Action::AskTimeToLive { call, lease: 4711 } => Some(*call),
        _ => None,
    });
    bench.answer(call, Answer::TimeToLive(Ok(20 * SECOND)));
    assert_eq!(bench.machine.taken_by(), Some(4711));
    assert_eq!(bench.machine.phase(), SessionPhase::Taken);
    bench.nothing_is_written();
    bench.wake();
    bench.read_pages(vec![]);
    bench.commit(20);
    assert_eq!(bench.machine.taken_by(), None);
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
}

#[test]
fn a_session_key_under_a_dead_lease_is_waited_for_and_then_created() {
    let mut bench = Bench::new();
    bench.connect_and_grant();
    bench.read_pages(vec![entry(ROOT, "s", 5, 4711)]);
    let call = bench.machine.next_call;
    bench.answer(call, Answer::TimeToLive(Ok(Duration::ZERO)));
    assert_eq!(bench.machine.taken_by(), None);
    bench.wake();
    bench.read_pages(vec![]);
    let (_, batch) = bench.expect_write();
    assert_eq!(batch.guard, take(0));
}

/// What is put over the session key of this revision.
fn update(batch: &Batch) -> (i64, &[u8]) {
    match &batch.guard {
        Guard::Take {
            mod_revision,
            value,
        } => (*mod_revision, value),
        Guard::Held => panic!("the session key is not put: {batch:?}"),
    }
}

#[test]
fn another_value_of_the_session_key_is_put_over_its_own_revision_while_it_stays_registered() {
    let (mut bench, lease) = Bench::held();
    bench.value("t", 1);
    assert!(bench.machine.registered_until().is_some());
    assert_eq!(bench.machine.pending(), 1);
    let batch = bench.commit(20);
    assert_eq!(
        (update(&batch), batch.lease),
        ((10, b"t".as_slice()), lease)
    );
    assert_eq!(bench.settled(), [(1, 20)]);
    assert_eq!(
        (bench.machine.pending(), bench.machine.phase()),
        (0, SessionPhase::Held)
    );
    // The same again needs no write.
    bench.value("t", 2);
    assert_eq!(bench.settled(), [(2, 20)]);
    bench.nothing_is_written();
}

#[test]
fn a_value_that_comes_while_another_is_on_its_way_waits_for_its_own_write() {
    let (mut bench, _) = Bench::held();
    bench.value("t", 1);
    let (call, _) = bench.expect_write();
    bench.value("u", 2);
    bench.value("v", 3);
    bench.answer(call, Answer::Written(Ok((true, 20))));
    let first = bench.expect("answer", |action| match action {
        Action::Settle(settled) => Some(settled.clone()),
        _ => None,
    });
    assert_eq!(first, [(1, 20)]);
    let batch = bench.commit(21);
    assert_eq!(update(&batch), (20, b"v".as_slice()));
    assert_eq!(bench.settled(), [(2, 21), (3, 21)]);
}

#[test]
fn a_value_whose_write_was_not_answered_is_looked_for_before_it_is_put_again() {
    for (found, at) in [("t", 20), ("s", 10)] {
        let (mut bench, lease) = Bench::held();
        bench.value("t", 1);
        let (call, _) = bench.expect_write();
        bench.answer(call, Answer::Written(unavailable()));
        bench.reconnect();
        bench.read_pages(vec![entry(ROOT, found, at, lease)]);
        assert!(bench.machine.registered_until().is_some());
        if found == "t" {
            assert_eq!(bench.settled(), [(1, 20)]);
            bench.nothing_is_written();
        } else {
            assert_eq!(update(&bench.commit(21)), (10, b"t".as_slice()));
            assert_eq!(bench.settled(), [(1, 21)]);
        }
    }
}

#[test]
fn a_value_that_etcd_refuses_is_told_and_the_one_before_stays() {
    let (mut bench, _) = Bench::held();
    bench.value("too large", 1);
    let (call, _) = bench.expect_write();
    let refusal = Err(failure(FailureKind::TooLarge));
    bench.answer(call, Answer::Written(refusal));
    let refused = bench.expect("rejection", |action| match action {
        Action::Reject { key, waiters, .. } => Some((key.clone(), waiters.clone())),
        _ => None,
    });
    assert_eq!(refused, (ROOT.to_owned(), vec![1]));
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
    bench.nothing_is_written();
}

#[test]
fn a_value_set_before_the_registration_is_the_first_that_is_put() {
    let mut bench = Bench::new();
    bench.value("t", 1);
    bench.connect_and_grant();
    bench.read_pages(vec![]);
    assert_eq!(update(&bench.commit(10)), (0, b"t".as_slice()));
    assert_eq!(bench.settled(), [(1, 10)]);
}

#[test]
fn a_session_that_is_alone_reads_its_key_and_nothing_below_it() {
    let mut config = SessionConfig::new(ROOT, "s");
    config.alone = true;
    let mut bench = Bench::with(config, 1);
    bench.connect_and_grant();
    let (_, page) = bench.expect_page();
    assert_eq!(
        (&page.start[..], &page.end[..]),
        (&b"top/s"[..], &b"top/s\0"[..])
    );
}

#[test]
fn a_takeover_takes_the_session_key_once() {
    let mut config = SessionConfig::new(ROOT, "s");
    config.takeover = true;
    let mut bench = Bench::with(config, 1);
    bench.connect_and_grant();
    bench.read_pages(vec![
        entry(ROOT, "s", 5, 4711),
        entry("top/s/old", "x", 6, 4711),
    ]);
    let batch = bench.commit(10);
    assert_eq!(batch.guard, take(5));
    assert_eq!(keys(&batch), [("top/s/old", false)]);
    // Somebody else takes over in turn.
    bench.want("a", Some("1"), 1);
    let (call, _) = bench.expect_write();
    bench.answer(call, Answer::Written(Ok((false, 11))));
    bench.wake();
    bench.read_pages(vec![entry(ROOT, "s", 11, 4712)]);
    bench.expect("question", |action| {
        matches!(action, Action::AskTimeToLive { lease: 4712, .. }).then_some(())
    });
    bench.nothing_is_written();
}

/// The session key was deleted by hand, and another session took it that waited for it.
#[test]
fn a_session_whose_key_is_anothers_leaves_no_keys_behind() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("1"), 1);
    bench.commit(11);
    bench.step(Event::Audit);
    bench.read_pages(vec![
        entry(ROOT, "s", 13, 4711),
        entry("top/s/a", "1", 11, lease),
    ]);
    let found = vec![entry(ROOT, "s", 13, 4711), entry("top/s/a", "1", 11, lease)];
    bench.read_pages(found);
    let call = bench.machine.next_call;
    bench.answer(call, Answer::TimeToLive(Ok(TTL)));
    let call = bench.expect("revocation", |action| match action {
        Action::Revoke { call, lease: of } if *of == lease => Some(*call),
        _ => None,
    });
    bench.answer(call, Answer::Revoked(Ok(())));
    // It waits under another lease, which has no keys and stays.
    let (call, next) = bench.expect_grant();
    bench.answer(call, Answer::Granted(Ok(TTL)));
    bench.read_pages(vec![entry(ROOT, "s", 13, 4711)]);
    let call = bench.machine.next_call;
    bench.answer(call, Answer::TimeToLive(Ok(TTL)));
    assert_eq!(bench.machine.phase(), SessionPhase::Taken);
    assert_eq!(bench.machine.lease(), Some(next));
    bench.nothing_is_written();
    bench.wake();
    bench.read_pages(vec![]);
    let batch = bench.commit(20);
    assert_eq!((batch.lease, keys(&batch)), (next, vec![("top/s/a", true)]));
}

#[test]
fn a_lease_that_we_had_before_does_not_stand_in_our_way() {
    let (mut bench, old) = Bench::held();
    bench.after(TTL / 3);
    let (call, _) = bench.expect_renewal();
    bench.answer(call, Answer::Renewed(Ok(Duration::ZERO)));
    let (call, new) = bench.expect_grant();
    assert_ne!(old, new);
    bench.answer(call, Answer::Granted(Ok(TTL)));
    bench.read_pages(vec![entry(ROOT, "s", 10, old)]);
    let (_, batch) = bench.expect_write();
    assert_eq!(batch.guard, take(10));
    assert_eq!(batch.lease, new);
}

#[test]
fn a_lost_lease_is_replaced_and_everything_wanted_is_put_again() {
    for lost in [Ok(Duration::ZERO), Err(failure(FailureKind::LeaseNotFound))] {
        let (mut bench, old) = Bench::held();
        bench.want("a", Some("1"), 1);
        bench.commit(11);
        bench.after(TTL / 3);
        let (call, _) = bench.expect_renewal();
        bench.answer(call, Answer::Renewed(lost));
        assert_eq!(bench.machine.registered_until(), None);
        let (call, new) = bench.expect_grant();
        assert_ne!(old, new);
        bench.answer(call, Answer::Granted(Ok(TTL)));
        bench.read_pages(vec![]);
        let batch = bench.commit(20);
        assert_eq!((batch.lease, keys(&batch)), (new, vec![("top/s/a", true)]));
        assert_eq!(bench.machine.counts().losses, 1);
    }
}

#[test]
fn a_write_under_a_lease_that_is_gone_gets_a_new_lease() {
    let (mut bench, old) = Bench::held();
    bench.want("a", Some("1"), 1);
    let (call, _) = bench.expect_write();
    bench.answer(
        call,
        Answer::Written(Err(failure(FailureKind::LeaseNotFound))),
    );
    let (call, new) = bench.expect_grant();
    assert_ne!(old, new);
    bench.answer(call, Answer::Granted(Ok(TTL)));
    bench.read_pages(vec![]);
    bench.commit(20);
    assert_eq!(bench.settled(), [(1, 20)]);
}

#[test]
fn the_lease_is_renewed_before_a_third_of_its_time_is_over() {
    let (mut bench, lease) = Bench::held();
    bench.after(TTL / 3);
    for _ in 0..20 {
        let (call, renewed) = bench.expect_renewal();
        assert_eq!(renewed, lease);
        bench.answer(call, Answer::Renewed(Ok(TTL)));
        bench.after(TTL / 3 * 4 / 5 - Duration::from_millis(1));
        let sooner = |action: &Action| matches!(action, Action::Renew { .. });
        assert!(!bench.actions.iter().any(sooner), "{:?}", bench.actions);
        bench.after(TTL / 3 / 5 + Duration::from_millis(1));
    }
}

#[test]
fn sessions_that_began_together_do_not_renew_together() {
    let (config, start) = (SessionConfig::new(ROOT, "s"), Instant::now());
    let mut by_tenth = [0; 10];
    for seed in 0..1000 {
        let machine = SessionMachine::new(config.clone(), 1, 3 * SECOND, seed, start);
        let mut bench = Bench::of(machine, start);
        bench.connect_and_grant();
        bench.read_pages(vec![]);
        bench.commit(10);
        while bench.actions.is_empty() {
            bench.wake();
        }
        bench.expect_renewal();
        let share = (bench.now - start).div_duration_f64(TTL / 3);
        by_tenth[(share * 9.99) as usize] += 1;
    }
    assert!(
        by_tenth.iter().all(|count| (50..200).contains(count)),
        "of 1000 sessions in each tenth of the interval: {by_tenth:?}"
    );
}

/// With a backoff that has grown to ten seconds, one attempt or none would fit into what a lease has
/// left.
#[test]
fn while_the_lease_lives_there_are_several_attempts_to_save_it() {
    let mut fewest = usize::MAX;
    for seed in 0..200 {
        let config = SessionConfig::new(ROOT, "s");
        let start = Instant::now();
        let machine = SessionMachine::new(config, 1, 3 * SECOND, seed, start);
        let mut bench = Bench::of(machine, start);
        bench.connect_and_grant();
        // The server accepts and dies, so that nothing resets the backoff.
        for _ in 0..10 {
            let (call, _) = bench.expect_page();
            bench.answer(call, Answer::Page(unavailable()));
            bench.reconnect();
        }
        let (call, _) = bench.expect_page();
        bench.answer(call, Answer::Page(unavailable()));
        let until = bench.now + TTL;
        let mut attempts = 0;
        loop {
            bench.wake();
            if bench.now >= until {
                break;
            }
            let (call, _) = bench.expect_dial();
            bench.answer(call, Answer::Dialled(unavailable()));
            attempts += 1;
        }
        fewest = fewest.min(attempts);
    }
    assert!(fewest >= 5, "{fewest} attempts in {TTL:?}");
}

#[test]
fn registered_until_counts_from_the_sending_of_the_renewal_and_not_from_its_answer() {
    let (mut bench, _) = Bench::held();
    let granted = bench.now;
    assert_eq!(bench.machine.registered_until(), Some(granted + TTL));
    bench.after(TTL / 3);
    let sent = bench.now;
    let (call, _) = bench.expect_renewal();
    bench.after(2 * SECOND);
    bench.answer(call, Answer::Renewed(Ok(TTL)));
    assert_eq!(bench.machine.registered_until(), Some(sent + TTL));
}

#[test]
fn without_an_answer_another_endpoint_is_tried_at_two_thirds_of_the_time() {
    let (mut bench, lease) = Bench::held();
    let start = bench.now;
    bench.after(TTL / 3);
    bench.expect_renewal();
    bench.wake();
    assert_eq!(bench.now - start, TTL.mul_f64(2.0 / 3.0));
    assert_eq!(bench.machine.phase(), SessionPhase::Suspect);
    assert_eq!(bench.machine.registered_until(), Some(start + TTL));
    bench.wake();
    let (call, endpoint) = bench.expect_dial();
    assert_eq!(endpoint, 1);
    bench.answer(call, Answer::Dialled(Ok(Header::default())));
    assert_eq!(bench.expect_renewal().1, lease);
}

#[test]
fn two_thirds_of_the_time_without_an_answer_make_a_session_suspect_until_it_is_answered() {
    let (mut bench, _) = Bench::held();
    let start = bench.now;
    bench.wake();
    bench.expect_renewal();
    while bench.machine.phase() == SessionPhase::Held {
        bench.wake();
    }
    assert_eq!(bench.machine.phase(), SessionPhase::Suspect);
    assert_eq!(bench.now - start, 20 * SECOND);
    assert!(bench.machine.registered_until() > Some(bench.now));
    bench.reconnect();
    assert_ne!(bench.machine.phase(), SessionPhase::Suspect);
}

#[test]
fn a_session_without_a_connection_becomes_suspect_and_then_unregistered() {
    let (mut bench, _) = Bench::held();
    let start = bench.now;
    bench.want("a", Some("1"), 1);
    let (call, _) = bench.expect_write();
    bench.answer(call, Answer::Written(unavailable()));
    assert_eq!(bench.machine.phase(), SessionPhase::Connecting);
    bench.after(20 * SECOND - (bench.now - start));
    assert_eq!(bench.machine.phase(), SessionPhase::Suspect);
    bench.after(10 * SECOND);
    assert_eq!(bench.machine.phase(), SessionPhase::Connecting);
    assert_eq!(bench.machine.registered_until(), None);
}

#[test]
fn past_its_deadline_the_session_is_not_registered_even_without_a_connection() {
    let (mut bench, _) = Bench::held();
    bench.after(TTL / 3);
    let (call, _) = bench.expect_renewal();
    bench.answer(call, Answer::Renewed(unavailable()));
    let deadline = bench.machine.registered_until().unwrap();
    while bench.now < deadline {
        assert!(bench.machine.registered_until().is_some());
        bench.wake();
        while let Some(action) = bench.actions.pop_front() {
            if let Action::Dial { call, .. } = action {
                bench.answer(call, Answer::Dialled(unavailable()));
            }
        }
    }
    assert_eq!(bench.now, deadline);
    assert_eq!(bench.machine.registered_until(), None);
}

#[test]
fn a_lease_past_its_deadline_that_lives_is_kept_and_nothing_is_put() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("1"), 1);
    bench.commit(11);
    // The process slept.
    bench.after(10 * TTL);
    let (call, asked) = bench.expect_renewal();
    assert_eq!(asked, lease);
    assert_eq!(bench.machine.registered_until(), None);
    bench.answer(call, Answer::Renewed(Ok(TTL)));
    bench.read_pages(vec![
        entry(ROOT, "s", 10, lease),
        entry("top/s/a", "1", 11, lease),
    ]);
    bench.nothing_is_written();
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
    assert!(bench.machine.registered_until().is_some());
}

#[test]
fn a_reconnection_without_uncertain_writes_reads_keys_only_and_writes_nothing() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("1"), 1);
    bench.commit(11);
    bench.after(TTL / 3);
    let (call, _) = bench.expect_renewal();
    bench.answer(call, Answer::Renewed(unavailable()));
    bench.reconnect();
    let (call, request) = bench.expect_page();
    assert!(request.keys_only);
    let found = vec![entry(ROOT, "", 10, lease), entry("top/s/a", "", 11, lease)];
    bench.answer(call, Answer::Page(Ok(page(found, false))));
    bench.nothing_is_written();
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
}

#[test]
fn an_audit_finds_a_key_that_is_gone_changed_or_new_and_repairs_it() {
    let audits: [fn(i64) -> Vec<Entry>; 5] = [
        |lease| vec![entry(ROOT, "", 10, lease)],
        |lease| vec![entry(ROOT, "", 10, lease), entry("top/s/a", "", 12, lease)],
        |lease| vec![entry(ROOT, "", 10, lease), entry("top/s/a", "", 11, 99)],
        |lease| vec![entry("top/s/a", "", 11, lease)],
        |lease| {
            vec![
                entry(ROOT, "", 10, lease),
                entry("top/s/a", "", 11, lease),
                entry("top/s/stray", "", 12, 0),
            ]
        },
    ];
    for found in audits {
        let (mut bench, lease) = Bench::held();
        bench.want("a", Some("1"), 1);
        bench.commit(11);
        bench.step(Event::Audit);
        let (call, request) = bench.expect_page();
        assert!(request.keys_only);
        bench.answer(call, Answer::Page(Ok(page(found(lease), false))));
        let (_, request) = bench.expect_page();
        assert!(!request.keys_only, "the values are read before a repair");
    }
}

#[test]
fn a_session_that_is_well_is_audited_in_its_interval() {
    let (mut bench, lease) = Bench::held();
    let start = bench.now;
    let request = loop {
        bench.wake();
        match bench.actions.pop_front() {
            Some(Action::Renew { call, .. }) => bench.answer(call, Answer::Renewed(Ok(TTL))),
            Some(Action::ReadPage { call, request }) => {
                let found = vec![entry(ROOT, "", 10, lease)];
                bench.answer(call, Answer::Page(Ok(page(found, false))));
                break request;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(request.keys_only);
    let pause = bench.now - start;
    assert!((TTL * 2 / 3..=TTL * 4 / 3).contains(&pause), "{pause:?}");
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
}

#[test]
fn a_failed_guard_is_read_again_after_a_pause_that_grows() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("1"), 1);
    let start = bench.now;
    for round in 0..40 {
        let (call, _) = bench.expect_write();
        bench.answer(call, Answer::Written(Ok((false, 20 + round))));
        while !bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::ReadPage { .. }))
        {
            bench.wake();
            if let Some(Action::Renew { call, .. }) = bench.actions.front() {
                let call = *call;
                bench.actions.clear();
                bench.answer(call, Answer::Renewed(Ok(TTL)));
            }
        }
        let forged = entry("top/s/a", "forged", 20 + round, lease);
        bench.read_pages(vec![entry(ROOT, "s", 10, lease), forged]);
    }
    let elapsed = bench.now - start;
    assert!(elapsed > 80 * SECOND, "40 rounds in {elapsed:?}");
    let (_, batch) = bench.expect_write();
    assert_eq!(batch.ops[0].base, 59);
}

#[test]
fn a_transaction_has_at_most_120_operations_and_a_mebibyte() {
    let (mut bench, _) = Bench::held();
    let wish = |n: usize, size: usize| Wish {
        key: format!("{ROOT}/{n:04}"),
        value: Some(vec![0; size].into()),
        waiters: vec![],
    };
    bench.step(Event::Want((0..500).map(|n| wish(n, 10)).collect()));
    assert_eq!(bench.commit(11).ops.len(), 120);
    assert_eq!(bench.commit(12).ops.len(), 120);
    let mut bench = Bench::held().0;
    bench.step(Event::Want((0..10).map(|n| wish(n, 400_000)).collect()));
    assert_eq!(bench.commit(11).ops.len(), 2);
    bench.step(Event::Want(vec![wish(20, 1_400_000)]));
    let sizes: Vec<usize> = (0..5).map(|n| bench.commit(12 + n).ops.len()).collect();
    assert_eq!(sizes, [2, 2, 2, 2, 1]);
}

#[test]
fn a_refused_key_is_isolated_and_the_others_are_written() {
    let (mut bench, _) = Bench::held();
    let wishes = (0..100u64).map(|n| Wish {
        key: format!("{ROOT}/{n}"),
        value: Some(Bytes::from_static(b"x")),
        waiters: vec![n],
    });
    bench.step(Event::Want(wishes.collect()));
    let (mut settled, mut rejected, mut tries) = (Vec::new(), Vec::new(), 0);
    while let Some(action) = bench.actions.pop_front() {
        match action {
            Action::Write { call, batch } => {
                tries += 1;
                let bad = batch.ops.iter().any(|op| op.key == "top/s/63");
                let result = if bad {
                    Err(failure(FailureKind::TooLarge))
                } else {
                    Ok((true, 20))
                };
                bench.answer(call, Answer::Written(result));
            }
            Action::Settle(some) => settled.extend(some),
            Action::Reject { key, waiters, .. } => rejected.push((key, waiters)),
            _ => {}
        }
    }
    assert_eq!(rejected, [("top/s/63".to_owned(), vec![63])]);
    assert_eq!(settled.len(), 99);
    assert!(tries < 30, "{tries}");
    assert_eq!(bench.machine.wanted().len(), 99);
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
}

#[test]
fn a_refused_update_leaves_the_key_as_it_was() {
    let (mut bench, lease) = Bench::held();
    bench.want("a", Some("old"), 1);
    bench.commit(11);
    bench.want("a", Some("bad"), 2);
    let (call, _) = bench.expect_write();
    bench.answer(call, Answer::Written(Err(failure(FailureKind::Invalid))));
    assert_eq!(bench.machine.wanted().len(), 1);
    bench.step(Event::Audit);
    bench.read_pages(vec![
        entry(ROOT, "", 10, lease),
        entry("top/s/a", "", 11, lease),
    ]);
    bench.nothing_is_written();
    assert_eq!(bench.machine.phase(), SessionPhase::Held);
}

#[test]
fn a_write_that_is_denied_is_kept_and_tried_again_after_a_pause() {
    for kind in [FailureKind::Denied, FailureKind::Unauthenticated("")] {
        let (mut bench, _) = Bench::held();
        bench.want("a", Some("value"), 1);
        let (call, _) = bench.expect_write();
        bench.answer(call, Answer::Written(Err(failure(kind))));
        assert_eq!(bench.machine.phase(), SessionPhase::Connecting);
        assert_eq!(bench.machine.wanted().pending(), 1);
        assert!(bench.machine.next_wake().is_some());
        bench.nothing_is_written();
    }
}

#[test]
fn a_page_too_large_to_read_is_asked_for_in_halves() {
    let mut bench = Bench::new();
    bench.connect_and_grant();
    let (call, first) = bench.expect_page();
    bench.answer(call, Answer::Page(Err(failure(FailureKind::TooLarge))));
    let (call, second) = bench.expect_page();
    assert_eq!(second.limit, first.limit / 2);
    bench.answer(call, Answer::Page(Ok(page(vec![], false))));
    bench.expect_write();
}

#[test]
fn closing_revokes_the_lease() {
    let (mut bench, lease) = Bench::held();
    let deadline = bench.now + SECOND;
    bench.step(Event::Close { deadline });
    let call = bench.expect("revocation", |action| match action {
        Action::Revoke { call, lease: of } if *of == lease => Some(*call),
        _ => None,
    });
    bench.answer(call, Answer::Revoked(Ok(())));
    bench.expect("end", |action| {
        matches!(action, Action::Finish(Ok(()))).then_some(())
    });
    assert_eq!(bench.machine.next_wake(), None);
}

#[test]
fn closing_waits_for_a_grant_under_way_so_that_no_lease_is_left() {
    let mut bench = Bench::new();
    bench.connect();
    let (call, lease) = bench.expect_grant();
    let deadline = bench.now + 5 * SECOND;
    bench.step(Event::Close { deadline });
    assert!(bench.actions.is_empty(), "{:?}", bench.actions);
    bench.answer(call, Answer::Granted(Ok(TTL)));
    bench.expect("revocation", |action| {
        matches!(action, Action::Revoke { lease: of, .. } if *of == lease).then_some(())
    });
}

#[test]
fn closing_before_a_lease_was_asked_for_ends_at_once() {
    let mut bench = Bench::new();
    let deadline = bench.now + SECOND;
    bench.step(Event::Close { deadline });
    bench.expect("end", |action| {
        matches!(action, Action::Finish(Ok(()))).then_some(())
    });
}

#[test]
fn closing_gives_up_at_its_deadline_and_says_why() {
    let (mut bench, _) = Bench::held();
    let deadline = bench.now + SECOND;
    bench.step(Event::Close { deadline });
    let call = bench.machine.next_call;
    bench.answer(call, Answer::Revoked(unavailable()));
    loop {
        bench.wake();
        match bench.actions.pop_back() {
            Some(Action::Dial { call, .. }) => bench.answer(call, Answer::Dialled(unavailable())),
            Some(Action::Finish(result)) => break assert!(matches!(result, Err(Some(_)))),
            _ => {}
        }
    }
    assert_eq!(bench.now, deadline);
}

/// Found by the schedules: its deadline in the past woke the task again and again.
#[test]
fn a_lease_that_runs_out_while_it_is_revoked_does_not_make_a_closing_session_spin() {
    let (mut bench, _) = Bench::held();
    let deadline = bench.now + 2 * TTL;
    bench.step(Event::Close { deadline });
    while bench.now < deadline {
        let before = bench.now;
        bench.wake();
        assert!(bench.now > before, "woken again at {:?}", bench.now);
    }
    assert_eq!(bench.machine.phase(), SessionPhase::Closed);
}

#[test]
fn an_answer_to_a_call_that_was_given_up_changes_nothing() {
    let (mut bench, _) = Bench::held();
    bench.want("a", Some("1"), 1);
    let (write, _) = bench.expect_write();
    bench.after(TTL / 3);
    let (renewal, _) = bench.expect_renewal();
    bench.answer(renewal, Answer::Renewed(unavailable()));
    bench.actions.clear();
    let before = format!("{:?}", bench.machine);
    bench.answer(write, Answer::Written(Ok((true, 99))));
    bench.answer(renewal, Answer::Renewed(Ok(Duration::ZERO)));
    assert!(bench.actions.is_empty(), "{:?}", bench.actions);
    assert_eq!(format!("{:?}", bench.machine), before);
}
