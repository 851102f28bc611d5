//! A distribution provider with interceptors around it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::interceptor::{InterceptedDispatch, InterceptedInvoker, Interceptors};
use crate::distribution::{
    DistributionError, ExportRequest, Exported, ImportedEndpoint, Provider, Troubles,
};
use crate::endpoint::EndpointDescription;
use crate::interface::Invoker;

/// Puts interceptors before all that a provider exports and imports.
pub struct InterceptedProvider {
    inner: Arc<dyn Provider>,
    client: Interceptors,
    server: Interceptors,
}

impl InterceptedProvider {
    /// Calls of imported services pass `client`, those to exported ones
    /// `server`.
    pub fn new(inner: Arc<dyn Provider>, client: Interceptors, server: Interceptors) -> Self {
        Self {
            inner,
            client,
            server,
        }
    }
}

impl Provider for InterceptedProvider {
    fn config_types(&self) -> &'static [&'static str] {
        self.inner.config_types()
    }

    fn intents(&self) -> &'static [&'static str] {
        self.inner.intents()
    }

    fn unmet(&self, intents: &[String]) -> Vec<String> {
        self.inner.unmet(intents)
    }

    fn export(
        &self,
        mut request: ExportRequest,
    ) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        request.service = Arc::new(InterceptedDispatch::new(
            Arc::clone(&self.server),
            request.interfaces.join(" "),
            request.endpoint_id.as_str(),
            request.service,
        ));
        self.inner.export(request)
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        let inner = self.inner.import(endpoint)?;
        if self.client.is_empty() {
            return Ok(inner);
        }
        let invoker = Arc::new(InterceptedInvoker::new(
            Arc::clone(&self.client),
            endpoint.interfaces().join(" "),
            endpoint.id().as_str(),
            inner.invoker(),
        ));
        Ok(Box::new(InterceptedEndpoint { inner, invoker }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

/// An endpoint's invoker stays the same through updates, so that it can be
/// wrapped once.
struct InterceptedEndpoint {
    inner: Box<dyn ImportedEndpoint>,
    invoker: Arc<InterceptedInvoker>,
}

impl ImportedEndpoint for InterceptedEndpoint {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::clone(&self.invoker) as Arc<dyn Invoker>
    }

    fn intents(&self) -> Vec<String> {
        self.inner.intents()
    }

    fn watch(&self, troubles: Troubles) {
        self.inner.watch(troubles);
    }

    fn keeps_timeout(&self) -> bool {
        self.inner.keeps_timeout()
    }

    fn update(&self, endpoint: &EndpointDescription) -> Result<(), DistributionError> {
        self.inner.update(endpoint)
    }

    fn close(&self) {
        self.inner.close();
    }
}
