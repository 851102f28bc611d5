//! References: what one may know of a registration without holding it.

use std::fmt;
use std::sync::Arc;

use super::book::Slot;
use super::{export, import};
use crate::endpoint::EndpointDescription;
use crate::services::ServiceReference;

/// Tells of an export (OSGi's `ExportReference`). It can close nothing, and
/// keeps nothing open (rule L08).
///
/// Once its registration is closed it answers nothing (rule L04). Two
/// references are equal if they tell of the same registration.
#[derive(Clone)]
pub struct ExportReference(pub(super) Arc<Slot<export::State>>);

impl ExportReference {
    /// The number of the registration among all of this admin: growing, and
    /// never used again.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The exported service.
    pub fn service(&self) -> Option<ServiceReference> {
        Some(self.0.endpoint()?.service().clone())
    }

    /// The endpoint as it is now.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.0.description()
    }
}

/// Tells of an import (OSGi's `ImportReference`). It can close nothing, and
/// keeps nothing open (rule L08).
///
/// Once its registration is closed it answers nothing (rule L04). Two
/// references are equal if they tell of the same registration.
#[derive(Clone)]
pub struct ImportReference(pub(super) Arc<Slot<import::State>>);

impl ImportReference {
    /// The number of the registration among all of this admin: growing, and
    /// never used again.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The proxy.
    pub fn proxy(&self) -> Option<ServiceReference> {
        self.0.endpoint()?.proxy()
    }

    /// The endpoint as it is now; its config types are those that it has, and
    /// the one in use is `service.imported.configs` of the proxy (rule D17).
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.0.description()
    }
}

/// What an event of the admin is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminReference {
    /// An export.
    Export(ExportReference),
    /// An import.
    Import(ImportReference),
}

impl AdminReference {
    /// The number of the registration among all of the admin.
    pub fn number(&self) -> u64 {
        match self {
            Self::Export(reference) => reference.number(),
            Self::Import(reference) => reference.number(),
        }
    }

    /// The endpoint as it is now; none if the registration is closed.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        match self {
            Self::Export(reference) => reference.description(),
            Self::Import(reference) => reference.description(),
        }
    }
}

impl PartialEq for ExportReference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ExportReference {}

impl PartialEq for ImportReference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ImportReference {}

impl fmt::Debug for ExportReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportReference")
            .field("number", &self.number())
            .field("service", &self.service())
            .field("endpoint", &self.description())
            .finish()
    }
}

impl fmt::Debug for ImportReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportReference")
            .field("number", &self.number())
            .field("proxy", &self.proxy())
            .field("endpoint", &self.description())
            .finish()
    }
}
