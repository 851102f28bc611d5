//! The gate between an endpoint and its announcement: an endpoint is
//! announced once it answers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::AdminError;
use crate::ambient::Chance;
use crate::distribution::DistributionError;
use crate::keyspace::Backoff;
use crate::names::EndpointId;

/// How long to wait before an endpoint is asked again: at first up to 50 ms,
/// then up to 100, twice as long each time, at most 5 s.
const BACKOFF: Backoff = Backoff::new(
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_secs(5),
);

/// How long an endpoint may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// An endpoint that does not answer yet, and so is not announced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unready {
    /// How many times it was asked.
    pub attempts: u32,
    /// What came of it last; none while the first answer is awaited.
    pub cause: Option<Arc<AdminError>>,
}

/// The gates of one service's endpoints.
#[derive(Default)]
pub(super) struct Gates {
    open: HashSet<EndpointId>,
    shut: BTreeMap<EndpointId, Gate>,
}

struct Gate {
    unready: Unready,
    backoff: Backoff,
}

impl Gates {
    pub(super) fn is_open(&self, endpoint: &EndpointId) -> bool {
        self.open.contains(endpoint)
    }

    /// Whether the endpoint is being asked.
    pub(super) fn is_shut(&self, endpoint: &EndpointId) -> bool {
        self.shut.contains_key(endpoint)
    }

    /// The endpoint answered.
    pub(super) fn open(&mut self, endpoint: EndpointId) {
        self.shut.remove(&endpoint);
        self.open.insert(endpoint);
    }

    /// The first answer is awaited.
    pub(super) fn shut(&mut self, endpoint: EndpointId) {
        let gate = Gate {
            unready: Unready {
                attempts: 0,
                cause: None,
            },
            backoff: BACKOFF,
        };
        self.shut.insert(endpoint, gate);
    }

    /// The endpoint did not answer; how long to wait before it is asked again.
    /// None if nobody waits for its answer any more.
    pub(super) fn failed(
        &mut self,
        endpoint: &EndpointId,
        cause: Arc<AdminError>,
    ) -> Option<Duration> {
        let gate = self.shut.get_mut(endpoint)?;
        gate.unready.attempts += 1;
        gate.unready.cause = Some(cause);
        Some(gate.backoff.next_delay(&mut Chance))
    }

    /// The endpoint has ended.
    pub(super) fn forget(&mut self, endpoint: &EndpointId) {
        self.open.remove(endpoint);
        self.shut.remove(endpoint);
    }

    /// What is not announced because it does not answer.
    pub(super) fn unready(&self) -> BTreeMap<EndpointId, Unready> {
        let shut = self.shut.iter();
        shut.map(|(id, gate)| (id.clone(), gate.unready.clone()))
            .collect()
    }
}

/// What is said of an endpoint that takes longer.
pub(super) fn too_slow(endpoint: &EndpointId) -> AdminError {
    AdminError::Distribution(DistributionError::NotReady {
        address: format!("endpoint {endpoint}"),
        problem: format!("no answer within {} s", PATIENCE.as_secs()),
    })
}
