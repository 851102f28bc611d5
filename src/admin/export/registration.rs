//! An export, in the hands of who asked for it.

use std::fmt;
use std::sync::{Arc, Weak};

use futures::future::BoxFuture;

use super::super::book::Endpoint as _;
use super::super::{AdminError, ExportReference, RemoteServiceAdmin, Shared};
use super::{Export, State};
use crate::distribution::ExportedEndpoint;
use crate::endpoint::EndpointDescription;
use crate::properties::Properties;
use crate::services::ServiceReference;

/// An export, in the hands of who asked for it.
///
/// Dropping it closes it: callers are cut off at once if it was the last
/// registration of its endpoint, and the rest is done in the background.
pub struct ExportRegistration {
    pub(super) slot: Export,
    pub(super) admin: Weak<Shared>,
}

impl ExportRegistration {
    /// What others may know of it; `None` if it is closed.
    ///
    /// # Errors
    ///
    /// If the registration is invalid (rule L03).
    pub fn reference(&self) -> Result<Option<ExportReference>, AdminError> {
        match self.error() {
            Some(error) => Err(AdminError::Invalid(error)),
            None if self.slot.endpoint().is_none() => Ok(None),
            None => Ok(Some(ExportReference(Arc::clone(&self.slot)))),
        }
    }

    /// The endpoint's description; `None` if the registration is closed or
    /// invalid.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.slot.description()
    }

    /// The config type of the endpoint; `None` if the registration is closed
    /// or invalid.
    pub fn config_type(&self) -> Option<String> {
        Some(self.slot.endpoint()?.shape.config_type.clone())
    }

    /// The exported service; `None` if the registration is closed or invalid.
    pub fn service(&self) -> Option<ServiceReference> {
        Some(self.slot.endpoint()?.service().clone())
    }

    /// Why the endpoint is beyond repair, if its provider told so. The
    /// registration stays open until it is closed (rules X13, V06); exported
    /// anew, the service gets another endpoint.
    pub fn broken(&self) -> Option<Arc<AdminError>> {
        self.slot.endpoint()?.broken().get().cloned()
    }

    /// Whether the endpoint answers calls, as its provider finds out by
    /// trying. What is closed or invalid does not.
    ///
    /// # Errors
    ///
    /// If it does not answer yet, and why.
    pub fn ready(&self) -> BoxFuture<'static, Result<(), AdminError>> {
        let asked = self.slot.endpoint().and_then(|state| {
            let inner = state.inner.lock();
            inner.endpoint.as_ref().map(|endpoint| endpoint.ready())
        });
        match asked {
            None => Box::pin(std::future::ready(Err(AdminError::Closed))),
            Some(answer) => Box::pin(async move { Ok(answer.await?) }),
        }
    }

    /// Why the registration is invalid, if it is (rule L02). Closing does not
    /// change it.
    pub fn error(&self) -> Option<Arc<AdminError>> {
        self.slot.error()
    }

    /// Why the latest update failed, if it did (rule U03).
    pub fn update_error(&self) -> Option<Arc<AdminError>> {
        self.slot.update_error.lock().clone()
    }

    /// Follows a change of the service's properties, which are read afresh
    /// (rule U02). `overlay` replaces the one of the export; `None` keeps it.
    /// Gives the description that holds now, the same one if nothing changed.
    /// All who share the endpoint see it, and there is an event for each.
    ///
    /// # Errors
    ///
    /// If the registration is closed or invalid, or the new properties
    /// describe no endpoint, or one that this endpoint cannot become: one of
    /// other interfaces or intents, or with other properties of its config
    /// type. The old description then holds on (rule U03); close the
    /// registration and export the service anew (rule U06).
    pub fn update(
        &self,
        overlay: Option<&Properties>,
    ) -> Result<Arc<EndpointDescription>, AdminError> {
        let updated = self.slot.to_update().and_then(|state| {
            let shared = self.admin.upgrade().ok_or(AdminError::Closed)?;
            RemoteServiceAdmin(shared).update_export(&state, overlay)
        });
        let error = updated.as_ref().err().cloned().map(Arc::new);
        *self.slot.update_error.lock() = error;
        updated
    }

    /// Ends the export. When it returns, and this was the last registration
    /// of its endpoint, remote users are cut off and what the endpoint alone
    /// used is free (rule L06). Closing twice does nothing, nor does closing
    /// what is invalid (rule L05).
    pub async fn close(&self) {
        if let Some((endpoint, _)) = self.end() {
            endpoint.close().await;
        }
    }

    /// Closes, and gives what is left to be waited for.
    fn end(&self) -> Option<(Box<dyn ExportedEndpoint>, Arc<State>)> {
        let state = self.slot.endpoint()?;
        let endpoint = match self.admin.upgrade() {
            Some(admin) => state.leave(&admin, &self.slot)?,
            // Without an admin nobody tells who else has a share.
            None => state.inner.lock().endpoint.take()?,
        };
        Some((endpoint, state))
    }
}

impl Drop for ExportRegistration {
    fn drop(&mut self) {
        let Some((endpoint, state)) = self.end() else {
            return;
        };
        match self.admin.upgrade() {
            Some(admin) => admin.end_beside(endpoint, &state.runtime),
            None => drop(endpoint),
        }
    }
}

impl fmt::Debug for ExportRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportRegistration")
            .field("number", &self.slot.number)
            .field("service", &self.service())
            .field("endpoint", &self.description())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}
