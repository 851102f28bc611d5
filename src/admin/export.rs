//! Exporting services (OSGi Compendium 122.5.1).

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tracing::warn;

use super::{AdminError, AdminEventKind, RemoteServiceAdmin, Shared};
use crate::distribution::{ExportRequest, ExportedEndpoint, Provider, provider_for};
use crate::endpoint::EndpointDescription;
use crate::names::{EndpointId, ecf, osgi};
use crate::properties::{self, Properties, Value};
use crate::services::ServiceReference;

/// A service that cannot be exported as it is asked for. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The service is not marked for export (rule X04).
    #[error("service.exported.interfaces is missing: set it to '*' or to the interfaces to export")]
    NotMarked,
    /// An interface is to be exported that the service does not have (P02).
    #[error("the service has no interface '{name}' to export; it has {}", available.join(", "))]
    NoSuchInterface {
        /// The interface asked for.
        name: String,
        /// Those that the service has.
        available: Vec<String>,
    },
    /// No provider knows any of the config types.
    #[error(
        "no distribution provider supports {}; there is {}",
        asked.join(", "), known(supported)
    )]
    NoSuchConfigType {
        /// The config types asked for.
        asked: Vec<String>,
        /// Those that are supported.
        supported: Vec<String>,
    },
    /// No provider has all the intents.
    #[error("no distribution provider has the intents {}; there is {}", asked.join(", "), known(supported))]
    NoSuchIntent {
        /// The intents asked for.
        asked: Vec<String>,
        /// Those that are supported.
        supported: Vec<String>,
    },
    /// A property that providers obey has a value that they cannot (X05).
    #[error("{name} is '{value}': it must be {expected}")]
    Property {
        /// The property.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The service is not registered any more, or is itself a proxy.
    #[error("service {id} is gone, or is itself imported")]
    NotExportable {
        /// Its `service.id`.
        id: i64,
    },
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        "none at all".to_owned()
    } else {
        names.join(", ")
    }
}

/// What the properties of a service ask for.
struct Wish {
    interfaces: Vec<String>,
    config_types: Vec<String>,
    intents: Vec<String>,
}

/// A config type to export with, and the provider that does.
type Choice = (String, Arc<dyn Provider>);

impl Wish {
    fn read(properties: &Properties) -> Result<Self, ExportError> {
        Ok(Self {
            interfaces: exported_interfaces(properties)?,
            config_types: config_types(properties),
            intents: required_intents(properties),
        })
    }

    /// The providers to export with, by config type (rules X07 to X09).
    ///
    /// # Errors
    ///
    /// If there is none, with the reason.
    fn choose(&self, providers: &[Arc<dyn Provider>]) -> Result<Vec<Choice>, ExportError> {
        let chosen: Vec<Choice> = if self.config_types.is_empty() {
            let default = providers.iter().find(|p| self.fits(p.as_ref()));
            let default = default.or(providers.first());
            let first = default.and_then(|p| Some((*p.config_types().first()?, p)));
            first
                .into_iter()
                .map(|(t, p)| (t.to_owned(), Arc::clone(p)))
                .collect()
        } else {
            let known = self.config_types.iter().filter_map(|config_type| {
                let provider = provider_for(providers, config_type);
                if provider.is_none() {
                    warn!(
                        config_type,
                        "no provider supports this config type; it is ignored"
                    );
                }
                Some((config_type.clone(), Arc::clone(provider?)))
            });
            known.collect()
        };
        if chosen.is_empty() {
            return Err(ExportError::NoSuchConfigType {
                asked: self.config_types.clone(),
                supported: supported(providers, |p| p.config_types()),
            });
        }
        let fitting: Vec<_> = chosen
            .into_iter()
            .filter(|(_, provider)| self.fits(provider.as_ref()))
            .collect();
        if fitting.is_empty() {
            return Err(ExportError::NoSuchIntent {
                asked: self.intents.clone(),
                supported: supported(providers, |p| p.intents()),
            });
        }
        Ok(fitting)
    }

    fn fits(&self, provider: &dyn Provider) -> bool {
        self.intents
            .iter()
            .all(|intent| provider.intents().contains(&intent.as_str()))
    }
}

fn supported(
    providers: &[Arc<dyn Provider>],
    names: impl Fn(&Arc<dyn Provider>) -> &'static [&'static str],
) -> Vec<String> {
    let names = providers.iter().flat_map(names);
    names.map(|name| (*name).to_owned()).collect()
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Rules P01 to P03, X04.
fn exported_interfaces(properties: &Properties) -> Result<Vec<String>, ExportError> {
    let available = owned(properties.string_plus(osgi::OBJECT_CLASS));
    let asked = properties.string_plus(osgi::SERVICE_EXPORTED_INTERFACES);
    match asked.as_slice() {
        [] => Err(ExportError::NotMarked),
        ["*"] => Ok(available),
        names => match names
            .iter()
            .find(|name| !available.iter().any(|a| a == *name))
        {
            Some(name) => Err(ExportError::NoSuchInterface {
                name: (*name).to_owned(),
                available,
            }),
            None => Ok(owned(names.to_vec())),
        },
    }
}

/// An empty one is none (rule P05).
fn config_types(properties: &Properties) -> Vec<String> {
    let mut types = owned(properties.string_plus(osgi::SERVICE_EXPORTED_CONFIGS));
    types.retain(|name| !name.is_empty());
    types
}

/// All that the endpoint must have, from each of the three properties (rules
/// P07, P08).
fn required_intents(properties: &Properties) -> Vec<String> {
    let mut intents: Vec<String> = Vec::new();
    for name in [
        osgi::SERVICE_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS_EXTRA,
    ] {
        for intent in properties.string_plus(name) {
            if !intent.is_empty() && !intents.iter().any(|known| known == intent) {
                intents.push(intent.to_owned());
            }
        }
    }
    intents
}

/// The service's properties under those of the export (rules X02, X03).
fn overlaid(service: &ServiceReference, overlay: &Properties) -> Properties {
    let mut overlay = overlay.clone();
    overlay.remove(osgi::OBJECT_CLASS);
    overlay.remove(osgi::SERVICE_ID);
    let mut properties = (*service.properties()).clone();
    properties.overlay(&overlay);
    properties
}

fn check_properties(properties: &Properties) -> Result<(), ExportError> {
    match properties.get(osgi::BASIC_TIMEOUT) {
        Some(value) if value.to_i64().is_none_or(|ms| ms <= 0) => Err(ExportError::Property {
            name: osgi::BASIC_TIMEOUT,
            value: value.to_string(),
            expected: "a positive number of milliseconds",
        }),
        _ => Ok(()),
    }
}

/// What becomes of a registration, shared with the admin's list.
pub(super) struct State {
    service: ServiceReference,
    config_type: String,
    interfaces: Vec<String>,
    provider: Arc<dyn Provider>,
    id: EndpointId,
    inner: Mutex<Inner>,
}

struct Inner {
    overlay: Properties,
    /// What the provider says of the endpoint.
    own: Properties,
    phase: Phase,
}

enum Phase {
    Open {
        description: Arc<EndpointDescription>,
        endpoint: Box<dyn ExportedEndpoint>,
    },
    Failed(Arc<AdminError>),
    Closed,
}

impl State {
    pub(super) fn description(&self) -> Option<Arc<EndpointDescription>> {
        match &self.inner.lock().phase {
            Phase::Open { description, .. } => Some(Arc::clone(description)),
            Phase::Failed(_) | Phase::Closed => None,
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
    /// # Errors
    ///
    /// If the service is not marked for export, lacks an interface, or a
    /// property has a value that providers cannot obey (rules X04, X05).
    pub async fn export_service(
        &self,
        service: &ServiceReference,
        overlay: &Properties,
    ) -> Result<Vec<ExportRegistration>, ExportError> {
        let properties = overlaid(service, overlay);
        let wish = Wish::read(&properties)?;
        check_properties(&properties)?;
        let names: Vec<&str> = wish.interfaces.iter().map(String::as_str).collect();
        let dispatch = service
            .dispatch(&names)
            .ok_or(ExportError::NotExportable { id: service.id() })?;
        let providers = self.0.providers.read().clone();
        let chosen = match wish.choose(&providers) {
            Ok(chosen) => chosen,
            Err(reason) => {
                warn!(service.id = service.id(), %reason, "the service is not exported");
                return Ok(Vec::new());
            }
        };
        let mut registrations = Vec::new();
        for (config_type, provider) in chosen {
            let id = EndpointId::random();
            let request = ExportRequest::new(
                config_type.clone(),
                id.as_str(),
                wish.interfaces.clone(),
                Arc::clone(&dispatch),
                properties.clone(),
            );
            let exported = provider.export(request).await;
            let state = State {
                service: service.clone(),
                config_type,
                interfaces: wish.interfaces.clone(),
                provider,
                id,
                inner: Mutex::new(Inner {
                    overlay: overlay.clone(),
                    own: Properties::new(),
                    phase: Phase::Closed,
                }),
            };
            match exported {
                Err(error) => state.fail(error.into()),
                Ok(exported) => {
                    let described = self.describe(&state, &properties, &exported.properties, 0);
                    state.inner.lock().own = exported.properties;
                    match described {
                        Ok(description) => {
                            state.inner.lock().phase = Phase::Open {
                                description: Arc::new(description),
                                endpoint: exported.endpoint,
                            };
                        }
                        Err(error) => {
                            exported.endpoint.close().await;
                            state.fail(error);
                        }
                    }
                }
            }
            registrations.push(self.register_export(state));
        }
        Ok(registrations)
    }

    fn register_export(&self, state: State) -> ExportRegistration {
        let state = Arc::new(state);
        let registration = ExportRegistration {
            state: Arc::clone(&state),
            admin: Arc::downgrade(&self.0),
        };
        match registration.error() {
            None => {
                let description = state.description();
                self.0.exports.lock().push(state);
                let kind = AdminEventKind::ExportRegistration;
                self.0.tell(kind, description.as_ref(), None);
            }
            Some(error) => self.0.tell(AdminEventKind::ExportError, None, Some(&error)),
        }
        registration
    }

    /// Checks, without exporting anything, whether a service with these
    /// properties could be exported.
    ///
    /// # Errors
    ///
    /// As [`RemoteServiceAdmin::export_service`], and also if no provider
    /// supports a config type or the intents.
    pub fn check_export(&self, properties: &Properties) -> Result<(), ExportError> {
        let wish = Wish::read(properties)?;
        check_properties(properties)?;
        wish.choose(&self.0.providers.read())?;
        Ok(())
    }

    fn describe(
        &self,
        state: &State,
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
        let intents = required_intents(properties);
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

impl State {
    /// Whether the endpoint can be described by other properties: what it was
    /// made from does not change under it (rule U06).
    fn check_update(&self, properties: &Properties) -> Result<(), AdminError> {
        let wish = Wish::read(properties)?;
        check_properties(properties)?;
        if wish.interfaces != self.interfaces {
            return Err(AdminError::OtherInterfaces {
                exported: self.interfaces.clone(),
                asked: wish.interfaces,
            });
        }
        if !wish.fits(self.provider.as_ref()) {
            let provider = std::slice::from_ref(&self.provider);
            return Err(AdminError::Export(ExportError::NoSuchIntent {
                asked: wish.intents,
                supported: supported(provider, |p| p.intents()),
            }));
        }
        Ok(())
    }

    fn fail(&self, error: AdminError) {
        self.inner.lock().phase = Phase::Failed(Arc::new(error));
    }
}

/// Milliseconds since 1970; 0 for a clock before that.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An export, in the hands of who asked for it.
///
/// Dropping it closes it, without waiting for calls under way.
pub struct ExportRegistration {
    state: Arc<State>,
    admin: Weak<Shared>,
}

impl ExportRegistration {
    /// The endpoint's description; `None` if the registration is closed or
    /// invalid.
    pub fn description(&self) -> Option<Arc<EndpointDescription>> {
        self.state.description()
    }

    /// Why the registration is invalid, if it is (rule L02).
    pub fn error(&self) -> Option<Arc<AdminError>> {
        match &self.state.inner.lock().phase {
            Phase::Failed(error) => Some(Arc::clone(error)),
            Phase::Open { .. } | Phase::Closed => None,
        }
    }

    /// The exported service.
    pub fn service(&self) -> &ServiceReference {
        &self.state.service
    }

    /// Follows a change of the service's properties, which are read afresh
    /// (rule U02). `overlay` replaces the one of the export; `None` keeps it.
    /// Gives the description that holds now, the same one if nothing changed.
    ///
    /// # Errors
    ///
    /// If the registration is closed or invalid, or the new properties
    /// describe no endpoint, one of other interfaces, or one with intents that
    /// the provider does not have: the old description then holds on (rule
    /// U03).
    pub fn update(
        &self,
        overlay: Option<&Properties>,
    ) -> Result<Arc<EndpointDescription>, AdminError> {
        let shared = self.admin.upgrade().ok_or(AdminError::Closed)?;
        let admin = RemoteServiceAdmin(shared);
        let mut inner = self.state.inner.lock();
        let before = match &inner.phase {
            Phase::Open { description, .. } => Arc::clone(description),
            Phase::Failed(error) => return Err(AdminError::Invalid(Arc::clone(error))),
            Phase::Closed => return Err(AdminError::Closed),
        };
        if !self.state.service.is_registered() {
            return Err(AdminError::ServiceGone {
                id: self.state.service.id(),
            });
        }
        let properties = overlaid(&self.state.service, overlay.unwrap_or(&inner.overlay));
        self.state.check_update(&properties)?;
        let after = admin.describe(&self.state, &properties, &inner.own, before.timestamp())?;
        if let Some(overlay) = overlay {
            inner.overlay = overlay.clone();
        }
        if same_but_for_time(&before, &after) {
            return Ok(before);
        }
        let after = Arc::new(after);
        if let Phase::Open { description, .. } = &mut inner.phase {
            *description = Arc::clone(&after);
        }
        drop(inner);
        admin
            .0
            .tell(AdminEventKind::ExportUpdate, Some(&after), None);
        Ok(after)
    }

    /// Ends the export. When it returns, remote users are cut off and what
    /// the endpoint alone used is free (rule L06). Closing twice does nothing.
    pub async fn close(&self) {
        if let Some(endpoint) = self.end() {
            endpoint.close().await;
        }
    }

    /// Closes, and gives what is left to be awaited.
    fn end(&self) -> Option<Box<dyn ExportedEndpoint>> {
        let phase = std::mem::replace(&mut self.state.inner.lock().phase, Phase::Closed);
        let Phase::Open {
            description,
            endpoint,
        } = phase
        else {
            return None;
        };
        if let Some(admin) = self.admin.upgrade() {
            admin
                .exports
                .lock()
                .retain(|other| !Arc::ptr_eq(other, &self.state));
            admin.tell(
                AdminEventKind::ExportUnregistration,
                Some(&description),
                None,
            );
        }
        Some(endpoint)
    }
}

impl Drop for ExportRegistration {
    fn drop(&mut self) {
        drop(self.end());
    }
}

fn same_but_for_time(a: &EndpointDescription, b: &EndpointDescription) -> bool {
    let timeless = |description: &EndpointDescription| {
        let mut properties = description.properties().clone();
        properties.remove(ecf::ENDPOINT_TIMESTAMP);
        properties
    };
    timeless(a) == timeless(b)
}

impl fmt::Debug for ExportRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportRegistration")
            .field("service", &self.state.service)
            .field("endpoint", &self.description())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}
