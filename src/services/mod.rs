//! The in-process service registry (OSGi Core, chapter 5).
//!
//! Whoever has a service registers it with properties; whoever needs one
//! finds it by interface and filter, or tracks what comes and goes. A remote
//! service's proxy is registered here like any other.

mod demand;
mod reference;
mod service;
mod tracker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use parking_lot::{Mutex, RwLock};

pub(crate) use demand::Demanding;
pub use demand::{Demand, DemandFeed, DemandId};
pub use reference::{ServiceId, ServiceReference};
pub use service::Service;
pub use tracker::{TrackedEvent, Tracker};

use crate::feed::{Change, Feed, Listener, Topics};
use crate::filter::Filter;
use crate::interface::Interface;
use crate::names::osgi;
use crate::properties::{Properties, Value};
use reference::{Entry, fits, sort_best_first};

/// A failure of the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A service was to be registered under no interface.
    #[error("a service needs an interface to be registered under")]
    NoInterface,
    /// The service is not registered any more.
    #[error("service {id} is not registered any more")]
    Unregistered {
        /// Its `service.id`.
        id: ServiceId,
    },
    /// No matching service came in time.
    #[error("no service {interface} matching {filter} within {} ms", timeout.as_millis())]
    NotFound {
        /// The interface asked for.
        interface: String,
        /// The filter, or `(any)`.
        filter: String,
        /// How long was waited.
        timeout: Duration,
    },
}

/// What a listener is told of a service.
///
/// Kinds and conditions are those of OSGi Core 5.6; each listener gets its
/// events in order, through a queue of its own in which later news of a
/// service takes the place of what was not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceEvent {
    /// What happened.
    pub kind: ServiceEventKind,
    /// To which service.
    pub reference: ServiceReference,
    /// Its properties at that time.
    pub properties: Arc<Properties>,
}

/// What happened to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceEventKind {
    /// It was registered, or began to match the listener's filter.
    Registered,
    /// Its properties changed, and it matches still.
    Modified,
    /// Its properties changed, and it does not match any more.
    ModifiedEndMatch,
    /// It is gone. Its last properties are here; the service itself, which in
    /// OSGi would work until all listeners returned, cannot be had any more,
    /// because a listener reads its queue when it likes.
    Unregistering,
}

/// The registry. Cheap to clone; all clones are one registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Shared>);

struct Shared {
    // A std-like mutex, not tokio's: it is held for lookups in memory only,
    // never across an await.
    state: Mutex<State>,
    feed: Feed<ServiceId, Snapshot>,
    demands: DemandFeed,
    last_demand: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            demands: DemandFeed::new(),
            last_demand: AtomicU64::new(0),
            feed: Feed::with_topics(|snapshot| snapshot.properties.string_plus(osgi::OBJECT_CLASS)),
        }
    }
}

#[derive(Default)]
struct State {
    last_id: ServiceId,
    services: BTreeMap<ServiceId, ServiceReference>,
    by_interface: HashMap<String, Vec<ServiceReference>>,
    tied: HashMap<ServiceId, Vec<Weak<dyn Tied>>>,
}

/// What ends with a service: an export of it, say.
pub(crate) trait Tied: Send + Sync {
    /// Called once, by whoever unregisters the service and before that
    /// returns. It must not block.
    fn service_gone(self: Arc<Self>);
}

#[derive(Clone)]
struct Snapshot {
    reference: ServiceReference,
    properties: Arc<Properties>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a service. Dropping the registration takes it back.
    ///
    /// `objectClass` and `service.id` are the registry's own: given ones are
    /// ignored (rule G01).
    ///
    /// # Errors
    ///
    /// If the service has no interface.
    pub fn register(
        &self,
        service: Service,
        properties: Properties,
    ) -> Result<ServiceRegistration, RegistryError> {
        if service.interfaces().is_empty() {
            return Err(RegistryError::NoInterface);
        }
        let interfaces: Vec<String> = service
            .interfaces()
            .iter()
            .map(|s| (*s).to_owned())
            .collect();
        let mut state = self.0.state.lock();
        state.last_id += 1;
        let id = state.last_id;
        let properties = Arc::new(owned(properties, id, &interfaces));
        let reference = ServiceReference(Arc::new(Entry {
            id,
            properties: RwLock::new(Arc::clone(&properties)),
            service: RwLock::new(Some(Arc::new(service))),
        }));
        state.services.insert(id, reference.clone());
        for interface in interfaces {
            let entry = state.by_interface.entry(interface).or_default();
            if !entry.contains(&reference) {
                entry.push(reference.clone());
            }
        }
        // Under the lock, so that listeners hear of changes in their order.
        self.0.feed.set(
            id,
            Snapshot {
                reference: reference.clone(),
                properties,
            },
        );
        Ok(ServiceRegistration {
            reference,
            registry: Arc::downgrade(&self.0),
        })
    }

    /// All services with this interface (or any), that match the filter (if
    /// there is one), the best first: by the highest `service.ranking`, then
    /// by the lowest `service.id` (rule G04).
    pub fn references(
        &self,
        interface: Option<&str>,
        filter: Option<&Filter>,
    ) -> Vec<ServiceReference> {
        let mut found: Vec<_> = {
            let state = self.0.state.lock();
            match interface {
                None => state.services.values().cloned().collect(),
                Some(name) => state.by_interface.get(name).cloned().unwrap_or_default(),
            }
        };
        found.retain(|reference| filter.is_none_or(|f| reference.matches(f)));
        sort_best_first(&mut found);
        found
    }

    /// The best service of a Rust interface that matches the filter.
    pub fn find<I: Interface + ?Sized>(&self, filter: Option<&Filter>) -> Option<Arc<I>> {
        let references = self.references(Some(I::NAME), filter);
        references.iter().find_map(ServiceReference::get::<I>)
    }

    /// Waits for a service of a Rust interface that matches the filter; of
    /// several, the best. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If none comes within `timeout`.
    pub async fn wait_for<I: Interface + ?Sized>(
        &self,
        filter: Option<&Filter>,
        timeout: Duration,
    ) -> Result<Arc<I>, RegistryError> {
        let mut tracker = self.track::<I>(filter.cloned());
        let found = async {
            loop {
                if let Some(service) = self.find::<I>(filter) {
                    return service;
                }
                if tracker.next().await.is_none() {
                    // The registry outlives the tracker, so this is never
                    // reached; waiting for the time-out is right all the same.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, found)
            .await
            .map_err(|_| RegistryError::NotFound {
                interface: I::NAME.to_owned(),
                filter: filter.map_or_else(|| "(any)".to_owned(), ToString::to_string),
                timeout,
            })
    }

    /// What is tracked and waited for now, by [`Registry::track`] and
    /// [`Registry::wait_for`], or is where a [`Balanced`] sends its calls, and
    /// news of it. Who may provide services on demand listens here (rule T07).
    ///
    /// [`Balanced`]: crate::calls::Balanced
    pub fn demands(&self) -> &DemandFeed {
        &self.0.demands
    }

    /// Tracks the services of a Rust interface that match the filter. As long
    /// as the tracker lives they are in [demand](Registry::demands).
    pub fn track<I: Interface + ?Sized>(&self, filter: Option<Filter>) -> Tracker<I> {
        let demanding = self.demand::<I>(filter.clone());
        Tracker::new(self.listen_for::<I>(filter), demanding)
    }

    /// Has the services that match in [demand](Registry::demands) until the
    /// answer is dropped.
    pub(crate) fn demand<I: Interface + ?Sized>(&self, filter: Option<Filter>) -> Demanding {
        let demanding = Demanding {
            feed: self.0.demands.clone(),
            id: self.0.last_demand.fetch_add(1, Ordering::Relaxed),
        };
        let demand = Arc::new(Demand::new(I::NAME, filter));
        self.0.demands.set(demanding.id, demand);
        demanding
    }

    /// Listens to the services that a [`Tracker`] of this Rust interface
    /// tells of: also the version must fit (rule I07). Listening alone puts
    /// nothing in demand.
    pub fn listen_for<I: Interface + ?Sized>(&self, filter: Option<Filter>) -> ServiceListener {
        self.listen_by(Some(I::NAME), filter, fits::<I>)
    }

    /// Has `tied` told when the service goes; false if it is gone already.
    ///
    /// Events reach listeners through queues. What must not outlive a service
    /// by the time that a queue takes is tied to it instead.
    pub(crate) fn tie(&self, service: &ServiceReference, tied: Weak<dyn Tied>) -> bool {
        let mut state = self.0.state.lock();
        if state.services.get(&service.id()) != Some(service) {
            return false;
        }
        let all = state.tied.entry(service.id()).or_default();
        all.retain(|other| other.strong_count() > 0);
        all.push(tied);
        true
    }

    /// Listens to services with this interface (or any), that match the
    /// filter (if there is one): first those that are there.
    pub fn listen(&self, interface: Option<&str>, filter: Option<Filter>) -> ServiceListener {
        self.listen_by(interface, filter, |_| true)
    }

    fn listen_by(
        &self,
        interface: Option<&str>,
        filter: Option<Filter>,
        also: impl Fn(&Properties) -> bool + Send + Sync + 'static,
    ) -> ServiceListener {
        // The feed asks by interface only about services that have it.
        let topics = interface.map_or(Topics::All, |name| {
            Topics::Of(BTreeSet::from([name.to_owned()]))
        });
        let select = move |snapshot: &Snapshot| {
            let filter = filter.as_ref();
            let properties = &snapshot.properties;
            (filter.is_none_or(|f| f.matches(properties)) && also(properties)).then_some(())
        };
        ServiceListener(self.0.feed.listen_to(topics, select))
    }

    /// Listens to services whose properties are picked by `select`: first
    /// those that are there.
    pub fn listen_where(
        &self,
        select: impl Fn(&Properties) -> bool + Send + Sync + 'static,
    ) -> ServiceListener {
        let select = move |snapshot: &Snapshot| select(&snapshot.properties);
        ServiceListener(self.0.feed.listen(select))
    }
}

/// What the registry itself says of a service.
fn owned(mut properties: Properties, id: ServiceId, interfaces: &[String]) -> Properties {
    // Taken out first, so that the names get their own case back.
    properties.remove(osgi::OBJECT_CLASS);
    properties.remove(osgi::SERVICE_ID);
    properties.set(osgi::OBJECT_CLASS, Value::from(interfaces.to_vec()));
    properties.set(osgi::SERVICE_ID, id);
    properties
}

/// A registered service, in the hands of who registered it. Dropping it
/// unregisters the service.
#[must_use = "dropping a registration unregisters the service"]
pub struct ServiceRegistration {
    reference: ServiceReference,
    registry: Weak<Shared>,
}

impl ServiceRegistration {
    /// The reference that others find.
    pub fn reference(&self) -> &ServiceReference {
        &self.reference
    }

    /// Replaces the properties; `objectClass` and `service.id` stay. Listeners
    /// hear of it if something changed.
    ///
    /// # Errors
    ///
    /// If the service is not registered any more.
    pub fn set_properties(&self, properties: Properties) -> Result<(), RegistryError> {
        let gone = RegistryError::Unregistered {
            id: self.reference.id(),
        };
        let shared = self.registry.upgrade().ok_or(gone.clone())?;
        let state = shared.state.lock();
        if !state.services.contains_key(&self.reference.id()) {
            return Err(gone);
        }
        let interfaces = self.reference.interfaces();
        let properties = Arc::new(owned(properties, self.reference.id(), &interfaces));
        if *self.reference.properties() == *properties {
            return Ok(());
        }
        *self.reference.0.properties.write() = Arc::clone(&properties);
        shared.feed.set(
            self.reference.id(),
            Snapshot {
                reference: self.reference.clone(),
                properties,
            },
        );
        Ok(())
    }

    /// Takes the service back. Doing so twice does nothing.
    pub fn unregister(&self) {
        let Some(shared) = self.registry.upgrade() else {
            return;
        };
        let mut state = shared.state.lock();
        if state.services.remove(&self.reference.id()).is_none() {
            return;
        }
        for interface in self.reference.interfaces() {
            if let Some(list) = state.by_interface.get_mut(&interface) {
                list.retain(|other| *other != self.reference);
                if list.is_empty() {
                    state.by_interface.remove(&interface);
                }
            }
        }
        shared.feed.remove(&self.reference.id());
        let service = self.reference.0.service.write().take();
        let tied = state.tied.remove(&self.reference.id());
        // The service's own drop may do anything: not under the lock.
        drop(state);
        for tied in tied.into_iter().flatten() {
            if let Some(tied) = tied.upgrade() {
                tied.service_gone();
            }
        }
        drop(service);
    }
}

impl Drop for ServiceRegistration {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl fmt::Debug for ServiceRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceRegistration")
            .field(&self.reference)
            .finish()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_list().entries(state.services.values()).finish()
    }
}

/// A listener to service events: a stream that ends with the registry.
/// Dropping it stops them.
#[derive(Debug)]
pub struct ServiceListener(Listener<ServiceId, Snapshot>);

impl ServiceListener {
    /// The next event; `None` when the registry is gone. Cancellation safe.
    pub async fn next(&mut self) -> Option<ServiceEvent> {
        self.0.next().await.map(event)
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<ServiceEvent> {
        self.0.try_next().map(event)
    }

    /// The services that this listener was told of and that are not gone
    /// again, as far as it was told.
    pub fn told(&self) -> impl Iterator<Item = &ServiceReference> {
        self.0.told().map(|(_, snapshot)| &snapshot.reference)
    }
}

impl Stream for ServiceListener {
    type Item = ServiceEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServiceEvent>> {
        self.0.poll_next_unpin(cx).map(|change| change.map(event))
    }
}

fn event(change: Change<ServiceId, Snapshot>) -> ServiceEvent {
    use ServiceEventKind::{Modified, ModifiedEndMatch, Registered, Unregistering};
    let (kind, snapshot) = match change {
        Change::Added(_, snapshot) => (Registered, snapshot),
        Change::Modified { value, .. } => (Modified, value),
        Change::EndMatch { value, .. } => (ModifiedEndMatch, value),
        Change::Removed(_, snapshot) => (Unregistering, snapshot),
    };
    ServiceEvent {
        kind,
        reference: snapshot.reference,
        properties: snapshot.properties,
    }
}
