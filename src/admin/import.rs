//! Importing endpoints (OSGi Compendium 122.5.2).

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tracing::{debug, warn};

use super::{AdminError, AdminEventKind, RemoteServiceAdmin, Shared};
use crate::distribution::{ImportedEndpoint, Provider, provider_for};
use crate::endpoint::EndpointDescription;
use crate::names::osgi;
use crate::properties::{Properties, Value};
use crate::services::{Service, ServiceReference, ServiceRegistration};

/// What becomes of a registration, shared with the admin's list.
pub(super) struct State {
    config_type: String,
    inner: Mutex<Phase>,
}

enum Phase {
    Open {
        description: Arc<EndpointDescription>,
        endpoint: Box<dyn ImportedEndpoint>,
        proxy: ServiceRegistration,
    },
    Failed(Arc<AdminError>),
    Closed,
}

impl State {
    pub(super) fn description(&self) -> Option<Arc<EndpointDescription>> {
        match &*self.inner.lock() {
            Phase::Open { description, .. } => Some(Arc::clone(description)),
            Phase::Failed(_) | Phase::Closed => None,
        }
    }
}

impl RemoteServiceAdmin {
    /// Imports an endpoint: registers a proxy under its interfaces.
    ///
    /// Nothing is connected yet: that is left to the first call (rule I02).
    /// `None` if no provider knows a config type of the endpoint, or the one
    /// that does lacks an intent that the endpoint has (rules I01, N03). The
    /// registration may be invalid: [`ImportRegistration::error`] tells.
    pub fn import_service(
        &self,
        description: &Arc<EndpointDescription>,
    ) -> Option<ImportRegistration> {
        let (config_type, provider) = self.importer(description)?;
        let phase = match self.open(description, &config_type, provider.as_ref()) {
            Ok(open) => open,
            Err(error) => Phase::Failed(Arc::new(error)),
        };
        let failure = match &phase {
            Phase::Failed(error) => Some(Arc::clone(error)),
            Phase::Open { .. } | Phase::Closed => None,
        };
        let state = Arc::new(State {
            config_type,
            inner: Mutex::new(phase),
        });
        match &failure {
            None => {
                self.0.imports.lock().push(Arc::clone(&state));
                let kind = AdminEventKind::ImportRegistration;
                self.0.tell(kind, Some(description), None);
            }
            Some(error) => {
                let kind = AdminEventKind::ImportError;
                self.0.tell(kind, Some(description), Some(error));
            }
        }
        Some(ImportRegistration {
            state,
            admin: Arc::downgrade(&self.0),
        })
    }

    fn importer(&self, description: &EndpointDescription) -> Option<(String, Arc<dyn Provider>)> {
        let providers = self.0.providers.read();
        let found = description
            .config_types()
            .into_iter()
            .find_map(|config_type| {
                let provider = provider_for(&providers, config_type)?;
                Some((config_type.to_owned(), Arc::clone(provider)))
            });
        let Some((config_type, provider)) = found else {
            debug!(endpoint = %description, config_types = ?description.config_types(),
                "no provider supports the endpoint's config types; it is not imported");
            return None;
        };
        let intents = description.intents();
        let unknown: Vec<_> = intents
            .into_iter()
            .filter(|intent| !provider.intents().contains(intent))
            .collect();
        if !unknown.is_empty() {
            warn!(endpoint = %description, intents = ?unknown,
                "the endpoint has intents that the provider does not know; it is not imported");
            return None;
        }
        Some((config_type, provider))
    }

    fn open(
        &self,
        description: &Arc<EndpointDescription>,
        config_type: &str,
        provider: &dyn Provider,
    ) -> Result<Phase, AdminError> {
        let endpoint = provider.import(description)?;
        let service = Service::remote(description.interfaces(), &endpoint.invoker());
        let properties = proxy_properties(description, config_type);
        let proxy = self.0.registry.register(service, properties)?;
        Ok(Phase::Open {
            description: Arc::clone(description),
            endpoint,
            proxy,
        })
    }
}

/// Rule I04: what the endpoint says, and the config type in use.
fn proxy_properties(description: &EndpointDescription, config_type: &str) -> Properties {
    description.proxy_properties().with(
        osgi::SERVICE_IMPORTED_CONFIGS,
        Value::array_of([config_type]),
    )
}

/// An import, in the hands of who asked for it. Dropping it closes it.
pub struct ImportRegistration {
    state: Arc<State>,
    admin: Weak<Shared>,
}

impl ImportRegistration {
    /// The endpoint's description; `None` if the registration is closed or
    /// invalid.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.state.description()
    }

    /// The proxy; `None` if the registration is closed or invalid.
    pub fn proxy(&self) -> Option<ServiceReference> {
        match &*self.state.inner.lock() {
            Phase::Open { proxy, .. } => Some(proxy.reference().clone()),
            Phase::Failed(_) | Phase::Closed => None,
        }
    }

    /// Why the registration is invalid, if it is (rule L02).
    pub fn error(&self) -> Option<Arc<AdminError>> {
        match &*self.state.inner.lock() {
            Phase::Failed(error) => Some(Arc::clone(error)),
            Phase::Open { .. } | Phase::Closed => None,
        }
    }

    /// Follows a changed description of the same endpoint: the proxy stays,
    /// with new properties (rule U05).
    ///
    /// # Errors
    ///
    /// If the registration is closed or invalid, the description is of
    /// another endpoint, or the provider cannot follow; everything then stays
    /// as it was.
    pub fn update(&self, description: &Arc<EndpointDescription>) -> Result<(), AdminError> {
        let mut phase = self.state.inner.lock();
        let (current, endpoint, proxy) = match &mut *phase {
            Phase::Open {
                description,
                endpoint,
                proxy,
            } => (description, endpoint, proxy),
            Phase::Failed(error) => return Err(AdminError::Invalid(Arc::clone(error))),
            Phase::Closed => return Err(AdminError::Closed),
        };
        if current.id() != description.id() {
            return Err(AdminError::OtherEndpoint {
                expected: current.id().clone(),
                found: description.id().clone(),
            });
        }
        endpoint.update(description)?;
        proxy.set_properties(proxy_properties(description, &self.state.config_type))?;
        *current = Arc::clone(description);
        drop(phase);
        if let Some(admin) = self.admin.upgrade() {
            admin.tell(AdminEventKind::ImportUpdate, Some(description), None);
        }
        Ok(())
    }

    /// Ends the import: the proxy goes, and calls under way end with
    /// [`CallError::EndpointRemoved`](crate::interface::CallError::EndpointRemoved).
    /// Closing twice does nothing.
    pub fn close(&self) {
        let phase = std::mem::replace(&mut *self.state.inner.lock(), Phase::Closed);
        let Phase::Open {
            description,
            endpoint,
            proxy,
        } = phase
        else {
            return;
        };
        // First the proxy: nobody finds what is about to end.
        proxy.unregister();
        endpoint.close();
        if let Some(admin) = self.admin.upgrade() {
            admin
                .imports
                .lock()
                .retain(|other| !Arc::ptr_eq(other, &self.state));
            admin.tell(
                AdminEventKind::ImportUnregistration,
                Some(&description),
                None,
            );
        }
    }
}

impl Drop for ImportRegistration {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for ImportRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportRegistration")
            .field("endpoint", &self.description())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}
