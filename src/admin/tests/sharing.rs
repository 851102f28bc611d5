//! Registrations that share an endpoint (122.5.1, 122.5.2).

use futures::FutureExt as _;

use super::*;
use crate::properties::Value;

/// Rule X11.
#[tokio::test]
async fn exports_of_one_service_share_the_endpoint_until_the_last_is_closed() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let second = bench.export(&service).await.pop().unwrap();
    let description = first.description().unwrap();
    assert!(description.same_content(&second.description().unwrap()));
    assert_ne!(first.reference().unwrap(), second.reference().unwrap());
    let opened = "open c.one org.example.A org.example.B";
    assert_eq!(bench.fake.log(), [opened]);
    let import = bench.admin.import_service(&description).unwrap();
    let proxy = import.proxy().unwrap().get::<dyn A>().unwrap();
    first.close().await;
    assert_eq!(
        bench.fake.log(),
        [opened, &format!("import {}", description.id())]
    );
    assert_eq!(proxy.a().await.unwrap(), "a");
    second.close().await;
    assert_eq!(
        bench.fake.log().last().unwrap(),
        "close c.one org.example.A org.example.B"
    );
    assert!(proxy.a().await.unwrap_err().is_remote());
    // Exported once more, it is another endpoint.
    let third = bench.export(&service).await.pop().unwrap();
    assert_ne!(third.description().unwrap().id(), description.id());
}

/// Rule X11: two who ask at once get one endpoint.
#[tokio::test]
async fn exports_that_begin_at_once_share_too() {
    let mut fake = Fake::new(None);
    fake.opening = Arc::new(Semaphore::new(0));
    let bench = bench_of(fake);
    let service = bench.register(marked());
    let mut both = Box::pin(futures::future::join(
        bench.export(&service),
        bench.export(&service),
    ));
    assert!(both.as_mut().now_or_never().is_none());
    // One is enough: the second does not ask the provider.
    bench.fake.opening.add_permits(1);
    let (first, second) = both.await;
    assert_eq!(first[0].description(), second[0].description());
    assert_eq!(bench.fake.endpoints.lock().len(), 1);
}

/// Rule X02 beside X11: another overlay describes another endpoint.
#[tokio::test]
async fn exports_with_another_overlay_have_an_endpoint_of_their_own() {
    let bench = bench();
    let service = bench.register(marked());
    let mut exports = Vec::new();
    for colour in ["red", "blue", "red"] {
        let overlay = props! { "colour" => colour };
        let exported = bench
            .admin
            .export_service(service.reference(), &overlay)
            .await;
        exports.push(exported.unwrap().pop().unwrap());
    }
    let colour = |export: &ExportRegistration| {
        let description = export.description().unwrap();
        description
            .properties()
            .get_str("colour")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        exports.iter().map(colour).collect::<Vec<_>>(),
        ["red", "blue", "red"]
    );
    assert_eq!(exports[0].description(), exports[2].description());
    assert_eq!(bench.fake.endpoints.lock().len(), 2);
    // An update of one is seen by who shares it, and by nobody else.
    exports[0]
        .update(Some(&props! { "colour" => "green" }))
        .unwrap();
    assert_eq!(
        exports.iter().map(colour).collect::<Vec<_>>(),
        ["green", "blue", "green"]
    );
}

/// Rules X06 and X11: each config type has an endpoint of its own, and each
/// is shared.
#[tokio::test]
async fn each_config_type_is_shared_for_itself() {
    let bench = bench();
    let types = Value::array_of(["c.one", "c.two", "c.one"]);
    let service = bench.register(marked().with("service.exported.configs", types));
    let (first, second) = (bench.export(&service).await, bench.export(&service).await);
    // Rule P17: a type that is named twice is one.
    assert_eq!((first.len(), second.len()), (2, 2));
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.description(), other.description());
    }
    assert_eq!(bench.fake.endpoints.lock().len(), 2);
    drop(first);
    assert_eq!(bench.fake.endpoints.lock().len(), 2);
    assert_eq!(bench.admin.exports().len(), 2);
    drop(second);
    assert!(bench.is_clean());
}

/// Rules X11 and U02: who exports again sees the service as it is now, and so
/// do those who share the endpoint.
#[tokio::test]
async fn exporting_again_follows_the_service() {
    let bench = bench();
    let (service, first) = bench.exported(marked().with("n", 1_i32)).await;
    service.set_properties(marked().with("n", 2_i32)).unwrap();
    bench.events();
    let second = bench.export(&service).await.pop().unwrap();
    for export in [&first, &second] {
        let description = export.description().unwrap();
        let n = description
            .properties()
            .get("n")
            .and_then(Value::as_integer);
        assert_eq!(n, Some(2));
    }
    assert_eq!(
        bench.events(),
        [
            AdminEventKind::ExportUpdate,
            AdminEventKind::ExportRegistration
        ]
    );
}

/// Rules N11 and U06: who asks for other intents, or other settings of the
/// config type, gets an endpoint that was made with them.
#[tokio::test]
async fn exports_that_ask_for_another_endpoint_have_one_of_their_own() {
    let bench = bench();
    let (service, first) = bench.exported(marked()).await;
    let before = first.description().unwrap();
    let mut exports = vec![first];
    for changed in [
        marked().with("service.exported.intents", "osgi.basic"),
        marked().with("c.one.port", 80_i32),
    ] {
        service.set_properties(changed).unwrap();
        exports.push(bench.export(&service).await.pop().unwrap());
    }
    assert_eq!(bench.fake.endpoints.lock().len(), 3);
    let now: Vec<_> = exports.iter().map(|e| e.description().unwrap()).collect();
    assert!(
        now[0].same_content(&before),
        "it says what it was made with"
    );
    let intents: Vec<_> = now.iter().map(|d| d.intents().join(" ")).collect();
    assert_eq!(intents, ["", "osgi.basic", ""]);
    // Asked for as before, it is shared again.
    service.set_properties(marked()).unwrap();
    let again = bench.export(&service).await.pop().unwrap();
    assert_eq!(again.description(), exports[0].description());
}

/// An export that failed is not shared: the next one tries again.
#[tokio::test]
async fn a_failed_export_is_not_shared() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let service = bench.register(marked());
    for _ in 0..2 {
        let export = bench.export(&service).await.pop().unwrap();
        assert!(export.error().is_some());
    }
    assert_eq!(bench.events(), [AdminEventKind::ExportError; 2]);
}

/// Rule I03.
#[tokio::test]
async fn imports_of_one_endpoint_share_the_proxy_until_the_last_is_closed() {
    let bench = bench();
    let described = endpoint("e", props! {});
    let first = bench.admin.import_service(&described).unwrap();
    let second = bench.admin.import_service(&described).unwrap();
    assert_eq!(first.proxy(), second.proxy());
    assert_ne!(first.reference().unwrap(), second.reference().unwrap());
    assert_eq!(bench.fake.log(), ["import e"]);
    let proxy = first.proxy().unwrap();
    second.close();
    assert!(proxy.is_registered() && first.proxy().is_some());
    assert!(second.proxy().is_none());
    first.close();
    assert!(!proxy.is_registered());
    // Imported once more, it is another proxy.
    let third = bench.admin.import_service(&described).unwrap();
    assert_ne!(third.proxy().unwrap(), proxy);
    assert_eq!(bench.fake.log(), ["import e", "import e"]);
}

/// Rules I03 and U05: endpoints are told apart by their `endpoint.id` alone
/// (D12), and of two descriptions of one the later holds.
#[tokio::test]
async fn importing_again_with_other_properties_updates_the_proxy() {
    let bench = bench();
    let red = endpoint("e", props! { "colour" => "red" });
    let first = bench.admin.import_service(&red).unwrap();
    let other = bench
        .admin
        .import_service(&endpoint("f", props! {}))
        .unwrap();
    assert_ne!(first.proxy(), other.proxy());
    bench.events();
    let blue = endpoint("e", props! { "colour" => "blue" });
    let second = bench.admin.import_service(&blue).unwrap();
    let seen = first.proxy().unwrap().properties();
    assert_eq!(seen.get_str("colour"), Some("blue"));
    assert!(
        first
            .description()
            .unwrap()
            .same_content(&second.description().unwrap())
    );
    assert_eq!(
        bench.events(),
        [
            AdminEventKind::ImportUpdate,
            AdminEventKind::ImportRegistration
        ]
    );
}

/// Rule I03: what the shared proxy cannot be is no second proxy under the
/// same id, but an error that says why.
#[tokio::test]
async fn importing_again_as_something_else_is_an_invalid_registration() {
    let bench = bench();
    let first = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let other = endpoint("e", props! { "objectClass" => ["org.example.B"] });
    let invalid = bench.admin.import_service(&other).unwrap();
    let error = invalid.error().unwrap().to_string();
    assert!(
        error.contains("close all imports of it and import it anew"),
        "{error}"
    );
    assert_eq!(bench.proxies(), [first.proxy().unwrap()]);
    drop(first);
    let anew = bench.admin.import_service(&other).unwrap();
    assert!(anew.error().is_none());
}
