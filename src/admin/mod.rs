//! Remote Service Admin (OSGi Compendium 122.5): exports a service, imports
//! an endpoint, when it is told to.
//!
//! It has no policy of its own (rule X01). The
//! [topology manager](crate::topology) says what is exported and imported;
//! [distribution providers](crate::distribution) do it.
//!
//! Each export and each import gives a *registration*, which belongs to who
//! asked for it: closing or dropping it ends the share in the endpoint, and
//! the last one ends the endpoint (rules L01, X11, I03). A *reference* only
//! tells of a registration and can be given to anybody (rule L08).

mod announcers;
mod book;
mod bounded;
mod event;
mod export;
mod guarded;
mod import;
mod provider_service;
mod reference;
mod turns;
mod versions;
mod wish;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(crate) use announcers::Announcer;
pub use event::{AdminEvent, AdminEventKind, AdminEvents, EventsLost};
pub use export::ExportRegistration;
pub use guarded::{EndpointAction, EndpointPermission, GuardedAdmin, GuardedEvents, NotPermitted};
pub use import::ImportRegistration;
pub use reference::{AdminReference, ExportReference, ImportReference};
pub use versions::{PackageVersions, VersionMismatch, VersionRule};
pub use wish::ExportError;

use crate::discovery::Advertiser;
use crate::distribution::{DistributionError, ExportedEndpoint, Provider};
use crate::endpoint::{DescriptionError, EndpointDescription};
use crate::names::{EndpointId, FrameworkId};
use crate::services::{Registry, RegistryError, ServiceId, ServiceRegistration};

/// Why a registration is invalid, or an update of one failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The distribution provider failed.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// The distribution provider did not make the endpoint in time (rule L07).
    #[error("the provider of {config_type} did not make the endpoint within {} s", within.as_secs())]
    SetUp {
        /// The config type.
        config_type: String,
        /// How long was waited.
        within: Duration,
    },
    /// The properties do not describe an endpoint.
    #[error("the endpoint's description is not valid: {0}")]
    Description(#[from] DescriptionError),
    /// An update asks for what cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An update asks for other interfaces than those exported (rule U06).
    #[error(
        "the export has the interfaces {} and cannot change to {}: close it and export the \
         service anew", exported.join(", "), asked.join(", ")
    )]
    OtherInterfaces {
        /// The interfaces of the endpoint.
        exported: Vec<String>,
        /// Those asked for.
        asked: Vec<String>,
    },
    /// An update asks for what the endpoint was not made with (rule U06).
    #[error(
        "the export was made with {exported} as {what} and cannot change to {asked}: close it and \
         export the service anew"
    )]
    OtherExport {
        /// The intents, or a property of the config type.
        what: String,
        /// What the endpoint was made with.
        exported: String,
        /// What is asked for.
        asked: String,
    },
    /// The description differs from the one that the proxy was made of in
    /// what cannot be changed in place (rule U06).
    #[error(
        "the import of endpoint {endpoint} has the {what} {imported} and cannot change to \
         {asked}: close all imports of it and import it anew"
    )]
    OtherProxy {
        /// The `endpoint.id`.
        endpoint: EndpointId,
        /// What differs.
        what: &'static str,
        /// What the proxy was made with.
        imported: String,
        /// What the description asks for.
        asked: String,
    },
    /// The endpoint has an intent that the provider in use does not know
    /// (rule N03).
    #[error("endpoint {endpoint} has the intents {}, which its provider does not know", intents.join(", "))]
    UnknownIntents {
        /// The `endpoint.id`.
        endpoint: EndpointId,
        /// The unknown ones.
        intents: Vec<String>,
    },
    /// The endpoint has another version of a package than is wanted (rule
    /// I07).
    #[error(transparent)]
    PackageVersion(#[from] Box<VersionMismatch>),
    /// The client may not do this (rule K03).
    #[error(transparent)]
    NotPermitted(Box<NotPermitted>),
    /// The service registry refused the proxy.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registration is closed (rule U04).
    #[error("the registration is closed")]
    Closed,
    /// The registration never was valid (rule U04).
    #[error("the registration is invalid: {0}")]
    Invalid(Arc<AdminError>),
    /// The service is gone from the registry.
    #[error("service {id} is not registered any more")]
    ServiceGone {
        /// Its `service.id`.
        id: i64,
    },
    /// An update of one endpoint has the description of another (rule U05).
    #[error("the description is of endpoint {found} and not of {expected}")]
    OtherEndpoint {
        /// The endpoint of the registration.
        expected: EndpointId,
        /// The endpoint of the description.
        found: EndpointId,
    },
}

impl AdminError {
    /// Whether an update failed because it takes another endpoint.
    pub(crate) fn asks_for_another_endpoint(&self) -> bool {
        matches!(
            self,
            Self::OtherInterfaces { .. } | Self::OtherExport { .. }
        )
    }
}

/// The Remote Service Admin of one framework. Cheap to clone; all clones are
/// one.
#[derive(Clone)]
pub struct RemoteServiceAdmin(Arc<Shared>);

/// The order of the locks: that of an endpoint's state before the book's, the
/// book's before those of the single registrations. No provider and no
/// listener is called under the book's.
struct Shared {
    framework: FrameworkId,
    registry: Registry,
    providers: RwLock<Vec<Offer>>,
    /// Counts the changes of the providers.
    generation: watch::Sender<u64>,
    book: book::Book,
    announcers: Arc<announcers::Announcers>,
    /// Who exports a service waits for whoever exports it already.
    turns: turns::Turns<ServiceId>,
    exported: Mutex<BTreeMap<ServiceId, Vec<Arc<export::State>>>>,
    /// Several of one endpoint only if all but one are broken.
    imported: Mutex<BTreeMap<EndpointId, Vec<Arc<import::State>>>>,
    /// Ends of endpoints that nobody waits for, until [`RemoteServiceAdmin::close`].
    endings: TaskTracker,
}

/// A provider, and the service by which others know that it is there.
struct Offer {
    provider: Arc<dyn Provider>,
    service: Option<ServiceRegistration>,
}

impl RemoteServiceAdmin {
    /// Without a provider it exports and imports nothing.
    pub fn new(framework: FrameworkId, registry: Registry) -> Self {
        Self(Arc::new(Shared {
            book: book::Book::new(framework.clone()),
            framework,
            registry,
            providers: RwLock::default(),
            generation: watch::Sender::new(0),
            announcers: Arc::default(),
            turns: turns::Turns::default(),
            exported: Mutex::default(),
            imported: Mutex::default(),
            endings: TaskTracker::new(),
        }))
    }

    /// Adds a distribution provider. Of several that support a config type,
    /// the first one added serves it.
    ///
    /// While it is here there is a service with its config types and intents
    /// as `remote.configs.supported` and `remote.intents.supported`, for
    /// others to depend on (rules P18, N12). What waits for a provider is
    /// tried again by the topology manager, not here (rule T04).
    pub fn add_provider(&self, provider: Arc<dyn Provider>) {
        let service = provider_service::register(&self.0.registry, provider.as_ref());
        self.0.providers.write().push(Offer { provider, service });
        self.0.generation.send_modify(|n| *n += 1);
    }

    /// Takes a distribution provider away: its exports and imports are closed,
    /// whoever asked for them, and then the provider itself. Nothing happens
    /// if it is not here.
    pub async fn remove_provider(&self, provider: &Arc<dyn Provider>) {
        let offer = {
            let mut providers = self.0.providers.write();
            let at = providers
                .iter()
                .position(|offer| Arc::ptr_eq(&offer.provider, provider));
            at.map(|at| providers.remove(at))
        };
        let Some(offer) = offer else {
            return;
        };
        drop(offer.service);
        self.end_all(|its| Arc::ptr_eq(its, provider)).await;
        self.0.generation.send_modify(|n| *n += 1);
        provider.close().await;
    }

    /// Changes its value whenever a provider is added or removed.
    pub(crate) fn provider_changes(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// One who will announce endpoints of this admin through these discoveries.
    pub(crate) fn announcer(&self, discoveries: Vec<Arc<dyn Advertiser>>) -> Announcer {
        self.0.announcers.enter(discoveries)
    }

    /// The framework whose services are exported.
    pub fn framework(&self) -> &FrameworkId {
        &self.0.framework
    }

    /// The config types that some provider supports.
    pub fn config_types(&self) -> Vec<&'static str> {
        let providers = self.0.providers();
        let types = providers.iter().flat_map(|p| p.config_types());
        types.copied().collect()
    }

    /// The exports that are open now, of all who asked for one: a reference
    /// for each registration, the oldest first (rule I06).
    pub fn exports(&self) -> Vec<ExportReference> {
        self.0.book.exports()
    }

    /// The imports that are open now, of all who asked for one: a reference
    /// for each registration, the oldest first (rule I06).
    pub fn imports(&self) -> Vec<ImportReference> {
        self.0.book.imports()
    }

    /// What [`RemoteServiceAdmin::exports`] refers to.
    pub fn exported(&self) -> Vec<Arc<EndpointDescription>> {
        let exports = self.exports();
        exports.iter().filter_map(|e| e.description()).collect()
    }

    /// What [`RemoteServiceAdmin::imports`] refers to.
    pub fn imported(&self) -> Vec<Arc<EndpointDescription>> {
        let imports = self.imports();
        imports.iter().filter_map(|i| i.description()).collect()
    }

    /// A listener to this admin's events: it is told first of the
    /// registrations that are open now (rule V02), and then of all that
    /// happens, in order.
    pub fn events(&self) -> AdminEvents {
        AdminEvents::new(&self.0)
    }

    /// Closes all exports and imports, whoever asked for them, and ends all
    /// providers. When it returns, nothing of the admin goes on any more.
    pub async fn close(&self) {
        let offers = std::mem::take(&mut *self.0.providers.write());
        self.end_all(|_| true).await;
        for Offer { provider, service } in offers {
            drop(service);
            provider.close().await;
        }
        self.0.generation.send_modify(|n| *n += 1);
        self.0.endings.close();
        self.0.endings.wait().await;
    }

    /// Ends all endpoints of some providers.
    async fn end_all(&self, of: impl Fn(&Arc<dyn Provider>) -> bool) {
        let imports: Vec<_> = self.0.imported.lock().values().flatten().cloned().collect();
        for import in imports.iter().filter(|i| of(i.provider())) {
            import.end_all(&self.0);
        }
        let exports: Vec<_> = self.0.exported.lock().values().flatten().cloned().collect();
        let ends: Vec<_> = exports
            .iter()
            .filter(|export| of(export.provider()))
            .filter_map(|export| export.end_all(&self.0))
            .map(ExportedEndpoint::close)
            .collect();
        futures::future::join_all(ends).await;
    }
}

impl Shared {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let offers = self.providers.read();
        offers.iter().map(|o| Arc::clone(&o.provider)).collect()
    }

    /// Whether a provider is here still.
    fn has(&self, provider: &Arc<dyn Provider>) -> bool {
        let offers = self.providers.read();
        offers.iter().any(|o| Arc::ptr_eq(&o.provider, provider))
    }

    /// Cuts an endpoint's callers off now, and has the rest done beside.
    fn end_beside(&self, endpoint: Box<dyn ExportedEndpoint>, runtime: &Handle) {
        self.endings.spawn_on(endpoint.close(), runtime);
    }
}

impl fmt::Debug for RemoteServiceAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteServiceAdmin")
            .field("framework", &self.0.framework)
            .field("exported", &self.exported())
            .field("imported", &self.imported())
            .finish_non_exhaustive()
    }
}
