//! The service by which others know that a provider is there.

use std::sync::Arc;

use futures::future::BoxFuture;
use tracing::error;

use crate::distribution::Provider;
use crate::interface::{Call, CallError, Data, Dispatch};
use crate::names::osgi;
use crate::properties::{Properties, Value};
use crate::services::{Registry, Service, ServiceRegistration};

/// The interface that OSGi gives to whoever distributes services.
const INTERFACE: &str = "org.osgi.service.remoteserviceadmin.RemoteServiceAdmin";

/// Registers a service with what the provider supports (rules P18, N12).
pub(super) fn register(
    registry: &Registry,
    provider: &dyn Provider,
) -> Option<ServiceRegistration> {
    let supported = |names: &[&'static str]| Value::array_of(names.iter().copied());
    let properties = Properties::new()
        .with(
            osgi::REMOTE_CONFIGS_SUPPORTED,
            supported(provider.config_types()),
        )
        .with(
            osgi::REMOTE_INTENTS_SUPPORTED,
            supported(provider.intents()),
        );
    let service = Service::untyped(INTERFACE, Arc::new(Nothing));
    match registry.register(service, properties) {
        Ok(registration) => Some(registration),
        Err(error) => {
            // It has an interface, which is all that a registry asks for.
            error!(%error, "what a provider supports is not registered");
            None
        }
    }
}

/// The service is there for its properties.
struct Nothing;

impl Dispatch for Nothing {
    fn has_method(&self, _method: &str) -> bool {
        false
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move {
            Err(CallError::NoSuchMethod {
                interface: INTERFACE.to_owned(),
                method: call.method.into_owned(),
                methods: Vec::new(),
            })
        })
    }
}
