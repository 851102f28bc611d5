//! When a burst of changes is over. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Waits until nothing changed for a while, but not for ever.
#[derive(Debug)]
pub(super) struct Gather {
    wait: Duration,
    max_wait: Duration,
    /// The first and the last change of the burst.
    burst: Option<(Instant, Instant)>,
}

impl Gather {
    pub(super) fn new(wait: Duration, max_wait: Duration) -> Self {
        Self {
            wait,
            max_wait: max_wait.max(wait),
            burst: None,
        }
    }

    /// Something changed.
    pub(super) fn note(&mut self, now: Instant) {
        let first = self.burst.map_or(now, |(first, _)| first);
        self.burst = Some((first, now));
    }

    /// When it is time to act; none if nothing changed.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.burst?;
        Some((last + self.wait).min(first + self.max_wait))
    }

    /// It was acted on.
    pub(super) fn clear(&mut self) {
        self.burst = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(200);

    #[test]
    fn a_change_waits_for_others_but_not_for_ever() {
        let start = Instant::now();
        let mut gather = Gather::new(WAIT, WAIT * 3);
        assert_eq!(gather.due(), None);
        gather.note(start);
        assert_eq!(gather.due(), Some(start + WAIT));
        gather.note(start + WAIT / 2);
        assert_eq!(gather.due(), Some(start + WAIT / 2 + WAIT));
        gather.note(start + WAIT * 5 / 2);
        assert_eq!(gather.due(), Some(start + WAIT * 3));
        gather.clear();
        assert_eq!(gather.due(), None);
    }

    #[test]
    fn the_longest_wait_is_never_shorter_than_the_shortest() {
        let start = Instant::now();
        let mut gather = Gather::new(WAIT, Duration::ZERO);
        gather.note(start);
        assert_eq!(gather.due(), Some(start + WAIT));
    }
}
