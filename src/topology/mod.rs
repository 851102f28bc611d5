//! The topology manager: it alone decides what is exported and imported
//! (OSGi Compendium 122.3).
//!
//! One task hears of services and of endpoints, compares what is wanted with
//! what there is (`plan.rs`), and has the difference made by the
//! [admin](crate::admin) and announced by [discovery](crate::discovery). It
//! waits for neither etcd nor a closing endpoint: those go on beside it.

mod demand;
mod gate;
mod manager;
mod plan;
mod policy;
mod rules;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use gate::Unready;
pub use policy::{DEFAULT_LINGER, Import, Policy, PolicyContext, TopologyPolicy};

use crate::admin::{AdminError, ExportError, RemoteServiceAdmin};
use crate::discovery::{Advertiser, DiscoveryError, Subscriber};
use crate::discovery::{EndpointFeed, endpoint_feed};
use crate::endpoint::EndpointDescription;
use crate::feed::Feed;
use crate::names::EndpointId;
use crate::properties::Properties;
use crate::services::{Registry, ServiceId};

/// By which discoveries a topology manager announces and hears.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Discoveries {
    /// All of them announce every endpoint.
    pub advertisers: Vec<Arc<dyn Advertiser>>,
    /// An endpoint that several of them tell of is one: what the first of
    /// them says counts, and it is there until none tells of it any more
    /// (rule E07).
    pub subscribers: Vec<Arc<dyn Subscriber>>,
}

impl Discoveries {
    /// Adds one that both announces and hears.
    #[must_use]
    pub fn with<D: Advertiser + Subscriber + 'static>(mut self, discovery: &Arc<D>) -> Self {
        self.advertisers
            .push(Arc::clone(discovery) as Arc<dyn Advertiser>);
        self.with_subscriber(discovery)
    }

    /// Adds one that hears only.
    #[must_use]
    pub fn with_subscriber<S: Subscriber + 'static>(mut self, subscriber: &Arc<S>) -> Self {
        self.subscribers
            .push(Arc::clone(subscriber) as Arc<dyn Subscriber>);
        self
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.advertisers.is_empty() && self.subscribers.is_empty()
    }
}

/// Why a service that is to be exported is not, or not announced.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// The service cannot be exported as its properties ask.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// No provider exports it: the log says why.
    #[error("no distribution provider exports the service: see its config types and intents")]
    NoProvider,
    /// The endpoint could not be made.
    #[error(transparent)]
    Endpoint(Arc<AdminError>),
    /// The endpoint could not be announced.
    #[error(transparent)]
    Announcement(#[from] DiscoveryError),
}

/// How the export of a service stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportStatus {
    /// The service's properties that it is exported with. A change of them
    /// that the service has seen already may not be in it yet.
    pub properties: Arc<Properties>,
    /// Its endpoints.
    pub endpoints: Vec<Arc<EndpointDescription>>,
    /// How many of them are not announced yet.
    pub unannounced: usize,
    /// Those that are not announced because they do not answer yet. They are
    /// asked again by and by.
    pub unready: BTreeMap<EndpointId, Unready>,
    /// What failed, if something did. What may pass, such as a port that is
    /// taken, is tried again by itself, and so is what waits for a provider.
    pub error: Option<TopologyError>,
}

/// How the export of each service that is to be exported stands, and news of
/// it.
pub type ExportFeed = Feed<ServiceId, Arc<ExportStatus>>;

/// A running topology manager.
pub struct TopologyManager {
    rules: rules::Rules,
    exports: ExportFeed,
    announced: EndpointFeed,
    stop: CancellationToken,
    task: AbortOnDropHandle<manager::Manager>,
}

/// A topology manager that decides nothing any more. Its exports and imports
/// are open still.
pub struct StoppedTopology(manager::Manager);

impl TopologyManager {
    /// Starts. Services and endpoints that are there already count as those
    /// that come later.
    pub fn start(
        admin: RemoteServiceAdmin,
        registry: &Registry,
        discoveries: Discoveries,
        policy: impl TopologyPolicy,
    ) -> Self {
        Self::start_with(admin, registry, discoveries, Arc::new(policy))
    }

    /// [`TopologyManager::start`] with a policy that others have too.
    pub fn start_with(
        admin: RemoteServiceAdmin,
        registry: &Registry,
        discoveries: Discoveries,
        policy: Arc<dyn TopologyPolicy>,
    ) -> Self {
        let exports = ExportFeed::new();
        let stop = CancellationToken::new();
        let announced = endpoint_feed();
        let rules = rules::Rules::new(policy, admin.clone());
        let manager = manager::Manager::new(
            admin,
            discoveries,
            rules.clone(),
            exports.clone(),
            announced.clone(),
        );
        let task = tokio::spawn(manager.run(registry, stop.clone()));
        Self {
            rules,
            exports,
            announced,
            stop,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// What the export of a service with these properties would have over
    /// them; none if the service is not to be exported.
    pub(crate) fn overlay(&self, service: &Properties) -> Option<Properties> {
        self.rules.export(service)
    }

    /// How exports stand.
    pub fn exports(&self) -> &ExportFeed {
        &self.exports
    }

    /// The own endpoints that are announced, or were given to discovery to
    /// be: what local listeners whose scope has them hear of (rule T02).
    pub fn announced(&self) -> &EndpointFeed {
        &self.announced
    }

    /// Ends the decisions, but no export or import yet.
    ///
    /// # Errors
    ///
    /// If the task panicked: its exports and imports are closed then.
    pub async fn stop(self) -> Result<StoppedTopology, tokio::task::JoinError> {
        self.stop.cancel();
        let manager = self.task.await?;
        self.exports.close();
        self.announced.close();
        Ok(StoppedTopology(manager))
    }
}

impl StoppedTopology {
    /// Takes back what is announced, and closes all imports and exports. Waits
    /// for the ends of these, and not for discovery.
    pub async fn close(self) {
        self.0.close().await;
    }
}
