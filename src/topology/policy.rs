//! Which services are exported and which endpoints imported.

use std::time::Duration;

use crate::admin::PackageVersions;
use crate::endpoint::EndpointDescription;
use crate::filter::Filter;
use crate::names::{FrameworkId, ecf, osgi};
use crate::properties::Properties;

/// How long an endpoint that is imported on demand stays when nobody wants it
/// any more, unless a policy says otherwise.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(10);

/// What a policy may know besides what it is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PolicyContext<'a> {
    /// The own framework.
    pub framework: &'a FrameworkId,
    /// The config types that the distribution providers support now.
    pub config_types: &'a [&'static str],
}

impl<'a> PolicyContext<'a> {
    /// What a policy of this framework may know.
    pub fn new(framework: &'a FrameworkId, config_types: &'a [&'static str]) -> Self {
        Self {
            framework,
            config_types,
        }
    }
}

/// Whether an endpoint is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Import {
    /// It is not.
    Never,
    /// As long as somebody tracks or waits for what its proxy would be (rule
    /// T07), and [for a while after](TopologyPolicy::linger).
    OnDemand,
    /// As long as it is there.
    Always,
}

/// Decides what is exported, announced and imported (rule T01). [`Policy`] is
/// one that is told by filters.
///
/// The answers are to depend on what is asked only: they are asked for anew
/// when that changes, and at no other time. Answers should be quick. A policy
/// that panics has said no.
///
/// Two rules hold for any policy: what is itself imported is not exported
/// again (X14), and endpoints of one's own framework are not imported (E10).
pub trait TopologyPolicy: Send + Sync + 'static {
    /// If a service is to be exported, the properties that the export has
    /// over those of the service (rule X02); else none. With
    /// `service.exported.interfaces` in them a service is exported that is not
    /// marked itself (rule X10); what is marked nowhere is not exported.
    ///
    /// Default: exported as it is.
    fn export(&self, service: &Properties, context: &PolicyContext<'_>) -> Option<Properties> {
        let _ = (service, context);
        Some(Properties::new())
    }

    /// Whether an endpoint of one's own is announced. One that is not is
    /// exported all the same, and can be called by whoever knows of it; one
    /// that changes so that it is not any more is withdrawn (rule E13).
    ///
    /// Default: yes.
    fn advertise(&self, endpoint: &EndpointDescription, context: &PolicyContext<'_>) -> bool {
        let _ = (endpoint, context);
        true
    }

    /// Whether an endpoint of others is imported.
    ///
    /// Default: always.
    fn import(&self, endpoint: &EndpointDescription, context: &PolicyContext<'_>) -> Import {
        let _ = (endpoint, context);
        Import::Always
    }

    /// How long an endpoint that was imported on demand stays when nobody
    /// wants it any more. Default: [`DEFAULT_LINGER`].
    fn linger(&self) -> Duration {
        DEFAULT_LINGER
    }

    /// Which versions of their packages consumers were written for (rule
    /// I07). Read once. Default: nothing is compared.
    fn versions(&self) -> PackageVersions {
        PackageVersions::default()
    }
}

/// A policy that is told by filters. The default is iPOPO's basic topology
/// manager's: whatever is marked is exported and announced, and whatever ECF
/// or iPOPO could have announced is imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Services that match are exported. Default:
    /// `(service.exported.interfaces=*)`.
    pub export: Filter,
    /// Endpoints of one's own that match are announced. Default: all.
    pub advertise: Option<Filter>,
    /// Endpoints that match one of these are imported (their
    /// `endpoint.listener.scope`). Default: `(ecf.endpoint.id.ns=*)`.
    pub import: Vec<Filter>,
    /// Whether they are imported only while somebody wants them, and how long
    /// they stay when nobody does any more. Default: they are imported always
    /// (rule T08, promiscuous).
    pub on_demand: Option<Duration>,
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
    /// What an export of the service is to have over the service's own
    /// properties, if providers support these config types.
    fn overlay(&self, service: &Properties, supported: &[&str]) -> Properties {
        let asked = service.string_plus(osgi::SERVICE_EXPORTED_CONFIGS);
        let unknown = |name: &&str| *name != osgi::NO_DEFAULT && !supported.contains(name);
        if self.fall_back && !asked.is_empty() && asked.iter().all(unknown) {
            let none: [&str; 0] = [];
            return Properties::new().with(osgi::SERVICE_EXPORTED_CONFIGS, none);
        }
        Properties::new()
    }
}

impl TopologyPolicy for Policy {
    fn export(&self, service: &Properties, context: &PolicyContext<'_>) -> Option<Properties> {
        let wanted = self.export.matches(service);
        wanted.then(|| self.overlay(service, context.config_types))
    }

    fn advertise(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> bool {
        let filter = self.advertise.as_ref();
        filter.is_none_or(|filter| endpoint.matches(filter))
    }

    fn import(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> Import {
        let wanted = self.import.iter().any(|filter| endpoint.matches(filter));
        match (wanted, self.on_demand) {
            (false, _) => Import::Never,
            (true, Some(_)) => Import::OnDemand,
            (true, None) => Import::Always,
        }
    }

    fn linger(&self) -> Duration {
        self.on_demand.unwrap_or(DEFAULT_LINGER)
    }

    fn versions(&self) -> PackageVersions {
        self.versions.clone()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            export: present(osgi::SERVICE_EXPORTED_INTERFACES),
            advertise: None,
            import: vec![present(ecf::ENDPOINT_ID_NS)],
            on_demand: None,
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
    fn filters_say_what_is_exported_announced_and_imported() {
        let own: FrameworkId = "own".parse().unwrap();
        let context = PolicyContext::new(&own, &[]);
        let filter = |text: &str| Filter::parse(text).unwrap();
        let endpoint = |n: i32| {
            EndpointDescription::new(props! {
                "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
                "ecf.endpoint.id.ns" => "ns", "n" => n,
            })
            .unwrap()
        };
        let basic = Policy::default();
        let marked = props! { "service.exported.interfaces" => "*" };
        assert_eq!(basic.export(&marked, &context), Some(props! {}));
        assert_eq!(basic.export(&props! {}, &context), None);
        assert!(basic.advertise(&endpoint(1), &context));
        assert_eq!(basic.import(&endpoint(1), &context), Import::Always);

        let narrow = Policy {
            export: filter("(n=1)"),
            advertise: Some(filter("(n=1)")),
            import: vec![filter("(n=3)"), filter("(n=1)")],
            on_demand: Some(Duration::from_secs(7)),
            ..Policy::default()
        };
        assert_eq!(narrow.export(&marked, &context), None);
        assert!(narrow.export(&props! { "n" => 1_i32 }, &context).is_some());
        assert!(narrow.advertise(&endpoint(1), &context));
        assert!(!narrow.advertise(&endpoint(2), &context));
        assert_eq!(narrow.import(&endpoint(1), &context), Import::OnDemand);
        assert_eq!(narrow.import(&endpoint(2), &context), Import::Never);
        assert_eq!(narrow.linger(), Duration::from_secs(7));
    }
}
