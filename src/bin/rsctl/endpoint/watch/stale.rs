//! When the view may be stale, and when it is not any more.

use jiff::{SignedDuration, Timestamp, Unit};
use osgi_remote::keyspace::WatchStatus;
use tokio::time::Instant;

/// Whether the connection is lost, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct Staleness {
    since: Option<Instant>,
}

impl Staleness {
    /// What is to be told of a status, if it is news.
    pub(super) fn news(&mut self, status: &WatchStatus) -> Option<String> {
        let etcd = &status.endpoint;
        match (self.since, status.stale_since) {
            (None, Some(since)) => {
                self.since = Some(since);
                let cause = status.last_error.as_ref().map(|error| format!(": {error}"));
                Some(format!(
                    "connection lost to etcd at {etcd}: the view may be stale since {}{}",
                    time_of(since),
                    cause.unwrap_or_default()
                ))
            }
            (Some(since), None) => {
                self.since = None;
                Some(format!(
                    "connection back to etcd at {etcd}: the view was stale for {:.1} s",
                    since.elapsed().as_secs_f64()
                ))
            }
            _ => None,
        }
    }
}

/// The time of day of a moment not long ago.
fn time_of(moment: Instant) -> Timestamp {
    let ago = SignedDuration::try_from(moment.elapsed()).unwrap_or_default();
    let time = now().checked_sub(ago).unwrap_or_default();
    time.round(Unit::Second).unwrap_or(time)
}

/// The time of day, in milliseconds.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}
