//! What `rsctl node register` tells while it runs.

use std::time::Duration;

use osgi_remote::catalog::groups::{EmptyGroup, Registration};
use osgi_remote::keyspace::{Error, SessionPhase, SessionStatus};
use serde::Serialize;

use crate::context::Context;
use crate::denial::{Since, is_denial};
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
    /// The same, by etcd's own word.
    Denied(Option<i64>),
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
    since: Since,
    shown: Shown,
    /// Whether it was ever registered.
    was_held: bool,
}

impl<'a> Registering<'a> {
    pub(super) fn new(registration: &Registration, servers: usize, context: &'a Context) -> Self {
        let status = registration.session_status();
        Self {
            context,
            key: registration.key().to_owned(),
            since: Since::start(servers),
            status,
            shown: Shown::Nothing,
            was_held: false,
        }
    }

    /// Tells what happens, for ever. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If etcd denies what it never let in: what was granted later would come as a surprise.
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
        let before = self.shown;
        self.was_held |= was_put(status);
        let error = status.last_error.as_ref();
        if status.phase == SessionPhase::Taken || status.lease.is_some() {
            self.since = self.since.let_in();
        }
        if !self.was_held
            && let Some(denial) = self.since.denial(status.counts.failures, error)
        {
            return Err(denial.clone().into());
        }
        self.shown = match (status.phase, status.lease, error) {
            (SessionPhase::Held, Some(lease), _) => Shown::Held(lease),
            (SessionPhase::Taken, ..) => Shown::Taken,
            (SessionPhase::Connecting | SessionPhase::Suspect, lease, Some(error)) => {
                cut_off(before, lease, error)
            }
            // On the way.
            _ => before,
        };
        if self.shown != before {
            self.tell_change(before, status);
        }
        Ok(())
    }

    fn tell_change(&self, before: Shown, status: &SessionStatus) {
        let endpoint = &status.endpoint;
        match (before, self.shown) {
            (Shown::Lost(Some(kept)), Shown::Held(lease)) if kept == lease => {
                output::note(&format!(
                    "connected again to {endpoint}; the lease was kept"
                ));
            }
            (Shown::Denied(Some(kept)), Shown::Held(lease)) if kept == lease => {
                output::note(&format!("written again to {endpoint}; the lease was kept"));
            }
            (
                Shown::Held(_) | Shown::Lost(Some(_)) | Shown::Denied(Some(_)),
                Shown::Held(lease),
            ) => {
                output::note("the lease was lost, and the node is registered again");
                self.event("registered-again", Some(lease), None);
            }
            (_, Shown::Held(lease)) => self.event("registered", Some(lease), None),
            (_, Shown::Taken) => {
                let key = printable(&self.key);
                output::note(&format!("`{key}` waits: {}", whose(status)));
            }
            (_, Shown::Lost(_) | Shown::Denied(_)) => {
                let error = status.last_error.as_ref().map(ToString::to_string);
                let error = printable(&error.unwrap_or_default());
                let what = match self.shown {
                    Shown::Denied(_) => "denied",
                    _ => "connection lost",
                };
                output::note(&format!("{what}: {error}; trying again"));
            }
            (_, Shown::Nothing) => {}
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
        self.event("deregistered", None, deleted);
        Ok(())
    }

    fn event(&self, event: &'static str, lease: Option<i64>, group_deleted: Option<bool>) {
        let told = Told {
            event,
            key: &self.key,
            lease: lease.map(|lease| format!("{lease:016x}")),
            group_deleted,
        };
        // Who reads it may end before; the node stays until this process is told to stop.
        self.context.output.tell(&told, || {
            let mut line = format!("{event}  {}", printable(told.key));
            if let Some(lease) = &told.lease {
                line.push_str(&format!("  lease {lease}"));
            }
            if group_deleted == Some(true) {
                line.push_str("  and its group, which has no node any more");
            }
            line
        });
    }
}

/// Why there is no connection, or no writing on it. A lost connection that is lost again, and a
/// denial that is repeated, are no news.
fn cut_off(before: Shown, lease: Option<i64>, error: &Error) -> Shown {
    match (before, is_denial(error)) {
        (Shown::Denied(_), true) | (Shown::Lost(_), false) => before,
        // Which lease it was is known from before.
        (Shown::Lost(kept), true) => Shown::Denied(kept),
        (Shown::Denied(kept), false) => Shown::Lost(kept),
        (_, true) => Shown::Denied(lease),
        (_, false) => Shown::Lost(lease),
    }
}

/// Who has the node, and what can be done.
fn whose(status: &SessionStatus) -> String {
    let Some(Error::SessionTaken { lease, .. }) = &status.taken else {
        return "another process keeps it".to_owned();
    };
    format!("another process keeps it, under lease {lease:x}; {YIELD}")
}

/// What can be done about a node that another process keeps.
pub(super) const YIELD: &str =
    "stop that one, take the node over by --takeover, or give another --id";
