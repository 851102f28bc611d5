//! Exporting (122.5.1).

use futures::FutureExt as _;

use super::*;
use crate::properties::Value;

/// Rule X01.
#[tokio::test]
async fn nothing_is_exported_or_imported_unless_it_is_told_to() {
    let bench = bench();
    let _service = bench.register(marked());
    assert!(bench.is_clean() && bench.events().is_empty());
    assert!(bench.fake.log().is_empty());
}

/// Rule X02.
#[tokio::test]
async fn a_key_of_the_overlay_replaces_every_spelling_of_it() {
    let bench = bench();
    let service = bench.register(marked().with("mykey", "old").with("other", "kept"));
    let overlay = props! { "MyKey" => "new" };
    let exports = bench
        .admin
        .export_service(service.reference(), &overlay)
        .await
        .unwrap();
    let description = exports[0].description().unwrap();
    let mine: Vec<_> = description
        .properties()
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("mykey"))
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect();
    assert_eq!(mine, [("MyKey".to_owned(), "new".to_owned())]);
    assert_eq!(description.properties().get_str("other"), Some("kept"));
}

/// Rule X03.
#[tokio::test]
async fn the_overlay_cannot_say_what_the_service_is() {
    let bench = bench();
    let service = bench.register(marked());
    let overlay = props! { "OBJECTCLASS" => ["org.example.C"], "Service.Id" => 77_i64 };
    let exports = bench
        .admin
        .export_service(service.reference(), &overlay)
        .await
        .unwrap();
    let description = exports[0].description().unwrap();
    assert_eq!(description.interfaces(), ["org.example.A", "org.example.B"]);
    assert_eq!(description.service_id(), service.reference().id());
    assert_eq!(description.properties().get("service.id"), None);
}

/// Rule X04.
#[tokio::test]
async fn a_refused_export_leaves_no_registration_and_no_event() {
    let bench = bench();
    bench.refused(props! {}).await;
    bench
        .refused(props! { "service.exported.interfaces" => "org.example.C" })
        .await;
    assert!(bench.is_clean() && bench.events().is_empty());
    assert!(bench.fake.log().is_empty());
}

/// Rule X05, with the spellings that rule N06 allows.
#[tokio::test]
async fn a_bad_value_of_a_property_that_providers_obey_is_refused_by_name() {
    let bench = bench();
    let bad: [(Value, &str); 4] = [
        ("soon".into(), "soon"),
        (0_i32.into(), "0"),
        ((-5_i64).into(), "-5"),
        (true.into(), "true"),
    ];
    for (value, shown) in bad {
        let error = bench
            .refused(marked().with("osgi.basic.timeout", value))
            .await;
        assert_eq!(
            error.to_string(),
            format!(
                "osgi.basic.timeout is '{shown}': it must be a positive number of milliseconds"
            )
        );
    }
    let good: [Value; 3] = ["3000".into(), 3000_i32.into(), 3000.0_f64.into()];
    for value in good {
        let (_service, export) = bench
            .exported(marked().with("osgi.basic.timeout", value))
            .await;
        assert!(export.description().is_some());
    }
}

/// Rules X06 and L02.
#[tokio::test]
async fn a_type_that_fails_gives_an_invalid_registration_beside_the_valid_one() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let properties = marked().with(
        "service.exported.configs",
        Value::array_of(["c.one", "c.two"]),
    );
    let service = bench.register(properties);
    let exports = bench.export(&service).await;
    assert_eq!(exports.len(), 2);
    let error = exports[0].error().unwrap().to_string();
    assert_eq!(error, "cannot listen on 192.0.2.1:80: as asked");
    assert!(exports[0].description().is_none());
    assert!(exports[1].error().is_none() && exports[1].description().is_some());
    assert_eq!(
        bench.events(),
        [
            AdminEventKind::ExportError,
            AdminEventKind::ExportRegistration
        ]
    );
    assert_eq!(bench.admin.exported().len(), 1);
}

/// Rule X07.
#[tokio::test]
async fn unknown_config_types_alone_give_nothing_and_no_event() {
    let bench = bench();
    let properties = marked().with("service.exported.configs", "org.example.unknown");
    let service = bench.register(properties.clone());
    assert!(bench.export(&service).await.is_empty());
    assert!(bench.events().is_empty() && bench.is_clean());
    // Asked beforehand, it is an error that says what there is.
    let properties = properties.with("objectClass", Value::array_of(["org.example.A"]));
    assert_eq!(
        bench
            .admin
            .check_export(&properties)
            .unwrap_err()
            .to_string(),
        "no distribution provider supports org.example.unknown; there is c.one, c.two"
    );
}

/// Rule X07: without any provider there is no default type either.
#[tokio::test]
async fn an_admin_without_provider_exports_nothing_and_says_so() {
    let registry = Registry::new();
    let admin = RemoteServiceAdmin::new("framework".parse().unwrap(), registry.clone());
    let service = Service::of::<dyn A>(Arc::new(Both));
    let service = registry.register(service, marked()).unwrap();
    let exports = admin.export_service(service.reference(), &props! {}).await;
    assert!(exports.unwrap().is_empty());
    let error = admin
        .check_export(&service.reference().properties())
        .unwrap_err();
    assert!(error.to_string().contains("none at all"), "{error}");
}

/// Rule X10.
#[tokio::test]
async fn the_overlay_can_mark_an_unmarked_service() {
    let bench = bench();
    let service = bench.register(props! {});
    let exports = bench
        .admin
        .export_service(service.reference(), &marked())
        .await
        .unwrap();
    assert!(exports[0].description().is_some());
}

/// Rule X11.
#[tokio::test]
async fn each_export_of_a_service_is_a_registration_of_its_own() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let second = bench.export(&service).await.pop().unwrap();
    let import = bench
        .admin
        .import_service(&second.description().unwrap())
        .unwrap();
    first.close().await;
    let proxy = import.proxy().unwrap().get::<dyn A>().unwrap();
    assert_eq!(proxy.a().await.unwrap(), "a");
    second.close().await;
    let error = proxy.a().await.unwrap_err();
    assert!(
        matches!(error, CallError::EndpointRemoved { .. }),
        "{error}"
    );
}

/// Rule X14: the admin has no dispatch for what is itself a proxy.
#[tokio::test]
async fn a_proxy_cannot_be_exported() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let proxy = import.proxy().unwrap();
    let error = bench.admin.export_service(&proxy, &marked()).await;
    assert_eq!(
        error.unwrap_err(),
        ExportError::NotExportable { id: proxy.id() }
    );
}

/// A service that went while its export was on the way is no panic.
#[tokio::test]
async fn a_service_that_is_gone_is_refused_by_its_id() {
    let bench = bench();
    let service = bench.register(marked());
    let reference = service.reference().clone();
    service.unregister();
    let error = bench.admin.export_service(&reference, &props! {}).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("service {} is gone, or is itself imported", reference.id())
    );
}

/// Rule L07: the provider's set-up is awaited.
#[tokio::test]
async fn a_slow_provider_is_waited_for() {
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let service = bench.register(marked());
    let overlay = props! {};
    let mut export = Box::pin(bench.admin.export_service(service.reference(), &overlay));
    assert!(export.as_mut().now_or_never().is_none());
    assert!(bench.admin.exported().is_empty());
    bench.fake.opening.add_permits(1);
    let exports = export.await.unwrap();
    assert!(exports[0].description().is_some());
}

/// What is dropped half-way takes back the half that was done.
#[tokio::test]
async fn an_export_that_is_given_up_leaves_nothing() {
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(1));
    let bench = bench_of(fake);
    let types = Value::array_of(["c.one", "c.two"]);
    let service = bench.register(marked().with("service.exported.configs", types));
    let overlay = props! {};
    let mut export = Box::pin(bench.admin.export_service(service.reference(), &overlay));
    assert!(export.as_mut().now_or_never().is_none());
    assert_eq!(bench.admin.exported().len(), 1);
    drop(export);
    assert!(bench.is_clean());
}
