//! The registry of services.

use std::time::Duration;

use osgi_remote::catalog::services::{self, Service, ServiceName, Services};
use osgi_remote::catalog::{TreeRoot, Watch};
use osgi_remote::feed::{Change, Listener};
use osgi_remote::keyspace::Session;

use crate::support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use crate::{SOON, client, options};

on_each_server!(
    a_list_tells_the_time_that_is_left,
    a_list_of_a_type_has_nothing_of_others,
    a_service_is_ensured_by_writing_only_what_differs,
    a_session_holds_a_service_and_leaves_those_below_it_alone,
    a_watch_tells_of_what_is_there_and_of_each_change,
);

fn root() -> TreeRoot {
    "/prod".parse().unwrap()
}

fn registry(server: &Store) -> Services {
    Services::new(client(server), &root())
}

fn name(kind: &str, name: &str) -> ServiceName {
    ServiceName::new(kind, name).unwrap()
}

async fn a_list_tells_the_time_that_is_left(server: Server) {
    let services = registry(&server);
    services
        .register(&name("a", "stays"), "1", None)
        .await
        .unwrap();
    let ttl = Duration::from_secs(9000);
    services
        .register(&name("b", "goes"), "2", Some(ttl))
        .await
        .unwrap();
    let listed = services.list(None).await.unwrap();
    let [stays, goes] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!((stays.entry.name.as_str(), stays.left), ("a/stays", None));
    assert_eq!(
        (goes.entry.name.as_str(), goes.entry.location.as_str()),
        ("b/goes", "2")
    );
    let left = goes.left.unwrap();
    assert!(
        left <= ttl && left > ttl - Duration::from_secs(200),
        "{left:?}"
    );
}

async fn a_list_of_a_type_has_nothing_of_others(server: Server) {
    let services = registry(&server);
    for (kind, short) in [("a", "x"), ("a", "y/z"), ("a-2", "x"), ("b", "x")] {
        services
            .register(&name(kind, short), "1", None)
            .await
            .unwrap();
    }
    let of = async |kind: &str| {
        let listed = services.list(Some(&kind.parse().unwrap())).await.unwrap();
        let names = listed.into_iter().map(|listed| listed.entry.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(of("a").await, ["a/x", "a/y/z"]);
    assert_eq!(of("b/x").await, ["b/x"]);
    assert_eq!(of("c").await, Vec::<String>::new());
    // What is not below the registry is not listed at all.
    server.etcdctl(&["put", "/prod/services/a/x", "1"]).await;
    assert_eq!(services.list(None).await.unwrap().len(), 4);
}

async fn a_service_is_ensured_by_writing_only_what_differs(server: Server) {
    let services = registry(&server);
    let name = name("web", "a");
    assert!(services.ensure(&name, "here").await.unwrap());
    let written = services.get(&name).await.unwrap();
    assert!(!services.ensure(&name, "here").await.unwrap());
    assert_eq!(services.get(&name).await.unwrap(), written);
    let ttl = Some(Duration::from_secs(60));
    services.register(&name, "here", ttl).await.unwrap();
    // The same location, but with an end.
    assert!(services.ensure(&name, "here").await.unwrap());
    assert_eq!(services.get(&name).await.unwrap().unwrap().lease, None);
    assert!(services.ensure(&name, "there").await.unwrap());
    assert_eq!(
        services.unregister(&name).await.unwrap().unwrap().location,
        "there"
    );
    assert_eq!(services.unregister(&name).await.unwrap(), None);
}

async fn a_session_holds_a_service_and_leaves_those_below_it_alone(server: Server) {
    let services = registry(&server);
    let (held, below) = (name("web", "a"), name("web", "a/b"));
    services.register(&below, "below", None).await.unwrap();
    let ttl = Duration::from_secs(60);
    services.register(&held, "old", Some(ttl)).await.unwrap();
    let config = services::session(&root(), &held, "new", ttl);
    let session = Session::open(options(&server), config).unwrap();
    let lease = session.ready_within(SOON).await.unwrap().lease;
    let service = services.get(&held).await.unwrap().unwrap();
    assert_eq!(
        (service.location.as_str(), service.lease),
        ("new", Some(lease))
    );
    let refused = session.put("/prod/service/web/a/c", "x").await.unwrap_err();
    assert!(refused.to_string().contains("alone"), "{refused}");
    session.close(SOON).await.unwrap();
    assert_eq!(services.get(&held).await.unwrap(), None);
    assert_eq!(
        services.get(&below).await.unwrap().unwrap().location,
        "below"
    );
}

type Changes = Listener<String, Service>;

fn watch(server: &Store) -> (Watch<Service>, Changes) {
    let watch = services::watch(options(server), &root()).unwrap();
    let changes = watch.listen();
    (watch, changes)
}

async fn next(changes: &mut Changes) -> Change<String, Service> {
    let change = tokio::time::timeout(SOON, changes.next()).await;
    change
        .expect("a change comes in time")
        .expect("the watch goes on")
}

async fn a_watch_tells_of_what_is_there_and_of_each_change(server: Server) {
    let services = registry(&server);
    let (a, b) = (name("web", "a"), name("web", "b"));
    services.register(&a, "1", None).await.unwrap();
    let (watch, mut changes) = watch(&server);
    tokio::time::timeout(SOON, watch.synced())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(watch.snapshot(), [services.get(&a).await.unwrap().unwrap()]);
    let Change::Added(key, first) = next(&mut changes).await else {
        panic!("a was there")
    };
    assert_eq!((key.as_str(), first.location.as_str()), ("web/a", "1"));
    services.register(&a, "2", None).await.unwrap();
    let Change::Modified { value, before, .. } = next(&mut changes).await else {
        panic!("a was changed")
    };
    assert_eq!((value.location.as_str(), before), ("2", first));
    let ttl = Some(Duration::from_secs(1));
    services.register(&b, "3", ttl).await.unwrap();
    let Change::Added(_, added) = next(&mut changes).await else {
        panic!("b was registered")
    };
    assert!(added.lease.is_some());
    let Change::Removed(_, gone) = next(&mut changes).await else {
        panic!("b went with its lease")
    };
    assert_eq!(gone, added);
    watch.close().await.unwrap();
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn a_watch_misses_nothing_while_etcd_is_started_anew() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let services = registry(&etcd);
    services
        .register(&name("web", "a"), "1", None)
        .await
        .unwrap();
    let (watch, mut changes) = watch(&etcd);
    next(&mut changes).await;
    etcd.kill9();
    let mut status = watch.status();
    let stale = status.wait_for(|status| status.stale_since.is_some());
    tokio::time::timeout(SOON, stale).await.unwrap().unwrap();
    // What was known stays known.
    assert_eq!(watch.snapshot().len(), 1);
    etcd.restart().await;
    eventually(SOON, "a service to be registered", async || {
        services.register(&name("web", "b"), "2", None).await
    })
    .await;
    services.unregister(&name("web", "a")).await.unwrap();
    let mut told = [next(&mut changes).await, next(&mut changes).await];
    told.sort_by_key(|change| change.key().clone());
    assert!(
        matches!(&told, [Change::Removed(a, _), Change::Added(b, _)] if a == "web/a" && b == "web/b")
    );
}
