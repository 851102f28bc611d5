//! Discovery: how exporters tell of their endpoints, and importers hear.
//!
//! It knows endpoints and no services. What to announce and what to do with
//! what is heard is the topology manager's choice.

#[cfg(feature = "edef")]
pub mod edef;
pub mod etcd;
mod listeners;
mod scope;

use std::sync::Arc;

use futures::future::BoxFuture;

pub use listeners::{
    Blocking, EndpointEvent, EndpointEventKind, EndpointEventListener, EndpointListener,
    EndpointListeners, ListenerCounts, ListenerFailure, ListenerRegistration, ScopeHandle, Source,
};
pub use scope::{Scope, ScopeError};

use crate::endpoint::EndpointDescription;
use crate::endpoint::service_info::EncodeError;
use crate::feed::Feed;
use crate::keyspace;
use crate::names::EndpointId;

/// The endpoints that a discovery knows now, and news of them. Who wants to
/// hear of the endpoints of all discoveries takes [`EndpointListeners`].
pub type EndpointFeed = Feed<EndpointId, Arc<EndpointDescription>>;

/// A feed of endpoints, none yet. Its topics are the interfaces, so that
/// listeners to other interfaces cost nothing.
pub fn endpoint_feed() -> EndpointFeed {
    EndpointFeed::with_topics(|endpoint| endpoint.interfaces())
}

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
///
/// Those who announce through the same `Arc` share their announcements: the
/// last of them takes one back. Something around it counts as another
/// discovery, so hand out clones of one `Arc`.
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
