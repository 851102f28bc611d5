//! The limit on staleness: how long a view that nobody can confirm is shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::view::View;
use crate::ambient::FAR;
use crate::keyspace::{WatchStatus, Watcher};

/// Withholds all endpoints while the view has been stale for longer than
/// `limit`, and shows them again once the range was read anew; runs until the
/// watcher ends.
///
/// A watch that is live again is not enough: what it has to tell of the
/// outage is still on its way, and endpoints that are gone would be shown for
/// a moment.
pub(super) async fn keep_limit(
    limit: Duration,
    mut status: watch::Receiver<WatchStatus>,
    watcher: Arc<Watcher>,
    view: View,
) {
    loop {
        let stale = status.wait_for(|status| status.stale_since.is_some()).await;
        let Ok(since) = stale.map(|status| status.stale_since) else {
            return;
        };
        let Some(since) = since else { continue };
        tokio::select! {
            biased;
            fresh = status.wait_for(|status| status.stale_since != Some(since)) => {
                if fresh.is_err() {
                    return;
                }
                continue;
            }
            () = tokio::time::sleep_until(since + limit.min(FAR)) => {}
        }
        let at = Instant::now();
        warn!(
            ?limit,
            "etcd has told nothing for longer than the limit on staleness: all endpoints are \
             withheld until it is read again"
        );
        view.withhold(true);
        watcher.relist();
        let read = |status: &WatchStatus| {
            status.stale_since.is_none() && status.listed_at.is_some_and(|listed| listed > at)
        };
        if status.wait_for(read).await.is_err() {
            return;
        }
        info!("etcd was read again: endpoints are shown");
        view.withhold(false);
    }
}
