//! Random sequences of commands, over so few keys that they meet.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::command::*;

/// How many connections a case uses.
pub const CLIENTS: usize = 3;
/// How many watch streams a case may open.
pub const STREAMS: usize = 2;

/// A case.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        (0..CLIENTS, command()).prop_map(|(client, command)| Step { client, command }),
        1..40,
    )
}

fn command() -> impl Strategy<Value = Command> {
    let stream = 0..STREAMS;
    let granted = (
        prop_oneof![6 => slot(), 1 => Just(Lease::Zero), 1 => Just(Lease::Negative)],
        // Far from their end, except for those that the runner revokes at once.
        prop_oneof![
            8 => select(vec![300, 600, 1000]),
            1 => select(vec![-1, 0, 1, 2, 9_000_000_000, 9_000_000_001, i64::MAX]),
        ],
    );
    prop_oneof![
        12 => range().prop_map(Command::Range),
        20 => put().prop_map(Command::Put),
        8 => delete().prop_map(Command::Delete),
        14 => txn().prop_map(Command::Txn),
        3 => prop_oneof![revision(), (0..4i64).prop_map(|by| Rev::Present(-by))]
            .prop_map(Command::Compact),
        6 => granted.prop_map(|(lease, ttl)| Command::Grant { lease, ttl }),
        3 => lease().prop_map(Command::Revoke),
        2 => lease().prop_map(Command::KeepAlive),
        2 => (lease(), any::<bool>())
            .prop_map(|(lease, keys)| Command::TimeToLive { lease, keys }),
        1 => Just(Command::Leases),
        8 => (stream.clone(), watch()).prop_map(|(stream, watch)| Command::Watch { stream, watch }),
        3 => (stream.clone(), 0..4usize)
            .prop_map(|(stream, number)| Command::CancelWatch { stream, number }),
        1 => stream.clone().prop_map(|stream| Command::CancelUnknown { stream }),
        2 => stream.prop_map(|stream| Command::Progress { stream }),
    ]
}

fn key() -> impl Strategy<Value = &'static [u8]> {
    const KEYS: [&[u8]; 7] = [b"a", b"ab", b"a\0", b"b", b"b\xff", b"c", b"\xff"];
    prop_oneof![
        30 => select(KEYS.to_vec()),
        1 => Just(b"\0".as_slice()),
        1 => Just(b"".as_slice()),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    const ENDS: [&[u8]; 8] = [
        b"a",
        b"ab",
        b"b",
        b"b\xff",
        b"c",
        b"d",
        b"\xff",
        b"\xff\xff",
    ];
    prop_oneof![
        6 => key().prop_map(Span::one),
        8 => (key(), select(ENDS.to_vec())).prop_map(|(key, end)| Span::to(key, end)),
        4 => key().prop_map(|key| Span::to(key, b"\0")),
        2 => Just(Span::ALL),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    const VALUES: [&[u8]; 4] = [b"", b"1", b"2", b"\xfe\xff"];
    prop_oneof![
        60 => select(VALUES.to_vec()).prop_map(Bytes::Text),
        1 => select(vec![3000usize, 1_700_000]).prop_map(Bytes::Long),
    ]
}

fn revision() -> impl Strategy<Value = Rev> {
    prop_oneof![
        6 => Just(Rev::Unset),
        4 => (-6..4i64).prop_map(Rev::Present),
        2 => (-2..12i64).prop_map(Rev::Start),
        1 => select(vec![Rev::Exact(-1), Rev::Exact(1), Rev::Exact(i64::MAX)]),
    ]
}

/// Mostly none: each bound hides most of what there is.
fn bound() -> impl Strategy<Value = Rev> {
    prop_oneof![
        6 => Just(Rev::Unset),
        1 => (-6..2i64).prop_map(Rev::Present),
        1 => (0..8i64).prop_map(Rev::Start),
    ]
}

fn slot() -> impl Strategy<Value = Lease> {
    (0..3u8).prop_map(Lease::Slot)
}

fn lease() -> impl Strategy<Value = Lease> {
    prop_oneof![
        10 => slot(),
        1 => Just(Lease::Zero),
        1 => Just(Lease::Chosen),
        1 => Just(Lease::Negative),
    ]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

fn range() -> impl Strategy<Value = Range> {
    // etcd 3.5.1 ends with a panic when it is to sort by something that there is not.
    let sort = (0..3i32, 0..5i32);
    let flags = (any::<bool>(), rarely(), rarely());
    let bounds = (bound(), bound(), bound(), bound());
    let limit = prop_oneof![3 => Just(0), 3 => 1..4i64, 1 => Just(-1)];
    (span(), limit, revision(), sort, flags, bounds).prop_map(
        |(span, limit, revision, (order, target), flags, bounds)| Range {
            span,
            limit,
            revision,
            order,
            target,
            serializable: flags.0,
            keys_only: flags.1,
            count_only: flags.2,
            min_mod: bounds.0,
            max_mod: bounds.1,
            min_create: bounds.2,
            max_create: bounds.3,
        },
    )
}

fn put() -> impl Strategy<Value = Put> {
    let of = prop_oneof![6 => Just(Lease::Zero), 4 => lease()];
    (key(), value(), of, any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, prev, ignore_value, ignore_lease)| {
            Put {
                key,
                // Half of those that keep the value give one all the same, which is an error.
                value: if ignore_value && prev {
                    Bytes::Text(b"")
                } else {
                    value
                },
                lease,
                prev,
                ignore_value,
                ignore_lease,
            }
        },
    )
}

fn delete() -> impl Strategy<Value = Delete> {
    (span(), any::<bool>()).prop_map(|(span, prev)| Delete { span, prev })
}

fn compare() -> impl Strategy<Value = Compare> {
    const VALUES: [&[u8]; 3] = [b"", b"1", b"2"];
    let with = prop_oneof![
        4 => (0..3i64).prop_map(With::Version),
        2 => revision().prop_map(With::Create),
        2 => revision().prop_map(With::Mod),
        3 => select(VALUES.to_vec()).prop_map(With::Value),
        2 => lease().prop_map(With::Lease),
        1 => (0..5i32).prop_map(With::Missing),
    ];
    (span(), 0..4i32, with).prop_map(|(span, result, with)| Compare { span, result, with })
}

fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        6 => range().prop_map(Op::Range),
        8 => put().prop_map(Op::Put),
        4 => delete().prop_map(Op::Delete),
    ];
    let rare = prop_oneof![
        select(vec![2usize, 128, 129]).prop_map(Op::Puts),
        Just(Op::Nothing),
    ];
    let leaf = prop_oneof![40 => leaf, 1 => rare];
    let op = leaf.prop_recursive(2, 4, 2, |inner| txn_of(inner).prop_map(Op::Txn));
    txn_of(op).prop_map(spare_etcd)
}

/// etcd's check for keys that a transaction puts and deletes does not see deletes up to the end of
/// all keys. It ends with a panic, in 3.4 and 3.5, when the put is to keep something of the key.
fn spare_etcd(mut txn: Txn) -> Txn {
    if ops(&txn).any(deletes_to_the_end) {
        keep_nothing(&mut txn);
    }
    txn
}

fn ops(txn: &Txn) -> impl Iterator<Item = &Op> {
    txn.success.iter().chain(&txn.failure)
}

fn deletes_to_the_end(op: &Op) -> bool {
    match op {
        Op::Delete(delete) => delete.span.end == b"\0",
        Op::Txn(txn) => ops(txn).any(deletes_to_the_end),
        _ => false,
    }
}

fn keep_nothing(txn: &mut Txn) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op {
            Op::Put(put) => (put.ignore_value, put.ignore_lease) = (false, false),
            Op::Txn(txn) => keep_nothing(txn),
            _ => {}
        }
    }
}

fn txn_of(op: impl Strategy<Value = Op> + Clone) -> impl Strategy<Value = Txn> {
    (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..2)).prop_map(
        |(compare, success, failure)| Txn {
            compare,
            success,
            failure,
        },
    )
}

fn watch() -> impl Strategy<Value = Watch> {
    // etcd takes -1 from a client and then confuses the watch with those that it refuses.
    let id = prop_oneof![4 => Just(0), 1 => 1..4i64];
    let flags = (
        rarely(),
        rarely(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    // A start further ahead than the end of a case can reach would never be heard of.
    let start = revision().prop_map(|start| match start {
        Rev::Exact(i64::MAX) => Rev::Unset,
        other => other,
    });
    (span(), start, id, flags).prop_map(
        |(span, start, id, (no_put, no_delete, prev, fragment, progress))| Watch {
            span,
            // A watch that tells of nothing does not tell when it is done with the history, either:
            // whether a compaction comes before would be a matter of time.
            start: if no_put && no_delete {
                Rev::Unset
            } else {
                start
            },
            id,
            no_put,
            no_delete,
            prev,
            fragment,
            progress,
        },
    )
}
