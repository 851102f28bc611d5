//! The end of suspects: endpoints that the guard keeps though their keys are gone.

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::view::View;
use crate::keyspace::WatchStatus;

/// Removes the suspects whose time is over; runs until the watcher ends.
///
/// First etcd is read again, by way of `relist`: while it cannot be reached nothing is removed, and
/// a connection that broke is not always noticed at once. If the watch was broken meanwhile, the
/// suspects are kept for their time once more: their sessions could not come back.
pub(super) async fn end(view: View, mut watch: watch::Receiver<WatchStatus>, relist: impl Fn()) {
    let mut status = view.status();
    loop {
        let next = view.next_deadline();
        let deadline = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // In this order, so that a simulation repeats exactly. What is over is taken out or gets
        // another deadline, so that this one does not come again.
        tokio::select! {
            biased;
            () = deadline => {}
            changed = status.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        let then = Instant::now();
        relist();
        match read_after(&mut watch, then).await {
            None => return,
            Some(Outage(false)) => view.expire(then),
            Some(Outage(true)) => {
                info!("endpoints under suspicion are kept on: etcd was away");
                view.hold_again(then);
            }
        }
    }
}

struct Outage(bool);

/// Waits until the range was read after `then`, and says whether the watch was broken in the
/// meantime; none when the watcher has ended.
async fn read_after(watch: &mut watch::Receiver<WatchStatus>, then: Instant) -> Option<Outage> {
    let mut outage = false;
    loop {
        let (is_stale, is_read) = {
            let status = watch.borrow_and_update();
            let listed = status.listed_at.is_some_and(|listed| listed > then);
            (status.stale_since.is_some(), listed)
        };
        outage |= is_stale;
        if is_read && !is_stale {
            return Some(Outage(outage));
        }
        watch.changed().await.ok()?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keyspace::{WatchCounts, WatchPhase};

    const SECOND: Duration = Duration::from_secs(1);

    fn status(stale_since: Option<Instant>, listed_at: Option<Instant>) -> WatchStatus {
        WatchStatus {
            phase: WatchPhase::Live,
            endpoint: "localhost".parse().unwrap(),
            synced: Some(1),
            listed_at,
            stale_since,
            keys: 0,
            last_error: None,
            counts: WatchCounts::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_from_before_does_not_count_and_one_after_does() {
        let then = Instant::now();
        let (sender, mut watch) = watch::channel(status(None, Some(then)));
        let waiting = tokio::time::timeout(60 * SECOND, read_after(&mut watch, then)).await;
        assert!(waiting.is_err());
        sender.send_replace(status(None, Some(Instant::now())));
        let read = read_after(&mut watch, then).await.unwrap();
        assert!(!read.0, "there was no outage");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_in_the_meantime_is_told() {
        let then = Instant::now();
        let (sender, mut watch) = watch::channel(status(None, None));
        let reading = tokio::spawn(async move { read_after(&mut watch, then).await });
        tokio::time::sleep(SECOND).await;
        sender.send_replace(status(Some(then), None));
        tokio::time::sleep(SECOND).await;
        assert!(!reading.is_finished(), "it was not read yet");
        sender.send_replace(status(None, Some(Instant::now())));
        assert!(reading.await.unwrap().unwrap().0, "there was an outage");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_watcher() {
        let (sender, mut watch) = watch::channel(status(None, None));
        drop(sender);
        assert!(read_after(&mut watch, Instant::now()).await.is_none());
    }
}
