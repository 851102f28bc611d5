//! How discovery stands: what is true, since when it may not be, and what is
//! wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::view::{Rejected, Suspect, ViewStatus};
use crate::keyspace::{
    Error, SessionCounts, SessionPhase, SessionStatus, WatchCounts, WatchPhase, WatchStatus,
};
use crate::names::{EndpointId, SessionId};

/// How discovery stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The own session.
    pub session_id: SessionId,
    /// Its state.
    pub session: SessionPhase,
    /// Its lease, while there is one.
    pub lease: Option<i64>,
    /// Until when own endpoints are certainly in etcd: the sending time of the
    /// last renewal that was answered, plus the TTL. `None` while they are
    /// not.
    pub registered_until: Option<Instant>,
    /// The state of the watch.
    pub watch: WatchPhase,
    /// Since when endpoints of others may have changed unheard; `None` while
    /// the watch is live.
    pub stale_since: Option<Instant>,
    /// When the endpoints were last compared with all that etcd has.
    pub last_audit: Option<Instant>,
    /// Endpoints of others.
    pub endpoints: usize,
    /// Sessions of others.
    pub sessions: usize,
    /// Own endpoints that are announced, or to be.
    pub announced: usize,
    /// Own endpoints that wait to be written or deleted.
    pub pending: usize,
    /// Endpoints that are kept though their keys are not in etcd.
    pub suspects: Arc<BTreeMap<EndpointId, Suspect>>,
    /// Whether no endpoint is shown to listeners, because the view is stale
    /// for longer than [`EtcdConfig::stale_limit`](super::EtcdConfig).
    pub withheld: bool,
    /// Keys in range that are no endpoints, with the reason.
    pub rejected: Arc<Rejected>,
    /// The last error of the session, also when all is well again.
    pub session_error: Option<Error>,
    /// The last error of the watch, also when all is well again.
    pub watch_error: Option<Error>,
    /// What happened so far.
    pub counts: Counts,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections given up and made anew, by the session and by the watch.
    pub reconnects: u64,
    /// Times that the range was listed.
    pub relists: u64,
    /// Differences that a listing found and the watch should have told.
    pub repairs: u64,
    /// Own leases lost.
    pub leases_lost: u64,
    /// All of the session's counts.
    pub session: SessionCounts,
    /// All of the watch's counts.
    pub watch: WatchCounts,
}

impl Health {
    /// Whether own endpoints are certainly in etcd now.
    pub fn is_registered(&self) -> bool {
        self.registered_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// Whether own endpoints are in etcd, all written, and news of others
    /// comes as it happens.
    pub fn is_connected(&self) -> bool {
        self.is_registered() && self.session == SessionPhase::Held && self.stale_since.is_none()
    }

    pub(super) fn new(
        session_id: &SessionId,
        session: &SessionStatus,
        watch: &WatchStatus,
        view: &ViewStatus,
    ) -> Self {
        Self {
            session_id: session_id.clone(),
            session: session.phase,
            lease: session.lease,
            registered_until: session.registered_until,
            watch: watch.phase,
            stale_since: watch.stale_since,
            last_audit: watch.listed_at,
            endpoints: view.endpoints,
            sessions: view.sessions,
            announced: session.wanted,
            pending: session.pending,
            suspects: Arc::clone(&view.suspects),
            withheld: view.withheld,
            rejected: Arc::clone(&view.rejected),
            session_error: session.last_error.clone(),
            watch_error: watch.last_error.clone(),
            counts: Counts {
                reconnects: session.counts.failures + watch.counts.failures,
                relists: watch.counts.lists,
                repairs: watch.counts.repairs,
                leases_lost: session.counts.losses,
                session: session.counts,
                watch: watch.counts,
            },
        }
    }
}

/// One line, for people.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = Instant::now();
        match self.registered_until {
            Some(until) if now < until => {
                let left = until.saturating_duration_since(now);
                write!(f, "registered for {:.1} s more", left.as_secs_f64())?;
            }
            _ => write!(f, "NOT REGISTERED ({:?})", self.session)?,
        }
        write!(f, ", {} announced", self.announced)?;
        if self.pending > 0 {
            write!(f, " ({} to be written)", self.pending)?;
        }
        match self.stale_since {
            None => write!(f, "; {} endpoints known", self.endpoints)?,
            Some(since) => {
                let age = now.saturating_duration_since(since);
                let endpoints = self.endpoints;
                write!(
                    f,
                    "; {endpoints} endpoints, STALE for {:.1} s",
                    age.as_secs_f64()
                )?;
            }
        }
        if self.withheld {
            f.write_str(", WITHHELD")?;
        }
        if !self.suspects.is_empty() {
            write!(f, ", {} of them suspect", self.suspects.len())?;
        }
        if !self.rejected.is_empty() {
            write!(f, ", {} keys rejected", self.rejected.len())?;
        }
        Ok(())
    }
}

/// Health as it changes.
///
/// Between two looks at it changes add up to one: it is never behind.
#[derive(Clone, Debug)]
pub struct HealthUpdates {
    session_id: SessionId,
    session: watch::Receiver<SessionStatus>,
    watch: watch::Receiver<WatchStatus>,
    view: watch::Receiver<ViewStatus>,
}

impl HealthUpdates {
    pub(super) fn new(
        session_id: SessionId,
        session: watch::Receiver<SessionStatus>,
        watch: watch::Receiver<WatchStatus>,
        view: watch::Receiver<ViewStatus>,
    ) -> Self {
        Self {
            session_id,
            session,
            watch,
            view,
        }
    }

    /// Health as it is now.
    pub fn current(&self) -> Health {
        let session = self.session.borrow();
        Health::new(
            &self.session_id,
            &session,
            &self.watch.borrow(),
            &self.view.borrow(),
        )
    }

    /// Waits for a change and gives health after it; `None` when discovery
    /// has ended. Cancellation safe.
    pub async fn changed(&mut self) -> Option<Health> {
        // In this order, so that a simulation repeats exactly. It starves
        // nobody: whichever it is, the health of all three is told.
        let ended = tokio::select! {
            biased;
            changed = self.session.changed() => changed.is_err(),
            changed = self.watch.changed() => changed.is_err(),
            changed = self.view.changed() => changed.is_err(),
        };
        (!ended).then(|| self.current())
    }

    /// Waits until health is as `wanted` says; `None` when discovery has
    /// ended. Cancellation safe.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Health) -> bool) -> Option<Health> {
        let mut health = self.current();
        while !wanted(&health) {
            health = self.changed().await?;
        }
        Some(health)
    }
}
