//! What the properties for export mean, and what of them becomes public.

use super::*;
use crate::endpoint::service_info;
use crate::properties::Value;

fn described(export: &ExportRegistration) -> Arc<EndpointDescription> {
    export.description().unwrap()
}

/// Rule P01.
#[tokio::test]
async fn the_mark_decides_whether_a_service_can_be_exported() {
    let bench = bench();
    let (service, export) = bench.exported(marked()).await;
    assert_eq!(described(&export).service_id(), service.reference().id());
    let error = bench.refused(props! {}).await;
    assert_eq!(error, ExportError::NotMarked);
    assert_eq!(
        error.to_string(),
        "service.exported.interfaces is missing: set it to '*' or to the interfaces to export"
    );
}

/// Rules P02 and X04.
#[tokio::test]
async fn an_interface_that_the_service_lacks_is_refused_by_its_name() {
    let bench = bench();
    let asked = props! {
        "service.exported.interfaces" => ["org.example.A", "org.example.C"],
    };
    let error = bench.refused(asked).await.to_string();
    assert_eq!(
        error,
        "the service has no interface 'org.example.C' to export; \
         it has org.example.A, org.example.B"
    );
    assert!(bench.events().is_empty() && bench.is_clean());
}

/// Rule P03.
#[tokio::test]
async fn a_lone_star_is_all_interfaces_in_order_and_among_others_a_wrong_name() {
    let bench = bench();
    for star in [Value::from("*"), Value::array_of(["*"])] {
        let properties = props! { "service.exported.interfaces" => star };
        let (_service, export) = bench.exported(properties).await;
        assert_eq!(
            described(&export).interfaces(),
            ["org.example.A", "org.example.B"]
        );
    }
    let error = bench
        .refused(props! { "service.exported.interfaces" => ["*", "org.example.A"] })
        .await;
    assert!(matches!(error, ExportError::NoSuchInterface { name, .. } if name == "*"));
}

/// Rules P04, P11 and X06.
#[tokio::test]
async fn each_known_config_type_gives_an_endpoint_that_names_its_own_type_only() {
    let bench = bench();
    let properties = marked().with(
        "service.exported.configs",
        Value::array_of(["c.one", "org.example.unknown", "c.two"]),
    );
    let service = bench.register(properties);
    let exports = bench.export(&service).await;
    let descriptions: Vec<_> = exports.iter().map(described).collect();
    let types: Vec<_> = descriptions.iter().map(|d| d.config_types()).collect();
    assert_eq!(types, [["c.one"], ["c.two"]]);
    assert_ne!(descriptions[0].id(), descriptions[1].id());
}

/// Rules P05 and X09.
#[tokio::test]
async fn without_a_config_type_the_providers_default_is_taken_and_named() {
    let bench = bench();
    let none: [&str; 0] = [];
    for configs in [None, Some(Value::array_of(none)), Some(Value::from(""))] {
        let mut properties = marked();
        if let Some(configs) = configs {
            properties.set("service.exported.configs", configs);
        }
        let (_service, export) = bench.exported(properties).await;
        assert_eq!(described(&export).config_types(), ["c.one"]);
    }
}

const INTENTS: [&str; 3] = [
    osgi::SERVICE_INTENTS,
    osgi::SERVICE_EXPORTED_INTENTS,
    osgi::SERVICE_EXPORTED_INTENTS_EXTRA,
];

/// Rules P07, P08 and X08.
#[tokio::test]
async fn an_unknown_intent_in_any_of_the_three_places_leaves_no_endpoint() {
    let bench = bench();
    for name in INTENTS {
        let properties = marked().with(name, Value::array_of(["osgi.basic", "i.unknown"]));
        let service = bench.register(properties.clone());
        assert!(bench.export(&service).await.is_empty(), "{name}");
        let error = bench
            .admin
            .check_export(&properties.with("objectClass", Value::array_of(["org.example.A"])))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no distribution provider has the intents osgi.basic, i.unknown; \
             there is osgi.basic, osgi.async, i.three"
        );
    }
    assert!(bench.events().is_empty() && bench.is_clean());
}

/// Rule P10.
#[tokio::test]
async fn the_intents_of_all_three_places_are_on_the_endpoint_and_on_the_proxy() {
    let bench = bench();
    let mut properties = marked();
    for (name, intent) in INTENTS.iter().zip(["osgi.basic", "osgi.async", "i.three"]) {
        properties.set(*name, intent);
    }
    let (_service, export) = bench.exported(properties).await;
    let expected = ["osgi.basic", "osgi.async", "i.three"];
    assert_eq!(described(&export).intents(), expected);
    let import = bench.admin.import_service(&described(&export)).unwrap();
    let proxy = import.proxy().unwrap().properties();
    assert_eq!(proxy.string_plus("service.intents"), expected);
}

/// Rules P12, P14 and X12.
#[tokio::test]
async fn what_is_for_the_exporter_alone_or_private_reaches_no_one() {
    let bench = bench();
    let properties = props! {
        "SERVICE.exported.Interfaces" => "org.example.B",
        "service.EXPORTED.configs" => "c.two", ".secret" => "s", "colour" => "red",
    };
    let (_service, export) = bench.exported(properties).await;
    let import = bench.admin.import_service(&described(&export)).unwrap();
    let proxy = import.proxy().unwrap();
    assert_eq!(proxy.interfaces(), ["org.example.B"]);
    for seen in [
        described(&export).properties().clone(),
        (*proxy.properties()).clone(),
    ] {
        assert_eq!(seen.get_str("colour"), Some("red"));
        let hidden = |name: &str| {
            name.starts_with('.') || name.to_lowercase().starts_with("service.exported.")
        };
        let shown: Vec<_> = seen.keys().filter(|name| hidden(name)).collect();
        assert!(shown.is_empty(), "{shown:?}");
    }
}

/// Rule X12.
#[tokio::test]
async fn a_description_tells_the_framework_the_service_and_the_type() {
    let bench = bench();
    let (service, export) = bench
        .exported(props! { "service.exported.interfaces" => "org.example.A" })
        .await;
    let description = described(&export);
    assert_eq!(description.interfaces(), ["org.example.A"]);
    assert_eq!(description.framework_uuid(), Some("framework"));
    assert_eq!(description.service_id(), service.reference().id());
    assert_eq!(description.config_types(), ["c.one"]);
    assert_eq!(export.service().as_ref(), Some(service.reference()));
    assert_eq!(bench.fake.log(), ["open c.one org.example.A"]);
}

/// Rule P13: from the service's properties to the proxy's, by way of what
/// stands in etcd.
#[tokio::test]
async fn properties_of_all_types_reach_the_proxy_with_value_and_type() {
    let (host, guest) = (bench(), bench());
    let all = props! {
        "string" => " <a> & \u{20ac}\n", "boolean" => true, "byte" => Value::Byte(-7),
        "short" => Value::Short(7), "integer" => 7_i32, "long" => i64::MAX,
        "float" => 0.1_f32, "double" => f64::MIN_POSITIVE, "char" => 'c',
        "infinite" => f64::NEG_INFINITY, "bytes" => vec![0_u8, 255],
        "array" => ["b", "a"], "list" => Value::List(vec!["b".into(), 1_i64.into()]),
        "set" => Value::Set(vec![2.5_f32.into(), 1_i32.into()]), "nothing" => Value::List(vec![]),
        "xml" => "<x:a xmlns:x=\"urn:x\">&lt;</x:a>", "service.pid" => "org.example.pid",
    };
    let mut properties = marked();
    properties.overlay(&all);
    let (_service, export) = host.exported(properties).await;
    let info = service_info::ServiceInfo::new((*described(&export)).clone());
    let written = service_info::encode(&info, "127.0.0.1").unwrap();
    let read = service_info::decode(written.as_bytes())
        .unwrap()
        .description;
    let import = guest.admin.import_service(&Arc::new(read)).unwrap();
    let proxy = import.proxy().unwrap().properties();
    for (name, value) in all.iter() {
        let there = proxy.get(name);
        assert_eq!(there, Some(value), "{name}");
        assert_eq!(
            there.map(Value::type_name),
            Some(value.type_name()),
            "{name}"
        );
    }
}

/// Rule D15: in two frameworks, by two config types, for services with the
/// same number.
#[tokio::test]
async fn an_endpoint_id_is_unique_in_the_whole_network() {
    let (one, other) = (bench(), bench());
    let mut ids = std::collections::HashSet::new();
    for bench in [&one, &other] {
        let types = Value::array_of(["c.one", "c.two"]);
        let service = bench.register(marked().with("service.exported.configs", types));
        for export in bench.export(&service).await {
            let id = described(&export).id().clone();
            id.check_key_segment().unwrap();
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), 4);
}
