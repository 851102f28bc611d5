//! What `rsctl node register` tells while it runs.

use std::time::Duration;

use osgi_remote::catalog::groups::{EmptyGroup, Registration};
use osgi_remote::keyspace::{SessionPhase, SessionStatus};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, printable};

/// The time for a lease to be revoked at the end.
const GOODBYE: Duration = Duration::from_secs(5);

/// What is told on stdout.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    key: &'a str,
    /// As etcdctl writes it: 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_deleted: Option<bool>,
}

/// What was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// Under this lease.
    Held(i64),
    /// Cut off, with this lease if it is kept.
    Lost(Option<i64>),
    Taken,
}

/// Also true before all is known to be in etcd, where the answer of the writing is awaited no more.
fn was_put(status: &SessionStatus) -> bool {
    status.phase == SessionPhase::Held || status.counts.puts > 0
}

/// Follows a registration.
pub(super) struct Registering<'a> {
    context: &'a Context,
    key: String,
    status: tokio::sync::watch::Receiver<SessionStatus>,
    shown: Shown,
    /// Whether it was ever registered.
    was_held: bool,
}

impl<'a> Registering<'a> {
    pub(super) fn new(registration: &Registration, context: &'a Context) -> Self {
        Self {
            context,
            key: registration.key().to_owned(),
            status: registration.session_status(),
            shown: Shown::Nothing,
            was_held: false,
        }
    }

    /// Tells what happens, for ever. Cancellation safe.
    pub(super) async fn tell(&mut self) -> Result<(), Failure> {
        loop {
            let status = self.status.borrow_and_update().clone();
            self.tell_of(&status)?;
            if self.status.changed().await.is_err() {
                return Err(Failure::failed("the registration ended by itself"));
            }
        }
    }

    fn tell_of(&mut self, status: &SessionStatus) -> Result<(), Failure> {
        let (key, before) = (&self.key, self.shown);
        self.was_held |= was_put(status);
        self.shown = match (status.phase, status.lease) {
            (SessionPhase::Held, Some(lease)) => Shown::Held(lease),
            (SessionPhase::Taken, _) => Shown::Taken,
            (SessionPhase::Connecting | SessionPhase::Suspect, lease) => {
                let Some(error) = &status.last_error else {
                    return Ok(());
                };
                match before {
                    Shown::Lost(_) => before,
                    _ => {
                        let error = printable(&error.to_string());
                        output::note(&format!("connection lost: {error}; trying again"));
                        Shown::Lost(lease)
                    }
                }
            }
            // On the way.
            _ => before,
        };
        if self.shown == before {
            return Ok(());
        }
        match (before, self.shown) {
            (Shown::Lost(Some(kept)), Shown::Held(lease)) if kept == lease => {
                let endpoint = &status.endpoint;
                output::note(&format!(
                    "connected again to {endpoint}; the lease was kept"
                ));
                Ok(())
            }
            (Shown::Held(_) | Shown::Lost(Some(_)), Shown::Held(lease)) => {
                output::note("the lease was lost, and the node is registered again");
                self.event("registered-again", Some(lease), None)
            }
            (_, Shown::Held(lease)) => self.event("registered", Some(lease), None),
            (_, Shown::Taken) => {
                let why = status
                    .taken
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let why = printable(&why);
                output::note(&format!("`{}` waits: {why}", printable(key)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the node away. One that waited to the end for a key of others is not said to go.
    pub(super) async fn end(
        self,
        registration: Registration,
        empty: EmptyGroup,
    ) -> Result<(), Failure> {
        let was_held = self.was_held || was_put(&self.status.borrow());
        let deleted = registration.close(empty, GOODBYE).await?;
        if !was_held {
            let mut text = format!("`{}` was not registered", printable(&self.key));
            if deleted {
                text.push_str("; its group, which has no node, is deleted");
            }
            output::note(&text);
            return Ok(());
        }
        let deleted = (empty == EmptyGroup::Delete).then_some(deleted);
        self.event("deregistered", None, deleted)
    }

    fn event(
        &self,
        event: &'static str,
        lease: Option<i64>,
        group_deleted: Option<bool>,
    ) -> Result<(), Failure> {
        let told = Told {
            event,
            key: &self.key,
            lease: lease.map(|lease| format!("{lease:016x}")),
            group_deleted,
        };
        self.context.output.event(&told, || {
            let mut line = format!("{event}  {}", printable(told.key));
            if let Some(lease) = &told.lease {
                line.push_str(&format!("  lease {lease}"));
            }
            if group_deleted == Some(true) {
                line.push_str("  and its group, which has no node any more");
            }
            line
        })
    }
}
