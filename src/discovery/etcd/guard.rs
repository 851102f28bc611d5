//! When many sessions vanish at once, it is more likely that something
//! happened to etcd or the network than to all of them. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// When the endpoints of sessions that vanished are kept for a while.
///
/// A session vanishes when its key and its endpoints go together, because
/// their lease ended; one that takes its endpoints back first said goodbye.
/// A session that vanishes alone takes its endpoints along at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guard {
    /// So many sessions must vanish within `window`. Default: 3.
    pub sessions: usize,
    /// And this part of all sessions with endpoints, in percent. Default: 30.
    pub percent: usize,
    /// The time in which they vanish. Default: the lease's TTL.
    pub window: Duration,
    /// How long their endpoints are kept as suspects; what comes back
    /// unchanged in that time was never removed. Default: the lease's TTL and
    /// 10 s.
    pub hold: Duration,
}

impl Guard {
    /// Defaults for sessions with this TTL.
    pub fn for_ttl(ttl: Duration) -> Self {
        Self {
            sessions: 3,
            percent: 30,
            window: ttl,
            hold: ttl.saturating_add(Duration::from_secs(10)),
        }
    }
}

/// Counts the sessions that vanished of late.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    at: VecDeque<Instant>,
}

impl Vanished {
    /// Notes that `count` sessions vanished now, which left `living` ones, and
    /// says whether that is too many to be believed.
    pub(super) fn note(
        &mut self,
        guard: &Guard,
        count: usize,
        living: usize,
        now: Instant,
    ) -> bool {
        while self
            .at
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > guard.window)
        {
            self.at.pop_front();
        }
        self.at.extend(std::iter::repeat_n(now, count));
        let vanished = self.at.len();
        vanished >= guard.sessions && vanished * 100 >= guard.percent * (vanished + living)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn three_and_thirty_percent_within_a_ttl_are_too_many() {
        let guard = Guard::for_ttl(TTL);
        let now = Instant::now();
        let suspect = |count, living| Vanished::default().note(&guard, count, living, now);
        assert!(!suspect(1, 0), "a single session's end is believed");
        assert!(!suspect(2, 0));
        assert!(suspect(3, 7));
        assert!(!suspect(3, 8), "three of eleven are less than 30 %");
        assert!(suspect(30, 0));
        assert!(!suspect(0, 100));
    }

    #[test]
    fn sessions_that_vanished_longer_ago_do_not_count() {
        let guard = Guard::for_ttl(TTL);
        let mut vanished = Vanished::default();
        let start = Instant::now();
        assert!(!vanished.note(&guard, 1, 4, start));
        assert!(!vanished.note(&guard, 1, 3, start + TTL / 2));
        assert!(vanished.note(&guard, 1, 2, start + TTL));
        assert!(
            !vanished.note(&guard, 1, 1, start + TTL * 2),
            "two are left of the last TTL"
        );
    }
}
