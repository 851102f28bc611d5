//! An exported service, in the hands of who exported it.

use std::sync::Arc;

use crate::endpoint::EndpointDescription;
use crate::names::osgi;
use crate::properties::Properties;
use crate::services::{RegistryError, ServiceReference, ServiceRegistration};
use crate::topology::{ExportFeed, ExportStatus, TopologyError};

/// An exported service. Dropping it takes the service back.
#[must_use = "dropping an export takes the service back"]
#[derive(Debug)]
pub struct Export {
    pub(super) registration: ServiceRegistration,
    pub(super) exports: ExportFeed,
}

impl Export {
    /// The service in the own registry.
    pub fn reference(&self) -> &ServiceReference {
        self.registration.reference()
    }

    /// How the export stands; `None` before it was begun.
    pub fn status(&self) -> Option<Arc<ExportStatus>> {
        self.exports.get(&self.reference().id())
    }

    /// Waits until all endpoints of the service are announced, with the
    /// service's properties as they are now, and gives their descriptions.
    /// Waits for ever while etcd cannot be reached, while an endpoint does not
    /// answer (see [`ExportStatus::unready`]), and if the topology policy does
    /// not export the service. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If the service could not be exported or announced.
    pub async fn announced(&self) -> Result<Vec<Arc<EndpointDescription>>, TopologyError> {
        let mut news = self.exports.listen(|_| true);
        loop {
            let properties = self.reference().properties();
            let status = self.status();
            if let Some(status) = status.filter(|s| s.properties == properties) {
                if let Some(error) = &status.error {
                    return Err(error.clone());
                }
                if status.unannounced == 0 && !status.endpoints.is_empty() {
                    return Ok(status.endpoints.clone());
                }
            }
            if news.next().await.is_none() {
                return Err(TopologyError::NoProvider);
            }
        }
    }

    /// Replaces the service's properties. The announcement follows, and the
    /// proxies elsewhere.
    ///
    /// # Errors
    ///
    /// If the service is not registered any more.
    pub fn set_properties(&self, mut properties: Properties) -> Result<(), RegistryError> {
        let before = self.reference().properties();
        if !properties.contains(osgi::SERVICE_EXPORTED_INTERFACES)
            && let Some(exported) = before.get(osgi::SERVICE_EXPORTED_INTERFACES)
        {
            properties.set(osgi::SERVICE_EXPORTED_INTERFACES, exported.clone());
        }
        self.registration.set_properties(properties)
    }

    /// Takes the service back. The rest happens in the background.
    pub fn close(self) {
        self.registration.unregister();
    }
}
