//! What is to be done, from what is wanted and what there is. Pure.

use crate::endpoint::EndpointDescription;
use crate::names::osgi;
use crate::properties::{self, Properties};

/// What is to be done with one service, or one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All is as it should be.
    Keep,
    /// Export or import it.
    Open,
    /// Tell of its new content.
    Update,
    /// End it and open it anew: what changed cannot be changed in place
    /// (rule U06).
    Replace,
    /// End it.
    Close,
}

/// What to do with a service: `wanted` are its properties if it is to be
/// exported, `actual` those with which it is.
pub(super) fn export(wanted: Option<&Properties>, actual: Option<&Properties>) -> Step {
    match (wanted, actual) {
        (None, None) => Step::Keep,
        (None, Some(_)) => Step::Close,
        (Some(_), None) => Step::Open,
        (Some(wanted), Some(actual)) if wanted == actual => Step::Keep,
        (Some(wanted), Some(actual)) if same_export(wanted, actual) => Step::Update,
        (Some(_), Some(_)) => Step::Replace,
    }
}

/// What to do with an endpoint: `wanted` is its description if it is to be
/// imported, `actual` the one with which it is.
pub(super) fn import(
    wanted: Option<&EndpointDescription>,
    actual: Option<&EndpointDescription>,
) -> Step {
    match (wanted, actual) {
        (None, None) => Step::Keep,
        (None, Some(_)) => Step::Close,
        (Some(_), None) => Step::Open,
        (Some(wanted), Some(actual)) if wanted.same_content(actual) => Step::Keep,
        (Some(wanted), Some(actual)) if same_import(wanted, actual) => Step::Update,
        (Some(_), Some(_)) => Step::Replace,
    }
}

/// Whether two sets of properties ask for the same endpoints: interfaces,
/// config types and intents, and all that begins with a config type, are read
/// when an endpoint is made.
fn same_export(a: &Properties, b: &Properties) -> bool {
    let mut config_types = a.string_plus(osgi::SERVICE_EXPORTED_CONFIGS);
    config_types.extend(b.string_plus(osgi::SERVICE_EXPORTED_CONFIGS));
    let shapes = |name: &str| {
        properties::name_starts_with(name, osgi::SERVICE_EXPORTED_PREFIX)
            || properties::same_name(name, osgi::SERVICE_INTENTS)
            || config_types
                .iter()
                .any(|c| properties::name_starts_with(name, &format!("{c}.")))
    };
    let shaping = |properties: &Properties| -> Properties {
        let entries = properties.iter().filter(|(name, _)| shapes(name));
        entries.map(|(name, value)| (name, value.clone())).collect()
    };
    shaping(a) == shaping(b)
}

/// Whether one proxy can serve both: interfaces are fixed when a service is
/// registered, and the config type chooses the provider.
fn same_import(a: &EndpointDescription, b: &EndpointDescription) -> bool {
    a.interfaces() == b.interfaces()
        && a.config_types() == b.config_types()
        && a.intents() == b.intents()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    fn endpoint(extra: Properties) -> EndpointDescription {
        let mut properties = props! {
            "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
        };
        properties.overlay(&extra);
        EndpointDescription::new(properties).unwrap()
    }

    #[test]
    fn services_are_exported_followed_and_unexported() {
        let marked = || props! { "service.exported.interfaces" => "*", "n" => 1_i32 };
        assert_eq!(export(None, None), Step::Keep);
        assert_eq!(export(Some(&marked()), None), Step::Open);
        assert_eq!(export(Some(&marked()), Some(&marked())), Step::Keep);
        let changed = marked().with("n", 2_i32);
        assert_eq!(export(Some(&changed), Some(&marked())), Step::Update);
        // Rule T05: a service that loses the mark is not wanted any more.
        assert_eq!(export(None, Some(&marked())), Step::Close);
    }

    #[test]
    fn a_change_of_what_makes_the_endpoint_replaces_it() {
        let marked = || {
            props! {
                "service.exported.interfaces" => "*", "service.exported.configs" => "c",
            }
        };
        for (name, value) in [
            ("service.exported.interfaces", "a.A"),
            ("SERVICE.exported.configs", "d"),
            ("service.exported.intents", "osgi.basic"),
            ("service.intents", "osgi.basic"),
            ("c.port", "80"),
        ] {
            let changed = marked().with(name, value);
            assert_eq!(
                export(Some(&changed), Some(&marked())),
                Step::Replace,
                "{name}"
            );
        }
        let other = marked().with("cport", "80");
        assert_eq!(export(Some(&other), Some(&marked())), Step::Update);
    }

    #[test]
    fn endpoints_are_imported_followed_and_let_go() {
        let one = endpoint(props! {});
        assert_eq!(import(None, None), Step::Keep);
        assert_eq!(import(Some(&one), None), Step::Open);
        assert_eq!(import(Some(&one), Some(&one)), Step::Keep);
        let changed = endpoint(props! { "n" => 1_i32 });
        assert_eq!(import(Some(&changed), Some(&one)), Step::Update);
        for extra in [
            props! { "objectClass" => ["b.B"] },
            props! { "service.imported.configs" => ["d"] },
            props! { "service.intents" => ["i"] },
        ] {
            assert_eq!(import(Some(&endpoint(extra)), Some(&one)), Step::Replace);
        }
        assert_eq!(import(None, Some(&one)), Step::Close);
    }
}
