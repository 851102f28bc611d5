//! The endpoints that calls may go to, and how they fare.
//!
//! No task keeps this up to date: the registry's listener has a queue that
//! cannot pile up, and each call takes from it first what came meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::picker::{Candidate, Picker};
use crate::ambient::Chance;
use crate::calls::breaker::{Breaker, BreakerConfig, BreakerState, Permit};
use crate::calls::outlier::{Counts, OutlierConfig, Record};
use crate::calls::retry::{Budget, BudgetConfig};
use crate::interface::Invoker;
use crate::meters;
use crate::names::{ecf, osgi};
use crate::properties::{Properties, Value};
use crate::services::{
    ServiceEvent, ServiceEventKind, ServiceId, ServiceListener, ServiceReference,
};

/// How an endpoint fares, as a [`Balanced`](super::Balanced) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointState {
    /// What is known of it for choosing.
    pub candidate: Candidate,
    /// Its `endpoint.id`; of a local service `service.id=…`.
    pub endpoint: String,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Until when it is ejected, if it is.
    pub ejected_until: Option<Instant>,
}

/// What to tell an endpoint's records of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    Failed,
    /// Nothing: the caller gave up, or the time of the call as a whole was
    /// over.
    Unknown,
}

/// An endpoint that a call goes to.
pub(super) struct Chosen {
    pub(super) id: ServiceId,
    pub(super) name: Arc<str>,
    pub(super) invoker: Arc<dyn Invoker>,
    pub(super) permit: Permit,
}

/// Where a call goes next.
pub(super) enum Choice {
    Endpoint(Chosen),
    /// Nobody offers the service.
    Nobody,
    /// All who do are shut out.
    AllOut {
        endpoints: usize,
        retry_after: Duration,
    },
}

struct Endpoint {
    name: Arc<str>,
    invoker: Arc<dyn Invoker>,
    candidate: Candidate,
    breaker: Breaker,
    record: Record,
}

impl Endpoint {
    fn allows(&self, now: Instant) -> bool {
        self.breaker.allows(now) && self.record.ejected_until(now).is_none()
    }

    /// From when on a call may go there; nobody knows while one tries.
    fn opens_at(&self, now: Instant) -> Option<Instant> {
        let breaker = match self.breaker.state() {
            BreakerState::Closed => now,
            BreakerState::Open { until } => until,
            BreakerState::HalfOpen => return None,
        };
        Some(self.record.ejected_until(now).unwrap_or(now).max(breaker))
    }
}

pub(super) struct Live {
    interface: &'static str,
    listener: ServiceListener,
    endpoints: BTreeMap<ServiceId, Endpoint>,
    picker: Box<dyn Picker>,
    breaker: BreakerConfig,
    outliers: OutlierConfig,
    budget: Budget,
    rng: StdRng,
}

impl Live {
    pub(super) fn new(
        interface: &'static str,
        listener: ServiceListener,
        picker: Box<dyn Picker>,
        budget: BudgetConfig,
        breaker: BreakerConfig,
        outliers: OutlierConfig,
        seed: Option<u64>,
    ) -> Self {
        let seed = seed.unwrap_or_else(|| Chance.random());
        Self {
            interface,
            listener,
            endpoints: BTreeMap::new(),
            picker,
            breaker,
            outliers,
            budget: Budget::new(budget, Instant::now()),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// A call comes, for the first time.
    pub(super) fn call(&mut self, now: Instant) {
        self.budget.call(now);
    }

    /// Whether a call may be made again.
    pub(super) fn may_retry(&mut self, now: Instant) -> bool {
        let may = self.budget.retry(now);
        meters::retry(may);
        may
    }

    /// A number from 0 to 1, of which 1 is left out.
    pub(super) fn chance(&mut self) -> f64 {
        self.rng.random()
    }

    /// Chooses an endpoint that is not among `tried`, or, if all that could
    /// be called were, one of these.
    pub(super) fn choose(&mut self, tried: &[ServiceId], now: Instant) -> Choice {
        self.catch_up();
        let open = |endpoint: &&Endpoint| endpoint.allows(now);
        let fresh = |endpoint: &&Endpoint| !tried.contains(&endpoint.candidate.id);
        let candidates = |wanted: &dyn Fn(&&Endpoint) -> bool| -> Vec<Candidate> {
            let wanted = self.endpoints.values().filter(wanted);
            wanted.map(|endpoint| endpoint.candidate).collect()
        };
        let mut among = candidates(&|endpoint| open(endpoint) && fresh(endpoint));
        if among.is_empty() {
            among = candidates(&open);
        }
        if among.is_empty() {
            return self.nobody(now);
        }
        let index = self.picker.pick(&among, &mut self.rng);
        let id = among[index.min(among.len() - 1)].id;
        let chosen = self.endpoints.get_mut(&id).and_then(|endpoint| {
            let permit = endpoint.breaker.begin(now)?;
            endpoint.candidate.in_flight += 1;
            Some(Chosen {
                id,
                name: Arc::clone(&endpoint.name),
                invoker: Arc::clone(&endpoint.invoker),
                permit,
            })
        });
        chosen.map_or_else(|| self.nobody(now), Choice::Endpoint)
    }

    fn nobody(&self, now: Instant) -> Choice {
        if self.endpoints.is_empty() {
            return Choice::Nobody;
        }
        let next = self
            .endpoints
            .values()
            .filter_map(|e| e.opens_at(now))
            .min();
        Choice::AllOut {
            endpoints: self.endpoints.len(),
            retry_after: next.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)),
        }
    }

    /// Notes the end of a call.
    pub(super) fn ended(&mut self, id: ServiceId, permit: Permit, verdict: Verdict, now: Instant) {
        let jitter = self.chance();
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        endpoint.candidate.in_flight = endpoint.candidate.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Unknown => endpoint.breaker.abandoned(permit, now),
            Verdict::Answered => {
                let before = endpoint.breaker.state();
                endpoint.breaker.succeeded(permit);
                endpoint.record.note(false, now);
                if before != endpoint.breaker.state() {
                    info!(interface = self.interface, endpoint = %endpoint.name, "the endpoint answers again");
                }
            }
            Verdict::Failed => {
                if endpoint.breaker.failed(permit, now, jitter) {
                    meters::shut_out("breaker");
                    warn!(interface = self.interface, endpoint = %endpoint.name,
                        "the endpoint fails every time and is left alone for a while");
                }
                endpoint.record.note(true, now);
                self.judge(id, now);
            }
        }
    }

    /// Ejects an endpoint that stands out.
    fn judge(&mut self, id: ServiceId, now: Instant) {
        let mut own = Counts::default();
        let mut others = Counts::default();
        let mut ejected = 0;
        for (other, endpoint) in &mut self.endpoints {
            let counts = endpoint.record.counts(now);
            if *other == id {
                own = counts;
            } else {
                others = others + counts;
            }
            ejected += usize::from(endpoint.record.ejected_until(now).is_some());
        }
        let count = self.endpoints.len();
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        // Calls that were under way when it was ejected come in late.
        let stays = endpoint.record.ejected_until(now).is_some()
            || !self.outliers.is_outlier(own, others)
            || !self.outliers.may_eject(ejected, count);
        if stays {
            return;
        }
        endpoint.record.eject(now);
        meters::shut_out("outlier");
        warn!(interface = self.interface, endpoint = %endpoint.name, failed = own.failed, of = own.calls,
            "the endpoint fails far more often than others and is left out for a while");
    }

    /// Takes in what came, changed and went.
    fn catch_up(&mut self) {
        while let Some(event) = self.listener.try_next() {
            self.note(&event);
        }
    }

    fn note(&mut self, event: &ServiceEvent) {
        let (reference, id) = (&event.reference, event.reference.id());
        match event.kind {
            ServiceEventKind::Registered | ServiceEventKind::Modified => {
                let candidate = candidate(reference, &event.properties);
                if let Some(known) = self.endpoints.get_mut(&id) {
                    let in_flight = known.candidate.in_flight;
                    known.candidate = Candidate {
                        in_flight,
                        ..candidate
                    };
                    return;
                }
                // Gone again by now: its end is told next.
                let Some(invoker) = reference.invoker(self.interface) else {
                    return;
                };
                let name = name(reference, &event.properties);
                debug!(interface = self.interface, endpoint = %name, "one more endpoint to choose from");
                let endpoint = Endpoint {
                    name,
                    invoker,
                    candidate,
                    breaker: Breaker::new(self.breaker),
                    record: Record::new(self.outliers),
                };
                self.endpoints.insert(id, endpoint);
            }
            ServiceEventKind::ModifiedEndMatch | ServiceEventKind::Unregistering => {
                self.endpoints.remove(&id);
            }
        }
    }

    pub(super) fn states(&mut self, now: Instant) -> Vec<EndpointState> {
        self.catch_up();
        let states = self.endpoints.values().map(|endpoint| EndpointState {
            candidate: endpoint.candidate,
            endpoint: endpoint.name.to_string(),
            breaker: endpoint.breaker.state(),
            ejected_until: endpoint.record.ejected_until(now),
        });
        states.collect()
    }
}

fn name(reference: &ServiceReference, properties: &Properties) -> Arc<str> {
    match properties.get_str(osgi::ENDPOINT_ID) {
        Some(endpoint) if properties.contains(osgi::SERVICE_IMPORTED) => endpoint.into(),
        _ => format!("service.id={}", reference.id()).into(),
    }
}

/// What cannot be read as a number counts as 0, and so does a negative
/// priority or weight, which DNS does not know.
fn candidate(reference: &ServiceReference, properties: &Properties) -> Candidate {
    let number = |name| properties.get(name).and_then(Value::to_i64).unwrap_or(0);
    Candidate {
        id: reference.id(),
        ranking: properties
            .get(osgi::SERVICE_RANKING)
            .and_then(Value::as_integer)
            .unwrap_or(0),
        priority: number(ecf::DISCOVERY_PRIORITY).max(0),
        weight: number(ecf::DISCOVERY_WEIGHT).max(0),
        in_flight: 0,
    }
}
