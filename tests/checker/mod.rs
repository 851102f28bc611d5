//! One checker for every recorded history: a named verdict for each invariant of the key space.
//!
//! A test records what the store did, what clients asked for and what listeners were told, into a
//! [`History`]; [`check`] replays it record by record and says for each invariant whether it held.
//! The checker knows nothing of the crate, so the same one judges pure state machines against a
//! model of etcd and whole processes against a real one.
//!
//! Some invariants hold all along. The others are those of rest: they are judged on every
//! [`What::Read`] that comes after a [`What::Rest`], or later than [`Limits::settle`] after the last
//! disturbance.

#![allow(
    dead_code,
    unused_imports,
    reason = "each of the tests that include it uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod clients;
mod history;
mod listeners;
mod replay;
mod store;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use self::history::{
    By, Client, End, Entry, Fault, History, Key, News, Record, Request, Scope, What, hash,
};
pub(crate) use self::replay::check;
pub(crate) use self::verdict::{Invariant, Outcome, Verdict, broken, table};

use std::time::Duration;

/// What the checker takes for granted.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The time after the last disturbance in which everything is to be at rest: the lease's time
    /// to live, the longest backoff and two round trips.
    pub(crate) settle: Duration,
    /// How long after a cut news may still arrive that was on its way.
    pub(crate) in_flight: Duration,
    /// The time after which a listener may drop what it cannot confirm; none for never.
    pub(crate) staleness: Option<Duration>,
    /// The requests that a client may send at the beginning of an outage...
    pub(crate) outage_burst: u32,
    /// ...and in each second after that.
    pub(crate) outage_rate: f64,
    /// How many clients make a herd, if herds are judged.
    pub(crate) herd: Option<Herd>,
}

/// At most `at_most` of at least `clients` clients may come back within one `window`.
#[derive(Debug, Clone)]
pub(crate) struct Herd {
    pub(crate) clients: usize,
    pub(crate) window: Duration,
    pub(crate) at_most: usize,
}

impl Limits {
    /// Limits for a session's time to live, with the backoffs of the key space.
    pub(crate) const fn for_ttl(ttl: Duration) -> Self {
        Self {
            // 30 s of backoff, and two calls of 3 s that may time out before the one that counts.
            settle: ttl.saturating_add(Duration::from_secs(30 + 6)),
            in_flight: Duration::from_millis(500),
            staleness: None,
            // Full jitter may draw several short delays in a row; so many in a row it will not.
            outage_burst: 20,
            outage_rate: 1.0,
            herd: None,
        }
    }
}
