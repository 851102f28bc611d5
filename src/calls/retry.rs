//! How many calls may be made again.
//!
//! A retry helps when one endpoint fails, and harms when all do: each call
//! that is made three times is three times the load on what is down already.
//! So retries are paid from a bucket that calls fill slowly. However long an
//! outage lasts, repeated attempts stay a small share of the calls.

use std::time::Duration;

use tokio::time::Instant;

/// What the bucket holds and how it is filled. Begin with the default and set
/// what shall differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// How many retries 100 calls pay for. Default 20.
    pub percent: u32,
    /// How many retries every second brings besides, so that a quiet consumer
    /// can repeat a call too. Default 1.
    pub per_second: u32,
    /// The most retries that can be saved up; it begins with these. Default
    /// 10.
    pub burst: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            percent: 20,
            per_second: 1,
            burst: 10,
        }
    }
}

impl BudgetConfig {
    /// No call is ever repeated.
    #[must_use]
    pub fn none() -> Self {
        Self {
            percent: 0,
            per_second: 0,
            burst: 0,
        }
    }

    /// Sets how many retries 100 calls pay for.
    #[must_use]
    pub fn with_percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Sets how many retries every second brings besides.
    #[must_use]
    pub fn with_per_second(mut self, per_second: u32) -> Self {
        self.per_second = per_second;
        self
    }

    /// Sets how many retries can be saved up.
    #[must_use]
    pub fn with_burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }
}

/// Parts of a retry: whole numbers, so that no rounding adds up.
const RETRY: u64 = 1_000_000_000;

/// The bucket: a pure function of calls, retries and time.
///
/// In any span of `t` seconds with `n` calls it pays for at most
/// `burst + n * percent / 100 + t * per_second` retries.
#[derive(Clone, Debug)]
pub struct Budget {
    config: BudgetConfig,
    /// In billionths of a retry.
    saved: u64,
    filled: Instant,
}

impl Budget {
    /// A full bucket.
    pub fn new(config: BudgetConfig, now: Instant) -> Self {
        Self {
            config,
            saved: u64::from(config.burst) * RETRY,
            filled: now,
        }
    }

    /// A call is made, for the first time.
    pub fn call(&mut self, now: Instant) {
        self.fill(now);
        self.add(u64::from(self.config.percent) * (RETRY / 100));
    }

    /// Whether a call may be made again; if so, it is paid for.
    pub fn retry(&mut self, now: Instant) -> bool {
        self.fill(now);
        match self.saved.checked_sub(RETRY) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        // A billionth of a retry each nanosecond is one each second. A year is
        // enough to fill any bucket, and keeps the product in range.
        let nanos = passed.min(Duration::from_secs(31_536_000)).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.add(nanos.saturating_mul(u64::from(self.config.per_second)));
    }

    fn add(&mut self, more: u64) {
        let full = u64::from(self.config.burst) * RETRY;
        self.saved = self.saved.saturating_add(more).min(full);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_outage_is_not_multiplied() {
        let begin = Instant::now();
        let mut budget = Budget::new(BudgetConfig::default(), begin);
        let mut retries = 0;
        // A thousand failing calls in ten seconds, each of which would be
        // made twice more.
        for n in 0..1000_u32 {
            let now = begin + Duration::from_millis(10) * n;
            budget.call(now);
            retries += u32::from(budget.retry(now)) + u32::from(budget.retry(now));
        }
        assert!((200..=10 + 200 + 10).contains(&retries), "{retries}");
    }

    #[test]
    fn a_quiet_consumer_may_repeat_a_call_every_second() {
        let mut now = Instant::now();
        let config = BudgetConfig::default().with_percent(0);
        let mut budget = Budget::new(config, now);
        assert_eq!((0..20).filter(|_| budget.retry(now)).count(), 10);
        now += Duration::from_millis(999);
        assert!(!budget.retry(now));
        now += Duration::from_millis(1);
        assert!(budget.retry(now) && !budget.retry(now));
    }

    #[test]
    fn without_a_budget_nothing_is_repeated() {
        let now = Instant::now();
        let mut budget = Budget::new(BudgetConfig::none(), now);
        for n in 0..100_u32 {
            budget.call(now + Duration::from_secs(1) * n);
            assert!(!budget.retry(now + Duration::from_secs(1) * n));
        }
    }

    proptest! {
        #[test]
        fn retries_never_exceed_what_calls_and_time_pay_for(
            percent in 0..200_u32,
            per_second in 0..5_u32,
            burst in 0..20_u32,
            steps in prop::collection::vec((0..3_u8, 0..2000_u64), 0..300),
        ) {
            let begin = Instant::now();
            let mut now = begin;
            let config = BudgetConfig { percent, per_second, burst };
            let mut budget = Budget::new(config, now);
            let (mut calls, mut retries) = (0_u64, 0_u64);
            for (step, millis) in steps {
                match step {
                    0 => now += Duration::from_millis(millis),
                    1 => { budget.call(now); calls += 1; }
                    _ => retries += u64::from(budget.retry(now)),
                }
            }
            let millis = u64::try_from((now - begin).as_millis()).unwrap();
            let paid = u64::from(burst) * 1000
                + calls * u64::from(percent) * 10
                + millis * u64::from(per_second);
            prop_assert!(retries * 1000 <= paid, "{retries} of {paid} thousandths");
        }
    }
}
