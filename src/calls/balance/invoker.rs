//! One call over several endpoints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::debug;

use super::Balance;
use super::live::{Choice, Chosen, EndpointState, Live, Verdict};
use crate::ambient::FAR;
use crate::calls::interceptor::InterceptedInvoker;
use crate::filter::Filter;
use crate::interface::{Call, CallError, Data, Interface, Invoker};
use crate::services::{Demanding, Registry, ServiceEventKind, ServiceId, ServiceListener};

/// The longest pause before a call is made again at an endpoint that it was
/// at already; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An [`Invoker`] over all services of a registry that have an interface and
/// match a filter, as a [`Balance`] says.
///
/// As long as it lives these are in [demand](Registry::demands): a topology
/// manager that imports on demand imports them (OSGi rule T07). The first call
/// comes before that, so it is to [wait](Balance::wait).
///
/// What it learns of its endpoints it keeps to itself: make one, and share it.
/// It has no task; dropping it ends it.
pub struct Balanced {
    core: Arc<Core>,
    /// The same behind the interceptors of the call as a whole.
    entry: Arc<dyn Invoker>,
}

struct Core {
    interface: &'static str,
    filter: String,
    listen: Box<dyn Fn() -> ServiceListener + Send + Sync>,
    // A std-like mutex, not tokio's: it is held while an endpoint is chosen
    // and never across an await.
    live: Mutex<Live>,
    wait: Duration,
    timeout: Duration,
    attempt_timeout: Option<Duration>,
    attempts: u32,
    /// Ends with the proxy.
    _demanding: Demanding,
}

impl Balanced {
    /// Calls go to the services of `registry` that have the interface `I`, in
    /// a version that fits (OSGi rule I07), and match the filter.
    pub fn new<I: Interface + ?Sized>(
        registry: &Registry,
        filter: Option<Filter>,
        balance: Balance,
    ) -> Self {
        let shown = filter.as_ref();
        let shown = shown.map_or_else(|| "(any)".to_owned(), ToString::to_string);
        let registry = registry.clone();
        let demanding = registry.demand::<I>(filter.clone());
        let listen = Box::new(move || registry.listen_for::<I>(filter.clone()));
        let live = Live::new(
            I::NAME,
            listen(),
            balance.picker,
            balance.budget,
            balance.breaker,
            balance.outliers,
            balance.seed,
        );
        let core = Arc::new(Core {
            interface: I::NAME,
            filter: shown.clone(),
            listen,
            live: Mutex::new(live),
            wait: balance.wait,
            timeout: balance.timeout,
            attempt_timeout: balance.attempt_timeout,
            attempts: balance.attempts,
            _demanding: demanding,
        });
        let inner = Arc::clone(&core) as Arc<dyn Invoker>;
        let entry = if balance.interceptors.is_empty() {
            inner
        } else {
            let interceptors = balance.interceptors.into();
            Arc::new(InterceptedInvoker::new(interceptors, I::NAME, shown, inner))
        };
        Self { core, entry }
    }

    /// How the endpoints fare now, by age.
    pub fn endpoints(&self) -> Vec<EndpointState> {
        self.core.live.lock().states(Instant::now())
    }
}

impl Invoker for Balanced {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        self.entry.invoke(call)
    }
}

impl Invoker for Core {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(self.call(call))
    }
}

/// A call at one endpoint. Dropped without an end, it was given up.
struct Attempt<'a> {
    core: &'a Core,
    chosen: Chosen,
    ended: bool,
}

impl Attempt<'_> {
    fn end(mut self, verdict: Verdict) {
        self.tell(verdict);
        self.ended = true;
    }

    fn tell(&self, verdict: Verdict) {
        let mut live = self.core.live.lock();
        live.ended(self.chosen.id, self.chosen.permit, verdict, Instant::now());
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Verdict::Unknown);
        }
    }
}

impl Core {
    async fn call(&self, call: Call) -> Result<Data, CallError> {
        let begun = Instant::now();
        let whole = call.options.timeout.unwrap_or(self.timeout);
        let deadline = begun + whole.min(FAR);
        self.live.lock().call(begun);
        let mut tried: Vec<ServiceId> = Vec::new();
        let mut failed: Option<CallError> = None;
        loop {
            let chosen = match (self.choose(&tried, deadline).await, failed) {
                (Ok(chosen), _) => chosen,
                // What happened says more than that there is nobody else.
                (Err(_), Some(error)) => return Err(error),
                (Err(error), None) => return Err(error),
            };
            let again = tried.contains(&chosen.id);
            let attempt = Attempt {
                core: self,
                chosen,
                ended: false,
            };
            if again {
                self.pause(tried.len(), deadline).await;
            }
            tried.push(attempt.chosen.id);
            let error = match self
                .attempt(attempt, &call, whole, deadline, tried.len())
                .await
            {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            if !self.makes_again(&call, &error, tried.len(), deadline) {
                return Err(error);
            }
            failed = Some(error);
        }
    }

    /// Chooses an endpoint. The first time, it waits for one if it may.
    async fn choose(&self, tried: &[ServiceId], deadline: Instant) -> Result<Chosen, CallError> {
        let begun = Instant::now();
        let until = deadline.min(begun + self.wait.min(FAR));
        let mut listener = None;
        loop {
            let choice = self.live.lock().choose(tried, Instant::now());
            match choice {
                Choice::Endpoint(chosen) => return Ok(chosen),
                Choice::AllOut {
                    endpoints,
                    retry_after,
                } => {
                    return Err(CallError::AllFailing {
                        interface: self.interface.to_owned(),
                        endpoints,
                        retry_after,
                    });
                }
                Choice::Nobody => {}
            }
            let nobody = || CallError::NoEndpoint {
                interface: self.interface.to_owned(),
                filter: self.filter.clone(),
                waited: begun.elapsed().min(self.wait),
            };
            if !tried.is_empty() || self.wait.is_zero() {
                return Err(nobody());
            }
            // It is told of what is there already, so that nothing that came
            // since the choice is missed.
            let listener = listener.get_or_insert_with(|| (self.listen)());
            if timeout_at(until, comes(listener)).await.is_err() {
                return Err(nobody());
            }
        }
    }

    /// Makes the call once.
    async fn attempt(
        &self,
        attempt: Attempt<'_>,
        call: &Call,
        whole: Duration,
        deadline: Instant,
        number: usize,
    ) -> Result<Data, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = self.attempt_timeout.map_or(left, |limit| limit.min(left));
        let mut call = call.clone();
        if call.options.timeout.is_some() || self.attempt_timeout.is_some() {
            call.options.timeout = Some(limit);
        }
        let invoker = Arc::clone(&attempt.chosen.invoker);
        let outcome = timeout(limit, invoker.invoke(call)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(CallError::Timeout {
                address: attempt.chosen.name.to_string(),
                timeout: if limit < left { limit } else { whole },
            })
        });
        // A later attempt has what time the earlier ones left to it.
        let cut_short = number > 1 && Instant::now() >= deadline;
        attempt.end(match &outcome {
            Err(CallError::Timeout { .. }) if cut_short => Verdict::Unknown,
            outcome => verdict(outcome),
        });
        outcome
    }

    /// Whether a call that failed is made again.
    fn makes_again(
        &self,
        call: &Call,
        error: &CallError,
        attempts: usize,
        deadline: Instant,
    ) -> bool {
        let harmless = call.options.idempotent || error.was_not_sent();
        let now = Instant::now();
        let may = error.is_of_endpoint()
            && harmless
            && attempts < self.attempts as usize
            && now < deadline
            && self.live.lock().may_retry(now);
        debug!(interface = self.interface, method = %call.method, attempts, %error, again = may,
            "an attempt failed");
        may
    }

    /// Waits before an endpoint that failed is called again: full jitter.
    async fn pause(&self, attempts: usize, deadline: Instant) {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = PAUSE
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(LONGEST_PAUSE)
            .min(deadline.saturating_duration_since(Instant::now()));
        let chance = self.live.lock().chance();
        sleep(longest.mul_f64(chance)).await;
    }
}

/// Waits until a service comes; for ever if the registry is gone.
async fn comes(listener: &mut ServiceListener) {
    while let Some(event) = listener.next().await {
        if event.kind == ServiceEventKind::Registered {
            return;
        }
    }
    std::future::pending().await
}

/// What an outcome says of the endpoint. What may come from this process as
/// well, such as a limit of the client, says nothing.
fn verdict(outcome: &Result<Data, CallError>) -> Verdict {
    match outcome {
        Ok(_)
        | Err(
            CallError::Service(_)
            | CallError::NoSuchMethod { .. }
            | CallError::InvalidResult { .. }
            | CallError::Refused { .. },
        ) => Verdict::Answered,
        Err(CallError::Overloaded { .. }) => Verdict::Unknown,
        Err(error) if error.is_of_endpoint() => Verdict::Failed,
        Err(_) => Verdict::Unknown,
    }
}

impl fmt::Debug for Balanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced")
            .field("interface", &self.core.interface)
            .field("filter", &self.core.filter)
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}
