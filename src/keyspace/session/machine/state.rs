//! The parts of a session's state.

use std::time::{Duration, Instant};

use super::super::event::{Batch, CallId};

#[derive(Debug)]
pub(super) enum Link {
    Down { retry_at: Instant },
    Dialling { call: CallId },
    Up,
}

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) id: i64,
    pub(super) ttl: Duration,
    /// The sending time of the last grant or renewal that was answered.
    pub(super) answered: Instant,
    /// When the next renewal is due, as long as it is fresh.
    pub(super) renew_at: Instant,
    /// Answered on this connection and not run out since. Otherwise etcd is asked first whether
    /// the lease lives, before anything is built on it; it often does, because a server that comes
    /// back gives every lease its full time again, and then nothing has to be put.
    pub(super) fresh: bool,
}

impl Lease {
    pub(super) fn expires(&self) -> Instant {
        self.answered + self.ttl
    }

    /// When the lack of an answer becomes suspicious: it leaves a third for another server.
    pub(super) fn suspect_at(&self) -> Instant {
        self.answered + self.ttl.mul_f64(2.0 / 3.0)
    }
}

/// A grant under way. Its id is chosen here, so that asking again asks for the same lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: i64,
    pub(super) first_sent: Option<Instant>,
}

/// What of the own prefix is to be read before anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Survey {
    None,
    /// Keys only: is everything as we know it?
    Audit,
    /// With values: what is there?
    Full,
}

/// The session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Unknown,
    /// May be put while its modification revision is this one; zero when there is none.
    Free {
        mod_revision: i64,
    },
    Ours {
        mod_revision: i64,
    },
}

/// The one call that goes beside renewals.
#[derive(Debug)]
pub(super) enum Work {
    Grant {
        sent: Instant,
    },
    Read {
        survey: Survey,
    },
    Ask {
        lease: i64,
    },
    Write {
        batch: Batch,
    },
    /// The session closes.
    Revoke,
    /// Another holds the session key for good, and our keys must not stay beside it.
    Withdraw,
}
