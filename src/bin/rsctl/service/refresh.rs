//! A registration that is looked after for as long as the process runs.

use std::pin::pin;
use std::time::Duration;

use osgi_remote::catalog::services::{self, ServiceName, Services};
use osgi_remote::keyspace::{Error, Session, SessionPhase, SessionStatus};

use crate::denial::{Since, is_denial};
use crate::empusa::Place;
use crate::failure::Failure;
use crate::output::{heard, note};
use crate::signals;

/// The pause after a failure, unless less is asked for.
const AGAIN: Duration = Duration::from_secs(2);

/// What is looked after.
pub(super) struct Registration<'a> {
    pub(super) name: &'a ServiceName,
    /// Type and name for people.
    pub(super) words: &'a str,
    pub(super) location: &'a str,
    pub(super) every: Duration,
    /// Shows it once it is there.
    pub(super) show: &'a dyn Fn() -> Result<(), Failure>,
}

/// Keeps one lease alive, and gives it back in the end.
pub(super) async fn leased(
    registration: &Registration<'_>,
    ttl: Duration,
    place: &Place,
    services: &Services,
) -> Result<(), Failure> {
    let Registration {
        name, words, every, ..
    } = registration;
    let mut stopped = pin!(signals::stopped()?);
    // A session tries for ever; whoever starts a registration that cannot be is to know it.
    services.get(name).await?;
    let mut config = services::session(&place.root, name, registration.location, ttl);
    // A lost renewal must not be the end.
    config.renew_interval = config.renew_interval.min(*every);
    config.audit_interval = *every;
    let renewals = config.renew_interval;
    let connect = place.etcd.connect.clone();
    let servers = u32::try_from(connect.endpoints.len()).unwrap_or(u32::MAX);
    let limit = (connect.dial_timeout + connect.call_timeout).saturating_mul(2 * servers.min(100));
    let since = Since::start(connect.endpoints.len());
    let session = Session::open(connect, config)?;
    let registered = tokio::select! {
        biased;
        () = &mut stopped => return close(&session, words, place).await,
        registered = session.ready_within(limit) => registered.map_err(Failure::from),
        denial = since.denied(session.status()) => Err(denial),
    };
    let registered = match registered {
        Ok(registered) => registered,
        Err(failure) => {
            // A lease may be granted already. What went wrong first is what is to be told.
            if let Err(error) = session.close(place.etcd.disconnect_timeout).await {
                tracing::warn!(%error, "ended badly after a start that failed");
            }
            return Err(failure);
        }
    };
    place.note(&format!(
        "{words} registered; lease {:x} is renewed every {renewals:.1?} until SIGINT or SIGTERM",
        registered.lease
    ));
    heard((registration.show)());
    let mut status = session.status();
    let mut seen = Seen::of(&status.borrow_and_update());
    loop {
        let news = tokio::select! {
            changed = status.changed() => match changed {
                Ok(()) => seen.news(&status.borrow_and_update()),
                Err(_) => return Err(Failure::failed(format!("the session of {words} ended"))),
            },
            () = &mut stopped => return close(&session, words, place).await,
        };
        if let Some(news) = news {
            note(&format!("{words}: {news}"));
        }
    }
}

async fn close(session: &Session, words: &str, place: &Place) -> Result<(), Failure> {
    session.close(place.etcd.disconnect_timeout).await?;
    place.note(&format!("{words} unregistered"));
    Ok(())
}

/// What was said of a session.
#[derive(Debug)]
struct Seen {
    well: bool,
    taken: bool,
    /// What was said last is a denial, and no lost connection.
    denied: bool,
    lease: Option<i64>,
    puts: u64,
}

impl Seen {
    fn of(status: &SessionStatus) -> Self {
        Self {
            well: true,
            taken: false,
            denied: false,
            lease: status.lease,
            puts: status.counts.puts,
        }
    }

    /// What is to be said of a change, if anything.
    fn news(&mut self, status: &SessionStatus) -> Option<String> {
        let cause = || {
            let error = status.last_error.as_ref();
            error.map_or_else(String::new, |error| format!(": {error}"))
        };
        match status.phase {
            SessionPhase::Connecting | SessionPhase::Suspect => {
                let denied = status.last_error.as_ref().is_some_and(is_denial);
                // A denial after a lost connection is news, and so is the other way round.
                if !self.well && (self.taken || self.denied == denied) {
                    return None;
                }
                (self.well, self.denied) = (false, denied);
                let what = if denied {
                    "denied"
                } else {
                    "connection to etcd lost"
                };
                Some(format!("{what}{}; trying again", cause()))
            }
            SessionPhase::Taken if !self.taken => {
                (self.well, self.taken) = (false, true);
                let under = match &status.taken {
                    Some(Error::SessionTaken { lease, .. }) => format!(", under lease {lease:x}"),
                    _ => String::new(),
                };
                Some(format!(
                    "another registration took its place{under}; waiting until that one is over"
                ))
            }
            SessionPhase::Held => self.held(status),
            _ => None,
        }
    }

    fn held(&mut self, status: &SessionStatus) -> Option<String> {
        let was = std::mem::replace(self, Self::of(status));
        let lease = status.lease.unwrap_or_default();
        if was.lease != self.lease {
            Some(format!("registered again, under the new lease {lease:x}"))
        } else if was.puts != self.puts {
            Some("registered again: it had been removed or changed".to_owned())
        } else if !was.well {
            Some("connection to etcd is back; the registration held".to_owned())
        } else {
            None
        }
    }
}

/// Looks whether the service is as it should be, and puts it again if not. It has no lease, and
/// stays in the end: nobody asked for a time to live.
pub(super) async fn lasting(
    registration: &Registration<'_>,
    place: &Place,
    services: &Services,
) -> Result<(), Failure> {
    let Registration {
        name, words, every, ..
    } = registration;
    let mut stopped = pin!(signals::stopped()?);
    services.ensure(name, registration.location).await?;
    place.note(&format!(
        "{words} registered; looked after every {every:?} until SIGINT or SIGTERM"
    ));
    heard((registration.show)());
    let mut well = true;
    loop {
        let pause = if well { *every } else { AGAIN.min(*every) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stopped => break,
        }
        let written = tokio::select! {
            written = services.ensure(name, registration.location) => written,
            () = &mut stopped => break,
        };
        let was_well = std::mem::replace(&mut well, written.is_ok());
        match written {
            Ok(true) => note(&format!(
                "{words}: registered again: it had been removed or changed"
            )),
            Ok(false) if !was_well => note(&format!(
                "{words}: connection to etcd is back; the registration held"
            )),
            Err(error) if was_well => note(&format!("{words}: {error}; trying again")),
            _ => {}
        }
    }
    place.note(&format!(
        "{words} stays registered, since it has no TTL; `rsctl service unregister` takes it away"
    ));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use osgi_remote::keyspace::{ConnectOptions, SessionConfig};

    use super::*;

    fn seen() -> Seen {
        Seen {
            well: true,
            taken: false,
            denied: false,
            lease: Some(10),
            puts: 1,
        }
    }

    /// A status as a session gives it, then changed.
    async fn status(change: impl FnOnce(&mut SessionStatus)) -> SessionStatus {
        let options = ConnectOptions::parse("127.0.0.1:1").unwrap();
        let session = Session::open(options, SessionConfig::new("k", "v")).unwrap();
        let mut status = session.status().borrow().clone();
        (status.phase, status.lease) = (SessionPhase::Held, Some(10));
        status.counts.puts = 1;
        change(&mut status);
        status
    }

    #[tokio::test]
    async fn a_lost_connection_is_told_once_and_its_return_too() {
        let mut seen = seen();
        let down = status(|status| status.phase = SessionPhase::Connecting).await;
        let text = seen.news(&down).unwrap();
        assert!(text.starts_with("connection to etcd lost"), "{text}");
        assert_eq!(seen.news(&down), None);
        let up = status(|_| {}).await;
        let text = seen.news(&up).unwrap();
        assert!(text.contains("is back"), "{text}");
        assert_eq!(seen.news(&up), None);
    }

    #[tokio::test]
    async fn a_new_lease_and_a_repair_are_told() {
        let mut seen = seen();
        let leased = status(|status| status.lease = Some(11)).await;
        let text = seen.news(&leased).unwrap();
        assert!(text.ends_with("under the new lease b"), "{text}");
        let repaired = status(|status| {
            status.lease = Some(11);
            status.counts.puts = 2;
        });
        let text = seen.news(&repaired.await).unwrap();
        assert!(text.contains("removed or changed"), "{text}");
    }

    #[tokio::test]
    async fn a_place_that_another_took_is_told_once() {
        let mut seen = seen();
        let taken = status(|status| status.phase = SessionPhase::Taken).await;
        assert!(seen.news(&taken).unwrap().contains("took its place"));
        assert_eq!(seen.news(&taken), None);
    }
}
