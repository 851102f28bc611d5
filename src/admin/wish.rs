//! What a service's properties ask for (OSGi Compendium 100.2, 122.5.1).

use std::sync::Arc;

use tracing::{error, warn};

use crate::distribution::{Provider, provider_for};
use crate::endpoint::lint::lint;
use crate::names::osgi;
use crate::properties::Properties;
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
    /// The provider knows the intents, but as it is configured its endpoints
    /// do not have them (rules N10, N11).
    #[error(
        "the configuration of the provider of {config_type} rules out the intents {}: a private \
         endpoint needs a private address to listen on, a confidential one TLS", intents.join(", ")
    )]
    IntentsRuledOut {
        /// The config type.
        config_type: String,
        /// The intents that its endpoints would not have.
        intents: Vec<String>,
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
pub(super) struct Wish {
    pub(super) interfaces: Vec<String>,
    config_types: Vec<String>,
    pub(super) intents: Vec<String>,
}

/// A config type to export with, and the provider that does.
pub(super) type Choice = (String, Arc<dyn Provider>);

impl Wish {
    /// # Errors
    ///
    /// As [`RemoteServiceAdmin::export_service`](super::RemoteServiceAdmin::export_service).
    pub(super) fn read(properties: &Properties) -> Result<Self, ExportError> {
        check_properties(properties)?;
        for finding in lint(properties) {
            warn!(%finding, "the service asks for what cannot be meant");
        }
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
    pub(super) fn choose(
        &self,
        providers: &[Arc<dyn Provider>],
    ) -> Result<Vec<Choice>, ExportError> {
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
        let mut refusal = None;
        let mut fitting = Vec::new();
        for (config_type, provider) in chosen {
            match self.check(&config_type, provider.as_ref(), providers) {
                Ok(()) => fitting.push((config_type, provider)),
                Err(reason) => {
                    warn!(config_type, %reason, "this config type is ignored");
                    refusal.get_or_insert(reason);
                }
            }
        }
        match refusal {
            Some(reason) if fitting.is_empty() => Err(reason),
            _ => Ok(fitting),
        }
    }

    /// Whether an endpoint of this provider would have all the intents (rules
    /// P08, X08).
    fn check(
        &self,
        config_type: &str,
        provider: &dyn Provider,
        providers: &[Arc<dyn Provider>],
    ) -> Result<(), ExportError> {
        let unmet = provider.unmet(&self.intents);
        if unmet.is_empty() {
            return Ok(());
        }
        let known = |intent: &String| provider.intents().contains(&intent.as_str());
        Err(if unmet.iter().all(known) {
            ExportError::IntentsRuledOut {
                config_type: config_type.to_owned(),
                intents: unmet,
            }
        } else {
            ExportError::NoSuchIntent {
                asked: self.intents.clone(),
                supported: supported(providers, |p| p.intents()),
            }
        })
    }

    pub(super) fn fits(&self, provider: &dyn Provider) -> bool {
        provider.unmet(&self.intents).is_empty()
    }
}

pub(super) fn supported(
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

/// An empty one is none (rule P05), and one that is named twice leads to one
/// endpoint (rule P17).
fn config_types(properties: &Properties) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for name in properties.string_plus(osgi::SERVICE_EXPORTED_CONFIGS) {
        if types.iter().any(|known| known == name) {
            error!(
                config_type = name,
                "service.exported.configs names this twice"
            );
        } else if !name.is_empty() {
            types.push(name.to_owned());
        }
    }
    types
}

/// All that the endpoint must have, from each of the three properties (rules
/// P07, P08).
pub(super) fn required_intents(properties: &Properties) -> Vec<String> {
    let mut intents: Vec<String> = Vec::new();
    for name in [
        osgi::SERVICE_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS_EXTRA,
    ] {
        merge(&mut intents, properties.string_plus(name));
    }
    intents
}

/// Adds what qualified intents imply, as far as the provider supports it
/// (rules N01, N02): `osgi.basic` does not make an intent `osgi`.
pub(super) fn expanded(mut intents: Vec<String>, provider: &dyn Provider) -> Vec<String> {
    let implied: Vec<_> = intents
        .iter()
        .filter_map(|intent| Some(intent.split_once('.')?.0.to_owned()))
        .filter(|general| provider.intents().contains(&general.as_str()))
        .collect();
    merge(&mut intents, implied);
    intents
}

/// Adds those that are not there yet.
pub(super) fn merge(intents: &mut Vec<String>, more: impl IntoIterator<Item = impl Into<String>>) {
    for intent in more.into_iter().map(Into::into) {
        if !intent.is_empty() && !intents.contains(&intent) {
            intents.push(intent);
        }
    }
}

/// The service's properties under those of the export (rules X02, X03).
pub(super) fn overlaid(service: &ServiceReference, overlay: &Properties) -> Properties {
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
