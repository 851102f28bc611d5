//! Who may see, import and export which endpoints (OSGi Compendium 122.11).
//!
//! OSGi asks the caller's Java permissions. A Rust process has none, so that
//! what a client may do is in the handle that it is given.

use std::sync::Arc;

use super::{
    AdminError, AdminEvent, AdminEvents, EventsLost, ExportError, ExportReference,
    ExportRegistration, ImportReference, ImportRegistration, RemoteServiceAdmin,
};
use crate::endpoint::EndpointDescription;
use crate::filter::{Filter, FilterError};
use crate::names::{EndpointId, FrameworkId};
use crate::properties::Properties;
use crate::services::ServiceReference;

/// What one may do with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointAction {
    /// See it in lists and events.
    Read,
    /// Import it, and see it.
    Import,
    /// Export it, and see it.
    Export,
}

/// Allows actions on some endpoints (OSGi's `EndpointPermission`).
#[derive(Clone, Debug)]
pub struct EndpointPermission {
    /// None for all endpoints.
    filter: Option<Filter>,
    actions: Vec<EndpointAction>,
}

/// In a permission: the own framework.
const LOCAL: &str = "<<LOCAL>>";

impl EndpointPermission {
    /// Allows `actions` on the endpoints that `filter` matches: `*` for all,
    /// or an LDAP filter over their properties, in which `<<LOCAL>>` stands
    /// for `framework`.
    ///
    /// # Errors
    ///
    /// If the filter does not parse.
    pub fn new(
        filter: &str,
        framework: &FrameworkId,
        actions: impl IntoIterator<Item = EndpointAction>,
    ) -> Result<Self, FilterError> {
        let filter = match filter.trim() {
            "*" => None,
            text => {
                let framework = escaped(framework.as_str());
                Some(Filter::parse(&text.replace(LOCAL, &framework))?)
            }
        };
        Ok(Self {
            filter,
            actions: actions.into_iter().collect(),
        })
    }

    fn allows(&self, action: EndpointAction, endpoint: Option<&EndpointDescription>) -> bool {
        let here = match (&self.filter, endpoint) {
            (None, _) => true,
            (Some(filter), Some(endpoint)) => endpoint.matches(filter),
            (Some(_), None) => false,
        };
        // Import and export include read.
        let may = |a: &EndpointAction| *a == action || action == EndpointAction::Read;
        here && self.actions.iter().any(may)
    }
}

/// Text as it stands for itself in a filter.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '(' | ')') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// An endpoint with which one may not do what was asked: OSGi's
/// `SecurityException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not permitted to {} endpoint {endpoint} of {}: give the client a permission that \
     matches it", verb(*action), interfaces.join(", ")
)]
pub struct NotPermitted {
    /// What was to be done.
    pub action: EndpointAction,
    /// The `endpoint.id`.
    pub endpoint: EndpointId,
    /// The interfaces.
    pub interfaces: Vec<String>,
}

fn verb(action: EndpointAction) -> &'static str {
    match action {
        EndpointAction::Read => "see",
        EndpointAction::Import => "import",
        EndpointAction::Export => "export",
    }
}

/// The permissions of one client.
#[derive(Clone, Debug)]
pub(super) struct Permissions(Arc<[EndpointPermission]>);

impl Permissions {
    /// What is allowed nowhere is not allowed.
    pub(super) fn check(
        &self,
        action: EndpointAction,
        endpoint: &EndpointDescription,
    ) -> Result<(), NotPermitted> {
        if self.0.iter().any(|p| p.allows(action, Some(endpoint))) {
            return Ok(());
        }
        let interfaces = endpoint.interfaces().into_iter();
        Err(NotPermitted {
            action,
            endpoint: endpoint.id().clone(),
            interfaces: interfaces.map(str::to_owned).collect(),
        })
    }

    fn shows(&self, endpoint: Option<&EndpointDescription>) -> bool {
        let mut permissions = self.0.iter();
        permissions.any(|p| p.allows(EndpointAction::Read, endpoint))
    }
}

/// A Remote Service Admin in the hands of a client that may not do everything
/// (rules K02, K03). Cheap to clone.
///
/// Permissions are asked for when something is exported or imported; what is
/// open stays so. They say nothing of calls: see
/// [`Interceptor`](crate::calls::Interceptor).
#[derive(Clone, Debug)]
pub struct GuardedAdmin {
    admin: RemoteServiceAdmin,
    permissions: Permissions,
}

impl RemoteServiceAdmin {
    /// This admin for a client with these permissions, and no others.
    pub fn guarded(
        &self,
        permissions: impl IntoIterator<Item = EndpointPermission>,
    ) -> GuardedAdmin {
        GuardedAdmin {
            admin: self.clone(),
            permissions: Permissions(permissions.into_iter().collect()),
        }
    }
}

impl GuardedAdmin {
    /// [`RemoteServiceAdmin::export_service`]. An export that is not permitted
    /// gives an invalid registration with [`AdminError::NotPermitted`], and no
    /// provider is asked: filters see the endpoint's description without what
    /// its provider would add.
    ///
    /// # Errors
    ///
    /// As [`RemoteServiceAdmin::export_service`].
    pub async fn export_service(
        &self,
        service: &ServiceReference,
        overlay: &Properties,
    ) -> Result<Vec<ExportRegistration>, ExportError> {
        let permissions = Some(&self.permissions);
        self.admin
            .export_as(service, overlay, &[], permissions)
            .await
    }

    /// [`RemoteServiceAdmin::import_service`].
    ///
    /// # Errors
    ///
    /// If the import is not permitted. There is no registration and no event
    /// then.
    pub fn import_service(
        &self,
        description: &Arc<EndpointDescription>,
    ) -> Result<Option<ImportRegistration>, NotPermitted> {
        self.permissions
            .check(EndpointAction::Import, description)?;
        Ok(self.admin.import_service(description))
    }

    /// Those of [`RemoteServiceAdmin::exports`] that the client may see.
    pub fn exports(&self) -> Vec<ExportReference> {
        let mut exports = self.admin.exports();
        exports.retain(|e| self.permissions.shows(e.description().as_deref()));
        exports
    }

    /// Those of [`RemoteServiceAdmin::imports`] that the client may see.
    pub fn imports(&self) -> Vec<ImportReference> {
        let mut imports = self.admin.imports();
        imports.retain(|i| self.permissions.shows(i.description().as_deref()));
        imports
    }

    /// [`RemoteServiceAdmin::events`] of the endpoints that the client may
    /// see. An event without an endpoint is only for those who may see all.
    pub fn events(&self) -> GuardedEvents {
        GuardedEvents {
            events: self.admin.events(),
            permissions: self.permissions.clone(),
        }
    }
}

/// [`AdminEvents`] of the endpoints that a client may see.
#[derive(Debug)]
pub struct GuardedEvents {
    events: AdminEvents,
    permissions: Permissions,
}

impl GuardedEvents {
    /// As [`AdminEvents::next`]. Cancellation safe.
    ///
    /// # Errors
    ///
    /// As [`AdminEvents::next`].
    pub async fn next(&mut self) -> Option<Result<AdminEvent, EventsLost>> {
        loop {
            let next = self.events.next().await?;
            if self.is_for_client(&next) {
                return Some(next);
            }
        }
    }

    /// As [`AdminEvents::try_next`].
    ///
    /// # Errors
    ///
    /// As [`AdminEvents::try_next`].
    pub fn try_next(&mut self) -> Option<Result<AdminEvent, EventsLost>> {
        loop {
            let next = self.events.try_next()?;
            if self.is_for_client(&next) {
                return Some(next);
            }
        }
    }

    fn is_for_client(&self, event: &Result<AdminEvent, EventsLost>) -> bool {
        match event {
            Ok(event) => self.permissions.shows(event.endpoint.as_deref()),
            Err(EventsLost(_)) => true,
        }
    }
}

impl From<NotPermitted> for AdminError {
    fn from(refused: NotPermitted) -> Self {
        Self::NotPermitted(Box::new(refused))
    }
}
