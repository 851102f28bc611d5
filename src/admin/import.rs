//! Importing endpoints (OSGi Compendium 122.5.2).

mod registration;

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use tracing::{debug, warn};

pub use self::registration::ImportRegistration;
use super::book::{Endpoint, Page, Pages, Slot};
use super::bounded::Bounded;
use super::wish::merge;
use super::{
    AdminError, AdminEventKind, AdminReference, ImportReference, PackageVersions,
    RemoteServiceAdmin, Shared,
};
use crate::distribution::{
    ImportedEndpoint, Provider, Trouble, Troubles, basic_timeout, provider_for,
};
use crate::endpoint::EndpointDescription;
use crate::interface::Invoker;
use crate::names::{EndpointId, osgi};
use crate::properties::{Properties, Value};
use crate::services::{Service, ServiceReference, ServiceRegistration};

/// An imported endpoint, shared by its registrations.
pub(super) struct State {
    id: EndpointId,
    config_type: String,
    provider: Arc<dyn Provider>,
    admin: Weak<Shared>,
    numbers: Mutex<Vec<u64>>,
    /// Why it is beyond repair, once it is.
    broken: OnceLock<Arc<AdminError>>,
    described: RwLock<Arc<EndpointDescription>>,
    proxy: RwLock<Option<ServiceReference>>,
    phase: Mutex<Phase>,
}

enum Phase {
    /// Whoever holds the lock next makes the proxy.
    Fresh,
    Open {
        endpoint: Box<dyn ImportedEndpoint>,
        /// Where its calls are bounded in time, if it does not do that.
        bounded: Option<Arc<Bounded>>,
        proxy: ServiceRegistration,
    },
    Ended,
}

impl Endpoint for State {
    const OPENED: AdminEventKind = AdminEventKind::ImportRegistration;
    const CLOSED: AdminEventKind = AdminEventKind::ImportUnregistration;
    const FAILED: AdminEventKind = AdminEventKind::ImportError;

    fn description(&self) -> Arc<EndpointDescription> {
        Arc::clone(&self.described.read())
    }

    fn numbers(&self) -> &Mutex<Vec<u64>> {
        &self.numbers
    }

    fn broken(&self) -> &OnceLock<Arc<AdminError>> {
        &self.broken
    }

    fn page(pages: &mut Pages) -> &mut Page<Self> {
        &mut pages.imports
    }

    fn reference(slot: &Arc<Slot<Self>>) -> AdminReference {
        AdminReference::Import(ImportReference(Arc::clone(slot)))
    }
}

/// A registration of an import.
type Import = Arc<Slot<State>>;

impl State {
    pub(super) fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    pub(super) fn proxy(&self) -> Option<ServiceReference> {
        self.proxy.read().clone()
    }

    /// Makes the proxy.
    fn open(&self, admin: &Shared) -> Result<Phase, AdminError> {
        let description = self.description();
        let endpoint = self.provider.import(&description)?;
        let mut invoker = endpoint.invoker();
        let bounded = (!endpoint.keeps_timeout())
            .then(|| Arc::new(Bounded::new(Arc::clone(&invoker), self.id.clone())));
        if let Some(bounded) = &bounded {
            // Before anybody can call. One that does not read is told later.
            bounded.set(basic_timeout(&description).unwrap_or_default());
            invoker = Arc::clone(bounded) as Arc<dyn Invoker>;
        }
        let service = Service::remote(description.interfaces(), &invoker);
        let properties = self.proxy_properties(&description, endpoint.as_ref());
        let proxy = match admin.registry.register(service, properties) {
            Ok(proxy) => proxy,
            Err(error) => {
                endpoint.close();
                return Err(error.into());
            }
        };
        *self.proxy.write() = Some(proxy.reference().clone());
        Ok(Phase::Open {
            endpoint,
            bounded,
            proxy,
        })
    }

    /// Has calls obey the endpoint's timeout where its provider does not see
    /// to that; one that does not read is told (rules N06, V06).
    fn bound(&self, admin: &Shared, phase: &Phase) {
        let Phase::Open {
            bounded: Some(bounded),
            ..
        } = phase
        else {
            return;
        };
        match basic_timeout(&self.description()) {
            Ok(timeout) => bounded.set(timeout),
            Err(error) => {
                bounded.set(None);
                let kind = AdminEventKind::ImportWarning;
                admin
                    .book
                    .tell_all(self, kind, Some(Arc::new(error.into())));
            }
        }
    }

    /// Has the proxy follow a description. Whoever shares it is told.
    fn follow(
        &self,
        admin: &Shared,
        phase: &Phase,
        description: &Arc<EndpointDescription>,
    ) -> Result<(), AdminError> {
        let Phase::Open {
            endpoint, proxy, ..
        } = phase
        else {
            return Err(AdminError::Closed);
        };
        let before = self.description();
        if before.same_content(description) {
            return Ok(());
        }
        self.check_shape(&before, description)?;
        self.check_intents(description)?;
        endpoint.update(description)?;
        proxy.set_properties(self.proxy_properties(description, endpoint.as_ref()))?;
        *self.described.write() = Arc::clone(description);
        admin
            .book
            .tell_all(self, AdminEventKind::ImportUpdate, None);
        self.bound(admin, phase);
        Ok(())
    }

    /// Whether the proxy that there is can stand for the description.
    fn check_shape(
        &self,
        before: &EndpointDescription,
        after: &EndpointDescription,
    ) -> Result<(), AdminError> {
        let other = |what, imported: String, asked: Vec<&str>| {
            Err(AdminError::OtherProxy {
                endpoint: self.id.clone(),
                what,
                imported,
                asked: asked.join(", "),
            })
        };
        if before.interfaces() != after.interfaces() {
            let imported = before.interfaces().join(", ");
            return other("interfaces", imported, after.interfaces());
        }
        if !after.config_types().contains(&self.config_type.as_str()) {
            return other(
                "config type",
                self.config_type.clone(),
                after.config_types(),
            );
        }
        Ok(())
    }

    fn check_intents(&self, description: &EndpointDescription) -> Result<(), AdminError> {
        let unknown = unknown_intents(self.provider.as_ref(), description);
        if unknown.is_empty() {
            return Ok(());
        }
        Err(AdminError::UnknownIntents {
            endpoint: self.id.clone(),
            intents: unknown,
        })
    }

    /// Rules I04 and P10: what the endpoint says, the config type in use, and
    /// the intents of both sides.
    fn proxy_properties(
        &self,
        description: &EndpointDescription,
        endpoint: &dyn ImportedEndpoint,
    ) -> Properties {
        let mut properties = description.proxy_properties();
        properties.set(
            osgi::SERVICE_IMPORTED_CONFIGS,
            Value::array_of([self.config_type.as_str()]),
        );
        let mut intents = Vec::new();
        merge(&mut intents, description.intents());
        let stated = intents.len();
        merge(&mut intents, endpoint.intents());
        if intents.len() > stated {
            properties.set(osgi::SERVICE_INTENTS, Value::from(intents));
        }
        properties
    }

    /// Ends the share of one registration, and the proxy with the last one.
    fn leave(&self, admin: &Shared, slot: &Import) {
        let mut phase = self.phase.lock();
        if admin.book.close(slot) == Some(true) {
            self.end(admin, &mut phase);
        }
    }

    /// Ends the shares of all registrations.
    pub(super) fn end_all(&self, admin: &Shared) {
        let mut phase = self.phase.lock();
        admin.book.close_all(self);
        self.end(admin, &mut phase);
    }

    fn end(&self, admin: &Shared, phase: &mut Phase) {
        let before = std::mem::replace(phase, Phase::Ended);
        if let Phase::Open {
            endpoint, proxy, ..
        } = before
        {
            // First the proxy: nobody finds what is about to end.
            proxy.unregister();
            endpoint.close();
        }
        admin.forget_import(self);
    }
}

fn unknown_intents(provider: &dyn Provider, description: &EndpointDescription) -> Vec<String> {
    let known = provider.intents();
    let intents = description.intents().into_iter();
    let unknown = intents.filter(|intent| !known.contains(intent));
    unknown.map(str::to_owned).collect()
}

impl Shared {
    fn forget_import(&self, state: &State) {
        let mut imported = self.imported.lock();
        if let Some(of_endpoint) = imported.get_mut(&state.id) {
            of_endpoint.retain(|other| !std::ptr::eq(Arc::as_ptr(other), state));
            if of_endpoint.is_empty() {
                imported.remove(&state.id);
            }
        }
    }
}

impl RemoteServiceAdmin {
    /// Imports an endpoint: registers a proxy under its interfaces.
    ///
    /// Nothing is connected yet: that is left to the first call (rule I02).
    /// `None` if no provider knows a config type of the endpoint, or the one
    /// that does lacks an intent that the endpoint has (rules I01, N03). The
    /// registration may be invalid: [`ImportRegistration::error`] tells.
    ///
    /// Imports of one `endpoint.id` share the proxy (rule I03), unless it is
    /// [broken](ImportRegistration::broken). If this description says
    /// something else than the one before, the proxy follows.
    pub fn import_service(
        &self,
        description: &Arc<EndpointDescription>,
    ) -> Option<ImportRegistration> {
        self.import_fitting(description, &Arc::default())
    }

    /// [`RemoteServiceAdmin::import_service`] of an endpoint that must offer
    /// the package versions that are wanted, now and after each update. If it
    /// does not, the registration is invalid (rule I07).
    pub fn import_fitting(
        &self,
        description: &Arc<EndpointDescription>,
        versions: &Arc<PackageVersions>,
    ) -> Option<ImportRegistration> {
        let (config_type, provider) = self.importer(description)?;
        let opened = match versions.check(description) {
            Ok(()) => self.share(description, &config_type, &provider),
            Err(mismatch) => Err(mismatch.into()),
        };
        Some(ImportRegistration {
            slot: opened.unwrap_or_else(|error| self.0.book.fail(Some(description), error)),
            versions: Arc::clone(versions),
            admin: Arc::downgrade(&self.0),
        })
    }

    fn importer(&self, description: &EndpointDescription) -> Option<(String, Arc<dyn Provider>)> {
        let providers = self.0.providers();
        let found = description
            .config_types()
            .into_iter()
            .find_map(|config_type| {
                let provider = provider_for(&providers, config_type)?;
                Some((config_type.to_owned(), Arc::clone(provider)))
            });
        let Some((config_type, provider)) = found else {
            debug!(endpoint = %description, config_types = ?description.config_types(),
                "no provider supports the endpoint's config types; it is not imported");
            return None;
        };
        let unknown = unknown_intents(provider.as_ref(), description);
        if !unknown.is_empty() {
            warn!(endpoint = %description, intents = ?unknown,
                "the endpoint has intents that the provider does not know; it is not imported");
            return None;
        }
        Some((config_type, provider))
    }

    /// Opens a registration of the endpoint's proxy, which is made if it is
    /// not there.
    fn share(
        &self,
        description: &Arc<EndpointDescription>,
        config_type: &str,
        provider: &Arc<dyn Provider>,
    ) -> Result<Import, AdminError> {
        loop {
            let state = {
                let mut imported = self.0.imported.lock();
                let there = imported.entry(description.id().clone()).or_default();
                let works = |state: &&Arc<State>| state.broken.get().is_none();
                if let Some(state) = there.iter().find(works) {
                    Arc::clone(state)
                } else {
                    let fresh = Arc::new(self.fresh(description, config_type, provider));
                    there.push(Arc::clone(&fresh));
                    fresh
                }
            };
            let mut phase = state.phase.lock();
            match &*phase {
                // Ended since it was found: it is not on the map any more.
                Phase::Ended => continue,
                Phase::Open { .. } => {
                    state.follow(&self.0, &phase, description)?;
                    return Ok(self.0.book.open(&state));
                }
                Phase::Fresh => {}
            }
            return self.open_fresh(&state, &mut phase);
        }
    }

    fn fresh(
        &self,
        description: &Arc<EndpointDescription>,
        config_type: &str,
        provider: &Arc<dyn Provider>,
    ) -> State {
        State {
            id: description.id().clone(),
            config_type: config_type.to_owned(),
            provider: Arc::clone(provider),
            admin: Arc::downgrade(&self.0),
            numbers: Mutex::default(),
            broken: OnceLock::new(),
            described: RwLock::new(Arc::clone(description)),
            proxy: RwLock::default(),
            phase: Mutex::new(Phase::Fresh),
        }
    }

    fn open_fresh(&self, state: &Arc<State>, phase: &mut Phase) -> Result<Import, AdminError> {
        // Whoever ends all of a provider takes it away first, and then comes
        // for what is on the map: one of the two is seen.
        let opened = if self.0.has(&state.provider) {
            state.open(&self.0)
        } else {
            Err(crate::distribution::DistributionError::Closed.into())
        };
        match opened {
            Ok(open) => *phase = open,
            Err(error) => {
                state.end(&self.0, phase);
                return Err(error);
            }
        }
        let slot = self.0.book.open(state);
        state.bound(&self.0, phase);
        if let Phase::Open { endpoint, .. } = phase {
            endpoint.watch(troubles(state));
        }
        Ok(slot)
    }

    fn update_import(
        &self,
        state: &State,
        description: &Arc<EndpointDescription>,
        versions: &PackageVersions,
    ) -> Result<(), AdminError> {
        if state.id != *description.id() {
            return Err(AdminError::OtherEndpoint {
                expected: state.id.clone(),
                found: description.id().clone(),
            });
        }
        versions.check(description)?;
        state.follow(&self.0, &state.phase.lock(), description)
    }
}

/// Has an endpoint's registrations told of its trouble (rule V06).
fn troubles(state: &Arc<State>) -> Troubles {
    let state = Arc::downgrade(state);
    Troubles::new(move |trouble| {
        let Some(state) = state.upgrade() else {
            return;
        };
        let Some(admin) = state.admin.upgrade() else {
            return;
        };
        let (kind, error) = match trouble {
            Trouble::Warning(error) => (AdminEventKind::ImportWarning, error),
            Trouble::Error(error) => (AdminEventKind::ImportError, error),
        };
        admin
            .book
            .tell_all(&*state, kind, Some(Arc::new(error.into())));
    })
}
