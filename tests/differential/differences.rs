//! The one table of what is kept different from etcd 3.5 on purpose, and of what etcd 3.4 does otherwise.

use crate::command::*;

/// Who differs from etcd 3.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Etcd3_4,
    Embedded,
}

/// One place where two servers differ.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The step that was answered, or that created the watch.
    pub command: &'a Command,
    /// What etcd 3.5 said.
    pub reference: &'a str,
    /// What the other said.
    pub other: &'a str,
}

/// A difference that is kept.
#[derive(Debug)]
pub struct Difference {
    pub name: &'static str,
    pub who: Who,
    /// For the reader, and for the message when the difference is gone.
    pub reason: &'static str,
    /// Whether this is what was seen.
    pub explains: fn(&Seen) -> bool,
    /// A case that shows it, so that the entry ends when the difference does.
    pub example: fn() -> Vec<Command>,
}

/// All of them.
pub const TABLE: &[Difference] = &[Difference {
    name: "sort options that there are not are refused",
    who: Who::Embedded,
    reason: "etcd 3.5.1 takes them and ends with a panic when it comes to sort by them; later releases \
             refuse them with this status",
    explains: |seen| {
        seen.other == "InvalidArgument: etcdserver: invalid sort option"
            && seen.reference.starts_with("txn")
    },
    example: || {
        // On the side that is not taken, where etcd survives it.
        let range = Range {
            target: 5,
            ..Range::of(Span::ALL)
        };
        vec![Command::Txn(Txn {
            compare: Vec::new(),
            success: Vec::new(),
            failure: vec![Op::Range(range)],
        })]
    },
}];

/// The entry for what was seen.
pub fn explained(who: Who, seen: &Seen) -> Option<&'static Difference> {
    TABLE
        .iter()
        .find(|difference| difference.who == who && (difference.explains)(seen))
}
