//! Providers that come and go (122.3, 100.5).

use super::AdminEventKind::{
    ExportRegistration, ExportUnregistration, ImportRegistration, ImportUnregistration,
};
use super::*;

fn supporting(bench: &Bench, filter: &str) -> usize {
    let filter = crate::filter::Filter::parse(filter).unwrap();
    bench.registry.references(None, Some(&filter)).len()
}

/// Rules P18 and N12.
#[tokio::test]
async fn what_a_provider_supports_is_found_as_a_service_while_it_is_there() {
    let bench = bench();
    for filter in [
        "(remote.configs.supported=c.two)",
        "(&(remote.configs.supported=c.one)(remote.intents.supported=osgi.basic))",
        "(remote.intents.supported=osgi.async)",
    ] {
        assert_eq!(supporting(&bench, filter), 1, "{filter}");
    }
    assert_eq!(supporting(&bench, "(remote.configs.supported=c.three)"), 0);
    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    assert_eq!(supporting(&bench, "(remote.configs.supported=*)"), 0);
    // Nobody calls it, but who does is told and not left waiting.
    bench.admin.add_provider(provider);
    let service = &bench.registry.references(None, None)[0];
    let invoker = service.invoker(&service.interfaces()[0]).unwrap();
    let error = invoker.invoke(Call::new("anything", Vec::new())).await;
    assert!(matches!(error, Err(CallError::NoSuchMethod { .. })));
}

/// Rule T04: a provider takes its endpoints and proxies along, and no others.
#[tokio::test]
async fn a_provider_that_goes_ends_its_exports_and_imports() {
    let bench = bench();
    let mut second = Fake::new(None);
    second.types = &["c.three"];
    let second = Arc::new(second);
    bench.admin.add_provider(second.clone());
    let (_first_service, first) = bench.exported(marked()).await;
    let (_service, other) = bench
        .exported(marked().with("service.exported.configs", "c.three"))
        .await;
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let of_other = props! { "service.imported.configs" => ["c.three"] };
    let kept = bench
        .admin
        .import_service(&endpoint("f", of_other))
        .unwrap();
    let proxy = import.proxy().unwrap();
    bench.events();

    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    assert_eq!(bench.events(), [ImportUnregistration, ExportUnregistration]);
    assert!(first.description().is_none() && import.description().is_none());
    assert!(!proxy.is_registered() && bench.fake.endpoints.lock().is_empty());
    assert_eq!(bench.fake.log().last().unwrap(), "closed");
    assert!(other.description().is_some() && kept.proxy().is_some());
    // The registrations are closed, and closing them does nothing.
    first.close().await;
    import.close();
    bench.admin.remove_provider(&provider).await;
    assert!(bench.events().is_empty());
    assert_eq!(
        bench.fake.log().iter().filter(|e| *e == "closed").count(),
        1
    );
}

/// Rule T04, for an export that is on the way when its provider goes.
#[tokio::test]
async fn an_export_whose_provider_goes_meanwhile_is_invalid() {
    use futures::FutureExt as _;
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let service = bench.register(marked());
    let mut export = Box::pin(bench.export(&service));
    assert!(export.as_mut().now_or_never().is_none());
    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    bench.fake.opening.add_permits(1);
    let exports = export.await;
    let error = exports[0].error().unwrap().to_string();
    assert_eq!(error, "the distribution provider is closed");
    assert!(bench.is_clean());
}

/// The admin ends with all that it opened, whoever asked for it.
#[tokio::test]
async fn a_closed_admin_leaves_no_export_and_no_import() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    bench.admin.close().await;
    assert_eq!(
        bench.events(),
        [
            ExportRegistration,
            ImportRegistration,
            ImportUnregistration,
            ExportUnregistration
        ]
    );
    assert!(bench.is_clean() && bench.proxies().is_empty());
    let log = bench.fake.log();
    let ends = ["close c.one org.example.A org.example.B", "closed"];
    assert!(log.ends_with(&ends.map(str::to_owned)), "{log:?}");
    assert!(export.description().is_none() && import.proxy().is_none());
}

/// Several providers of one config type: the first one added serves it, and
/// the next takes its place when it has gone.
#[tokio::test]
async fn of_two_providers_of_a_type_the_first_one_added_serves_it() {
    let bench = bench();
    let second = Arc::new(Fake::new(None));
    bench.admin.add_provider(second.clone());
    let (service, export) = bench.exported(marked()).await;
    assert!(second.log().is_empty());
    let provider = bench.fake.clone() as Arc<dyn Provider>;
    bench.admin.remove_provider(&provider).await;
    assert!(export.description().is_none());
    let anew = bench.export(&service).await.pop().unwrap();
    assert!(anew.description().is_some());
    assert_eq!(second.log(), ["open c.one org.example.A org.example.B"]);
}
