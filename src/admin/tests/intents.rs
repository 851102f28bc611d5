//! Intents (100.3) and package versions (122.5.7).

use super::*;
use crate::properties::{Value, VersionRange};

fn adding(intent: &'static str) -> Fake {
    let mut fake = Fake::new(None);
    fake.intents = &["osgi.basic", "conf", "conf.message", "i.added"];
    fake.adds = Some(intent);
    fake
}

/// Rules P10 and N12.
#[tokio::test]
async fn what_the_providers_add_is_on_the_endpoint_and_on_the_proxy() {
    let exporter = bench_of(adding("i.added"));
    let (_service, export) = exporter
        .exported(marked().with("service.intents", "osgi.basic"))
        .await;
    let description = export.description().unwrap();
    assert_eq!(description.intents(), ["osgi.basic", "i.added"]);
    let importer = bench_of(adding("conf"));
    let import = importer.admin.import_service(&description).unwrap();
    let proxy = import.proxy().unwrap().properties();
    let intents = ["osgi.basic", "i.added", "conf"];
    assert_eq!(proxy.string_plus("service.intents"), intents);
    // The endpoint has what it had.
    assert_eq!(
        import.description().unwrap().intents(),
        ["osgi.basic", "i.added"]
    );
}

/// Rules N01 and N02.
#[tokio::test]
async fn a_qualified_intent_brings_the_general_one_if_that_is_supported() {
    let bench = bench_of(adding("i.added"));
    let asked = Value::array_of(["osgi.basic", "conf.message"]);
    let (_service, export) = bench
        .exported(marked().with("service.exported.intents", asked))
        .await;
    assert_eq!(
        export.description().unwrap().intents(),
        ["osgi.basic", "conf.message", "i.added", "conf"]
    );
}

/// A provider that knows an intent, but does not have it as it is configured.
struct Exposed(Arc<Fake>);

impl Provider for Exposed {
    fn config_types(&self) -> &'static [&'static str] {
        self.0.config_types()
    }

    fn intents(&self) -> &'static [&'static str] {
        &["osgi.basic", "osgi.private", "osgi.confidential"]
    }

    fn unmet(&self, intents: &[String]) -> Vec<String> {
        let unmet = intents.iter().filter(|intent| *intent != "osgi.basic");
        unmet.cloned().collect()
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        self.0.export(request)
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        self.0.import(endpoint)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

/// Rules N10, N11 and X08: not configured is as good as not supported, and
/// the reason says which of the two it is.
#[tokio::test]
async fn an_intent_that_the_configuration_rules_out_leaves_no_endpoint() {
    let bench = bench();
    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    bench
        .admin
        .add_provider(Arc::new(Exposed(bench.fake.clone())));
    for intent in ["osgi.private", "osgi.confidential"] {
        let properties = marked().with("service.exported.intents", intent);
        let service = bench.register(properties.clone());
        assert!(bench.export(&service).await.is_empty());
        let properties = properties.with("objectClass", ["org.example.A"]);
        let error = bench
            .admin
            .check_export(&properties)
            .unwrap_err()
            .to_string();
        let expected =
            format!("the configuration of the provider of c.one rules out the intents {intent}: ");
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(bench.events().is_empty());
    // The importer has to know an intent, not to have it.
    let private = endpoint("e", props! { "service.intents" => ["osgi.private"] });
    assert!(
        bench
            .admin
            .import_service(&private)
            .unwrap()
            .error()
            .is_none()
    );
}

fn versions(rule: VersionRule, wanted: &str) -> Arc<PackageVersions> {
    let wanted: VersionRange = wanted.parse().unwrap();
    Arc::new(PackageVersions::new(rule).declare_interface("org.example.A", wanted))
}

/// Rule I07.
#[tokio::test]
async fn an_endpoint_of_another_package_version_is_not_imported_and_both_are_named() {
    let bench = bench();
    let offering = |id: &str, version: &str| {
        endpoint(
            id,
            props! { "endpoint.package.version.org.example" => version },
        )
    };
    let exact = versions(VersionRule::Exact, "1.2");
    let invalid = bench
        .admin
        .import_fitting(&offering("e", "1.3"), &exact)
        .unwrap();
    let error = invalid.error().unwrap().to_string();
    assert!(
        error.contains("has version 1.3.0 of package org.example"),
        "{error}"
    );
    assert!(error.contains("1.2.0 is wanted exactly"), "{error}");
    assert_eq!(bench.events(), [AdminEventKind::ImportError]);
    assert!(bench.proxies().is_empty() && bench.fake.log().is_empty());

    let range = versions(VersionRule::Range, "[1.2,2.0)");
    let import = bench
        .admin
        .import_fitting(&offering("e", "1.3"), &range)
        .unwrap();
    assert!(import.error().is_none());
    // Rule U05: an update has to fit as well, and else changes nothing.
    let error = import
        .update(&offering("e", "2.0"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("has version 2.0.0"), "{error}");
    let seen = import.proxy().unwrap().properties();
    assert_eq!(
        seen.get_str("endpoint.package.version.org.example"),
        Some("1.3")
    );
    import.update(&offering("e", "1.9")).unwrap();
}

/// Rule I07: of several endpoints a consumer gets those that fit.
#[tokio::test]
async fn a_consumer_of_one_version_finds_no_endpoint_of_another() {
    let bench = bench();
    let two = versions(VersionRule::Range, "[2,3)");
    let imports: Vec<_> = ["1.0", "2.0", "2.5", "3.0"]
        .into_iter()
        .map(|version| {
            let properties = props! { "endpoint.package.version.org.example" => version };
            bench
                .admin
                .import_fitting(&endpoint(version, properties), &two)
                .unwrap()
        })
        .collect();
    let found = bench.registry.references(Some("org.example.A"), None);
    let expected: Vec<_> = imports[1..3].iter().map(|i| i.proxy().unwrap()).collect();
    assert_eq!(found, expected);
}
