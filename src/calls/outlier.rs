//! Outlier ejection: an endpoint that fails far more often than its fellows
//! is left out for a while.
//!
//! The [breaker](super::breaker) sees endpoints that fail every time; this
//! sees those that fail half of the time. It compares: where all fail alike,
//! the cause is not one endpoint, and leaving some out would only load the
//! others.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::ambient::FAR;

/// When an endpoint is left out and for how long. Begin with the default and
/// set what shall differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutlierConfig {
    /// How far back calls are looked at. Default 10 s.
    pub window: Duration,
    /// How many calls an endpoint must have had in that time to be judged.
    /// Default 10; 0 turns ejection off.
    pub calls: u32,
    /// How many of 100 calls must have failed; and at least twice as many as
    /// at the others. Default 50.
    pub percent: u32,
    /// How long it is left out the first time, and how much longer each
    /// further time. Default 5 s.
    pub ejection: Duration,
    /// The longest that it is left out. Default 60 s.
    pub longest: Duration,
    /// How many of 100 endpoints may be left out at once. Default 50.
    pub most_ejected: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            calls: 10,
            percent: 50,
            ejection: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            most_ejected: 50,
        }
    }
}

impl OutlierConfig {
    /// No endpoint is ever left out.
    #[must_use]
    pub fn none() -> Self {
        Self {
            calls: 0,
            ..Self::default()
        }
    }

    /// Sets how far back calls are looked at, and how many there must be.
    #[must_use]
    pub fn with_window(mut self, window: Duration, calls: u32) -> Self {
        (self.window, self.calls) = (window, calls);
        self
    }

    /// Sets how many of 100 calls must have failed.
    #[must_use]
    pub fn with_percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Sets how long an endpoint is left out, at first and at most.
    #[must_use]
    pub fn with_ejection(mut self, ejection: Duration, longest: Duration) -> Self {
        (self.ejection, self.longest) = (ejection, longest.max(ejection));
        self
    }

    /// Whether an endpoint with these calls stands out among the others.
    pub fn is_outlier(&self, own: Counts, others: Counts) -> bool {
        // Compared crosswise: no division, no rounding.
        let above = u64::from(own.failed) * 100 >= u64::from(own.calls) * u64::from(self.percent);
        let twice = u64::from(own.failed) * u64::from(others.calls)
            >= 2 * u64::from(others.failed) * u64::from(own.calls);
        let enough = |calls| self.calls > 0 && calls >= self.calls;
        enough(own.calls) && enough(others.calls) && above && twice && own.failed > 0
    }

    /// Whether one more of `endpoints` may be left out where `ejected` are
    /// already.
    pub fn may_eject(&self, ejected: usize, endpoints: usize) -> bool {
        (ejected + 1).saturating_mul(100) <= endpoints.saturating_mul(self.most_ejected as usize)
    }
}

/// Calls, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub calls: u32,
    pub failed: u32,
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

/// How many parts the window has. It moves by one of them at a time.
const SLOTS: u32 = 10;

/// The calls of one endpoint within the window, and its ejection: a pure
/// function of outcomes and time.
#[derive(Clone, Debug)]
pub struct Record {
    config: OutlierConfig,
    /// When the youngest slot began; the oldest is first.
    slots: VecDeque<(Instant, Counts)>,
    ejected_until: Option<Instant>,
    /// How often it was ejected; time without ejection forgives.
    ejections: u32,
}

impl Record {
    /// No calls yet.
    pub fn new(config: OutlierConfig) -> Self {
        Self {
            config,
            slots: VecDeque::new(),
            ejected_until: None,
            ejections: 0,
        }
    }

    /// Notes the outcome of a call.
    pub fn note(&mut self, failed: bool, now: Instant) {
        if self.config.calls == 0 {
            return;
        }
        self.forget(now);
        let length = self.config.window / SLOTS;
        let one = Counts {
            calls: 1,
            failed: u32::from(failed),
        };
        match self.slots.back_mut() {
            Some((begun, counts)) if now.saturating_duration_since(*begun) < length => {
                *counts = *counts + one
            }
            _ => self.slots.push_back((now, one)),
        }
    }

    /// The calls within the window.
    pub fn counts(&mut self, now: Instant) -> Counts {
        self.forget(now);
        let counts = self.slots.iter().map(|(_, counts)| *counts);
        counts.fold(Counts::default(), std::ops::Add::add)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((begun, _)) = self.slots.front()
            && now.saturating_duration_since(*begun) >= self.config.window
        {
            self.slots.pop_front();
        }
    }

    /// Leaves the endpoint out. When it comes back it begins without a
    /// record.
    pub fn eject(&mut self, now: Instant) {
        let rest = self.config.longest;
        let forgiven = self
            .ejected_until
            .is_some_and(|until| now.saturating_duration_since(until) > rest);
        self.ejections = if forgiven { 1 } else { self.ejections + 1 };
        let time = self
            .config
            .ejection
            .saturating_mul(self.ejections)
            .min(rest)
            .min(FAR);
        self.ejected_until = Some(now + time);
        self.slots.clear();
    }

    /// Until when the endpoint is left out, if it is.
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.ejected_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(calls: u32, failed: u32) -> Counts {
        Counts { calls, failed }
    }

    #[test]
    fn an_outlier_fails_often_and_twice_as_often_as_the_others() {
        let config = OutlierConfig::default();
        for (own, others, expected) in [
            (counts(10, 5), counts(100, 1), true),
            (counts(10, 4), counts(100, 1), false),
            (counts(9, 9), counts(100, 0), false),
            (counts(10, 10), counts(9, 0), false),
            (counts(10, 6), counts(100, 30), true),
            (counts(10, 6), counts(100, 31), false),
            (counts(10, 10), counts(100, 100), false),
            (counts(0, 0), counts(100, 0), false),
        ] {
            assert_eq!(
                config.is_outlier(own, others),
                expected,
                "{own:?} {others:?}"
            );
        }
        let never = OutlierConfig::none();
        assert!(!never.is_outlier(counts(100, 100), counts(100, 0)));
        let any = OutlierConfig::default().with_percent(0);
        assert!(!any.is_outlier(counts(100, 0), counts(100, 0)));
    }

    #[test]
    fn at_most_half_of_the_endpoints_are_left_out() {
        let config = OutlierConfig::default();
        let most = |endpoints| {
            (0..endpoints)
                .take_while(|n| config.may_eject(*n, endpoints))
                .count()
        };
        assert_eq!([0, 1, 2, 3, 4, 10].map(most), [0, 0, 1, 1, 2, 5]);
    }

    #[test]
    fn calls_are_forgotten_when_the_window_has_passed() {
        let begin = Instant::now();
        let mut record = Record::new(OutlierConfig::default());
        for n in 0..20 {
            record.note(n % 2 == 0, begin + SECOND * n);
        }
        let now = begin + SECOND * 19;
        assert_eq!(record.counts(now), counts(10, 5));
        assert!(record.slots.len() <= 11, "{}", record.slots.len());
        assert_eq!(record.counts(now + SECOND * 10), counts(0, 0));
    }

    #[test]
    fn times_without_an_end_are_longer_than_any() {
        let now = Instant::now();
        let config = OutlierConfig::default()
            .with_window(Duration::MAX, 1)
            .with_ejection(Duration::MAX, Duration::MAX);
        let mut record = Record::new(config);
        record.note(true, now);
        record.note(true, now + SECOND);
        assert_eq!(record.counts(now + SECOND), counts(2, 2));
        record.eject(now);
        record.eject(now);
        assert!(record.ejected_until(now + FAR / 2).is_some());
    }

    #[test]
    fn each_ejection_is_longer_up_to_a_limit_and_time_forgives() {
        let mut now = Instant::now();
        let mut record = Record::new(OutlierConfig::default());
        for seconds in [5, 10, 15] {
            record.note(true, now);
            record.eject(now);
            assert_eq!(record.counts(now), counts(0, 0));
            assert_eq!(record.ejected_until(now), Some(now + SECOND * seconds));
            now += SECOND * seconds;
            assert_eq!(record.ejected_until(now), None);
        }
        for _ in 0..20 {
            record.eject(now);
        }
        assert_eq!(record.ejected_until(now), Some(now + SECOND * 60));
        now += SECOND * 121;
        record.eject(now);
        assert_eq!(record.ejected_until(now), Some(now + SECOND * 5));
    }
}
