//! Remote Service Admin (OSGi Compendium 122.5): exports a service, imports
//! an endpoint, when it is told to.
//!
//! It has no policy of its own. The [topology manager](crate::topology) says
//! what is exported and imported; [distribution providers](crate::distribution)
//! do it.

mod event;
mod export;
mod import;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast;

pub use event::{AdminEvent, AdminEventKind, AdminEvents};
pub use export::{ExportError, ExportRegistration};
pub use import::ImportRegistration;

use crate::distribution::{DistributionError, Provider};
use crate::endpoint::{DescriptionError, EndpointDescription};
use crate::names::{EndpointId, FrameworkId};
use crate::services::{Registry, RegistryError};

/// Why a registration is invalid, or an update of one failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The distribution provider failed.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// The properties do not describe an endpoint.
    #[error("the endpoint's description is not valid: {0}")]
    Description(#[from] DescriptionError),
    /// An update asks for what cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An update asks for other interfaces than those exported (rule U06).
    #[error(
        "the export has the interfaces {} and cannot change to {}: close it and export the \
         service anew", exported.join(", "), asked.join(", ")
    )]
    OtherInterfaces {
        /// The interfaces of the endpoint.
        exported: Vec<String>,
        /// Those asked for.
        asked: Vec<String>,
    },
    /// The service registry refused the proxy.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registration is closed (rule U04).
    #[error("the registration is closed")]
    Closed,
    /// The registration never was valid (rule U04).
    #[error("the registration is invalid: {0}")]
    Invalid(Arc<AdminError>),
    /// The service is gone from the registry.
    #[error("service {id} is not registered any more")]
    ServiceGone {
        /// Its `service.id`.
        id: i64,
    },
    /// An update of one endpoint has the description of another (rule U05).
    #[error("the description is of endpoint {found} and not of {expected}")]
    OtherEndpoint {
        /// The endpoint of the registration.
        expected: EndpointId,
        /// The endpoint of the description.
        found: EndpointId,
    },
}

/// The Remote Service Admin of one framework. Cheap to clone; all clones are
/// one.
#[derive(Clone)]
pub struct RemoteServiceAdmin(Arc<Shared>);

struct Shared {
    framework: FrameworkId,
    registry: Registry,
    providers: RwLock<Vec<Arc<dyn Provider>>>,
    exports: Mutex<Vec<Arc<export::State>>>,
    imports: Mutex<Vec<Arc<import::State>>>,
    events: broadcast::Sender<AdminEvent>,
}

impl RemoteServiceAdmin {
    /// Without a provider it exports and imports nothing.
    pub fn new(framework: FrameworkId, registry: Registry) -> Self {
        let (events, _) = broadcast::channel(event::CAPACITY);
        Self(Arc::new(Shared {
            framework,
            registry,
            providers: RwLock::default(),
            exports: Mutex::default(),
            imports: Mutex::default(),
            events,
        }))
    }

    /// Adds a distribution provider. Of several that support a config type,
    /// the first one added serves it.
    pub fn add_provider(&self, provider: Arc<dyn Provider>) {
        self.0.providers.write().push(provider);
    }

    /// The framework whose services are exported.
    pub fn framework(&self) -> &FrameworkId {
        &self.0.framework
    }

    /// The config types that some provider supports.
    pub fn config_types(&self) -> Vec<&'static str> {
        let providers = self.0.providers.read();
        let types = providers.iter().flat_map(|p| p.config_types());
        types.copied().collect()
    }

    /// What is exported now: one description for each open, valid
    /// registration (rule I06).
    pub fn exported(&self) -> Vec<Arc<EndpointDescription>> {
        let exports = self.0.exports.lock();
        exports
            .iter()
            .filter_map(|state| state.description())
            .collect()
    }

    /// What is imported now: one description for each open, valid
    /// registration (rule I06).
    pub fn imported(&self) -> Vec<Arc<EndpointDescription>> {
        let imports = self.0.imports.lock();
        imports
            .iter()
            .filter_map(|state| state.description())
            .collect()
    }

    /// Events of this admin from now on, in order.
    pub fn events(&self) -> AdminEvents {
        AdminEvents::new(self.0.events.subscribe())
    }

    /// Ends all providers. Registrations are to be closed before.
    pub async fn close(&self) {
        let providers = std::mem::take(&mut *self.0.providers.write());
        for provider in providers {
            provider.close().await;
        }
    }
}

impl fmt::Debug for RemoteServiceAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteServiceAdmin")
            .field("framework", &self.0.framework)
            .field("exported", &self.exported())
            .field("imported", &self.imported())
            .finish_non_exhaustive()
    }
}
