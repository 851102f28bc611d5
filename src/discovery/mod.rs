//! Discovery: how exporters tell of their endpoints, and importers hear.
//!
//! It knows endpoints and no services. What to announce and what to do with
//! what is heard is the topology manager's choice.

#[cfg(feature = "edef")]
pub mod edef;
pub mod etcd;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::endpoint::EndpointDescription;
use crate::endpoint::service_info::EncodeError;
use crate::feed::Feed;
use crate::keyspace;
use crate::names::EndpointId;

/// The endpoints that a discovery knows now, and news of them.
///
/// A listener takes the place of OSGi's `EndpointEventListener` (Compendium
/// 122.6): what it selects is its scope, and the kinds of change are those of
/// `EndpointEvent`.
pub type EndpointFeed = Feed<EndpointId, Arc<EndpointDescription>>;

/// A failure to announce an endpoint or to take an announcement back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The description would harm a peer. Nothing was written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The key space refused it, or is closed.
    #[error("endpoint {endpoint} is not announced: {source}")]
    KeySpace {
        /// The `endpoint.id`.
        endpoint: String,
        /// What the key space said.
        source: keyspace::Error,
    },
}

/// Tells how an announcement went. It goes on also when this is dropped.
pub type Receipt = BoxFuture<'static, Result<(), DiscoveryError>>;

/// Announces own endpoints (`EndpointAdvertiser` in ECF and iPOPO).
pub trait Advertiser: Send + Sync {
    /// Announces an endpoint, or its new content, from now on and through all
    /// failures until it is withdrawn. The receipt is ready once it is out.
    ///
    /// # Errors
    ///
    /// If peers could not read the description. Nothing was written.
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError>;

    /// Takes an announcement back. The receipt is ready once it is gone.
    fn withdraw(&self, endpoint: &EndpointId) -> Receipt;
}

/// Hears of the endpoints of others (`EndpointSubscriber` in iPOPO).
pub trait Subscriber: Send + Sync {
    /// The endpoints known now, and news of them.
    fn endpoints(&self) -> &EndpointFeed;
}
