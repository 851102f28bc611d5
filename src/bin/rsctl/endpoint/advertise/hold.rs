//! The session that holds what is advertised.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use indicatif::ProgressBar;
use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use osgi_remote::keyspace::{Error, Session, SessionConfig, SessionPhase, SessionStatus};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Written;
use crate::context::Context;
use crate::denial::{Since, is_denial};
use crate::failure::Failure;
use crate::output::{counted, note, printable};
use crate::signals;

/// Fewer keys are written before a progress bar would be seen.
const LONG: usize = 500;

/// An endpoint that is in etcd.
#[derive(Debug, Serialize)]
struct Advertised<'a> {
    id: &'a str,
    key: &'a str,
    session: &'a str,
    /// In hexadecimal.
    lease: &'a str,
}

/// Advertises until told to stop.
pub(super) async fn hold(
    config: EtcdConfig,
    takeover: bool,
    written: Vec<Written>,
    context: &Context,
) -> Result<(), Failure> {
    let stopped = signals::stopped()?;
    let key = keys::session(&config.top_key, &config.session_id);
    let count = counted(written.len(), "endpoint");
    let ttl = config.lease_ttl.as_secs();
    note(&format!(
        "advertising {count} below {key}, under a lease of {ttl} s"
    ));
    let mut session = SessionConfig::new(key, config.session_id.to_string());
    session = session.ttl(config.lease_ttl);
    session.takeover = takeover;
    if let Some(interval) = config.keepalive_interval {
        session.renew_interval = interval;
    }
    let servers = config.connect.endpoints.len();
    let session = Session::open(config.connect.clone(), session)?;
    let held = tokio::select! {
        biased;
        () = stopped => Ok(()),
        held = begin_and_keep(&session, &written, servers, &config, context) => held,
    };
    let status = session.status().borrow().clone();
    if status.first.is_some() {
        note(&format!("taking {count} back"));
    }
    let ended = end(&session, &written, config.disconnect_timeout).await;
    // What went wrong first is what is to be told.
    held.and(ended)
}

/// Ends only with an error.
async fn begin_and_keep(
    session: &Session,
    written: &[Written],
    servers: usize,
    config: &EtcdConfig,
    context: &Context,
) -> Result<(), Failure> {
    let mut status = session.status();
    let since = Since::start(servers);
    registered(&mut status, servers, since).await?;
    put(session, written).await?;
    let lease = status.borrow().lease.map(|lease| format!("{lease:016x}"));
    let lease = lease.unwrap_or_default();
    for Written { id, key, .. } in written {
        let advertised = Advertised {
            id,
            key,
            session: config.session_id.as_str(),
            lease: &lease,
        };
        // Who reads it may end before; the endpoints stay until this process is told to stop.
        context.output.tell(&advertised, || printable(key));
    }
    note("advertised; SIGINT or SIGTERM takes all back");
    keep(&mut status).await
}

/// Waits for the first registration; each server is tried once, unless etcd denies it.
async fn registered(
    status: &mut watch::Receiver<SessionStatus>,
    servers: usize,
    since: Since,
) -> Result<(), Failure> {
    let tried_all = |status: &SessionStatus| status.counts.failures >= servers as u64;
    let over = |status: &SessionStatus| {
        let error = status.last_error.as_ref();
        status.first.is_some()
            || status.taken.is_some()
            || since.denial(status.counts.failures, error).is_some()
            || (tried_all(status) && error.is_some())
    };
    let status = status.wait_for(over).await;
    let status = status.map_err(|_| Failure::failed("the session ended by itself"))?;
    match (&status.first, &status.taken, &status.last_error) {
        (Some(_), ..) => Ok(()),
        (None, Some(error), _) | (None, None, Some(error)) => Err(refused(error)),
        (None, None, None) => Err(Failure::failed("the session is not registered")),
    }
}

/// Why the session is not registered.
fn refused(error: &Error) -> Failure {
    match error {
        Error::SessionTaken { key, lease } => Failure::failed(format!(
            "session `{key}` is in use: its key is under lease {lease:x}, which is alive; stop the \
             other process, give another --session, or take this one over by --takeover"
        )),
        error => error.clone().into(),
    }
}

/// Writes the endpoints. The session would wait for ever for a permission that is missing, and a
/// role is easily granted its key alone, and not the keys below it.
async fn put(session: &Session, written: &[Written]) -> Result<(), Failure> {
    let progress = if written.len() < LONG {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(written.len() as u64).with_message("keys")
    };
    let status = session.status();
    let since = Since::now(status.borrow().counts.failures);
    let mut denied = pin!(since.denied(status));
    let puts = written
        .iter()
        .map(|one| session.put(one.key.clone(), one.value.clone()));
    let mut puts: FuturesUnordered<_> = puts.collect();
    loop {
        tokio::select! {
            biased;
            answer = puts.next() => match answer {
                Some(answer) => {
                    answer?;
                    progress.inc(1);
                }
                None => break,
            },
            denial = &mut denied => return Err(denial),
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Tells of the session's troubles and of their end.
async fn keep(status: &mut watch::Receiver<SessionStatus>) -> Result<(), Failure> {
    let mut trouble: Option<Trouble> = None;
    let mut losses = status.borrow().counts.losses;
    loop {
        let now = status.borrow_and_update().clone();
        let in_trouble = matches!(
            now.phase,
            SessionPhase::Connecting | SessionPhase::Suspect | SessionPhase::Taken
        );
        if in_trouble {
            let denied = now.taken.is_none() && now.last_error.as_ref().is_some_and(is_denial);
            // A denial after a lost connection is news, and so is the other way round.
            if trouble.is_none_or(|trouble| trouble.denied != denied) {
                note(&told(&now, denied));
            }
            let since = trouble.map_or_else(Instant::now, |trouble| trouble.since);
            trouble = Some(Trouble { since, denied });
        } else if now.phase == SessionPhase::Held {
            let relet = now.counts.losses != losses;
            losses = now.counts.losses;
            if let Some(text) = recovery(trouble.take(), relet, &now) {
                note(&text);
            }
        }
        if status.changed().await.is_err() {
            return Err(Failure::failed("the session ended by itself"));
        }
    }
}

/// What keeps the session from being held.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    /// By etcd's own word, and not because it does not answer.
    denied: bool,
}

/// What is to be told when all is well, if it was not before.
fn recovery(trouble: Option<Trouble>, relet: bool, status: &SessionStatus) -> Option<String> {
    let fate = match (relet, trouble) {
        (true, _) => "the lease was lost, and the endpoints are written again",
        (false, Some(_)) => "the endpoints were there all the time",
        (false, None) => return None,
    };
    let etcd = &status.endpoint;
    Some(match trouble {
        None => format!("at etcd {etcd}: {fate}"),
        Some(Trouble { since, denied }) => {
            let seconds = since.elapsed().as_secs_f64();
            let back = if denied {
                "no longer denied by"
            } else {
                "connection back to"
            };
            format!("{back} etcd at {etcd} after {seconds:.1} s: {fate}")
        }
    })
}

fn told(status: &SessionStatus, denied: bool) -> String {
    let cause = match (&status.taken, &status.last_error) {
        (Some(error), _) | (None, Some(error)) => error.to_string(),
        (None, None) => "no answer".to_owned(),
    };
    let left = status.registered_until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        format!(
            "; the endpoints stay for {:.0} s at least",
            left.as_secs_f64()
        )
    });
    let left = left.unwrap_or_default();
    if denied {
        // It names the server.
        return format!("denied: {cause}; trying goes on{left}");
    }
    format!(
        "connection lost to etcd at {}: {cause}{left}",
        status.endpoint
    )
}

/// First the endpoints go and then the lease, so that peers can tell it from an accident.
async fn end(session: &Session, written: &[Written], patience: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + patience;
    if session.status().borrow().phase == SessionPhase::Held {
        let gone = written.iter().map(|one| session.delete(one.key.clone()));
        let gone = futures::future::join_all(gone);
        // Half of the time at most: the lease takes along what is left.
        if tokio::time::timeout(patience / 2, gone).await.is_err() {
            tracing::info!("the endpoints are left to the end of the lease");
        }
    }
    let left = deadline.saturating_duration_since(Instant::now());
    session.close(left).await.map_err(Failure::from)
}
