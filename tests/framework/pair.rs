//! Two frameworks find each other, and what they export and import.

use osgi_remote::admin::AdminEventKind;
use osgi_remote::interface::{Call, Data};
use osgi_remote::services::Service;

use crate::*;

on_each_server!(
    two_frameworks_find_each_other,
    a_service_registered_before_etcd_is_there_is_exported_when_it_is,
    changed_properties_become_one_update_and_the_proxy_stays,
    a_service_is_exported_as_long_as_it_has_the_mark,
    taking_a_service_back_ends_its_key_its_proxy_and_calls_under_way,
    a_service_that_could_not_be_exported_is_when_its_properties_are_mended,
);

/// The two find each other and call, in all three ways.
async fn two_frameworks_find_each_other(etcd: Server) {
    let host = start(&etcd).await;
    let export = export(&host, props! { "colour" => "red" });
    let endpoints = soon(export.announced()).await.unwrap();
    let guest = start(&etcd).await;
    let proxy = guest
        .wait_for::<dyn Bench>("(&(service.imported=*)(colour=red))", SOON)
        .await
        .unwrap();

    assert_eq!(proxy.echo("typed".to_owned()).await.unwrap(), "typed");
    assert_eq!(proxy.withdraw(60).await, Ok(40));
    assert_eq!(proxy.withdraw(101).await, Err(AccountError::Overdrawn));

    let reference = &guest.registry().references(Some("org.example.Bench"), None)[0];
    let untyped = reference.invoker("org.example.Bench").unwrap();
    let call = Call::new("echo", vec![Data::from("untyped")]);
    assert_eq!(untyped.invoke(call).await.unwrap(), Data::from("untyped"));

    // A framework never imports its own, and a proxy is never exported again:
    // there is one endpoint, and one proxy.
    assert!(host.admin().imported().is_empty());
    let benches = |of: &Framework| {
        of.registry()
            .references(Some("org.example.Bench"), None)
            .len()
    };
    assert_eq!(benches(&host), 1);
    assert!(guest.admin().exported().is_empty());
    assert_eq!(benches(&guest), 1);
    let mut expected = vec![
        format!("{}/{}", top(), host.etcd().unwrap().session_id()),
        format!("{}/{}", top(), guest.etcd().unwrap().session_id()),
        format!(
            "{}/{}/{}",
            top(),
            host.etcd().unwrap().session_id(),
            endpoints[0].id()
        ),
    ];
    expected.sort();
    assert_eq!(keys(&etcd).await, expected);

    export.close();
    no_proxies(&guest).await;
    guest.shutdown().await.unwrap();
    host.shutdown().await.unwrap();
    assert_eq!(keys(&etcd).await, [""; 0]);
}

fn top() -> &'static str {
    osgi_remote::names::TopKey::DEFAULT
}

async fn a_service_registered_before_etcd_is_there_is_exported_when_it_is(mut etcd: Server) {
    etcd.kill();
    let host = builder(&etcd).start_disconnected().start().await.unwrap();
    let service = Service::of::<dyn Bench>(Arc::new(BenchImpl::default()));
    let marked = props! { "service.exported.interfaces" => "*" };
    let registration = host.registry().register(service, marked).unwrap();
    let export = export(&host, props! {});
    etcd.restart_empty().await;
    let guest = start(&etcd).await;
    soon(export.announced()).await.unwrap();
    eventually(SOON, "both are imported", async || {
        match guest.admin().imported().len() {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    drop(registration);
    eventually(SOON, "one is left", async || {
        match guest.admin().imported().len() {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Rules C03 and U01.
async fn changed_properties_become_one_update_and_the_proxy_stays(etcd: Server) {
    let host = start(&etcd).await;
    let export = export(&host, props! { "colour" => "red" });
    soon(export.announced()).await.unwrap();
    let guest = start(&etcd).await;
    let mut tracker = guest.track::<dyn Bench>("(service.imported=*)").unwrap();
    let TrackedEvent::Added(reference, proxy) = next(&mut tracker).await else {
        panic!("it was not added");
    };
    let mut events = guest.admin().events();

    export
        .set_properties(props! { "colour" => "blue" })
        .unwrap();
    match next(&mut tracker).await {
        TrackedEvent::Modified(modified, properties) => {
            assert_eq!(modified.id(), reference.id());
            assert_eq!(properties.get_str("colour"), Some("blue"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(proxy.echo("same".to_owned()).await.unwrap(), "same");
    let key = &endpoint_keys(&etcd).await[0];
    // Created once and put once more.
    assert_eq!(etcd.get(key).await.unwrap().version, 2);

    export.close();
    no_proxies(&guest).await;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&AdminEventKind::ImportUnregistration) {
        kinds.push(soon(events.next()).await.unwrap().unwrap().kind);
    }
    assert_eq!(
        kinds,
        [
            AdminEventKind::ImportRegistration,
            AdminEventKind::ImportUpdate,
            AdminEventKind::ImportUnregistration
        ]
    );
}

/// Rule T05.
async fn a_service_is_exported_as_long_as_it_has_the_mark(etcd: Server) {
    let host = start(&etcd).await;
    let service = Service::of::<dyn Bench>(Arc::new(BenchImpl::default()));
    let registration = host.registry().register(service, props! {}).unwrap();
    let guest = start(&etcd).await;
    let mut tracker = guest.track::<dyn Bench>("").unwrap();
    assert_eq!(endpoint_keys(&etcd).await, [""; 0]);

    let marked = || props! { "service.exported.interfaces" => "org.example.Bench" };
    registration.set_properties(marked()).unwrap();
    let TrackedEvent::Added(first, _) = next(&mut tracker).await else {
        panic!("it was not added");
    };
    assert_eq!(endpoint_keys(&etcd).await.len(), 1);

    registration.set_properties(props! {}).unwrap();
    match next(&mut tracker).await {
        TrackedEvent::Removed(gone) => assert_eq!(gone, first),
        other => panic!("{other:?}"),
    }
    assert_eq!(endpoint_keys(&etcd).await, [""; 0]);

    registration.set_properties(marked()).unwrap();
    let TrackedEvent::Added(second, proxy) = next(&mut tracker).await else {
        panic!("it was not added again");
    };
    assert_ne!(second.id(), first.id());
    assert_eq!(proxy.echo("again".to_owned()).await.unwrap(), "again");
}

/// Rules C04 and L06.
async fn taking_a_service_back_ends_its_key_its_proxy_and_calls_under_way(etcd: Server) {
    let host = start(&etcd).await;
    let service = Arc::new(BenchImpl::default());
    let waiting = Arc::clone(&service.waiting);
    let export = host.export::<dyn Bench>(service, props! {}).unwrap();
    let endpoints = soon(export.announced()).await.unwrap();
    let guest = start(&etcd).await;
    let mut tracker = guest.track::<dyn Bench>("").unwrap();
    let TrackedEvent::Added(_, proxy) = next(&mut tracker).await else {
        panic!("it was not added");
    };
    let under_way = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.wait().await }
    });
    soon(waiting.acquire()).await.unwrap().forget();

    drop(export);
    let error = soon(under_way).await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "endpoint {} was removed: look the service up again",
            endpoints[0].id()
        )
    );
    assert!(error.is_remote());
    assert!(matches!(next(&mut tracker).await, TrackedEvent::Removed(_)));
    assert_eq!(endpoint_keys(&etcd).await, [""; 0]);
    assert!(host.admin().exported().is_empty());
    // Who kept the proxy is told the same.
    let later = soon(proxy.echo("x".to_owned())).await.unwrap_err();
    assert!(
        matches!(later, CallError::EndpointRemoved { .. }),
        "{later}"
    );
}

/// A property that was too bad to export and is mended.
async fn a_service_that_could_not_be_exported_is_when_its_properties_are_mended(etcd: Server) {
    let host = start(&etcd).await;
    let service = Service::of::<dyn Bench>(Arc::new(BenchImpl::default()));
    let bad = props! { "service.exported.interfaces" => "*", "osgi.basic.timeout" => "soon" };
    let registration = host.registry().register(service, bad).unwrap();
    let id = registration.reference().id();
    let status = eventually(SOON, "the export failed", async || {
        host.exports().get(&id).ok_or("no status yet")
    })
    .await;
    let error = status.error.as_ref().unwrap().to_string();
    assert!(error.contains("osgi.basic.timeout is 'soon'"), "{error}");
    let good = props! { "service.exported.interfaces" => "*", "osgi.basic.timeout" => "3000" };
    registration.set_properties(good).unwrap();
    eventually(SOON, "the export stands", async || {
        match host.exports().get(&id) {
            Some(status) if status.error.is_none() && status.unannounced == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(endpoint_keys(&etcd).await.len(), 1);
}
