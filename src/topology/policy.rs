//! Which services are exported and which endpoints imported.

use crate::admin::PackageVersions;
use crate::endpoint::EndpointDescription;
use crate::filter::Filter;
use crate::names::{FrameworkId, ecf, osgi};
use crate::properties::Properties;

/// The policy of a topology manager (rule T01). The default is iPOPO's basic
/// topology manager's: whatever is marked is exported, and whatever ECF or
/// iPOPO could have announced is imported.
///
/// Two rules hold for any policy: what is itself imported is not exported
/// again (X14), and endpoints of one's own framework are not imported (E10).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Services that match are exported. Default:
    /// `(service.exported.interfaces=*)`.
    pub export: Filter,
    /// Endpoints that match one of these are imported (their
    /// `endpoint.listener.scope`). Default: `(ecf.endpoint.id.ns=*)`.
    pub import: Vec<Filter>,
    /// Which versions of their packages consumers were written for: an
    /// endpoint that offers others is not imported, and an event of the
    /// [admin](crate::admin) says why (rule I07). Default: nothing is
    /// compared.
    pub versions: PackageVersions,
    /// Whether a service is exported with a provider's default config type if
    /// no provider knows any of those that it asks for, unless it also asks
    /// for `<<nodefault>>` (rule P06). Default: no.
    pub fall_back: bool,
}

impl Policy {
    pub(super) fn exports(&self, service: &Properties) -> bool {
        !service.contains(osgi::SERVICE_IMPORTED)
            && service.contains(osgi::SERVICE_EXPORTED_INTERFACES)
            && self.export.matches(service)
    }

    pub(super) fn imports(&self, endpoint: &EndpointDescription, own: &FrameworkId) -> bool {
        endpoint.framework_uuid() != Some(own.as_str())
            && self.import.iter().any(|filter| endpoint.matches(filter))
    }

    /// What an export of the service is to have over the service's own
    /// properties, if providers support these config types.
    pub(super) fn overlay(&self, service: &Properties, supported: &[&str]) -> Properties {
        let asked = service.string_plus(osgi::SERVICE_EXPORTED_CONFIGS);
        let unknown = |name: &&str| *name != osgi::NO_DEFAULT && !supported.contains(name);
        if self.fall_back && !asked.is_empty() && asked.iter().all(unknown) {
            let none: [&str; 0] = [];
            return Properties::new().with(osgi::SERVICE_EXPORTED_CONFIGS, none);
        }
        Properties::new()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            export: present(osgi::SERVICE_EXPORTED_INTERFACES),
            import: vec![present(ecf::ENDPOINT_ID_NS)],
            versions: PackageVersions::default(),
            fall_back: false,
        }
    }
}

fn present(name: &'static str) -> Filter {
    #[allow(
        clippy::expect_used,
        reason = "a constant of this crate, checked by the test below"
    )]
    Filter::present(name).expect("the names of OSGi and ECF are names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Value;
    use crate::props;

    #[test]
    fn marked_services_are_exported_and_proxies_never() {
        let policy = Policy::default();
        let marked = props! { "service.exported.interfaces" => "*" };
        assert!(policy.exports(&marked));
        assert!(!policy.exports(&props! {}));
        assert!(!policy.exports(&marked.with("service.imported", "true")));
    }

    /// Rule P06.
    #[test]
    fn a_service_falls_back_to_the_default_config_type_only_if_it_may() {
        let asking = |configs: &[&str]| {
            props! { "service.exported.configs" => Value::array_of(configs.iter().copied()) }
        };
        let falls_back = |fall_back, configs: &[&str]| {
            let policy = Policy {
                fall_back,
                ..Policy::default()
            };
            let overlay = policy.overlay(&asking(configs), &["c.one"]);
            overlay.contains("service.exported.configs")
        };
        assert!(!falls_back(false, &["c.unknown"]));
        assert!(falls_back(true, &["c.unknown", "c.other"]));
        assert!(!falls_back(true, &["c.unknown", "<<nodefault>>"]));
        assert!(!falls_back(true, &["c.unknown", "c.one"]));
        assert!(!falls_back(true, &[]));
    }

    #[test]
    fn endpoints_of_other_frameworks_are_imported() {
        let policy = Policy::default();
        let own: FrameworkId = "own".parse().unwrap();
        let endpoint = |extra: Properties| {
            let mut properties = props! {
                "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
                "ecf.endpoint.id.ns" => "ns",
            };
            properties.overlay(&extra);
            EndpointDescription::new(properties).unwrap()
        };
        assert!(policy.imports(&endpoint(props! {}), &own));
        assert!(policy.imports(&endpoint(props! { "endpoint.framework.uuid" => "x" }), &own));
        assert!(!policy.imports(
            &endpoint(props! { "endpoint.framework.uuid" => "own" }),
            &own
        ));
        let narrow = Policy {
            import: vec![Filter::parse("(ecf.endpoint.id.ns=other)").unwrap()],
            ..Policy::default()
        };
        assert!(!narrow.imports(&endpoint(props! {}), &own));
    }
}
