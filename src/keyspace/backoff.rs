//! Delays between attempts: exponential, with full jitter.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Draws each delay uniformly between zero and a ceiling that doubles.
///
/// Full jitter, because hundreds of clients lose etcd at the same moment: any fixed part of the
/// delay would bring them back together. The random numbers come from the caller, so that a
/// schedule can be run again exactly.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// The first delay stays below `first`, the second below `base`, and the ceiling then doubles
    /// up to `cap`.
    pub(crate) const fn new(first: Duration, base: Duration, cap: Duration) -> Self {
        Self {
            first,
            base,
            cap,
            failures: 0,
        }
    }

    /// The delay before the next attempt.
    pub(crate) fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        self.next_delay_below(Duration::MAX, rng)
    }

    /// The delay before the next attempt, which is to be drawn below `limit`, and never below less
    /// than the first ceiling.
    pub(crate) fn next_delay_below(&mut self, limit: Duration, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling().min(limit.max(self.first));
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(rng.random_range(0.0..=1.0))
    }

    /// Starts over. To be called once the connection has proved healthy, not when an attempt
    /// merely succeeded: a server that accepts and dies would otherwise be hammered.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        match self.failures.checked_sub(1) {
            None => self.first.min(self.cap),
            Some(doublings) => 2u32
                .checked_pow(doublings)
                .and_then(|factor| self.base.checked_mul(factor))
                .map_or(self.cap, |ceiling| ceiling.min(self.cap)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_limit_holds_and_leaves_the_first_ceiling() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut backoff = backoff();
        backoff.failures = 20;
        let mut longest = |limit| {
            (0..1000)
                .map(|_| backoff.next_delay_below(Duration::from_millis(limit), &mut rng))
                .max()
                .unwrap()
                .as_millis()
        };
        assert!((1900..=2000).contains(&longest(2000)));
        assert!((90..=100).contains(&longest(0)));
    }

    fn backoff() -> Backoff {
        Backoff::new(
            Duration::from_millis(100),
            Duration::from_millis(800),
            Duration::from_secs(30),
        )
    }

    fn ceilings(backoff: &mut Backoff, rng: &mut StdRng) -> Vec<Duration> {
        (0..9)
            .map(|_| {
                let ceiling = backoff.ceiling();
                let delay = backoff.next_delay(rng);
                assert!(delay <= ceiling, "{delay:?} is over {ceiling:?}");
                ceiling
            })
            .collect()
    }

    #[test]
    fn the_first_retry_is_quick_and_the_ceiling_then_doubles_up_to_the_cap() {
        let mut rng = StdRng::seed_from_u64(1);
        let seconds: Vec<f64> = ceilings(&mut backoff(), &mut rng)
            .iter()
            .map(Duration::as_secs_f64)
            .collect();
        assert_eq!(seconds, [0.1, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]);
    }

    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let mut rng = StdRng::seed_from_u64(7);
        let delays: Vec<f64> = (0..2000)
            .map(|_| {
                let mut backoff = backoff();
                backoff.failures = 20;
                backoff.next_delay(&mut rng).as_secs_f64()
            })
            .collect();
        for tenth in 0..10 {
            let range = f64::from(tenth) * 3.0..f64::from(tenth + 1) * 3.0;
            let hits = delays.iter().filter(|delay| range.contains(*delay)).count();
            assert!((100..300).contains(&hits), "{hits} of 2000 in {range:?}");
        }
    }

    #[test]
    fn a_reset_makes_the_next_retry_quick_again() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = backoff();
        ceilings(&mut backoff, &mut rng);
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(100));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = backoff();
        backoff.failures = u32::MAX;
        assert!(backoff.next_delay(&mut rng) <= Duration::from_secs(30));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let draw = || {
            let mut rng = StdRng::seed_from_u64(42);
            let mut backoff = backoff();
            (0..10)
                .map(|_| backoff.next_delay(&mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
