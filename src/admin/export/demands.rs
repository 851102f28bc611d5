//! What a provider is asked for when it makes an endpoint.

use std::collections::BTreeSet;

use super::super::wish::required_intents;
use super::AdminError;
use crate::names::osgi::BASIC_TIMEOUT;
use crate::properties::{self, Properties, Value};

/// The intents of an endpoint, the time that its calls may take, and the
/// properties of its config type. A provider reads them once.
#[derive(PartialEq)]
pub(super) struct Demands {
    intents: BTreeSet<String>,
    /// The timeout, and those that begin with the config type and a full stop.
    read: Properties,
}

impl Demands {
    pub(super) fn of(config_type: &str, properties: &Properties) -> Self {
        let prefix = format!("{config_type}.");
        let read = properties.iter().filter(|(name, _)| {
            properties::name_starts_with(name, &prefix)
                || properties::same_name(name, BASIC_TIMEOUT)
        });
        Self {
            intents: required_intents(properties).into_iter().collect(),
            read: read.map(|(name, value)| (name, value.clone())).collect(),
        }
    }

    /// Whether an endpoint that was made with these can stand for the others.
    pub(super) fn check(&self, asked: &Self) -> Result<(), AdminError> {
        if self.intents != asked.intents {
            return Err(AdminError::OtherExport {
                what: "the intents".to_owned(),
                exported: listed(&self.intents),
                asked: listed(&asked.intents),
            });
        }
        let names = self.read.iter().chain(asked.read.iter());
        for (name, _) in names {
            let (before, after) = (self.read.get(name), asked.read.get(name));
            if before != after {
                return Err(AdminError::OtherExport {
                    what: name.to_owned(),
                    exported: shown(before),
                    asked: shown(after),
                });
            }
        }
        Ok(())
    }
}

fn listed(intents: &BTreeSet<String>) -> String {
    if intents.is_empty() {
        return "none".to_owned();
    }
    intents
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "no value".to_owned(), |value| format!("'{value}'"))
}
