//! The one place that lists what is kept different from etcd 3.5 on purpose, and what etcd 3.4 does otherwise.
//!
//! `TABLE` has what sequences of commands can show: each entry excuses an answer, and has an example. `PINNED` has what
//! they cannot, for it takes much, long, or another protocol: each entry names the tests that hold it.

use std::collections::BTreeSet;
use std::path::Path;

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

/// Those that a sequence of commands shows.
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

/// A difference of the embedded registry that no sequence of commands shows.
#[derive(Debug)]
pub struct Pinned {
    /// What it does, and what etcd does.
    pub what: &'static str,
    pub reason: &'static str,
    /// The tests that would fail without it.
    pub tests: &'static [&'static str],
}

/// All of them.
pub const PINNED: &[Pinned] = &[
    Pinned {
        what: "the history is compacted past 100,000 revisions or 256 MiB; etcd keeps all until told",
        reason: "all is in memory",
        tests: &[
            "the_history_has_a_bound_by_default_that_etcd_has_not",
            "the_setting_bounds_the_history",
            "the_history_has_no_more_bytes_than_the_setting_says",
        ],
    },
    Pinned {
        what: "past the quota, puts are refused while they do not fit; etcd raises an alarm, refuses all puts until it \
               is disarmed, and says in /health that it is unwell",
        reason: "nobody operates a registry for development; the quota is of keys, leases and history in memory, and \
                 the history is compacted before anything is refused",
        tests: &[
            "past_the_quota_puts_and_leases_are_refused_and_deletes_make_room",
            "what_has_no_room_is_refused_as_by_etcd_and_done_when_there_is_some",
            "leases_alone_fill_the_quota_and_make_room_when_they_end",
        ],
    },
    Pinned {
        what: "a watch that catches up is told at most 1 MiB in one answer, if that is more than one revision; etcd has \
               no such limit",
        reason: "many clients refuse answers over 4 MiB",
        tests: &["history_comes_in_batches_of_a_mebibyte_with_what_was_before_if_that_is_told"],
    },
    Pinned {
        what: "a stream that is not read is handed at most 128 answers or 1 MiB, and then reads from the history",
        reason: "what a client costs that does not read is bounded; etcd counts answers alone",
        tests: &[
            "a_stream_that_is_not_read_holds_a_short_queue_and_loses_nothing",
            "a_stream_that_is_not_read_holds_few_bytes",
        ],
    },
    Pinned {
        what: "progress that is asked for is answered when all watches of the stream have caught up; etcd before 3.5.9 \
               answers at once",
        reason: "a client that believes the early answer loses what was still to come",
        tests: &["progress_waits_for_watches_that_are_behind"],
    },
    Pinned {
        what: "clients may ping as often as they like; etcd ends a connection with more than one ping in five seconds",
        reason: "tests set short keepalives",
        tests: &["every_ping_is_answered_however_many_there_are"],
    },
    Pinned {
        what: "a client that takes nothing of what is written to it is ended after keepalive interval and timeout \
               together; etcd on Linux ends it after the timeout, by an option of the socket",
        reason: "a client that is stopped in a debugger may go on, as long as its host is there; without an answer of \
                 the host the option ends the connection after 150 s",
        tests: &[
            "who_takes_nothing_loses_its_connection_and_its_watches",
            "the_system_is_asked_to_notice_hosts_that_are_gone",
        ],
    },
    Pinned {
        what: "a lease ends at its deadline, and before any request that comes after it; etcd looks each half second, \
               and ends at most so many in one go",
        reason: "nothing is done under a lease that is over, and tests in virtual time are exact",
        tests: &[
            "no_lease_is_used_after_its_deadline_even_before_the_task_ran",
            "the_task_ends_leases_at_their_deadlines_and_follows_keepalives",
        ],
    },
    Pinned {
        what: "Hash and HashKV give other numbers than etcd does for the same keys",
        reason: "etcd's is of its file's pages; this one compares two embedded registries",
        tests: &["the_hash_is_of_the_content_alone_and_another_one_than_etcds"],
    },
    Pinned {
        what: "the size in the status is that of keys and values alone; etcd's is that of its file",
        reason: "there is no file",
        tests: &["the_member_and_its_status_agree_with_the_headers"],
    },
    Pinned {
        what: "the one member has no peerURLs",
        reason: "there are no peers",
        tests: &["the_member_and_its_status_agree_with_the_headers"],
    },
    Pinned {
        what: "the version is 3.5.0+embedded",
        reason: "clients that compare versions take it for 3.5, and people see what it is",
        tests: &[
            "the_member_and_its_status_agree_with_the_headers",
            "health_and_version_are_answered_over_plain_http",
        ],
    },
    Pinned {
        what: "RangeStream is answered; etcd 3.5 does not know it",
        reason: "later ones do, and the client library has it",
        tests: &["a_streamed_range_is_the_range"],
    },
    Pinned {
        what: "users and roles, locks, elections, snapshots, changes of members, a move of the leader and alarms to \
               raise answer UNIMPLEMENTED",
        reason: "they need a quorum, a disk, or what only etcd has",
        tests: &[
            "what_it_cannot_do_it_says",
            "what_is_not_known_at_all_is_refused_with_words",
        ],
    },
    Pinned {
        what: "over plain HTTP there are /health and /version; etcd also has a JSON gateway, metrics and more",
        reason: "peers speak gRPC",
        tests: &["health_and_version_are_answered_over_plain_http"],
    },
    Pinned {
        what: "a registry with a seed dates all answers at the epoch",
        reason: "so that simulations repeat to the last read",
        tests: &["a_seeded_registry_bears_no_time_in_its_answers"],
    },
];

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in std::fs::read_to_string(&path)
                .unwrap()
                .lines()
                .map(str::trim)
            {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
                    is_test = false;
                    names.extend(name.split('(').next().map(str::to_owned));
                }
            }
        }
    }
}

#[test]
fn each_difference_that_no_sequence_shows_is_pinned_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src/embedded", "tests"] {
        tests_below(&root.join(folder), &mut names);
    }
    for difference in PINNED {
        let Pinned {
            what,
            reason,
            tests,
        } = difference;
        assert!(!tests.is_empty(), "'{what}' ({reason}) has no test");
        let missing = tests.iter().find(|test| !names.contains(**test));
        assert_eq!(missing, None, "'{what}' ({reason}) has no such test");
    }
}
