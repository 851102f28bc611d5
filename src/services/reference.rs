//! References: what one knows of a service without holding it.

use std::cmp::Reverse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;

use super::service::Service;
use crate::filter::Filter;
use crate::interface::{Dispatch, Interface, Invoker, package, version_fits};
use crate::names::osgi;
use crate::properties::{Properties, Value, Version};

/// The number of a service in its registry (`service.id`): growing, and never
/// used again.
pub type ServiceId = i64;

/// A service's entry in the registry.
pub(super) struct Entry {
    pub(super) id: ServiceId,
    pub(super) properties: RwLock<Arc<Properties>>,
    /// `None` once the service is unregistered.
    pub(super) service: RwLock<Option<Arc<Service>>>,
}

/// A reference to a registered service.
///
/// The properties stay readable after the service is gone; the service itself
/// does not (OSGi rule G06).
#[derive(Clone)]
pub struct ServiceReference(pub(super) Arc<Entry>);

impl ServiceReference {
    /// The `service.id`.
    pub fn id(&self) -> ServiceId {
        self.0.id
    }

    /// The properties as they are now, or were last.
    pub fn properties(&self) -> Arc<Properties> {
        Arc::clone(&self.0.properties.read())
    }

    /// The interfaces, in order.
    pub fn interfaces(&self) -> Vec<String> {
        let properties = self.properties();
        let names = properties.string_plus(osgi::OBJECT_CLASS);
        names.into_iter().map(str::to_owned).collect()
    }

    /// Which of several is to be preferred; what is not an `Integer` counts
    /// as 0.
    pub fn ranking(&self) -> i32 {
        ranking(&self.properties())
    }

    /// Whether the service is registered still.
    pub fn is_registered(&self) -> bool {
        self.0.service.read().is_some()
    }

    /// The service, by its Rust interface; `None` if it is gone, has no such
    /// interface, or is imported in a version that does not fit (rule I07).
    pub fn get<I: Interface + ?Sized>(&self) -> Option<Arc<I>> {
        if !fits::<I>(&self.properties()) {
            return None;
        }
        self.service()?.get::<I>()
    }

    /// The way to call the service by method names; `None` if it is gone or
    /// has no such interface.
    pub fn invoker(&self, interface: &str) -> Option<Arc<dyn Invoker>> {
        self.service()?.invoker(interface)
    }

    /// What a distribution provider calls when it exports these interfaces;
    /// `None` if the service is gone, lacks one of them, or is itself a proxy.
    pub fn dispatch(&self, interfaces: &[&str]) -> Option<Arc<dyn Dispatch>> {
        self.service()?.dispatch(interfaces)
    }

    /// The properties that tell the versions of the packages of these
    /// interfaces, as their traits say them (rule D09). Of several traits of
    /// one package the first counts.
    pub fn package_versions(&self, interfaces: &[&str]) -> Properties {
        let service = self.service();
        let versions = service.map(|service| service.package_versions(interfaces));
        versions.unwrap_or_default()
    }

    fn service(&self) -> Option<Arc<Service>> {
        self.0.service.read().clone()
    }

    /// Whether a filter matches the properties.
    pub fn matches(&self, filter: &Filter) -> bool {
        filter.matches(&self.properties())
    }
}

/// Whether a service with these properties is for users of a Rust interface
/// as far as versions go (rule I07). Where the trait names none it takes any;
/// a local service is of this very build, or passes by value.
pub(super) fn fits<I: Interface + ?Sized>(properties: &Properties) -> bool {
    let (Some(wanted), Some(package)) = (I::VERSION, package(I::NAME)) else {
        return true;
    };
    if !properties.contains(osgi::SERVICE_IMPORTED) {
        return true;
    }
    let name = format!("{}{package}", osgi::ENDPOINT_PACKAGE_VERSION_PREFIX);
    let offered = match properties.get_str(&name) {
        Some(text) => text.parse(),
        None => Ok(Version::default()),
    };
    match (wanted.parse(), offered) {
        (Ok(wanted), Ok(offered)) => version_fits(&wanted, &offered),
        _ => false,
    }
}

pub(super) fn ranking(properties: &Properties) -> i32 {
    properties
        .get(osgi::SERVICE_RANKING)
        .and_then(Value::as_integer)
        .unwrap_or(0)
}

impl PartialEq for ServiceReference {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServiceReference {}

impl Hash for ServiceReference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Sorts references by the order of choice: the highest ranking first, then
/// the oldest.
///
/// The ranking is read once for each. An `Ord` would read it at every
/// comparison, and a change in between would leave the sort without an order.
pub(super) fn sort_best_first(references: &mut [ServiceReference]) {
    references.sort_by_cached_key(|r| (Reverse(r.ranking()), r.id()));
}

impl fmt::Debug for ServiceReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceReference")
            .field("id", &self.id())
            .field("interfaces", &self.interfaces())
            .finish()
    }
}
