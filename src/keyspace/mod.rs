//! Leased keys, and a gapless watch on any prefix of etcd's key space.
//!
//! ```text
//!   put, delete ─▶ Session ─ machine ◀─▶ task ─▶ etcd      one lease, one session key,
//!                            (decides)   (acts)             the wanted keys below it
//!
//!   etcd ─▶ task ◀─▶ machine ─ mirror ─▶ Sink              list, then watch from there,
//!          (acts)   (decides)  (key -> revision)            differences only
//! ```
//!
//! A [`Session`] holds what somebody wants, compares it with what is in etcd and writes the
//! difference, after any failure, for ever. A [`Watcher`] delivers what is in a range of keys and
//! every change after that, without a gap and without false removals. A [`Client`] makes single
//! calls, for tools and small registries.
//!
//! All decisions are made by state machines without I/O, clock or global randomness, which are
//! tested with every schedule that one can think of; thin tasks carry them out. This module knows
//! nothing of endpoints, discovery or OSGi.

mod backoff;
mod client;
mod connect;
mod credentials;
mod endpoint;
mod error;
mod failure;
mod meter;
mod mirror;
mod range;
#[cfg(test)]
mod schedules;
mod session;
mod tls;
mod watcher;

pub(crate) use self::backoff::Backoff;
pub use self::client::{
    Answer, Client, Condition, Entry, Lease, LeaseInfo, Listing, Member, Outcome, Range,
    ServerStatus, Transaction,
};
pub use self::connect::ConnectOptions;
pub use self::credentials::Credentials;
pub use self::endpoint::{DEFAULT_PORT, Endpoint};
pub use self::error::{Cause, Denial, Error, Refusal};
pub use self::session::{
    Committed, Registered, Session, SessionConfig, SessionCounts, SessionPhase, SessionStatus,
};
pub use self::tls::TlsOptions;
pub use self::watcher::{Change, Sink, WatchConfig, WatchCounts, WatchPhase, WatchStatus, Watcher};
