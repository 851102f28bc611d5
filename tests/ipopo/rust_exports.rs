//! Rust exports, iPOPO imports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use osgi_remote::props;
use serde_json::{Value, json};

use crate::services::{Greeter, HELLO, Hello, RustTypes, TYPES, Teller};
use crate::support::{
    Etcd, EtcdVersion, Ipopo, IpopoError, IpopoOptions, Server, eventually, on_each_server,
};
use crate::{SOON, Told, announced, exporter, framework, imported};

on_each_server!(
    ipopo_imports_a_rust_service_and_calls_all_its_methods,
    ipopo_sees_one_modification_and_one_removal_of_a_rust_service,
    ipopo_sees_a_killed_rust_exporter_go_with_its_lease,
);

async fn ipopo_imports_a_rust_service_and_calls_all_its_methods(etcd: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let host = framework(&etcd).await;
    let timeout = props! { "osgi.basic.timeout" => "60000" };
    let export = host.export::<dyn Hello>(Arc::new(Greeter("Rust")), timeout);
    let export = export.unwrap();
    let id = announced(&export).await;

    let added = ipopo.endpoint_event("added", &id, SOON).await;
    assert_eq!(added["properties"]["objectClass"], json!([HELLO]));
    let framework = added["properties"]["endpoint.framework.uuid"].as_str();
    assert_eq!(framework, Some(host.id().as_str()));
    assert_eq!(added["properties"]["osgi.basic.timeout"], "60000");
    imported(&ipopo, &id).await;
    for (method, kind) in [
        ("sayHello", "sync"),
        ("sayHelloAsync", "async"),
        ("sayHelloPromise", "promise"),
    ] {
        let answer = ipopo.call(HELLO, method, json!(["Ada", "hi & <ho>"])).await;
        assert_eq!(answer.unwrap(), format!("Rust {kind} Ada hi & <ho>"));
    }
    host.shutdown().await.unwrap();
}

#[tokio::test]
async fn values_of_all_types_and_errors_cross_calls_from_ipopo() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let host = framework(&etcd).await;
    let export = host.export::<dyn RustTypes>(Arc::new(Teller), props! {});
    let export = export.unwrap();
    imported(&ipopo, &announced(&export).await).await;
    let call = async |method: &str, args: Value| ipopo.call(TYPES, method, args).await;

    let whole = json!([i32::MIN, "ü \u{1f600} \n", -0.5, false, null, {"k": [[], {}]}]);
    for value in [
        json!(i32::MAX),
        json!(""),
        json!("  two  spaces  "),
        json!(1e-300),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!({"$binary": "AAEC/w=="}),
        json!({"$date": "20260131T12:34:56"}),
        whole,
    ] {
        assert_eq!(call("echo", json!([value])).await.unwrap(), value);
    }
    assert_eq!(call("add", json!([40, 2])).await.unwrap(), 42);
    // Python reads wider numbers than it writes.
    let wide = i64::from(i32::MAX) + 1;
    assert_eq!(call("add", json!([i32::MAX, 1])).await.unwrap(), wide);
    assert_eq!(call("half", json!([5.0])).await.unwrap(), 2.5);
    assert_eq!(call("nothing", json!([])).await.unwrap(), Value::Null);
    assert_eq!(call("withdraw", json!([5, 2])).await.unwrap(), 3);

    let fault = async |method: &str, args: Value| call(method, args).await.unwrap_err();
    let raised = |code: i64, text: &str| IpopoError {
        class: "Fault".into(),
        text: text.into(),
        code: Some(code),
    };
    let overdrawn = fault("withdraw", json!([5, 12])).await;
    let expected = raised(7, "<class 'bank.Overdrawn'>:7 cents are missing");
    assert_eq!(overdrawn, expected);
    assert_eq!(fault("fail", json!(["no <b>"])).await, raised(1, "no <b>"));
    let missing = fault("noSuchMethod", json!([])).await;
    assert_eq!(missing.code, Some(-32601), "{missing}");
    assert!(
        missing.text.contains("has no method 'noSuchMethod'"),
        "{missing}"
    );
    for args in [json!(["one", "two"]), json!([1]), json!([1, 2, 3])] {
        let misfit = fault("add", args).await;
        assert_eq!(misfit.code, Some(-32602), "{misfit}");
        assert!(
            misfit.text.starts_with("arguments of 'add' do not fit: "),
            "{misfit}"
        );
    }
    host.shutdown().await.unwrap();
}

async fn ipopo_sees_one_modification_and_one_removal_of_a_rust_service(etcd: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let host = framework(&etcd).await;
    let red = || props! { "colour" => "red" };
    let changing = host
        .export::<dyn Hello>(Arc::new(Greeter("one")), red())
        .unwrap();
    let staying = host
        .export::<dyn Hello>(Arc::new(Greeter("two")), red())
        .unwrap();
    let (changed, stayed) = (announced(&changing).await, announced(&staying).await);
    for id in [&changed, &stayed] {
        let added = ipopo.endpoint_event("added", id, SOON).await;
        assert_eq!(added["properties"]["colour"], "red");
        imported(&ipopo, id).await;
    }

    let blue = props! { "colour" => "blue", "level" => 3_i32, "loud" => true };
    changing.set_properties(blue).unwrap();
    let modified = ipopo.endpoint_event("modified", &changed, SOON).await;
    for (name, text) in [("colour", "blue"), ("level", "3"), ("loud", "True")] {
        assert_eq!(modified["properties"][name], text, "{name}");
    }
    let answer = ipopo.call_endpoint(&changed, HELLO, "sayHello", json!(["a", "b"]));
    assert_eq!(answer.await.unwrap(), "one sync a b");

    drop(changing);
    ipopo.endpoint_event("removed", &changed, SOON).await;
    host.shutdown().await.unwrap();
    ipopo.endpoint_event("removed", &stayed, SOON).await;
    eventually(SOON, "iPOPO to let its imports go", async || {
        match ipopo.imports().await {
            imports if imports.is_empty() => Ok(()),
            imports => Err(format!("{imports:?}")),
        }
    })
    .await;

    // What iPOPO heard of all before it has heard of this one.
    let last = framework(&etcd).await;
    let export = last.export::<dyn Hello>(Arc::new(Greeter("last")), props! {});
    let export = export.unwrap();
    ipopo
        .endpoint_event("added", &announced(&export).await, SOON)
        .await;
    let once = |modified| Told {
        added: 1,
        modified,
        removed: 1,
    };
    assert_eq!(Told::by(&ipopo, &changed), once(1));
    assert_eq!(Told::by(&ipopo, &stayed), once(0));
    last.shutdown().await.unwrap();
}

async fn ipopo_sees_a_killed_rust_exporter_go_with_its_lease(etcd: Server) {
    const TTL: u32 = 2;
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    let victim = exporter::start(&etcd, TTL, &["colour=red"]);
    let added = ipopo
        .next_event("the sample's endpoint", SOON, |event| {
            event["event"] == "endpoint" && event["kind"] == "added"
        })
        .await;
    assert_eq!(added["properties"]["colour"], "red");
    let id = added["endpoint_id"].as_str().unwrap();
    imported(&ipopo, id).await;

    victim.kill9();
    let killed = Instant::now();
    ipopo.endpoint_event("removed", id, SOON).await;
    let lived_on = killed.elapsed();
    // It was renewed at most a third of the TTL before it died.
    let interval = Duration::from_secs(TTL.into()) / 3;
    assert!(lived_on >= interval, "gone after {lived_on:?}");
    let once = Told {
        added: 1,
        modified: 0,
        removed: 1,
    };
    assert_eq!(Told::by(&ipopo, id), once);
}
