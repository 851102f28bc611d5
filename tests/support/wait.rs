//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Probes until it gets an `Ok`, and returns what is in it.
///
/// The probe's `Err` says what it saw instead; the last one is shown when `timeout` is over. A probe
/// that hangs counts against the timeout too.
///
/// # Panics
/// When the condition does not hold within `timeout`: the message has `what` and the last thing seen.
pub async fn eventually<T, E: Display>(
    timeout: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    let mut last_seen: Option<String> = None;
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => last_seen = Some(seen.to_string()),
            Err(_) => {
                let seen = last_seen
                    .as_deref()
                    .unwrap_or("nothing, the first probe did not end");
                panic!(
                    "waited {timeout:?} for: {what}; last seen: {seen}; the probe under way did not end"
                );
            }
        }
        if Instant::now() >= deadline {
            let seen = last_seen.as_deref().unwrap_or("nothing");
            panic!("waited {timeout:?} for: {what}; last seen: {seen}");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
