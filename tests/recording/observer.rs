//! What sessions say of themselves.

use std::time::Duration;

use osgi_remote::discovery::etcd::{Health, HealthUpdates};
use osgi_remote::keyspace::{SessionPhase, SessionStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Book;
use crate::checker::{Client, Request, What};

/// What one moment's health or status says of a session.
struct Said {
    phase: SessionPhase,
    dials: u64,
    lease: Option<i64>,
    registered_until: Option<Instant>,
}

impl From<&Health> for Said {
    fn from(health: &Health) -> Self {
        Self {
            phase: health.session,
            dials: health.counts.session.dials + health.counts.watch.dials,
            lease: health.lease,
            registered_until: health.registered_until,
        }
    }
}

impl From<&SessionStatus> for Said {
    fn from(status: &SessionStatus) -> Self {
        Self {
            phase: status.phase,
            dials: status.counts.dials,
            lease: status.lease,
            registered_until: status.registered_until,
        }
    }
}

/// Writes down what a session asks for and claims.
pub(crate) struct Observer<H> {
    book: Book,
    client: Client,
    ttl: Duration,
    /// When the client last heard from a server.
    heard: H,
    phase: SessionPhase,
    lease: Option<i64>,
    claim: Option<(i64, Option<Instant>)>,
    dials: u64,
    calls: u64,
}

impl<H: Fn() -> Option<Instant>> Observer<H> {
    pub(crate) fn new(book: &Book, client: Client, ttl: Duration, heard: H) -> Self {
        Self {
            book: book.clone(),
            client,
            ttl,
            heard,
            phase: SessionPhase::Connecting,
            lease: None,
            claim: None,
            dials: 0,
            calls: 0,
        }
    }

    /// Observes the session of a discovery, until it ends.
    pub(crate) async fn of_discovery(mut self, mut updates: HealthUpdates) {
        let mut next = Some(updates.current());
        while let Some(health) = next {
            self.note(&Said::from(&health));
            next = updates.changed().await;
        }
    }

    /// Observes a session by itself, until it ends.
    pub(crate) async fn of_session(mut self, mut status: watch::Receiver<SessionStatus>) {
        loop {
            let said = Said::from(&*status.borrow_and_update());
            self.note(&said);
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    fn note(&mut self, said: &Said) {
        let client = self.client;
        for _ in self.dials..said.dials {
            self.sent(Instant::now(), Request::Dial);
        }
        self.dials = said.dials;
        // A dial may have begun long before it came through: what follows is a request, too.
        let is_asking = |phase| matches!(phase, SessionPhase::Granting | SessionPhase::Reconciling);
        if !is_asking(self.phase) && is_asking(said.phase) {
            self.sent(Instant::now(), Request::Other);
        }
        self.phase = said.phase;
        if said.lease != self.lease
            && let Some(lease) = said.lease
        {
            let by = Some(client);
            self.book.push(What::Granted { lease, by });
        }
        self.lease = said.lease.or(self.lease);
        let claim = self.lease.map(|lease| (lease, said.registered_until));
        if claim != self.claim {
            self.claim = claim;
            self.claims();
        }
    }

    fn claims(&mut self) {
        let client = self.client;
        let Some((lease, until)) = self.claim else {
            return;
        };
        // The last answer that the lease can rest on arrived, at the latest, with the last bytes
        // that came from a server; it was asked for before that.
        if let (Some(heard), Some(_)) = ((self.heard)(), until) {
            self.sent(heard, Request::Renew);
            let (call, ttl) = (self.calls, self.ttl);
            self.book
                .push_at(heard, What::Answered { client, call, ttl });
        }
        let until = until.map(|until| self.book.at(until));
        self.book.push(What::Registered {
            client,
            lease,
            until,
        });
    }

    fn sent(&mut self, at: Instant, request: Request) {
        self.calls += 1;
        let (client, call) = (self.client, self.calls);
        self.book.push_at(
            at,
            What::Sent {
                client,
                call,
                request,
            },
        );
    }
}
