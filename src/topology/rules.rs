//! A policy as the manager asks it: within the rules that hold for any, and
//! without its panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::policy::{DEFAULT_LINGER, Import, PolicyContext, TopologyPolicy};
use crate::admin::{PackageVersions, RemoteServiceAdmin};
use crate::endpoint::EndpointDescription;
use crate::names::osgi;
use crate::properties::Properties;

#[derive(Clone)]
pub(super) struct Rules {
    policy: Arc<dyn TopologyPolicy>,
    admin: RemoteServiceAdmin,
}

impl Rules {
    pub(super) fn new(policy: Arc<dyn TopologyPolicy>, admin: RemoteServiceAdmin) -> Self {
        Self { policy, admin }
    }

    /// What the export of a service has over the service's own properties, if
    /// the service is to be exported. A proxy is not (rule X14).
    pub(super) fn export(&self, service: &Properties) -> Option<Properties> {
        if service.contains(osgi::SERVICE_IMPORTED) {
            return None;
        }
        let overlay = self.ask(None, |policy, context| policy.export(service, context))?;
        let marked = |properties: &Properties| {
            let names = properties.get(osgi::SERVICE_EXPORTED_INTERFACES);
            names.is_some()
        };
        (marked(service) || marked(&overlay)).then_some(overlay)
    }

    pub(super) fn advertise(&self, endpoint: &EndpointDescription) -> bool {
        self.ask(false, |policy, context| policy.advertise(endpoint, context))
    }

    /// Whether an endpoint is imported. One's own is not (rule E10).
    pub(super) fn import(&self, endpoint: &EndpointDescription) -> Import {
        if endpoint.framework_uuid() == Some(self.admin.framework().as_str()) {
            return Import::Never;
        }
        self.ask(Import::Never, |policy, context| {
            policy.import(endpoint, context)
        })
    }

    pub(super) fn versions(&self) -> PackageVersions {
        self.ask(PackageVersions::default(), |policy, _| policy.versions())
    }

    pub(super) fn linger(&self) -> Duration {
        self.ask(DEFAULT_LINGER, |policy, _| policy.linger())
    }

    /// The policy's answer, or `otherwise` if it panics: the manager's task,
    /// and all that it made, must outlive that.
    fn ask<T>(
        &self,
        otherwise: T,
        question: impl FnOnce(&dyn TopologyPolicy, &PolicyContext<'_>) -> T,
    ) -> T {
        let config_types = self.admin.config_types();
        let context = PolicyContext::new(self.admin.framework(), &config_types);
        let answer = AssertUnwindSafe(|| question(self.policy.as_ref(), &context));
        catch_unwind(answer).unwrap_or_else(|_| {
            error!("the topology policy panicked, which counts as no, or as its default");
            otherwise
        })
    }
}
