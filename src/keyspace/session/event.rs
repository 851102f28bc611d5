//! What a session's machine is told, and what it asks for.

use std::time::{Duration, Instant};

use super::wanted::{Op, Settled, WaiterId};
use crate::keyspace::connect::{Failure, Header};
use crate::keyspace::range::{Page, PageRequest};

/// Names a call, so that an answer to a call that was given up is known as such.
pub(crate) type CallId = u64;

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Event {
    /// Time has passed.
    Tick,
    /// Somebody wants keys to have values, or not to exist.
    Want(Vec<Wish>),
    /// Somebody asks for a look at the own keys.
    Audit,
    /// The session is to end, and to give up revoking its lease at this time.
    Close { deadline: Instant },
    /// A call has its answer.
    Done { call: CallId, answer: Answer },
}

/// What one key is to be: this value, or absent. The session key is never to be absent.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) key: String,
    pub(crate) value: Option<bytes::Bytes>,
    pub(crate) waiters: Vec<WaiterId>,
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) enum Answer {
    Dialled(Result<Header, Failure>),
    /// The time to live that the server chose.
    Granted(Result<Duration, Failure>),
    /// The remaining time to live; zero when the lease is gone.
    Renewed(Result<Duration, Failure>),
    Page(Result<Page, Failure>),
    /// The remaining time to live of somebody's lease; zero when it is gone.
    TimeToLive(Result<Duration, Failure>),
    /// Whether the comparisons held, and the store's revision.
    Written(Result<(bool, i64), Failure>),
    Revoked(Result<(), Failure>),
}

/// What a transaction is valid under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The session key has this modification revision (zero: does not exist), and is put with
    /// this value.
    Take {
        mod_revision: i64,
        value: bytes::Bytes,
    },
    /// The session key is under our lease.
    Held,
}

/// One guarded transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) guard: Guard,
    pub(crate) lease: i64,
    pub(crate) ops: Vec<Op>,
}

/// What the shell is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Connect to the endpoint of this index. There is no connection.
    Dial {
        call: CallId,
        endpoint: usize,
    },
    /// Drop the connection and all calls on it.
    Disconnect,
    Grant {
        call: CallId,
        lease: i64,
        ttl: Duration,
    },
    Renew {
        call: CallId,
        lease: i64,
    },
    ReadPage {
        call: CallId,
        request: PageRequest,
    },
    AskTimeToLive {
        call: CallId,
        lease: i64,
    },
    Write {
        call: CallId,
        batch: Batch,
    },
    Revoke {
        call: CallId,
        lease: i64,
    },
    /// Tell these callers that their keys are settled.
    Settle(Vec<Settled>),
    /// Tell these callers that etcd refuses their key for good.
    Reject {
        key: String,
        size: usize,
        failure: Failure,
        waiters: Vec<WaiterId>,
    },
    /// Remember and report trouble.
    Report(Trouble),
    /// The session is over. An error says that the lease was not revoked.
    Finish(Result<(), Option<Failure>>),
}

/// Trouble to be remembered as the last error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) step: Step,
    /// The endpoint in use when it happened.
    pub(crate) endpoint: usize,
    pub(crate) failure: Failure,
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Connect,
    Grant,
    Renew { lease: i64 },
    Reconcile,
    Write,
    Taken { lease: i64 },
}
