//! An import, in the hands of who asked for it.

use std::fmt;
use std::sync::{Arc, Weak};

use super::super::book::Endpoint as _;
use super::super::{AdminError, ImportReference, PackageVersions, RemoteServiceAdmin, Shared};
use super::{Import, Phase};
use crate::endpoint::EndpointDescription;
use crate::services::ServiceReference;

/// An import, in the hands of who asked for it. Dropping it closes it.
pub struct ImportRegistration {
    pub(super) slot: Import,
    pub(super) versions: Arc<PackageVersions>,
    pub(super) admin: Weak<Shared>,
}

impl ImportRegistration {
    /// What others may know of it; `None` if it is closed.
    ///
    /// # Errors
    ///
    /// If the registration is invalid (rule L03).
    pub fn reference(&self) -> Result<Option<ImportReference>, AdminError> {
        match self.error() {
            Some(error) => Err(AdminError::Invalid(error)),
            None if self.slot.endpoint().is_none() => Ok(None),
            None => Ok(Some(ImportReference(Arc::clone(&self.slot)))),
        }
    }

    /// The endpoint's description; `None` if the registration is closed or
    /// invalid.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.slot.description()
    }

    /// The proxy; `None` if the registration is closed or invalid.
    pub fn proxy(&self) -> Option<ServiceReference> {
        self.slot.endpoint()?.proxy()
    }

    /// Why the registration is invalid, if it is (rule L02). Closing does not
    /// change it.
    pub fn error(&self) -> Option<Arc<AdminError>> {
        self.slot.error()
    }

    /// Why the endpoint is beyond repair, if its provider told so. The
    /// registration stays open until it is closed, which its owner is to do
    /// (rule V06); imported anew, the endpoint gets another proxy.
    pub fn broken(&self) -> Option<Arc<AdminError>> {
        self.slot.endpoint()?.broken().get().cloned()
    }

    /// Why the latest update failed, if it did (rule U05).
    pub fn update_error(&self) -> Option<Arc<AdminError>> {
        self.slot.update_error.lock().clone()
    }

    /// Follows a changed description of the same endpoint: the proxy stays,
    /// with new properties (rule U05). All who share it see it, and there is
    /// an event for each.
    ///
    /// # Errors
    ///
    /// If the registration is closed or invalid, the description is of
    /// another endpoint, asks for what a proxy cannot change (interfaces,
    /// config type), or the provider cannot follow; everything then stays as
    /// it was.
    pub fn update(&self, description: &Arc<EndpointDescription>) -> Result<(), AdminError> {
        let updated = self.slot.to_update().and_then(|state| {
            let shared = self.admin.upgrade().ok_or(AdminError::Closed)?;
            RemoteServiceAdmin(shared).update_import(&state, description, &self.versions)
        });
        let error = updated.as_ref().err().cloned().map(Arc::new);
        *self.slot.update_error.lock() = error;
        updated
    }

    /// Ends the import. If this was the last registration of the endpoint the
    /// proxy goes, and calls under way end with
    /// [`CallError::EndpointRemoved`](crate::interface::CallError::EndpointRemoved).
    /// Closing twice does nothing, nor does closing what is invalid (rule
    /// L05).
    pub fn close(&self) {
        let Some(state) = self.slot.endpoint() else {
            return;
        };
        match self.admin.upgrade() {
            Some(admin) => state.leave(&admin, &self.slot),
            None => {
                let before = std::mem::replace(&mut *state.phase.lock(), Phase::Ended);
                if let Phase::Open { endpoint, .. } = before {
                    endpoint.close();
                }
            }
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
            .field("number", &self.slot.number)
            .field("endpoint", &self.description())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}
