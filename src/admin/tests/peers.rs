//! What the tests of iPOPO, Aries RSA and Celix hold true, beside what is
//! tested by rule elsewhere.

use super::*;
use crate::properties::Value;

/// iPOPO, Aries: a service is exported, found by another, and followed there
/// when its properties change, through one description each time.
#[tokio::test]
async fn a_change_goes_from_the_service_through_both_descriptions_to_the_proxy() {
    let (host, guest) = (bench(), bench());
    let (service, export) = host.exported(marked().with("foo", "bar")).await;
    let import = guest
        .admin
        .import_service(&export.description().unwrap())
        .unwrap();
    let proxy = import.proxy().unwrap();
    assert_eq!(proxy.properties().get_str("foo"), Some("bar"));
    service
        .set_properties(marked().with("foo", "fighters"))
        .unwrap();
    let after = export.update(Some(&props! {})).unwrap();
    assert_eq!(after.properties().get_str("foo"), Some("fighters"));
    let again = guest.admin.import_service(&after).unwrap();
    assert_eq!(again.proxy(), Some(proxy.clone()));
    assert_eq!(proxy.properties().get_str("foo"), Some("fighters"));
}

/// iPOPO: two services of one framework are two endpoints, also if their
/// interfaces are the same.
#[tokio::test]
async fn two_services_have_two_ids_and_one_framework() {
    let bench = bench();
    let (_one, first) = bench.exported(marked()).await;
    let (_other, second) = bench.exported(marked()).await;
    let (first, second) = (first.description().unwrap(), second.description().unwrap());
    assert_ne!(first, second);
    assert_eq!(first.framework_uuid(), second.framework_uuid());
    assert_ne!(first.service_id(), second.service_id());
    let (one, other) = (first.to_string(), second.to_string());
    assert!(one.contains(first.id().as_str()) && !one.contains(second.id().as_str()));
    assert!(other.contains(second.id().as_str()));
}

/// Aries: of several config types the one that is known is enough, and it
/// alone is on the endpoint.
#[tokio::test]
async fn one_known_config_type_among_others_is_enough() {
    let bench = bench();
    let types = Value::array_of(["org.example.other", "c.two"]);
    let (_service, export) = bench
        .exported(marked().with("service.exported.configs", types))
        .await;
    assert_eq!(export.description().unwrap().config_types(), ["c.two"]);
    assert_eq!(export.config_type().as_deref(), Some("c.two"));
}

/// iPOPO: intents may be given as one text, which is one intent.
#[tokio::test]
async fn one_intent_may_be_given_as_plain_text() {
    let bench = bench();
    let (_service, export) = bench
        .exported(marked().with("service.intents", "osgi.basic"))
        .await;
    assert_eq!(export.description().unwrap().intents(), ["osgi.basic"]);
}

/// Celix: an endpoint of somebody who is no framework of OSGi is imported, and
/// found by its interface.
#[tokio::test]
async fn an_endpoint_with_the_least_that_it_may_have_is_imported() {
    let bench = bench();
    let least = props! {
        "objectClass" => ["org.example.Foreign"], "endpoint.id" => "foreign-42",
        "service.imported.configs" => "c.one",
    };
    let least = Arc::new(EndpointDescription::new(least).unwrap());
    let import = bench.admin.import_service(&least).unwrap();
    let found = bench.registry.references(Some("org.example.Foreign"), None);
    assert_eq!(found, [import.proxy().unwrap()]);
    assert_eq!(bench.admin.imports().len(), 1);
}

/// Aries: an endpoint with several interfaces has one proxy with all of them,
/// however often it is imported.
#[tokio::test]
async fn a_proxy_of_several_interfaces_is_one_service() {
    let bench = bench();
    let both = props! { "objectClass" => ["org.example.A", "org.example.B"] };
    let described = endpoint("e", both);
    let first = bench.admin.import_service(&described).unwrap();
    let second = bench.admin.import_service(&described).unwrap();
    assert_eq!(bench.proxies().len(), 1);
    for name in ["org.example.A", "org.example.B"] {
        let found = bench.registry.references(Some(name), None);
        assert_eq!(found, [second.proxy().unwrap()]);
    }
    let references = bench.admin.imports();
    assert_eq!(references[0], first.reference().unwrap().unwrap());
    assert_eq!(references[1].description(), first.description());
}

/// Aries, Celix: what is marked with nothing is not exported.
#[tokio::test]
async fn an_empty_mark_is_none() {
    let bench = bench();
    let none: [&str; 0] = [];
    for mark in [Value::array_of(none), Value::List(Vec::new())] {
        let error = bench
            .refused(props! { "service.exported.interfaces" => mark })
            .await;
        assert_eq!(error, ExportError::NotMarked);
    }
}

/// iPOPO: closing goes on to the end though a listener is gone or asleep.
#[tokio::test]
async fn listeners_that_are_gone_or_asleep_harm_nobody() {
    let bench = bench();
    drop(bench.admin.events());
    let _asleep = bench.admin.events();
    let (_service, export) = bench.exported(marked()).await;
    export.close().await;
    assert!(bench.is_clean());
    let kinds = bench.events();
    assert_eq!(
        kinds,
        [
            AdminEventKind::ExportRegistration,
            AdminEventKind::ExportUnregistration
        ]
    );
}
