//! One proxy over all endpoints that offer an interface.

mod invoker;
mod live;
mod picker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use invoker::Balanced;
pub use live::EndpointState;
pub use picker::{Candidate, Picker};

use super::breaker::BreakerConfig;
use super::interceptor::Interceptor;
use super::outlier::OutlierConfig;
use super::retry::BudgetConfig;

/// How calls are spread over several endpoints, and what is done when one
/// fails.
///
/// # Which endpoint
///
/// - [`Balance::ranking`]: the best, as looking up a single service gives it;
/// - [`Balance::priority`]: by the priority and weight that endpoints were
///   announced with;
/// - [`Balance::round_robin`]: each in turn;
/// - [`Balance::least_in_flight`]: where the fewest calls are under way;
/// - [`Balance::by`]: as you say.
///
/// # What is made again
///
/// A call that failed is made again at another endpoint if that may help and
/// does no harm: if the endpoint or the way to it failed
/// ([`is_of_endpoint`](crate::interface::CallError::is_of_endpoint), time-outs
/// among it), and the method is declared `#[remote(idempotent)]`. Any other
/// call is made again only if it is certain that it was never sent. An error
/// that the service itself raised is the answer, and is never tried away
/// (OSGi rule C05).
///
/// Each repetition is paid from a [budget](BudgetConfig). An endpoint that
/// fails several times in a row is left alone by its [breaker](BreakerConfig);
/// one that fails far more often than its fellows is
/// [ejected](OutlierConfig).
///
/// # Time
///
/// A call as a whole takes no longer than its method's own time-out, or
/// [`Balance::timeout`]. Each attempt obeys the `osgi.basic.timeout` of its
/// endpoint (OSGi rules N06, N07), and [`Balance::attempt_timeout`] if that is
/// set: where endpoints may stall, it should be a fraction of the whole.
#[must_use = "it describes a proxy, and makes none"]
pub struct Balance {
    picker: Box<dyn Picker>,
    wait: Duration,
    timeout: Duration,
    attempt_timeout: Option<Duration>,
    attempts: u32,
    budget: BudgetConfig,
    breaker: BreakerConfig,
    outliers: OutlierConfig,
    interceptors: Vec<Arc<dyn Interceptor>>,
    seed: Option<u64>,
}

impl Balance {
    /// As `picker` says.
    pub fn by(picker: impl Picker) -> Self {
        Self {
            picker: Box::new(picker),
            wait: Duration::ZERO,
            timeout: Duration::from_secs(60),
            attempt_timeout: None,
            attempts: 3,
            budget: BudgetConfig::default(),
            breaker: BreakerConfig::default(),
            outliers: OutlierConfig::default(),
            interceptors: Vec::new(),
            seed: None,
        }
    }

    /// To the one with the highest `service.ranking`, of several to the
    /// oldest (OSGi rule G04); to the next one while that fails.
    pub fn ranking() -> Self {
        Self::by(picker::Ranking)
    }

    /// To those with the lowest priority, shared by weight as RFC 2782 has
    /// it; to the next priority while those fail.
    ///
    /// An exporter gives them by the service properties that ECF knows,
    /// `ecf.endpoint.discovery.priority` and `ecf.endpoint.discovery.weight`,
    /// each 0 unless given. In etcd they stand beside the endpoint's
    /// properties, as ECF writes them; a proxy has them as properties again.
    pub fn priority() -> Self {
        Self::by(picker::Priority)
    }

    /// To each in turn.
    pub fn round_robin() -> Self {
        Self::by(picker::RoundRobin::default())
    }

    /// To one of those where the fewest calls of this proxy are under way.
    pub fn least_in_flight() -> Self {
        Self::by(picker::LeastInFlight)
    }

    /// How long a call waits for an endpoint where there is none. Default:
    /// not at all.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long a call may take as a whole, with all attempts, if its method
    /// has no time-out of its own. Default 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt may take; the endpoint's `osgi.basic.timeout`
    /// holds where it is shorter. Default: none but that.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How often a call is made at most, the first time included. Default 3;
    /// 0 counts as 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// What repeated calls are paid from.
    pub fn budget(mut self, budget: BudgetConfig) -> Self {
        self.budget = budget;
        self
    }

    /// When an endpoint is left alone.
    pub fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = breaker;
        self
    }

    /// When an endpoint is ejected.
    pub fn outliers(mut self, outliers: OutlierConfig) -> Self {
        self.outliers = outliers;
        self
    }

    /// Adds an interceptor that sees each call once, however often it is
    /// made; those of the framework see every attempt.
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// What chance begins with, so that a test can repeat its choices.
    /// Default: the system's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("wait", &self.wait)
            .field("timeout", &self.timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("attempts", &self.attempts)
            .field("budget", &self.budget)
            .field("breaker", &self.breaker)
            .field("outliers", &self.outliers)
            .finish_non_exhaustive()
    }
}
