//! What Remote Service Admin tells its listeners (OSGi Compendium 122.7).

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, error, info};

use super::{AdminError, Shared};
use crate::endpoint::EndpointDescription;

/// How many events a listener may lag behind before it loses the oldest.
pub(super) const CAPACITY: usize = 1024;

/// Something that happened to a registration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminEvent {
    /// What happened.
    pub kind: AdminEventKind,
    /// The endpoint, as it was then; none for an export that failed before it
    /// had a description.
    pub endpoint: Option<Arc<EndpointDescription>>,
    /// The error, of events of an error or a warning.
    pub error: Option<Arc<AdminError>>,
}

/// The kinds of event (rule V03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdminEventKind {
    /// An endpoint was imported.
    ImportRegistration,
    /// A service was exported.
    ExportRegistration,
    /// An export was closed.
    ExportUnregistration,
    /// An import was closed.
    ImportUnregistration,
    /// An import failed.
    ImportError,
    /// An export failed.
    ExportError,
    /// An export has trouble, and works still.
    ExportWarning,
    /// An import has trouble, and works still.
    ImportWarning,
    /// An import follows a changed description.
    ImportUpdate,
    /// An export follows changed properties.
    ExportUpdate,
}

impl AdminEventKind {
    /// The number that OSGi's `RemoteServiceAdminEvent` gives to the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::ImportRegistration => 1,
            Self::ExportRegistration => 2,
            Self::ExportUnregistration => 3,
            Self::ImportUnregistration => 4,
            Self::ImportError => 5,
            Self::ExportError => 6,
            Self::ExportWarning => 7,
            Self::ImportWarning => 8,
            Self::ImportUpdate => 9,
            Self::ExportUpdate => 10,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ImportRegistration => "imported",
            Self::ExportRegistration => "exported",
            Self::ExportUnregistration => "unexported",
            Self::ImportUnregistration => "unimported",
            Self::ImportError => "import failed",
            Self::ExportError => "export failed",
            Self::ExportWarning => "export has trouble",
            Self::ImportWarning => "import has trouble",
            Self::ImportUpdate => "import updated",
            Self::ExportUpdate => "export updated",
        }
    }
}

/// A listener to the admin's events.
///
/// It may lag behind 1,024 events; then it loses the oldest and is told how
/// many.
#[derive(Debug)]
pub struct AdminEvents(broadcast::Receiver<AdminEvent>);

/// A listener was too slow and lost events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost because the listener was too slow: ask the admin for its snapshots")]
pub struct EventsLost(pub u64);

impl AdminEvents {
    pub(super) fn new(receiver: broadcast::Receiver<AdminEvent>) -> Self {
        Self(receiver)
    }

    /// The next event; `None` when the admin is gone. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If events were lost before the next one.
    pub async fn next(&mut self) -> Option<Result<AdminEvent, EventsLost>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(count)) => Some(Err(EventsLost(count))),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Shared {
    /// Logs an event and tells the listeners (rules V01, V07).
    pub(super) fn tell(
        &self,
        kind: AdminEventKind,
        endpoint: Option<&Arc<EndpointDescription>>,
        cause: Option<&Arc<AdminError>>,
    ) {
        let what = kind.name();
        match (endpoint, cause) {
            (Some(endpoint), None) => info!(%endpoint, "{what}"),
            (Some(endpoint), Some(cause)) => error!(%endpoint, %cause, "{what}"),
            (None, Some(cause)) => error!(%cause, "{what}"),
            (None, None) => debug!("{what}"),
        }
        // Without a listener there is nobody to tell, which is no error.
        let _ = self.events.send(AdminEvent {
            kind,
            endpoint: endpoint.cloned(),
            error: cause.cloned(),
        });
    }
}
