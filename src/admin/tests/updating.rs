//! Updates (122.5.3).

use super::*;
use crate::properties::Value;
use crate::services::TrackedEvent;

/// Rule U01.
#[tokio::test]
async fn through_many_updates_a_consumer_sees_modifications_only() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let mut tracker = bench.registry.track::<dyn A>(None);
    assert!(matches!(
        tracker.next().await,
        Some(TrackedEvent::Added(..))
    ));
    let id = import.proxy().unwrap().id();
    for n in 0..100_i32 {
        import.update(&endpoint("e", props! { "n" => n })).unwrap();
        match tracker.next().await {
            Some(TrackedEvent::Modified(reference, properties)) => {
                assert_eq!(reference.id(), id);
                assert_eq!(properties.get("n").and_then(Value::as_integer), Some(n));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Rule U02.
#[tokio::test]
async fn an_export_is_updated_from_the_service_as_it_is_and_the_last_overlay() {
    let bench = bench();
    let service = bench.register(marked().with("n", 1_i32));
    let first = props! { "overlay" => "first" };
    let mut exports = bench
        .admin
        .export_service(service.reference(), &first)
        .await
        .unwrap();
    let export = exports.pop().unwrap();
    let seen = |description: &EndpointDescription| {
        let properties = description.properties();
        let overlay = properties.get_str("overlay").map(str::to_owned);
        (properties.get("n").and_then(Value::as_integer), overlay)
    };
    service.set_properties(marked().with("n", 2_i32)).unwrap();
    let after = export.update(None).unwrap();
    assert_eq!(seen(&after), (Some(2), Some("first".to_owned())));
    let after = export
        .update(Some(&props! { "overlay" => "second" }))
        .unwrap();
    assert_eq!(seen(&after), (Some(2), Some("second".to_owned())));
    service.set_properties(marked().with("n", 3_i32)).unwrap();
    let after = export.update(None).unwrap();
    assert_eq!(seen(&after), (Some(3), Some("second".to_owned())));
}

/// Rule U03, and iPOPO's wish for a time stamp that grows.
#[tokio::test]
async fn an_update_gives_a_newer_description_of_the_same_endpoint() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    let before = export.description().unwrap();
    assert_eq!(export.update(None).unwrap().timestamp(), before.timestamp());
    service.set_properties(marked().with("n", 1_i32)).unwrap();
    let after = export.update(None).unwrap();
    assert_eq!(after.id(), before.id());
    assert!(after.timestamp() > before.timestamp());
    assert_eq!(export.description(), Some(Arc::clone(&after)));
    assert!(export.description().unwrap().same_content(&after));
}

/// Rule U03: what a bad update leaves, for each way in which it can be bad.
#[tokio::test]
async fn a_bad_update_leaves_the_old_description() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    let before = export.description().unwrap();
    bench.events();
    for (name, value, error) in [
        (
            "endpoint.package.version.org.example",
            Value::from("no version"),
            "no version",
        ),
        (
            "osgi.basic.timeout",
            Value::from("soon"),
            "osgi.basic.timeout is 'soon': it must be a positive number of milliseconds",
        ),
        (
            "service.exported.interfaces",
            Value::from("org.example.C"),
            "no interface 'org.example.C'",
        ),
        (
            "service.exported.interfaces",
            Value::from("org.example.A"),
            "close it and export the service anew",
        ),
        (
            "service.intents",
            Value::from("i.unknown"),
            "no distribution provider has the intents i.unknown",
        ),
        (
            "service.exported.intents",
            Value::from("osgi.basic"),
            "made with none as the intents and cannot change to osgi.basic: close it and",
        ),
        (
            "osgi.basic.timeout",
            Value::from(60_000_i64),
            "made with no value as osgi.basic.timeout and cannot change to '60000': close it and",
        ),
        (
            "C.one.port",
            Value::from(80_i32),
            "made with no value as C.one.port and cannot change to '80': close it and",
        ),
    ] {
        service.set_properties(marked().with(name, value)).unwrap();
        let refused = export.update(None).unwrap_err().to_string();
        assert!(refused.contains(error), "{refused}");
        assert!(export.description().unwrap().same_content(&before));
    }
    assert!(bench.events().is_empty());
    service.set_properties(marked().with("n", 1_i32)).unwrap();
    export.update(None).unwrap();
}

/// Rules U06 and N11: neither a change of the service nor an overlay makes an
/// endpoint say that it has what its provider was not asked for; one that has
/// it says so for good.
#[tokio::test]
async fn an_endpoint_has_the_intents_and_settings_that_it_was_made_with() {
    let bench = bench();
    let made = marked()
        .with("service.intents", "osgi.basic")
        .with("c.one.port", 80_i32);
    let (service, export) = bench.exported(made.clone()).await;
    for overlay in [
        props! { "service.intents" => ["osgi.basic", "i.three"] },
        props! { "service.exported.intents.extra" => "i.three" },
        props! { "c.one.port" => 81_i32 },
        props! { "c.one.host" => "h" },
    ] {
        let refused = export.update(Some(&overlay)).unwrap_err();
        assert!(refused.asks_for_another_endpoint(), "{refused}");
    }
    service
        .set_properties(marked().with("service.intents", "osgi.basic"))
        .unwrap();
    let refused = export.update(None).unwrap_err().to_string();
    assert!(refused.contains("'80' as c.one.port"), "{refused}");
    // The same in other words, and what is another provider's, can change.
    let same = marked()
        .with("service.exported.intents", ["osgi.basic"])
        .with("c.one.port", 80_i32)
        .with("c.two.port", 80_i32);
    service.set_properties(same).unwrap();
    let described = export.update(None).unwrap();
    assert_eq!(described.intents(), ["osgi.basic"]);
}

/// Rule U04.
#[tokio::test]
async fn a_closed_or_invalid_registration_cannot_be_updated() {
    let bench = bench_of(Fake::new(Some("c.one")));
    let service = bench.register(marked());
    let invalid = bench.export(&service).await.pop().unwrap();
    let error = invalid.update(None).unwrap_err();
    assert!(matches!(error, AdminError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("cannot listen on 192.0.2.1:80"));
    let (_service, closed) = bench
        .exported(marked().with("service.exported.configs", "c.two"))
        .await;
    closed.close().await;
    assert!(matches!(closed.update(None), Err(AdminError::Closed)));

    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    import.close();
    let update = import.update(&endpoint("e", props! {}));
    assert!(matches!(update, Err(AdminError::Closed)));
    let broken = endpoint("f", props! { "ecf.endpoint.id" => "broken" });
    let invalid = bench.admin.import_service(&broken).unwrap();
    let update = invalid.update(&endpoint("f", props! {}));
    assert!(matches!(update, Err(AdminError::Invalid(_))));
}

/// Rule U04: an update that comes after the service went, with which the
/// export ended (rule C04), is no panic and no news.
#[tokio::test]
async fn an_export_whose_service_is_gone_cannot_be_updated() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    service.unregister();
    bench.events();
    assert!(matches!(export.update(None), Err(AdminError::Closed)));
    assert!(bench.events().is_empty());
}

/// Rule U03: the reason stays readable until an update works.
#[tokio::test]
async fn why_the_latest_update_failed_can_be_asked_later() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    assert!(export.update_error().is_none());
    service
        .set_properties(marked().with("osgi.basic.timeout", "soon"))
        .unwrap();
    export.update(None).unwrap_err();
    let error = export.update_error().unwrap().to_string();
    assert!(error.contains("osgi.basic.timeout is 'soon'"), "{error}");
    // It is not the registration that is invalid.
    assert!(export.error().is_none());
    service.set_properties(marked()).unwrap();
    export.update(None).unwrap();
    assert!(export.update_error().is_none());

    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    import.update(&endpoint("f", props! {})).unwrap_err();
    let error = import.update_error().unwrap().to_string();
    assert!(error.contains("endpoint f and not of e"), "{error}");
    import.update(&endpoint("e", props! {})).unwrap();
    assert!(import.update_error().is_none());
}

/// Rule U06: what a proxy cannot change in place is refused and not
/// overlooked.
#[tokio::test]
async fn an_import_refuses_what_its_proxy_cannot_follow() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    bench.events();
    for (change, error) in [
        (
            props! { "objectClass" => ["org.example.B"] },
            "has the interfaces org.example.A and cannot change to org.example.B",
        ),
        (
            props! { "service.imported.configs" => ["c.two"] },
            "has the config type c.one and cannot change to c.two",
        ),
        (
            props! { "service.intents" => ["osgi.basic", "i.unknown"] },
            "endpoint e has the intents i.unknown, which its provider does not know",
        ),
    ] {
        let refused = import
            .update(&endpoint("e", change))
            .unwrap_err()
            .to_string();
        assert!(refused.contains(error), "{refused}");
        assert_eq!(import.proxy().unwrap().interfaces(), ["org.example.A"]);
    }
    assert!(bench.events().is_empty());
    import
        .update(&endpoint(
            "e",
            props! { "service.intents" => ["osgi.basic"] },
        ))
        .unwrap();
}

/// Rule U05.
#[tokio::test]
async fn an_import_follows_its_own_endpoint_in_place_and_no_other() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    let before = import.proxy().unwrap();
    let other = import.update(&endpoint("f", props! {})).unwrap_err();
    assert_eq!(
        other.to_string(),
        "the description is of endpoint f and not of e"
    );
    import
        .update(&endpoint("e", props! { "colour" => "red" }))
        .unwrap();
    let red = crate::filter::Filter::parse("(colour=red)").unwrap();
    assert_eq!(bench.registry.references(None, Some(&red)), [before]);
    assert_eq!(bench.fake.log(), ["import e", "update e"]);
}

/// Rule U05: what the provider cannot follow changes nothing.
#[tokio::test]
async fn an_import_that_cannot_follow_stays_as_it_was() {
    let bench = bench();
    let import = bench
        .admin
        .import_service(&endpoint("e", props! {}))
        .unwrap();
    bench.events();
    let broken = endpoint("e", props! { "ecf.endpoint.id" => "broken", "n" => 1_i32 });
    let error = import.update(&broken).unwrap_err().to_string();
    assert!(error.contains("ecf.endpoint.id is 'broken'"), "{error}");
    assert!(!import.proxy().unwrap().properties().contains("n"));
    assert!(!import.description().unwrap().properties().contains("n"));
    assert!(bench.events().is_empty());
}
