//! Exporting services (OSGi Compendium 122.5.1).

mod demands;
mod registration;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tracing::warn;

use self::demands::Demands;
pub use self::registration::ExportRegistration;
use super::book::{Endpoint, Page, Pages, Slot};
use super::guarded::Permissions;
use super::wish::{
    Choice, ExportError, Wish, expanded, merge, overlaid, required_intents, supported,
};
use super::{
    AdminError, AdminEventKind, AdminReference, EndpointAction, ExportReference,
    RemoteServiceAdmin, Shared,
};
use crate::ambient;
use crate::distribution::{ExportRequest, Exported, ExportedEndpoint, Provider, Trouble, Troubles};
use crate::endpoint::EndpointDescription;
use crate::interface::Dispatch;
use crate::names::{EndpointId, ecf, osgi};
use crate::properties::{self, Properties, Value};
use crate::services::{ServiceReference, Tied};

/// How long a provider may take to make an endpoint (rule L07).
pub(super) const SET_UP: Duration = Duration::from_secs(30);

/// What an endpoint is made of. An update does not change it (rule U06).
struct Shape {
    service: ServiceReference,
    config_type: String,
    interfaces: Vec<String>,
    demands: Demands,
    provider: Arc<dyn Provider>,
    id: EndpointId,
}

/// An exported endpoint, shared by its registrations.
pub(super) struct State {
    shape: Shape,
    /// Where the endpoint's end is waited for if nobody does.
    runtime: Handle,
    admin: Weak<Shared>,
    numbers: Mutex<Vec<u64>>,
    /// Why it is beyond repair, once it is.
    broken: OnceLock<Arc<AdminError>>,
    described: RwLock<Arc<EndpointDescription>>,
    inner: Mutex<Inner>,
}

struct Inner {
    overlay: Properties,
    /// What the provider says of the endpoint.
    own: Properties,
    /// `None` once it has ended.
    endpoint: Option<Box<dyn ExportedEndpoint>>,
}

impl Endpoint for State {
    const OPENED: AdminEventKind = AdminEventKind::ExportRegistration;
    const CLOSED: AdminEventKind = AdminEventKind::ExportUnregistration;
    const FAILED: AdminEventKind = AdminEventKind::ExportError;

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
        &mut pages.exports
    }

    fn reference(slot: &Arc<Slot<Self>>) -> AdminReference {
        AdminReference::Export(ExportReference(Arc::clone(slot)))
    }
}

impl State {
    pub(super) fn service(&self) -> &ServiceReference {
        &self.shape.service
    }

    pub(super) fn provider(&self) -> &Arc<dyn Provider> {
        &self.shape.provider
    }

    /// Ends the share of one registration; gives the endpoint if that was the
    /// last one, for its end to be waited for.
    fn leave(&self, admin: &Shared, slot: &Arc<Slot<Self>>) -> Option<Box<dyn ExportedEndpoint>> {
        let mut inner = self.inner.lock();
        if !admin.book.close(slot)? {
            return None;
        }
        admin.forget_export(self);
        inner.endpoint.take()
    }

    /// Ends the shares of all registrations.
    pub(super) fn end_all(&self, admin: &Shared) -> Option<Box<dyn ExportedEndpoint>> {
        let mut inner = self.inner.lock();
        admin.book.close_all(self);
        admin.forget_export(self);
        inner.endpoint.take()
    }

    /// Whether the endpoint can be described by other properties: what it was
    /// made from does not change under it (rule U06).
    fn check_update(&self, properties: &Properties) -> Result<(), AdminError> {
        let wish = Wish::read(properties)?;
        if wish.interfaces != self.shape.interfaces {
            return Err(AdminError::OtherInterfaces {
                exported: self.shape.interfaces.clone(),
                asked: wish.interfaces,
            });
        }
        if !wish.fits(self.shape.provider.as_ref()) {
            let provider = std::slice::from_ref(&self.shape.provider);
            return Err(AdminError::Export(ExportError::NoSuchIntent {
                asked: wish.intents,
                supported: supported(provider, |p| p.intents()),
            }));
        }
        // The provider read these when it made the endpoint, and only then:
        // one that was to be private later would be served where it is.
        let demands = Demands::of(&self.shape.config_type, properties);
        self.shape.demands.check(&demands)
    }
}

/// An export ends with its service (rule C04), at once and not when somebody
/// takes the service's event from a queue: nobody is to call what is gone.
impl Tied for State {
    fn service_gone(self: Arc<Self>) {
        let Some(admin) = self.admin.upgrade() else {
            drop(self.inner.lock().endpoint.take());
            return;
        };
        if let Some(endpoint) = self.end_all(&admin) {
            admin.end_beside(endpoint, &self.runtime);
        }
    }
}

impl Shared {
    fn forget_export(&self, state: &State) {
        let mut exported = self.exported.lock();
        let id = state.service().id();
        if let Some(of_service) = exported.get_mut(&id) {
            of_service.retain(|other| !std::ptr::eq(Arc::as_ptr(other), state));
            if of_service.is_empty() {
                exported.remove(&id);
            }
        }
    }
}

impl RemoteServiceAdmin {
    /// Exports a service: its properties, with those of `overlay` over them,
    /// say under which interfaces and with which config types.
    ///
    /// There is one registration for each config type that a provider
    /// supports and whose intents it has; types that nobody supports are
    /// ignored, and if nothing is left so is the call (rules X06 to X08). A
    /// registration may be invalid: [`ExportRegistration::error`] tells.
    ///
    /// Exports of one service with the same overlay share their endpoints
    /// (rule X11), unless the service asks for other intents meanwhile, or has
    /// other properties of the config type: then there is another endpoint
    /// beside. An export ends with its service, or with its provider.
    ///
    /// Dropping the future takes back what was exported so far.
    ///
    /// # Errors
    ///
    /// If the service is not marked for export, lacks an interface, or a
    /// property has a value that providers cannot obey (rules X04, X05).
    pub async fn export_service(
        &self,
        service: &ServiceReference,
        overlay: &Properties,
    ) -> Result<Vec<ExportRegistration>, ExportError> {
        self.export_besides(service, overlay, &[]).await
    }

    /// [`RemoteServiceAdmin::export_service`] without the config types that
    /// the caller has already.
    pub(crate) async fn export_besides(
        &self,
        service: &ServiceReference,
        overlay: &Properties,
        have: &[String],
    ) -> Result<Vec<ExportRegistration>, ExportError> {
        self.export_as(service, overlay, have, None).await
    }

    /// [`RemoteServiceAdmin::export_besides`] for a client with some
    /// permissions only.
    pub(super) async fn export_as(
        &self,
        service: &ServiceReference,
        overlay: &Properties,
        have: &[String],
        permissions: Option<&Permissions>,
    ) -> Result<Vec<ExportRegistration>, ExportError> {
        // Two at once would both find no endpoint that they could share.
        let _turn = self.0.turns.take(service.id()).await;
        let properties = overlaid(service, overlay);
        let wish = Wish::read(&properties)?;
        let names: Vec<&str> = wish.interfaces.iter().map(String::as_str).collect();
        let dispatch = service
            .dispatch(&names)
            .ok_or(ExportError::NotExportable { id: service.id() })?;
        let mut chosen = match wish.choose(&self.0.providers()) {
            Ok(chosen) => chosen,
            Err(reason) => {
                warn!(service.id = service.id(), %reason, "the service is not exported");
                return Ok(Vec::new());
            }
        };
        chosen.retain(|(config_type, _)| !have.contains(config_type));
        let wanted = Wanted {
            service,
            overlay,
            properties: &properties,
            interfaces: &wish.interfaces,
            dispatch: &dispatch,
        };
        let mut registrations = Vec::new();
        for choice in chosen {
            let slot = match self.refusal(&wanted, &choice, permissions) {
                Some(refused) => refused,
                None => {
                    let slot = match self.join(&wanted, &choice) {
                        Some(joined) => joined,
                        None => self.open(&wanted, choice).await,
                    };
                    slot.unwrap_or_else(|error| self.0.book.fail(None, error))
                }
            };
            registrations.push(ExportRegistration {
                slot,
                admin: Arc::downgrade(&self.0),
            });
        }
        Ok(registrations)
    }

    /// The invalid registration of an export that is not permitted (rule
    /// K03).
    fn refusal(
        &self,
        wanted: &Wanted<'_>,
        choice: &Choice,
        permissions: Option<&Permissions>,
    ) -> Option<Export> {
        let permissions = permissions?;
        let shape = wanted.shape(choice.clone());
        let described = self.describe(&shape, wanted.properties, &Properties::new(), 0);
        let described = match described {
            Ok(described) => Arc::new(described),
            Err(error) => return Some(self.0.book.fail(None, error)),
        };
        let checked = permissions.check(EndpointAction::Export, &described);
        let refused = checked.err()?;
        Some(self.0.book.fail(Some(&described), refused.into()))
    }

    /// Shares an endpoint that is there and works, if there is one.
    fn join(&self, wanted: &Wanted<'_>, choice: &Choice) -> Option<Result<Export, AdminError>> {
        let there = self.0.exported.lock().get(&wanted.service.id()).cloned();
        for state in there.into_iter().flatten() {
            let same = state.broken.get().is_none()
                && state.shape.config_type == choice.0
                && Arc::ptr_eq(&state.shape.provider, &choice.1)
                && state.shape.interfaces == wanted.interfaces
                && state.shape.demands == Demands::of(&choice.0, wanted.properties);
            let mut inner = state.inner.lock();
            if same && inner.endpoint.is_some() && inner.overlay == *wanted.overlay {
                let described = self.redescribe(&state, &mut inner, wanted.properties);
                return Some(described.map(|_| self.0.book.open(&state)));
            }
        }
        None
    }

    /// Makes an endpoint.
    async fn open(&self, wanted: &Wanted<'_>, choice: Choice) -> Result<Export, AdminError> {
        let shape = wanted.shape(choice);
        let request = ExportRequest::new(
            shape.config_type.clone(),
            shape.id.as_str(),
            shape.interfaces.clone(),
            Arc::clone(wanted.dispatch),
            wanted.properties.clone(),
        );
        let exported = tokio::time::timeout(SET_UP, shape.provider.export(request)).await;
        let Exported {
            properties: own,
            endpoint,
            ..
        } = exported.map_err(|_| AdminError::SetUp {
            config_type: shape.config_type.clone(),
            within: SET_UP,
        })??;
        let description = match self.describe(&shape, wanted.properties, &own, 0) {
            Ok(description) => description,
            Err(error) => {
                endpoint.close().await;
                return Err(error);
            }
        };
        let state = Arc::new(State {
            shape,
            runtime: Handle::current(),
            admin: Arc::downgrade(&self.0),
            numbers: Mutex::default(),
            broken: OnceLock::new(),
            described: RwLock::new(Arc::new(description)),
            inner: Mutex::new(Inner {
                overlay: wanted.overlay.clone(),
                own,
                endpoint: Some(endpoint),
            }),
        });
        match self.begin(&state) {
            Ok(slot) => Ok(slot),
            Err(error) => {
                let endpoint = state.end_all(&self.0);
                if let Some(endpoint) = endpoint {
                    endpoint.close().await;
                }
                Err(error)
            }
        }
    }

    /// Opens the first registration of an endpoint, unless its service or its
    /// provider went while it was made.
    fn begin(&self, state: &Arc<State>) -> Result<Export, AdminError> {
        let id = state.service().id();
        let gone = AdminError::ServiceGone { id };
        let mut exported = self.0.exported.lock();
        exported.entry(id).or_default().push(Arc::clone(state));
        drop(exported);
        // From here on the endpoint is found by whoever ends all of a
        // provider. Who went before that is seen now.
        if !self.0.has(state.provider()) {
            return Err(crate::distribution::DistributionError::Closed.into());
        }
        let tied: Weak<State> = Arc::downgrade(state);
        if !self.0.registry.tie(state.service(), tied) {
            return Err(gone);
        }
        let inner = state.inner.lock();
        let Some(endpoint) = &inner.endpoint else {
            return Err(gone);
        };
        let slot = self.0.book.open(state);
        endpoint.watch(troubles(state));
        Ok(slot)
    }

    /// Checks, without exporting anything, whether a service with these
    /// properties could be exported.
    ///
    /// # Errors
    ///
    /// As [`RemoteServiceAdmin::export_service`], and also if no provider
    /// supports a config type or the intents.
    pub fn check_export(&self, properties: &Properties) -> Result<(), ExportError> {
        Wish::read(properties)?.choose(&self.0.providers())?;
        Ok(())
    }

    /// Follows the service's properties. Whoever shares the endpoint is told.
    fn redescribe(
        &self,
        state: &State,
        inner: &mut Inner,
        properties: &Properties,
    ) -> Result<Arc<EndpointDescription>, AdminError> {
        let before = state.description();
        let after = self.describe(&state.shape, properties, &inner.own, before.timestamp())?;
        if same_but_for_time(&before, &after) {
            return Ok(before);
        }
        let after = Arc::new(after);
        *state.described.write() = Arc::clone(&after);
        self.0
            .book
            .tell_all(state, AdminEventKind::ExportUpdate, None);
        Ok(after)
    }

    fn update_export(
        &self,
        state: &State,
        overlay: Option<&Properties>,
    ) -> Result<Arc<EndpointDescription>, AdminError> {
        let mut inner = state.inner.lock();
        if inner.endpoint.is_none() {
            return Err(AdminError::Closed);
        }
        let properties = overlaid(state.service(), overlay.unwrap_or(&inner.overlay));
        state.check_update(&properties)?;
        let after = self.redescribe(state, &mut inner, &properties)?;
        if let Some(overlay) = overlay {
            inner.overlay = overlay.clone();
        }
        Ok(after)
    }

    fn describe(
        &self,
        state: &Shape,
        properties: &Properties,
        own: &Properties,
        older_than: i64,
    ) -> Result<EndpointDescription, AdminError> {
        let mut overlay = own.clone();
        overlay.set(osgi::OBJECT_CLASS, Value::from(state.interfaces.clone()));
        overlay.set(osgi::ENDPOINT_ID, state.id.as_str());
        overlay.set(osgi::ENDPOINT_SERVICE_ID, state.service.id());
        overlay.set(osgi::ENDPOINT_FRAMEWORK_UUID, self.0.framework.as_str());
        overlay.set(
            osgi::SERVICE_IMPORTED_CONFIGS,
            Value::array_of([state.config_type.as_str()]),
        );
        let supported = state.provider.config_types().iter().copied();
        overlay.set(osgi::REMOTE_CONFIGS_SUPPORTED, Value::array_of(supported));
        let supported = state.provider.intents().iter().copied();
        overlay.set(osgi::REMOTE_INTENTS_SUPPORTED, Value::array_of(supported));
        // Rule D09: what the traits say, unless the service's properties do.
        let interfaces: Vec<&str> = state.interfaces.iter().map(String::as_str).collect();
        for (name, version) in state.service.package_versions(&interfaces).iter() {
            if !properties.contains(name) {
                overlay.set(name, version.clone());
            }
        }
        // Rule P10: the service's own, and what the provider adds.
        let mut intents = required_intents(properties);
        merge(&mut intents, own.string_plus(osgi::SERVICE_INTENTS));
        let intents = expanded(intents, state.provider.as_ref());
        if !intents.is_empty() {
            overlay.set(osgi::SERVICE_INTENTS, Value::from(intents));
        }
        // iPOPO takes a description that is not newer for another endpoint.
        overlay.set(ecf::ENDPOINT_TIMESTAMP, now_ms().max(older_than + 1));
        let mut service = properties.clone();
        service.retain(|name, _| !properties::same_name(name, osgi::SERVICE_IMPORTED));
        let framework = self.0.framework.as_str();
        Ok(EndpointDescription::from_service(
            &service, framework, &overlay,
        )?)
    }
}

/// A registration of an export.
type Export = Arc<Slot<State>>;

/// What is to be exported, whatever the config type.
struct Wanted<'a> {
    service: &'a ServiceReference,
    overlay: &'a Properties,
    properties: &'a Properties,
    interfaces: &'a [String],
    dispatch: &'a Arc<dyn Dispatch>,
}

impl Wanted<'_> {
    fn shape(&self, (config_type, provider): Choice) -> Shape {
        Shape {
            service: self.service.clone(),
            demands: Demands::of(&config_type, self.properties),
            config_type,
            interfaces: self.interfaces.to_vec(),
            provider,
            id: EndpointId::random(),
        }
    }
}

/// Has an endpoint's registrations told of its trouble (rules X13, V06).
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
            Trouble::Warning(error) => (AdminEventKind::ExportWarning, error),
            Trouble::Error(error) => (AdminEventKind::ExportError, error),
        };
        admin
            .book
            .tell_all(&*state, kind, Some(Arc::new(error.into())));
    })
}

/// Milliseconds since 1970; 0 for a clock before that.
fn now_ms() -> i64 {
    i64::try_from(ambient::since_1970().as_millis()).unwrap_or(i64::MAX)
}

fn same_but_for_time(a: &EndpointDescription, b: &EndpointDescription) -> bool {
    let timeless = |description: &EndpointDescription| {
        let mut properties = description.properties().clone();
        properties.remove(ecf::ENDPOINT_TIMESTAMP);
        properties
    };
    timeless(a) == timeless(b)
}
