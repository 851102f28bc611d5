//! iPOPO exports, Rust imports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use osgi_remote::Framework;
use osgi_remote::interface::{Call, CallError, Data, DateTime, Fault, Interface};
use osgi_remote::services::{ServiceReference, TrackedEvent, Tracker};
use serde_json::json;

use crate::services::{HELLO, Hello, Inner, Nested, NestedTypes, PythonTypes, TYPES};
use crate::support::{Etcd, EtcdVersion, Ipopo, IpopoOptions, Server, on_each_server};
use crate::{SOON, framework};

const IMPORTED: &str = "(service.imported=*)";

on_each_server!(
    rust_imports_ipopos_sample_calls_all_its_methods_and_sees_it_stop,
    rust_follows_a_service_of_ipopo_to_its_end,
    rust_sees_a_killed_ipopo_go_with_its_lease,
);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {SOON:?} for: {what}"),
    }
}

type Added<I> = (ServiceReference, Arc<I>);

async fn next_added<I: Interface + ?Sized>(tracker: &mut Tracker<I>) -> Added<I> {
    match soon("a service to be tracked", tracker.next()).await {
        Some(TrackedEvent::Added(reference, service)) => (reference, service),
        other => panic!("Added was expected, and not {other:?}"),
    }
}

async fn next_removed<I: Interface + ?Sized>(tracker: &mut Tracker<I>) -> ServiceReference {
    match soon("a removal", tracker.next()).await {
        Some(TrackedEvent::Removed(reference)) => reference,
        other => panic!("Removed was expected, and not {other:?}"),
    }
}

fn imports(framework: &Framework, interface: &str) -> Vec<ServiceReference> {
    framework.registry().references(Some(interface), None)
}

async fn rust_imports_ipopos_sample_calls_all_its_methods_and_sees_it_stop(etcd: Server) {
    let mut ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    ipopo.install_sample().await;
    let guest = framework(&etcd).await;
    let mut tracker = guest.track::<dyn Hello>(IMPORTED).unwrap();
    let (reference, hello) = next_added(&mut tracker).await;

    let says =
        |kind: &str| format!("Python{kind} says: Howdy Ada that's a nice runtime you got there");
    let (name, message) = (|| "Ada".to_owned(), || "hi".to_owned());
    let answer = hello.say_hello(name(), message()).await;
    assert_eq!(answer.unwrap(), says("Sync"));
    let answer = hello.say_hello_async(name(), message()).await;
    assert_eq!(answer.unwrap(), says("Async"));
    let answer = hello.say_hello_promise(name(), message()).await;
    assert_eq!(answer.unwrap(), says("Promise"));

    assert_eq!(imports(&guest, HELLO), std::slice::from_ref(&reference));
    let exported = &ipopo.exports().await[0];
    let properties = reference.properties();
    for name in ["endpoint.id", "ecf.endpoint.id", "endpoint.framework.uuid"] {
        let theirs = exported["properties"][name].as_str();
        assert_eq!(properties.get_str(name), theirs, "{name}");
    }
    let invoker = reference.invoker(HELLO).expect("the untyped door");
    let call = Call::new("sayHello", vec!["Ada".into(), "hi".into()]);
    let answer = invoker.invoke(call).await;
    assert_eq!(answer.unwrap(), Data::String(says("Sync")));

    ipopo.stop().await;
    assert_eq!(next_removed(&mut tracker).await, reference);
    assert_eq!(imports(&guest, HELLO), []);
    guest.shutdown().await.unwrap();
}

#[tokio::test]
async fn values_of_all_types_and_errors_cross_calls_to_ipopo() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    ipopo.register("types", json!({})).await;
    let guest = framework(&etcd).await;
    let types = guest.wait_for::<dyn PythonTypes>(IMPORTED, SOON).await;
    let types = types.unwrap();

    let date: DateTime = "20260131T12:34:56".parse().unwrap();
    for (value, class) in [
        (Data::Nil, "NoneType"),
        (Data::Bool(true), "bool"),
        (Data::from(i32::MIN), "int"),
        (Data::from(-0.25), "float"),
        (Data::from(" ü \u{1f600} <&> \n"), "str"),
        (Data::Bytes(vec![0, 255, 13]), "Binary"),
        (Data::from(date), "DateTime"),
        (Data::Array(vec![Data::Nil, Data::from("x")]), "list"),
        (Data::Struct([("k".into(), Data::from(1))].into()), "dict"),
    ] {
        assert_eq!(types.type_name(value.clone()).await.unwrap(), class);
        assert_eq!(types.echo(value.clone()).await.unwrap(), value);
    }
    assert_eq!(types.add(40, 2).await.unwrap(), 42);
    assert_eq!(types.nothing().await.unwrap(), None);
    assert_eq!(types.date().await.unwrap(), date);
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(types.binary().await.unwrap(), bytes);
    let nested = Nested {
        list: (1, 2.5, "three".into(), true, None),
        inner: Inner {
            empty: [].into(),
            none: vec![],
        },
    };
    assert_eq!(types.nested().await.unwrap(), nested);
    let echoing = guest.wait_for::<dyn NestedTypes>(IMPORTED, SOON).await;
    let echo = echoing.unwrap().echo(&nested).await;
    assert_eq!(echo.unwrap(), nested);

    let fault = |result: Result<(), CallError>| match result {
        Err(CallError::Service(fault)) => fault,
        other => panic!("a fault was expected, and not {other:?}"),
    };
    let failed = fault(types.fail("no such: thing").await);
    assert_eq!(
        failed,
        Fault::new("no such: thing").with_class("ValueError")
    );
    let own = fault(types.fault(4711, "with <a> text").await);
    assert_eq!(own, Fault::new("with <a> text").with_code(4711));
    // Python writes no integer that needs more than 32 bits.
    for wide in [types.add(1 << 40, 1).await, types.big_int().await] {
        let fault = fault(wide.map(drop));
        assert_eq!(fault.class.as_deref(), Some("OverflowError"), "{fault}");
        assert!(
            fault.message.contains("int exceeds XML-RPC limits"),
            "{fault}"
        );
    }
    let missing = fault(types.missing().await);
    assert!(missing.message.contains("noSuchMethod"), "{missing}");
    guest.shutdown().await.unwrap();
}

async fn rust_follows_a_service_of_ipopo_to_its_end(etcd: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let service = ipopo.register("types", json!({"colour": "red"})).await;
    let guest = framework(&etcd).await;
    let mut tracker = guest.track::<dyn PythonTypes>(IMPORTED).unwrap();
    let (reference, types) = next_added(&mut tracker).await;
    assert_eq!(reference.properties().get_str("colour"), Some("red"));

    let changed = json!({"colour": "blue", "level": 3});
    ipopo.set_properties(service, changed).await;
    match soon("the modification", tracker.next()).await {
        Some(TrackedEvent::Modified(same, properties)) => {
            assert_eq!(same, reference);
            assert_eq!(same.id(), reference.id());
            assert_eq!(properties.get_str("colour"), Some("blue"));
            assert_eq!(properties.get_str("level"), Some("3"));
        }
        other => panic!("Modified was expected, and not {other:?}"),
    }

    let in_flight = tokio::spawn({
        let types = Arc::clone(&types);
        async move { types.block(600).await }
    });
    ipopo
        .next_event("the call to have begun", SOON, |event| {
            event["event"] == "blocking"
        })
        .await;
    ipopo.unregister(service).await;
    let withdrawn = Instant::now();
    assert_eq!(next_removed(&mut tracker).await, reference);
    let ended = soon("the call in flight to end", in_flight).await.unwrap();
    assert!(
        matches!(ended, Err(CallError::EndpointRemoved { .. })),
        "{ended:?}"
    );
    // Long before iPOPO's server gives the call up, after 30 s.
    let took = withdrawn.elapsed();
    assert!(took < Duration::from_secs(10), "ended after {took:?}");
    assert_eq!(imports(&guest, TYPES), []);
    let late = types.nothing().await;
    assert!(
        matches!(late, Err(CallError::EndpointRemoved { .. })),
        "{late:?}"
    );
    guest.shutdown().await.unwrap();
}

async fn rust_sees_a_killed_ipopo_go_with_its_lease(etcd: Server) {
    const TTL: u32 = 2;
    let options = IpopoOptions {
        lease_ttl: TTL,
        ..IpopoOptions::new(&etcd)
    };
    let mut ipopo = Ipopo::start(options).await;
    ipopo.install_sample().await;
    let guest = framework(&etcd).await;
    let mut tracker = guest.track::<dyn Hello>(IMPORTED).unwrap();
    let (reference, _) = next_added(&mut tracker).await;

    ipopo.kill9();
    let killed = Instant::now();
    assert_eq!(next_removed(&mut tracker).await, reference);
    let lived_on = killed.elapsed();
    // iPOPO is set to renew after a third of its TTL.
    let interval = Duration::from_secs(TTL.into()) / 3;
    assert!(lived_on >= interval, "gone after {lived_on:?}");
    assert_eq!(imports(&guest, HELLO), []);
    guest.shutdown().await.unwrap();
}
