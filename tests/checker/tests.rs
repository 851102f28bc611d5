//! Each invariant, held and broken, on small histories made by hand.

use std::time::Duration;

use super::*;

const S: Duration = Duration::from_secs(1);
const LEASE: i64 = 7;

/// A history in the making; one second passes with each record.
#[derive(Default)]
struct Tale {
    history: History,
    at: Duration,
}

impl Tale {
    fn new() -> Self {
        Self::default()
    }

    fn then(mut self, what: What) -> Self {
        self.at += S;
        self.history.push(self.at, what);
        self
    }

    fn wait(mut self, time: Duration) -> Self {
        self.at += time;
        self
    }

    fn key(&mut self, name: &str) -> Key {
        self.history.key(name)
    }

    /// Session 0 with its key `t/s`, which is put under its lease.
    fn registered() -> (Self, Key, Key) {
        let mut tale = Self::new();
        let (root, below) = (tale.key("t/s"), tale.key("t/s/a"));
        let tale = tale
            .then(What::Opened {
                client: 0,
                root,
                value: 1,
            })
            .then(What::Granted {
                lease: LEASE,
                by: Some(0),
            })
            .then(put(root, 2, 1, LEASE));
        (tale, root, below)
    }

    fn expect(self, invariant: Invariant, expected: &str) {
        let limits = Limits::for_ttl(9 * S);
        let verdicts = check(&self.history, &limits);
        let outcome = match &verdicts[invariant as usize].outcome {
            Outcome::Held { .. } => "held",
            Outcome::Broken { .. } => "broken",
            Outcome::NotApplicable => "not applicable",
        };
        assert_eq!(outcome, expected, "{}", table(&verdicts));
        if expected == "broken" {
            // A breach is told by its own name alone.
            assert_eq!(broken(&verdicts), [invariant], "{}", table(&verdicts));
        }
    }
}

fn put(key: Key, revision: i64, value: u64, lease: i64) -> What {
    What::Put {
        key,
        revision,
        value,
        lease,
        by: By::Unknown,
    }
}

fn entry(key: Key, revision: i64, value: u64, lease: i64) -> Entry {
    Entry {
        key,
        revision,
        value,
        lease,
    }
}

fn read(entries: Vec<Entry>, living: &[i64]) -> What {
    What::Read {
        entries,
        living: living.to_vec(),
    }
}

fn told(news: News, key: Key, revision: i64, value: u64) -> What {
    What::Told {
        listener: 5,
        news,
        key,
        revision,
        value,
    }
}

const LISTENING: What = What::Listening {
    listener: 5,
    scope: Scope::Keys,
};

const fn cut(client: Option<Client>) -> What {
    What::Began {
        fault: Fault::CutOff,
        client,
    }
}

const fn healed(client: Option<Client>) -> What {
    What::Healed {
        fault: Fault::CutOff,
        client,
    }
}

const fn sent(call: u64, request: Request) -> What {
    What::Sent {
        client: 0,
        call,
        request,
    }
}

#[test]
fn i1_holds_when_the_store_is_as_wanted_under_one_living_lease() {
    let (tale, root, a) = Tale::registered();
    let wants = What::Wants {
        client: 0,
        key: a,
        value: Some(4),
    };
    let found = vec![entry(root, 2, 1, LEASE), entry(a, 3, 4, LEASE)];
    tale.then(wants)
        .then(put(a, 3, 4, LEASE))
        .then(What::Rest)
        .then(read(found, &[LEASE]))
        .expect(Invariant::Registered, "held");
}

#[test]
fn i1_is_broken_by_a_key_missing_or_foreign_a_wrong_value_a_dead_lease() {
    let missing = |_: Key, root: Key| (vec![entry(root, 2, 1, LEASE)], vec![LEASE]);
    let wrong = |a: Key, root: Key| {
        let found = vec![entry(root, 2, 1, LEASE), entry(a, 3, 5, LEASE)];
        (found, vec![LEASE])
    };
    let dead = |a: Key, root: Key| {
        let found = vec![entry(root, 2, 1, LEASE), entry(a, 3, 4, LEASE)];
        (found, vec![])
    };
    let other_lease = |a: Key, root: Key| {
        let found = vec![entry(root, 2, 1, LEASE), entry(a, 3, 4, 8)];
        (found, vec![LEASE, 8])
    };
    let no_root = |a: Key, _: Key| (vec![entry(a, 3, 4, LEASE)], vec![LEASE]);
    type Reading = fn(Key, Key) -> (Vec<Entry>, Vec<i64>);
    for reading in [missing as Reading, wrong, dead, other_lease, no_root] {
        let (tale, root, a) = Tale::registered();
        let (found, living) = reading(a, root);
        tale.then(What::Wants {
            client: 0,
            key: a,
            value: Some(4),
        })
        .then(What::Rest)
        .then(read(found, &living))
        .expect(Invariant::Registered, "broken");
    }
}

#[test]
fn i1_is_judged_without_a_declared_rest_once_the_time_to_settle_is_over() {
    let (tale, ..) = Tale::registered();
    tale.wait(10 * S)
        .then(read(vec![], &[]))
        .expect(Invariant::Registered, "not applicable");
    let (tale, ..) = Tale::registered();
    tale.wait(60 * S)
        .then(read(vec![], &[]))
        .expect(Invariant::Registered, "broken");
    let (tale, ..) = Tale::registered();
    tale.then(cut(None))
        .wait(60 * S)
        .then(read(vec![], &[]))
        .expect(Invariant::Registered, "not applicable");
}

#[test]
fn i1_asks_for_one_holder_among_two_processes_with_one_session_id() {
    let two = |lease, by| {
        let (tale, root, _) = Tale::registered();
        tale.then(What::Opened {
            client: 1,
            root,
            value: 1,
        })
        .then(What::Granted {
            lease: 8,
            by: Some(by),
        })
        .then(What::Rest)
        .then(read(vec![entry(root, 2, 1, lease)], &[LEASE, 8]))
    };
    two(LEASE, 1).expect(Invariant::Registered, "held");
    two(8, 1).expect(Invariant::Registered, "held");
    two(8, 2).expect(Invariant::Registered, "broken");
}

#[test]
fn i1_wants_the_keys_of_a_closed_session_gone() {
    let closed = |found: fn(Key) -> Vec<Entry>| {
        let (tale, root, _) = Tale::registered();
        tale.then(What::Gone { client: 0 })
            .then(What::Rest)
            .then(read(found(root), &[]))
    };
    closed(|_| vec![]).expect(Invariant::Registered, "held");
    closed(|root| vec![entry(root, 2, 1, LEASE)]).expect(Invariant::Registered, "broken");
}

#[test]
fn i2_is_broken_by_a_key_of_ours_without_a_lease() {
    let (tale, _, a) = Tale::registered();
    tale.then(put(a, 3, 4, LEASE))
        .expect(Invariant::NoImmortals, "held");
    let (tale, _, a) = Tale::registered();
    tale.then(put(a, 3, 4, 0))
        .expect(Invariant::NoImmortals, "broken");
    let (tale, _, a) = Tale::registered();
    let by_hand = What::Put {
        key: a,
        revision: 3,
        value: 4,
        lease: 0,
        by: By::Meddler,
    };
    tale.then(by_hand).expect(Invariant::NoImmortals, "held");
}

#[test]
fn i3_compares_what_was_told_with_a_quorum_read() {
    let view = |found: fn(Key) -> Vec<Entry>| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        tale.then(LISTENING)
            .then(put(a, 3, 4, 0))
            .then(told(News::Put, a, 3, 4))
            .then(What::Rest)
            .then(read(found(a), &[]))
    };
    view(|a| vec![entry(a, 3, 4, 0)]).expect(Invariant::View, "held");
    view(|a| vec![entry(a, 5, 4, 0)]).expect(Invariant::View, "broken");
    view(|_| vec![]).expect(Invariant::View, "broken");
}

#[test]
fn i4_is_added_then_modified_then_removed() {
    let tale = |news: &[News]| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        for (revision, news) in (3..).zip(news) {
            tale = tale
                .then(put(a, revision, 4, 0))
                .then(told(*news, a, revision, 4));
        }
        tale
    };
    use News::{Added, Modified, Put, Removed};
    tale(&[Added, Modified, Modified, Removed, Added]).expect(Invariant::Replay, "held");
    tale(&[Put, Put, Removed, Put]).expect(Invariant::Replay, "held");
    for broken in [
        &[Added, Added][..],
        &[Modified],
        &[Removed],
        &[Added, Removed, Removed],
        &[Put, Added],
    ] {
        tale(broken).expect(Invariant::Replay, "broken");
    }
}

#[test]
fn i4_compares_what_was_told_with_the_listeners_own_view() {
    let view = |entries: fn(Key) -> Vec<(Key, i64)>| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        tale.then(told(News::Put, a, 3, 4)).then(What::View {
            listener: 5,
            entries: entries(a),
        })
    };
    view(|a| vec![(a, 3)]).expect(Invariant::Replay, "held");
    view(|a| vec![(a, 4)]).expect(Invariant::Replay, "broken");
    view(|_| vec![]).expect(Invariant::Replay, "broken");
}

#[test]
fn i5_is_broken_by_a_revision_that_does_not_grow_within_one_history() {
    let twice = |second, between: Option<What>| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        tale = tale.then(told(News::Put, a, 5, 4));
        if let Some(between) = between {
            tale = tale.then(between);
        }
        tale.then(told(News::Put, a, second, 4))
    };
    twice(6, None).expect(Invariant::Forward, "held");
    twice(5, None).expect(Invariant::Forward, "broken");
    twice(3, None).expect(Invariant::Forward, "broken");
    let lost = What::HistoryLost { listener: 5 };
    twice(3, Some(lost)).expect(Invariant::Forward, "not applicable");
    twice(3, Some(What::Wiped)).expect(Invariant::Forward, "not applicable");
}

#[test]
fn i6_is_broken_by_what_was_never_in_the_store() {
    let tale = |revision, value| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        tale.then(put(a, 3, 4, 0))
            .then(told(News::Put, a, revision, value))
    };
    tale(3, 4).expect(Invariant::NoPhantoms, "held");
    tale(3, 5).expect(Invariant::NoPhantoms, "broken");
    tale(4, 4).expect(Invariant::NoPhantoms, "broken");
}

#[test]
fn i7_is_broken_by_a_removal_while_the_listener_is_cut_off() {
    let tale = |begin: What, end: Option<What>| {
        let mut tale = Tale::new();
        let a = tale.key("t/x");
        tale = tale.then(told(News::Put, a, 3, 4)).then(begin);
        if let Some(end) = end {
            tale = tale.then(end);
        }
        tale.then(told(News::Removed, a, 4, 0))
    };
    tale(cut(None), None).expect(Invariant::Silence, "broken");
    tale(cut(Some(5)), None).expect(Invariant::Silence, "broken");
    tale(cut(Some(4)), None).expect(Invariant::Silence, "not applicable");
    tale(cut(Some(5)), Some(healed(Some(5)))).expect(Invariant::Silence, "held");
}

#[test]
fn i7_allows_what_is_on_its_way_and_what_is_stale() {
    let mut tale = Tale::new();
    let a = tale.key("t/x");
    let tale = tale
        .then(told(News::Put, a, 3, 4))
        .then(cut(None))
        .then(told(News::Removed, a, 4, 0));
    let mut limits = Limits::for_ttl(9 * S);
    let is_broken = |limits: &Limits| broken(&check(&tale.history, limits)) == [Invariant::Silence];
    assert!(is_broken(&limits));
    limits.in_flight = S;
    assert!(!is_broken(&limits));
    limits.in_flight = Duration::ZERO;
    limits.staleness = Some(S);
    assert!(!is_broken(&limits));
}

#[test]
fn i8_counts_from_the_sending_of_the_last_answered_renewal() {
    let claim = |seconds: u32| {
        let (tale, ..) = Tale::registered();
        let tale = tale.then(sent(1, Request::Renew));
        let until = tale.at + seconds * S;
        tale.then(What::Answered {
            client: 0,
            call: 1,
            ttl: 9 * S,
        })
        .then(sent(2, Request::Renew))
        .then(What::Registered {
            client: 0,
            lease: LEASE,
            until: Some(until),
        })
    };
    claim(9).expect(Invariant::Honesty, "held");
    claim(10).expect(Invariant::Honesty, "broken");
}

#[test]
fn i8_is_broken_by_a_claim_to_a_lease_that_ran_out() {
    let tale = |until: u32, how| {
        let (tale, ..) = Tale::registered();
        tale.then(What::Registered {
            client: 0,
            lease: LEASE,
            until: Some(until * S),
        })
        .then(What::Ended { lease: LEASE, how })
    };
    tale(100, End::Expired).expect(Invariant::Honesty, "broken");
    tale(5, End::Expired).expect(Invariant::Honesty, "held");
    // Nobody can know that yet.
    tale(100, End::Revoked).expect(Invariant::Honesty, "held");
}

#[test]
fn i8_forgives_a_clock_that_stood_as_long_as_it_stood() {
    let tale = |stood: u32| {
        let (tale, ..) = Tale::registered();
        tale.then(What::ClockStopped {
            client: 0,
            time: stood * S,
        })
        .then(What::Registered {
            client: 0,
            lease: LEASE,
            until: Some(10 * S),
        })
        .then(What::Ended {
            lease: LEASE,
            how: End::Expired,
        })
    };
    tale(4).expect(Invariant::Honesty, "held");
    tale(3).expect(Invariant::Honesty, "broken");
}

#[test]
fn i9_is_broken_by_a_second_lease_and_by_whatever_is_held_beyond_what_is_allowed() {
    let leases = |living: &[i64]| {
        let (tale, root, _) = Tale::registered();
        tale.then(What::Granted {
            lease: 8,
            by: Some(0),
        })
        .then(What::Rest)
        .then(read(vec![entry(root, 2, 1, LEASE)], living))
    };
    leases(&[LEASE]).expect(Invariant::NoLeaks, "held");
    leases(&[LEASE, 8]).expect(Invariant::NoLeaks, "broken");
    let watches = |count| {
        Tale::new().then(What::Holds {
            client: 5,
            what: "watches",
            count,
            allowed: 1,
        })
    };
    watches(1).expect(Invariant::NoLeaks, "held");
    watches(2).expect(Invariant::NoLeaks, "broken");
}

#[test]
fn i10_is_broken_by_a_value_put_again_under_leases_of_one_session() {
    let again = |value, lease, by| {
        let (tale, _, a) = Tale::registered();
        tale.then(What::Granted { lease: 8, by })
            .then(put(a, 3, 4, LEASE))
            .then(put(a, 4, value, lease))
    };
    again(5, LEASE, None).expect(Invariant::Peers, "held");
    again(4, LEASE, None).expect(Invariant::Peers, "broken");
    again(4, 8, Some(0)).expect(Invariant::Peers, "broken");
    // Another process takes over: another registration.
    again(4, 8, Some(1)).expect(Invariant::Peers, "held");
    // A late grant brought an ended lease back, and a late write a key under it.
    let (tale, _, a) = Tale::registered();
    let granted = |lease| What::Granted { lease, by: Some(0) };
    tale.then(granted(LEASE))
        .then(granted(8))
        .then(put(a, 3, 4, LEASE))
        .then(put(a, 4, 4, 8))
        .expect(Invariant::Peers, "held");
}

#[test]
fn i10_is_broken_by_a_peer_that_sees_added_twice() {
    let peer = |news: &[News]| {
        let mut tale = Tale::new();
        let key = tale.key("e");
        for news in news {
            tale = tale.then(What::Peer {
                observer: 9,
                news: *news,
                key,
            });
        }
        tale
    };
    use News::{Added, Modified, Removed};
    peer(&[Added, Modified, Removed, Added]).expect(Invariant::Peers, "held");
    peer(&[Added, Modified, Added]).expect(Invariant::Peers, "broken");
}

#[test]
fn i11_is_broken_by_a_put_or_a_transaction_at_rest() {
    let tale = |what: fn(Key) -> What, disturbance: Option<What>| {
        let (mut tale, _, a) = Tale::registered();
        tale = tale.then(What::Rest);
        if let Some(disturbance) = disturbance {
            tale = tale.then(disturbance);
        }
        tale.then(what(a))
    };
    let a_put = |a| put(a, 3, 4, LEASE);
    tale(a_put, None).expect(Invariant::Quiet, "broken");
    tale(|_| sent(3, Request::Write), None).expect(Invariant::Quiet, "broken");
    tale(|_| sent(3, Request::Renew), None).expect(Invariant::Quiet, "held");
    tale(a_put, Some(What::Meddled)).expect(Invariant::Quiet, "held");
}

#[test]
fn i12_is_broken_by_requests_beyond_the_backoffs_bound() {
    let tale = |begin: What, pause: Duration| {
        let mut tale = Tale::new().then(begin);
        for call in 0..50 {
            tale.at += pause;
            tale.history.push(tale.at, sent(call, Request::Dial));
        }
        tale
    };
    let pause = Duration::from_millis(100);
    tale(cut(None), pause).expect(Invariant::Gentle, "broken");
    tale(cut(Some(0)), pause).expect(Invariant::Gentle, "broken");
    tale(cut(None), S).expect(Invariant::Gentle, "held");
    tale(healed(None), pause).expect(Invariant::Gentle, "not applicable");
}

/// Twenty clients that ask for something, one after the other.
fn herd_asks(tale: &mut Tale, call: u64, pause: Duration) {
    for client in 0..20 {
        tale.at += pause;
        let dial = What::Sent {
            client,
            call,
            request: Request::Dial,
        };
        tale.history.push(tale.at, dial);
    }
}

fn judged_as_a_herd(tale: &Tale) -> Vec<Invariant> {
    let mut limits = Limits::for_ttl(9 * S);
    limits.herd = Some(Herd {
        clients: 20,
        window: S,
        at_most: 10,
    });
    broken(&check(&tale.history, &limits))
}

#[test]
fn i12_is_broken_by_a_herd_that_comes_back_in_one_instant() {
    let comes_back = |pause: Duration| {
        let mut tale = Tale::new();
        herd_asks(&mut tale, 0, Duration::ZERO);
        tale = tale.then(cut(None)).then(healed(None));
        herd_asks(&mut tale, 1, pause);
        judged_as_a_herd(&tale)
    };
    assert_eq!(comes_back(S / 5), []);
    assert_eq!(comes_back(S / 20), [Invariant::Gentle]);
}

#[test]
fn i12_does_not_take_a_herd_in_the_next_outage_for_one_that_comes_back() {
    let mut tale = Tale::new();
    herd_asks(&mut tale, 0, Duration::ZERO);
    tale = tale.then(cut(None)).then(healed(None)).then(cut(None));
    herd_asks(&mut tale, 1, S / 20);
    assert_eq!(judged_as_a_herd(&tale), []);
}

#[test]
fn a_table_names_every_invariant_and_says_where_it_broke() {
    let (tale, _, a) = Tale::registered();
    let tale = tale.then(put(a, 3, 4, 0));
    let text = table(&check(&tale.history, &Limits::for_ttl(9 * S)));
    assert_eq!(text.lines().count(), 12);
    assert!(
        text.contains(
            "I2 No immortals         BROKEN at record 3: `t/s/a` was put without a lease"
        ),
        "{text}"
    );
    assert!(
        text.contains("I3 View                 not applicable"),
        "{text}"
    );
}
