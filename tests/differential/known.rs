//! Cases written by hand: what chance meets too rarely.

use crate::command::*;
use crate::run::EXPIRING_TTL;

/// Each with its name.
pub fn all() -> Vec<(&'static str, Vec<Command>)> {
    vec![
        ("a transaction of 128 and one of 129 operations", limits()),
        ("requests over the limits of etcd and of gRPC", too_large()),
        ("revisions larger than one answer", large_revisions()),
        (
            "one revision larger than one answer, as it happens",
            large_and_live(),
        ),
        ("a lease that ends by itself", expiry()),
        ("a watch from the compacted revision", compacted_start()),
        ("a key that a transaction changes twice", twice()),
        (
            "a key that is put under a lease and deleted at once",
            gone_at_once(),
        ),
        ("a negative revision in a transaction", negative_revision()),
        ("a history that is replayed to several watches", replay()),
        (
            "a history with leases that the server chose",
            chosen_leases(),
        ),
    ]
}

fn puts(count: usize) -> Txn {
    Txn {
        compare: Vec::new(),
        success: vec![Op::Puts(count)],
        failure: Vec::new(),
    }
}

fn limits() -> Vec<Command> {
    let nested = Txn {
        compare: Vec::new(),
        success: vec![Op::Txn(puts(129))],
        failure: Vec::new(),
    };
    let never = Txn {
        success: Vec::new(),
        failure: vec![Op::Puts(129)],
        compare: Vec::new(),
    };
    let compares = Txn {
        compare: vec![
            Compare {
                span: Span::one(b"a"),
                result: 0,
                with: With::Version(0),
            };
            129
        ],
        success: Vec::new(),
        failure: Vec::new(),
    };
    [puts(128), puts(129), nested, never, compares]
        .map(Command::Txn)
        .into_iter()
        .chain([Command::Range(Range::of(Span::ALL))])
        .collect()
}

fn large(key: &'static [u8], length: usize) -> Put {
    Put {
        value: Bytes::Long(length),
        ..Put::of(key, b"")
    }
}

fn too_large() -> Vec<Command> {
    let two = Txn {
        compare: Vec::new(),
        success: vec![Op::Put(large(b"a", 800_000)), Op::Put(large(b"b", 800_000))],
        failure: Vec::new(),
    };
    vec![
        Command::Put(large(b"a", 1_500_000)),
        Command::Put(large(b"a", 1_600_000)),
        Command::Txn(two),
        Command::Put(large(b"a", 2_200_000)),
        Command::Range(Range::of(Span::ALL)),
    ]
}

/// Several revisions of together more than a request may have, and each event with what was before.
fn large_revisions() -> Vec<Command> {
    let put = |key| Command::Put(large(key, 1_000_000));
    let watch = |fragment| watch_with_previous(Rev::Start(1), fragment);
    vec![
        put(b"a"),
        put(b"b"),
        put(b"a"),
        put(b"b"),
        watch(true),
        watch(false),
        DELETE_ALL,
    ]
}

/// The answers to the one watch are fragments, to the other one they are whole.
fn large_and_live() -> Vec<Command> {
    let put = |key, length| Command::Put(large(key, length));
    vec![
        put(b"a", 1_000_000),
        put(b"b", 900_000),
        put(b"c", 300_000),
        put(b"d", 1_400_000),
        put(b"e", 10),
        watch_with_previous(Rev::Unset, true),
        watch_with_previous(Rev::Unset, false),
        // Both have told of a mark before it is answered.
        Command::Progress { stream: 0 },
        DELETE_ALL,
    ]
}

fn watch_with_previous(start: Rev, fragment: bool) -> Command {
    Command::Watch {
        stream: 0,
        watch: Watch {
            start,
            prev: true,
            fragment,
            ..Watch::of(Span::ALL)
        },
    }
}

const DELETE_ALL: Command = Command::Delete(Delete {
    span: Span::ALL,
    prev: false,
});

fn expiry() -> Vec<Command> {
    let lease = Lease::Slot(1);
    vec![
        Command::Grant {
            lease,
            ttl: EXPIRING_TTL,
        },
        Command::Watch {
            stream: 0,
            watch: Watch {
                prev: true,
                ..Watch::of(Span::ALL)
            },
        },
        Command::Put(Put::of(b"b", b"1").under(lease)),
        Command::Put(Put::of(b"a", b"1").under(lease)),
        Command::Put(Put::of(b"c", b"1").under(lease)),
        Command::Put(Put::of(b"c", b"2")),
        Command::KeepAlive(lease),
        Command::Expire(lease),
        Command::Put(Put::of(b"a", b"2").under(lease)),
        Command::KeepAlive(lease),
        Command::Revoke(lease),
        Command::Range(Range::of(Span::ALL)),
    ]
}

/// What was deleted in the revision that a compaction ends with is not told again.
fn compacted_start() -> Vec<Command> {
    let both = Txn {
        compare: Vec::new(),
        success: vec![
            Op::Delete(Delete {
                span: Span::one(b"a"),
                prev: false,
            }),
            Op::Put(Put::of(b"b", b"2")),
            Op::Put(Put::of(b"c", b"1")),
        ],
        failure: Vec::new(),
    };
    vec![
        Command::Put(Put::of(b"a", b"1")),
        Command::Put(Put::of(b"b", b"1")),
        Command::Txn(both),
        Command::Compact(Rev::Present(0)),
        Command::Watch {
            stream: 0,
            watch: Watch {
                start: Rev::Present(0),
                prev: true,
                ..Watch::of(Span::ALL)
            },
        },
    ]
}

fn twice() -> Vec<Command> {
    let nested = |op| {
        Op::Txn(Txn {
            compare: Vec::new(),
            success: vec![op],
            failure: Vec::new(),
        })
    };
    let delete = |key| {
        Op::Delete(Delete {
            span: Span::one(key),
            prev: true,
        })
    };
    let put = |key| {
        Op::Put(Put {
            prev: true,
            ..Put::of(key, b"2")
        })
    };
    let both = Txn {
        compare: Vec::new(),
        success: vec![
            nested(put(b"a")),
            nested(delete(b"a")),
            nested(put(b"b")),
            nested(delete(b"b")),
            // etcd takes the end of this range as it is written, and sees no key changed twice.
            Op::Delete(Delete {
                span: Span::to(b"c", b"\0"),
                prev: true,
            }),
            put(b"c"),
        ],
        failure: Vec::new(),
    };
    vec![
        Command::Put(Put::of(b"a", b"1")),
        Command::Put(Put::of(b"c", b"1")),
        Command::Watch {
            stream: 0,
            watch: Watch {
                prev: true,
                ..Watch::of(Span::ALL)
            },
        },
        Command::Txn(both),
    ]
}

fn gone_at_once() -> Vec<Command> {
    let lease = Lease::Slot(2);
    let txn = Txn {
        compare: Vec::new(),
        success: vec![
            Op::Put(Put::of(b"c", b"").under(lease)),
            Op::Delete(Delete {
                span: Span::to(b"a", b"\0"),
                prev: false,
            }),
        ],
        failure: Vec::new(),
    };
    vec![
        Command::Grant { lease, ttl: 300 },
        Command::Txn(txn),
        Command::Put(Put::of(b"c", b"")),
        Command::TimeToLive { lease, keys: true },
        Command::Revoke(lease),
        Command::Range(Range::of(Span::ALL)),
    ]
}

fn negative_revision() -> Vec<Command> {
    let range = Range {
        revision: Rev::Exact(-1),
        ..Range::of(Span::ALL)
    };
    let txn = Txn {
        compare: Vec::new(),
        success: vec![Op::Range(range.clone())],
        failure: Vec::new(),
    };
    vec![Command::Range(range), Command::Txn(txn)]
}

fn replay() -> Vec<Command> {
    let watch = |stream, start, span| Command::Watch {
        stream,
        watch: Watch {
            start,
            prev: true,
            ..Watch::of(span)
        },
    };
    vec![
        Command::Put(Put::of(b"a", b"1")),
        Command::Put(Put::of(b"b", b"1")),
        Command::Delete(Delete {
            span: Span::to(b"a", b"c"),
            prev: false,
        }),
        Command::Put(Put::of(b"a", b"2")),
        watch(0, Rev::Start(1), Span::ALL),
        watch(0, Rev::Start(2), Span::one(b"b")),
        watch(1, Rev::Start(-1), Span::ALL),
        watch(1, Rev::Present(3), Span::to(b"a", b"\0")),
        Command::Put(Put::of(b"c", b"1")),
        Command::Progress { stream: 0 },
        Command::Compact(Rev::Present(0)),
        watch(1, Rev::Start(1), Span::ALL),
        watch(1, Rev::Present(0), Span::ALL),
        Command::Put(Put::of(b"a", b"3")),
        Command::CancelWatch {
            stream: 0,
            number: 1,
        },
        Command::Put(Put::of(b"b", b"3")),
    ]
}

/// The watch tells of a lease that is no longer the newest.
fn chosen_leases() -> Vec<Command> {
    let grant = Command::Grant {
        lease: Lease::Zero,
        ttl: 300,
    };
    let put = |key| {
        Command::Put(Put {
            lease: Lease::Chosen,
            ..Put::of(key, b"")
        })
    };
    vec![
        grant.clone(),
        put(b"a"),
        grant,
        put(b"b"),
        Command::Leases,
        Command::Watch {
            stream: 0,
            watch: Watch {
                start: Rev::Start(1),
                ..Watch::of(Span::ALL)
            },
        },
        Command::TimeToLive {
            lease: Lease::Chosen,
            keys: true,
        },
    ]
}
