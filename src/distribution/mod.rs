//! Distribution providers: how a service is made callable from elsewhere, and
//! how one from elsewhere is called.
//!
//! A provider speaks one protocol, which it names by its *config types*
//! (OSGi Compendium 100.2.1). It creates an endpoint for a service, and calls
//! the endpoints of others; it decides nothing about which.

#[cfg(feature = "xmlrpc")]
pub mod xmlrpc;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::endpoint::EndpointDescription;
use crate::interface::{Cause, Dispatch, Invoker};
use crate::names::osgi;
use crate::properties::Properties;

/// A failure to create an endpoint, or to make ready for calling one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// A property has a value that the provider cannot use.
    #[error("{name} is '{value}': {problem}")]
    Property {
        /// The property.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The provider's server cannot listen.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address that was tried.
        address: String,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// The description lacks what is needed to call the endpoint.
    #[error("endpoint {endpoint} cannot be called: {problem}")]
    Endpoint {
        /// The `endpoint.id`.
        endpoint: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The endpoint is there, but not everybody can reach it.
    #[error("not everybody can reach {url}: {problem}")]
    Reach {
        /// Where the endpoint is.
        url: String,
        /// Who can reach it, and what to do.
        problem: String,
    },
    /// The provider's server takes no connections.
    #[error("no connections are accepted at {address}: {cause}")]
    Accept {
        /// Where the endpoint is.
        address: String,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// The endpoint does not answer.
    #[error("{address} does not answer yet: {problem}")]
    NotReady {
        /// What was asked.
        address: String,
        /// What came instead of an answer.
        problem: String,
    },
    /// The provider is closed.
    #[error("the distribution provider is closed")]
    Closed,
}

/// Trouble with an endpoint that was made before (OSGi Compendium 122.7).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// It works still.
    Warning(DistributionError),
    /// It is beyond repair. Whoever exported or imported it is to close it;
    /// the [topology manager](crate::topology) does, and tries again.
    Error(DistributionError),
}

/// Where a provider tells of trouble with one endpoint.
#[derive(Clone)]
pub struct Troubles(Arc<dyn Fn(Trouble) + Send + Sync>);

impl Troubles {
    /// Has `hear` told of all trouble.
    pub fn new(hear: impl Fn(Trouble) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Tells of trouble. It waits for nobody, and the endpoint may be closed
    /// already.
    pub fn tell(&self, trouble: Trouble) {
        (self.0)(trouble);
    }
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles").finish_non_exhaustive()
    }
}

/// A distribution provider.
pub trait Provider: Send + Sync + 'static {
    /// The config types that it exports with and imports, the one that it
    /// exports with by default first.
    fn config_types(&self) -> &'static [&'static str];

    /// The intents that it knows: those that its endpoints can have, and that
    /// it can obey when it calls (rule N03).
    fn intents(&self) -> &'static [&'static str];

    /// Those of `intents` that an endpoint made now would not have: those that
    /// the provider does not know, and those that its configuration rules out
    /// (rules P08, N10, N11).
    fn unmet(&self, intents: &[String]) -> Vec<String> {
        let known = self.intents();
        let unmet = intents.iter().filter(|i| !known.contains(&i.as_str()));
        unmet.cloned().collect()
    }

    /// Makes a service callable.
    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>>;

    /// Makes ready for calls to an endpoint. Connecting is left to the first
    /// call (rule I02).
    ///
    /// # Errors
    ///
    /// If the description does not say how to call it.
    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError>;

    /// Ends all that the provider runs.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a provider needs to know to create an endpoint.
#[non_exhaustive]
pub struct ExportRequest {
    /// The config type, one of the provider's.
    pub config_type: String,
    /// The `endpoint.id` that it will have.
    pub endpoint_id: String,
    /// The interfaces to export.
    pub interfaces: Vec<String>,
    /// The service.
    pub service: Arc<dyn Dispatch>,
    /// The service's properties under those of the export.
    pub properties: Properties,
}

impl ExportRequest {
    /// A request to export `service` under `interfaces`.
    pub fn new(
        config_type: impl Into<String>,
        endpoint_id: impl Into<String>,
        interfaces: Vec<String>,
        service: Arc<dyn Dispatch>,
        properties: Properties,
    ) -> Self {
        Self {
            config_type: config_type.into(),
            endpoint_id: endpoint_id.into(),
            interfaces,
            service,
            properties,
        }
    }
}

/// A service that is callable now.
#[non_exhaustive]
pub struct Exported {
    /// What its description has to say besides what all descriptions say:
    /// `ecf.endpoint.id`, `ecf.endpoint.id.ns` and `ecf.rsvc.id` at least.
    /// Its `service.intents` are those that the provider adds to the
    /// service's own (rule P10).
    pub properties: Properties,
    /// The way to end it.
    pub endpoint: Box<dyn ExportedEndpoint>,
}

impl Exported {
    /// An endpoint with its own part of the description.
    pub fn new(properties: Properties, endpoint: Box<dyn ExportedEndpoint>) -> Self {
        Self {
            properties,
            endpoint,
        }
    }
}

/// A provider's side of an endpoint that it made.
pub trait ExportedEndpoint: Send + Sync {
    /// Takes note of where to tell of trouble from now on, also of what is
    /// there already (rules X13, V06). Called once.
    fn watch(&self, troubles: Troubles) {
        drop(troubles);
    }

    /// Whether the endpoint answers calls. It is announced once it does, and
    /// asked again in a while if it does not. The default is that an endpoint
    /// that was made answers.
    ///
    /// # Errors
    ///
    /// If it does not answer yet.
    fn ready(&self) -> BoxFuture<'static, Result<(), DistributionError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Cuts callers off at once, and frees what the endpoint alone used by
    /// the time that the future is ready (rule L06).
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A provider's side of an endpoint elsewhere.
pub trait ImportedEndpoint: Send + Sync {
    /// Where calls go. It stays the same through updates.
    fn invoker(&self) -> Arc<dyn Invoker>;

    /// Intents that this side adds to those of the endpoint (rule P10).
    fn intents(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes note of where to tell of trouble from now on, also of what is
    /// there already (rule V06). Called once.
    fn watch(&self, troubles: Troubles) {
        drop(troubles);
    }

    /// Whether it ends calls by itself once `osgi.basic.timeout` has passed,
    /// and tells of a value that does not read (rules N06, N07). The default
    /// is that it does not, and the [admin](crate::admin) does it.
    fn keeps_timeout(&self) -> bool {
        false
    }

    /// Follows a changed description of the same endpoint; calls under way
    /// are not disturbed.
    ///
    /// # Errors
    ///
    /// If the new description does not say how to call it; calls go on as
    /// before.
    fn update(&self, endpoint: &EndpointDescription) -> Result<(), DistributionError>;

    /// Ends calls under way, and later ones, with
    /// [`CallError::EndpointRemoved`](crate::interface::CallError::EndpointRemoved).
    fn close(&self);
}

/// What an endpoint's `osgi.basic.timeout` says: how long each of its calls
/// may take (OSGi Compendium 100.3.1.2, rule N06). It is in milliseconds, as
/// text or as any number; none if it is not there.
///
/// # Errors
///
/// If its value is no positive number.
pub fn basic_timeout(
    endpoint: &EndpointDescription,
) -> Result<Option<Duration>, DistributionError> {
    let Some(value) = endpoint.properties().get(osgi::BASIC_TIMEOUT) else {
        return Ok(None);
    };
    match value.to_i64().and_then(|ms| u64::try_from(ms).ok()) {
        Some(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(DistributionError::Property {
            name: osgi::BASIC_TIMEOUT.to_owned(),
            value: value.to_string(),
            problem: "it must be a positive number of milliseconds; the client's default \
                      holds instead"
                .to_owned(),
        }),
    }
}

/// The provider that supports a config type.
pub(crate) fn provider_for<'a>(
    providers: &'a [Arc<dyn Provider>],
    config_type: &str,
) -> Option<&'a Arc<dyn Provider>> {
    providers
        .iter()
        .find(|p| p.config_types().contains(&config_type))
}
