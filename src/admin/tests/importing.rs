//! Importing (122.5.2).

use super::*;
use crate::properties::Value;

/// Rule I01.
#[tokio::test]
async fn an_endpoint_of_unknown_types_gives_nothing_and_no_event() {
    let bench = bench();
    let unknown = endpoint("e", props! { "service.imported.configs" => ["x", "y"] });
    assert!(bench.admin.import_service(&unknown).is_none());
    assert!(bench.events().is_empty() && bench.fake.log().is_empty());
}

/// Rules N03 and P08, on the importing side.
#[tokio::test]
async fn an_endpoint_with_an_unknown_intent_is_not_imported() {
    let bench = bench();
    let unknown = endpoint(
        "e",
        props! { "service.intents" => ["osgi.basic", "x.unknown"] },
    );
    assert!(bench.admin.import_service(&unknown).is_none());
    assert!(bench.events().is_empty() && bench.proxies().is_empty());
}

/// Rule I02.
#[tokio::test]
async fn of_several_known_types_one_is_used_and_named_and_nobody_is_called_yet() {
    let bench = bench();
    let several = endpoint(
        "e",
        props! { "service.imported.configs" => ["x", "c.two", "c.one"] },
    );
    // Nobody serves this endpoint: the proxy is there all the same.
    let import = bench.admin.import_service(&several).unwrap();
    let proxy = import.proxy().unwrap();
    assert_eq!(
        proxy.properties().string_plus("service.imported.configs"),
        ["c.two"]
    );
    let error = proxy.get::<dyn A>().unwrap().a().await.unwrap_err();
    assert!(error.is_remote(), "{error}");
}

/// Rule I03.
#[tokio::test]
async fn each_import_is_a_registration_of_its_own() {
    let bench = bench();
    let (_service, export) = bench.exported(marked()).await;
    let description = export.description().unwrap();
    let first = bench.admin.import_service(&description).unwrap();
    let second = bench.admin.import_service(&description).unwrap();
    let proxy = second.proxy().unwrap().get::<dyn A>().unwrap();
    first.close();
    assert_eq!(proxy.a().await.unwrap(), "a");
    assert!(!bench.proxies().is_empty());
    second.close();
    assert!(bench.proxies().is_empty());
    let error = proxy.a().await.unwrap_err().to_string();
    assert!(
        error.contains("was removed: look the service up again"),
        "{error}"
    );
}

/// Rules I04 and P09.
#[tokio::test]
async fn a_proxy_has_the_endpoints_interfaces_and_properties() {
    let bench = bench();
    let description = endpoint(
        "e",
        props! {
            "objectClass" => ["org.example.B", "org.example.A"],
            "service.intents" => ["osgi.basic"], "colour" => "red", "size" => 3.5_f64,
        },
    );
    let import = bench.admin.import_service(&description).unwrap();
    let proxy = import.proxy().unwrap();
    assert_eq!(proxy.interfaces(), ["org.example.B", "org.example.A"]);
    let properties = proxy.properties();
    assert!(properties.contains("service.imported"));
    for (name, value) in description.properties().iter() {
        assert_eq!(properties.get(name), Some(value), "{name}");
    }
}

/// Rule I05.
#[tokio::test]
async fn a_service_id_in_the_endpoint_is_not_the_proxys() {
    let bench = bench();
    let description = endpoint("e", props! { "service.id" => 4711_i64 });
    let import = bench.admin.import_service(&description).unwrap();
    let proxy = import.proxy().unwrap();
    assert_ne!(proxy.id(), 4711);
    let shown = proxy.properties();
    let shown = shown.get("service.id").and_then(Value::as_long);
    assert_eq!(shown, Some(proxy.id()));
}

/// Rule I06.
#[tokio::test]
async fn the_lists_have_one_entry_for_each_open_registration() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let second = bench.export(&service).await.pop().unwrap();
    let description = first.description().unwrap();
    let imports: Vec<_> = (0..2)
        .map(|_| bench.admin.import_service(&description).unwrap())
        .collect();
    let broken = endpoint("broken", props! { "ecf.endpoint.id" => "broken" });
    let invalid = bench.admin.import_service(&broken).unwrap();
    assert!(invalid.error().is_some());
    assert_eq!(bench.admin.exported().len(), 2);
    assert_eq!(bench.admin.imported(), [description.clone(), description]);
    first.close().await;
    imports[0].close();
    assert_eq!(bench.admin.exported(), [second.description().unwrap()]);
    assert_eq!(bench.admin.imported().len(), 1);
    drop((second, imports));
    assert!(bench.is_clean());
}

/// Rule L02.
#[tokio::test]
async fn an_endpoint_that_cannot_be_called_gives_an_invalid_registration() {
    let bench = bench();
    let broken = endpoint("e", props! { "ecf.endpoint.id" => "broken" });
    let import = bench.admin.import_service(&broken).unwrap();
    assert_eq!(
        import.error().unwrap().to_string(),
        "endpoint e cannot be called: ecf.endpoint.id is 'broken'"
    );
    assert!(import.proxy().is_none() && import.description().is_none());
    let told = bench.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, AdminEventKind::ImportError);
    assert_eq!(told[0].endpoint.as_ref().unwrap().id().as_str(), "e");
    assert!(told[0].error.is_some());
    assert!(bench.proxies().is_empty());
}

/// Rule P16.
#[tokio::test]
async fn a_proxy_is_found_filtered_ranked_and_tracked_like_any_service() {
    use crate::services::TrackedEvent;
    let bench = bench();
    let local = Service::of::<dyn A>(Arc::new(Both));
    let ranked = |ranking: i32| props! { "service.ranking" => ranking };
    let local = bench.registry.register(local, ranked(1)).unwrap();
    let local_reference = local.reference().clone();
    let mut tracker = bench.registry.track::<dyn A>(None);
    let import = bench
        .admin
        .import_service(&endpoint("e", ranked(2)))
        .unwrap();
    let proxy = import.proxy().unwrap();
    let found = |filter: Option<&str>| {
        let filter = filter.map(|text| crate::filter::Filter::parse(text).unwrap());
        bench
            .registry
            .references(Some("org.example.A"), filter.as_ref())
    };
    assert_eq!(found(None), [proxy.clone(), local_reference.clone()]);
    assert_eq!(found(Some("(service.ranking>=2)")), vec![proxy.clone()]);
    assert_eq!(
        found(Some("(service.ranking<=1)")),
        vec![local_reference.clone()]
    );
    for reference in [&local_reference, &proxy] {
        match tracker.next().await {
            Some(TrackedEvent::Added(added, _)) => assert_eq!(added, *reference),
            other => panic!("{other:?}"),
        }
    }
    import.update(&endpoint("e", ranked(0))).unwrap();
    assert!(matches!(
        tracker.next().await,
        Some(TrackedEvent::Modified(modified, _)) if modified == proxy
    ));
    assert_eq!(
        tracker.references(),
        [local_reference.clone(), proxy.clone()]
    );
    import.close();
    assert!(matches!(
        tracker.next().await,
        Some(TrackedEvent::Removed(removed)) if removed == proxy
    ));
    assert_eq!(found(None), [local_reference]);
}
