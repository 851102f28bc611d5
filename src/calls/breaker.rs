//! A circuit breaker: an endpoint that failed several times in a row is left
//! alone for a while, and then tried with one call.

use std::time::Duration;

use tokio::time::Instant;

use crate::ambient::FAR;

/// When the breaker opens and for how long. Begin with the default and set
/// what shall differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// How many calls must fail in a row. Default 5; 0 is never.
    pub failures: u32,
    /// How long the endpoint is left alone the first time. Each further time
    /// without a success between is twice as long. Default 1 s.
    pub cooldown: Duration,
    /// The longest that it is left alone. Default 30 s.
    pub longest: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            cooldown: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

impl BreakerConfig {
    /// Sets how many calls must fail in a row.
    #[must_use]
    pub fn with_failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Sets how long the endpoint is left alone, at first and at most.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Duration, longest: Duration) -> Self {
        self.cooldown = cooldown;
        self.longest = longest.max(cooldown);
        self
    }
}

/// What the breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// They go through.
    Closed,
    /// None goes through before this time.
    Open {
        /// When one may try.
        until: Instant,
    },
    /// One is under way, to try; no other goes through.
    HalfOpen,
}

/// The breaker of one endpoint: a pure state machine.
///
/// ```text
///            failures in a row            cooldown is over, a call comes
///   Closed ───────────────────▶ Open ─────────────────────────────────▶ HalfOpen
///     ▲                          ▲ ▲        the call was given up         │ │ │
///     │                          │ └──────────────────────────────────────┘ │ │
///     │                          └── the call failed: twice the cooldown ───┘ │
///     └──────────────────────────── the call succeeded ──────────────────────┘
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    /// In a row, while closed.
    failed: u32,
    /// Times that it opened without a success between.
    opened: u32,
    /// Counts changes of state, see [`Permit`].
    turn: u64,
}

/// A call that the breaker let through.
///
/// The outcome of a call that began before the breaker last changed says
/// nothing of now: twenty calls that were under way when an endpoint stalled
/// all fail at once, and must open its breaker once and not twenty times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the outcome of the call must be told to the breaker"]
pub struct Permit(u64);

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: BreakerState::Closed,
            failed: 0,
            opened: 0,
            turn: 0,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call would be let through.
    pub fn allows(&self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open { until } => until <= now,
            BreakerState::HalfOpen => false,
        }
    }

    /// Lets a call through, if it may.
    pub fn begin(&mut self, now: Instant) -> Option<Permit> {
        if !self.allows(now) {
            return None;
        }
        if let BreakerState::Open { .. } = self.state {
            self.turn_to(BreakerState::HalfOpen);
        }
        Some(Permit(self.turn))
    }

    /// The endpoint answered.
    pub fn succeeded(&mut self, permit: Permit) {
        if permit.0 != self.turn {
            return;
        }
        (self.failed, self.opened) = (0, 0);
        if self.state == BreakerState::HalfOpen {
            self.turn_to(BreakerState::Closed);
        }
    }

    /// The endpoint failed. `jitter`, from 0 to 1, spreads the cooldown over
    /// its second half, so that many consumers do not come back in one
    /// instant. Tells whether the breaker opened.
    pub fn failed(&mut self, permit: Permit, now: Instant, jitter: f64) -> bool {
        if permit.0 != self.turn {
            return false;
        }
        self.failed = self.failed.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.config.failures > 0 && self.failed >= self.config.failures,
            BreakerState::HalfOpen => true,
            BreakerState::Open { .. } => false,
        };
        if opens {
            let whole = self
                .config
                .cooldown
                .saturating_mul(2_u32.saturating_pow(self.opened))
                .min(self.config.longest)
                .min(FAR);
            let until = now + whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
            self.opened = self.opened.saturating_add(1);
            self.failed = 0;
            self.turn_to(BreakerState::Open { until });
        }
        opens
    }

    /// The call ended without a word on the endpoint: the caller gave it up.
    /// The next call may try.
    pub fn abandoned(&mut self, permit: Permit, now: Instant) {
        if permit.0 == self.turn && self.state == BreakerState::HalfOpen {
            self.turn_to(BreakerState::Open { until: now });
        }
    }

    fn turn_to(&mut self, state: BreakerState) {
        self.state = state;
        self.turn += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Fails as many calls as open a closed breaker; no jitter.
    fn open(breaker: &mut Breaker, now: Instant) {
        for n in 1..=5 {
            let permit = breaker.begin(now).unwrap();
            assert_eq!(breaker.failed(permit, now, 1.0), n == 5);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_starts_the_count_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..20 {
            for _ in 0..4 {
                let permit = breaker.begin(now).unwrap();
                assert!(!breaker.failed(permit, now, 1.0));
            }
            let permit = breaker.begin(now).unwrap();
            breaker.succeeded(permit);
        }
        open(&mut breaker, now);
        assert_eq!(breaker.begin(now), None);
        assert_eq!(breaker.begin(now + SECOND - Duration::from_millis(1)), None);
    }

    #[test]
    fn after_the_cooldown_one_call_tries_and_closes_it_or_doubles_the_cooldown() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(BreakerConfig::default());
        open(&mut breaker, now);
        for cooldown in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.begin(now + SECOND * cooldown - SECOND / 2), None);
            now += SECOND * cooldown;
            let permit = breaker.begin(now).unwrap();
            assert_eq!(breaker.begin(now), None, "one at a time");
            assert!(breaker.failed(permit, now, 1.0));
        }
        now += SECOND * 30;
        let permit = breaker.begin(now).unwrap();
        breaker.succeeded(permit);
        assert_eq!(breaker.state(), BreakerState::Closed);
        open(&mut breaker, now);
        assert!(breaker.allows(now + SECOND), "the cooldown is short again");
    }

    #[test]
    fn jitter_spreads_the_cooldown_over_its_second_half() {
        let now = Instant::now();
        for (jitter, millis) in [(0.0, 500), (0.5, 750), (1.0, 1000), (7.0, 1000)] {
            let mut breaker = Breaker::new(BreakerConfig::default().with_failures(1));
            let permit = breaker.begin(now).unwrap();
            breaker.failed(permit, now, jitter);
            let until = now + Duration::from_millis(millis);
            assert_eq!(breaker.state(), BreakerState::Open { until });
        }
    }

    #[test]
    fn calls_that_began_before_it_changed_have_no_say() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerConfig::default());
        let old = breaker.begin(now).unwrap();
        let older = breaker.begin(now).unwrap();
        open(&mut breaker, now);
        let later = now + SECOND;
        let probe = breaker.begin(later).unwrap();
        breaker.succeeded(older);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.failed(old, later, 1.0));
        breaker.succeeded(probe);
        assert!(!breaker.failed(old, later, 1.0));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_try_that_is_given_up_leaves_the_next_call_to_try() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerConfig::default());
        open(&mut breaker, now);
        let later = now + SECOND;
        let probe = breaker.begin(later).unwrap();
        breaker.abandoned(probe, later);
        assert!(breaker.begin(later).is_some());
        let closed = Breaker::new(BreakerConfig::default()).begin(now).unwrap();
        breaker.abandoned(closed, later);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[test]
    fn it_can_be_turned_off() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerConfig::default().with_failures(0));
        for _ in 0..100 {
            let permit = breaker.begin(now).unwrap();
            assert!(!breaker.failed(permit, now, 1.0));
        }
    }
}
