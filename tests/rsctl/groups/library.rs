//! `catalog::groups` on each server.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use osgi_remote::catalog::groups::{
    Change, EmptyGroup, Error, Event, GroupCredentials, Groups, Node, RegisterOptions,
    Registration, Scope, Spec, Watch, WithNodes,
};

use super::{groups, groups_at, keys, name, put_node};
use crate::support::{Cut, Etcd, EtcdVersion, Proxy, Server, Store, eventually, on_each_server};
use crate::tool::SOON;

on_each_server!(
    of_many_creators_one_creates_and_the_others_join,
    changes_of_a_group_at_once_are_all_kept,
    a_group_is_deleted_with_exact_keys_and_only_without_nodes_unless_it_is_forced,
    a_registered_node_has_one_lease_and_follows_its_group,
    a_node_comes_back_with_its_group_when_its_lease_or_its_key_is_lost,
    a_node_of_a_living_process_is_waited_for,
    the_last_nodes_end_never_leaves_a_joining_node_without_its_group,
    a_watch_tells_what_it_missed_while_it_was_cut_off_and_the_store_was_compacted,
);

fn node(id: &str) -> Node {
    let mut node = Node::new(id, "t", 9100, "/metrics").unwrap();
    node.labels.parse("own=node").unwrap();
    node
}

async fn registered(groups: &Groups, group: &str, id: &str, ttl: u64) -> Registration {
    let options = RegisterOptions::with_ttl(Duration::from_secs(ttl));
    let registration = groups
        .register(&name(group), node(id), options)
        .await
        .unwrap();
    tokio::time::timeout(SOON, registration.ready())
        .await
        .unwrap()
        .unwrap();
    registration
}

async fn is_gone(server: &Store, key: &str) {
    eventually(SOON, "the key to be gone", async || {
        match server.get(key).await {
            None => Ok(()),
            Some(kv) => Err(kv.value_text()),
        }
    })
    .await;
}

async fn value(server: &Store, key: &str) -> serde_json::Value {
    let kv = server.get(key).await.expect("the key is there");
    serde_json::from_slice(&kv.value).unwrap()
}

async fn of_many_creators_one_creates_and_the_others_join(server: Server) {
    let creators: Vec<Groups> = (0..12).map(|_| groups(&server)).collect();
    let name = name("web");
    let joined = creators
        .iter()
        .map(|g| g.create_or_join(&name, Spec::default()));
    let joined: Vec<_> = join_all(joined)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(joined.iter().filter(|joined| joined.created).count(), 1);
    assert!(
        joined
            .iter()
            .all(|other| other.group.created == joined[0].group.created)
    );
    let kv = server.get("/services/web").await.unwrap();
    assert_eq!((kv.version, kv.lease), (1, 0));
}

async fn changes_of_a_group_at_once_are_all_kept(server: Server) {
    let groups = groups(&server);
    let name = name("web");
    let missing = groups.configure(&name, |_| Ok(())).await;
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
    groups.create_or_join(&name, Spec::default()).await.unwrap();
    let change = async |n: usize| {
        let set = |spec: &mut Spec| spec.common_labels.set(format!("k{n}"), "v").map(drop);
        groups.configure(&name, set).await
    };
    for done in join_all((0..8).map(change)).await {
        done.unwrap();
    }
    let group = groups.get(&name).await.unwrap().unwrap();
    assert_eq!(group.spec.common_labels.len(), 8);
    // What changes nothing is not written.
    let before = server.get("/services/web").await.unwrap();
    let set = |spec: &mut Spec| spec.common_labels.set("k1", "v").map(drop);
    groups.configure(&name, set).await.unwrap();
    assert_eq!(server.get("/services/web").await.unwrap(), before);
}

async fn a_group_is_deleted_with_exact_keys_and_only_without_nodes_unless_it_is_forced(
    server: Server,
) {
    let groups = groups(&server);
    for group in ["web", "web-2"] {
        groups
            .create_or_join(&name(group), Spec::default())
            .await
            .unwrap();
        put_node(&server, group, "a", "healthy").await;
        put_node(&server, group, "b", "healthy").await;
    }
    server.etcdctl(&["put", "/services/web/other", "x"]).await;
    let refused = groups
        .delete(&name("web"), WithNodes::Refuse)
        .await
        .unwrap_err();
    let expected = "group `web` has 2 nodes below `/services/web/nodes/`; end them first, or \
                    delete them with it";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(keys(&server).await.len(), 7);
    let deleted = groups
        .delete(&name("web"), WithNodes::Delete)
        .await
        .unwrap();
    assert!(deleted.group);
    assert_eq!(
        deleted.nodes,
        ["/services/web/nodes/a_t", "/services/web/nodes/b_t"]
    );
    assert_eq!(
        keys(&server).await,
        [
            "/services/web-2",
            "/services/web-2/nodes/a_t",
            "/services/web-2/nodes/b_t",
            "/services/web/other",
        ]
    );
    let again = groups.delete(&name("web"), WithNodes::Delete).await;
    assert!(matches!(again, Err(Error::Missing { .. })), "{again:?}");
}

async fn a_registered_node_has_one_lease_and_follows_its_group(server: Server) {
    let groups = groups(&server);
    let spec = |labels: &[&str]| {
        let mut spec = Spec::default();
        for label in labels {
            spec.common_labels.parse(label).unwrap();
        }
        spec
    };
    let web = name("web");
    groups
        .create_or_join(&web, spec(&["zone=eu", "own=group"]))
        .await
        .unwrap();
    let registration = registered(&groups, "web", "n", 4).await;
    let key = "/services/web/nodes/n_t";
    assert_eq!(registration.key(), key);
    let first = value(&server, key).await;
    let expected = serde_json::json!({
        "id": "n", "exporter_type": "t", "port": 9100, "metrics_path": "/metrics",
        "labels": {"own": "node", "zone": "eu"}, "status": "healthy",
        "last_seen": first["last_seen"],
    });
    assert_eq!(first, expected);
    let lease = server.get(key).await.unwrap().lease;
    assert_ne!(lease, 0);
    let other = |of: &mut Spec| {
        *of = spec(&["zone=us"]);
        Ok(())
    };
    groups.configure(&web, other).await.unwrap();
    registration.set_status("draining");
    eventually(SOON, "the node to follow", async || {
        let now = value(&server, key).await;
        let follows = now["labels"] == serde_json::json!({"own": "node", "zone": "us"})
            && now["status"] == "draining"
            && now["last_seen"].as_str() > first["last_seen"].as_str();
        if follows {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
    assert_eq!(server.get(key).await.unwrap().lease, lease);
    assert_eq!(server.leases().await, [lease]);
    assert!(!registration.close(EmptyGroup::Keep, SOON).await.unwrap());
    assert_eq!(keys(&server).await, ["/services/web"]);
    assert!(server.leases().await.is_empty());
}

async fn a_node_comes_back_with_its_group_when_its_lease_or_its_key_is_lost(server: Server) {
    let groups = groups(&server);
    let registration = registered(&groups, "web", "n", 4).await;
    let key = registration.key();
    let lease = server.get(key).await.unwrap().lease;
    server.etcdctl(&["del", "/services/web"]).await;
    server
        .etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    let again = eventually(SOON, "another lease and the group", async || {
        let (node, group) = (server.get(key).await, server.get("/services/web").await);
        match (node, group) {
            (Some(node), Some(_)) if node.lease != lease => Ok(node.lease),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    server.etcdctl(&["del", key]).await;
    eventually(SOON, "the key under the same lease", async || {
        let node = server.get(key).await;
        if node.as_ref().is_some_and(|node| node.lease == again) {
            return Ok(());
        }
        Err(format!("{node:?}"))
    })
    .await;
    registration.close(EmptyGroup::Delete, SOON).await.unwrap();
    assert!(keys(&server).await.is_empty());
}

async fn a_node_of_a_living_process_is_waited_for(server: Server) {
    let (one, other) = (groups(&server), groups(&server));
    let first = registered(&one, "web", "n", 4).await;
    let options = RegisterOptions::with_ttl(Duration::from_secs(4));
    let second = other
        .register(&name("web"), node("n"), options)
        .await
        .unwrap();
    let taken = tokio::time::timeout(SOON, second.ready())
        .await
        .unwrap()
        .unwrap_err();
    assert!(taken.to_string().contains("which is alive"), "{taken}");
    let lease = server.get(second.key()).await.unwrap().lease;
    first.close(EmptyGroup::Keep, SOON).await.unwrap();
    eventually(SOON, "the second one to have it", async || {
        match server.get(second.key()).await {
            Some(node) if node.lease != lease => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    second.close(EmptyGroup::Keep, SOON).await.unwrap();
}

async fn the_last_nodes_end_never_leaves_a_joining_node_without_its_group(server: Server) {
    let (one, other) = (groups(&server), groups(&server));
    let mut deleted_in_between = 0;
    for round in 0..15 {
        let last = registered(&one, "web", "last", 20).await;
        // The later half of the rounds begins the end a little later than the joining.
        let end = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            last.close(EmptyGroup::Delete, SOON).await.unwrap()
        };
        let (deleted, joined) = tokio::join!(end, registered(&other, "web", "joining", 20));
        deleted_in_between += usize::from(deleted);
        eventually(SOON, "the node and its group", async || {
            let keys = keys(&server).await;
            if keys == ["/services/web", "/services/web/nodes/joining_t"] {
                return Ok(());
            }
            Err(format!("{keys:?}"))
        })
        .await;
        assert!(joined.close(EmptyGroup::Delete, SOON).await.unwrap());
        assert!(keys(&server).await.is_empty());
    }
    println!("the group was deleted under a joining node in {deleted_in_between} of 15 rounds");
}

/// The next event, in words.
async fn told(watch: &mut Watch) -> String {
    let event = tokio::time::timeout(SOON, watch.next())
        .await
        .unwrap()
        .unwrap();
    let of = |node: &Arc<Node>| format!("{} {}", node.id, node.status);
    match event {
        Event::Group(Change::Created(group)) => format!("create {}", group.name),
        Event::Group(Change::Updated { now, .. }) => format!("update {}", now.name),
        Event::Group(Change::Deleted(group)) => format!("delete {}", group.name),
        Event::Node { change, .. } => match &change {
            Change::Created(node) => format!("create {}", of(node)),
            Change::Updated { now, before } => format!("update {} from {}", of(now), of(before)),
            Change::Deleted(node) => format!("delete {}", of(node)),
        },
        Event::Stranger(stranger) => format!("stranger {}", stranger.key),
    }
}

async fn a_watch_tells_what_it_missed_while_it_was_cut_off_and_the_store_was_compacted(
    server: Server,
) {
    let direct = groups(&server);
    let web = name("web");
    direct.create_or_join(&web, Spec::default()).await.unwrap();
    for id in ["changed", "deleted", "kept"] {
        put_node(&server, "web", id, "healthy").await;
    }
    let proxy = Proxy::to(server.address()).await;
    let through = groups_at(&proxy.address());
    let mut all = through.watch(Scope::All).unwrap();
    let mut group = through.watch(Scope::Group(web.clone())).unwrap();
    let mut nodes = through.watch(Scope::Nodes(web.clone())).unwrap();
    let of_nodes = [
        "create changed healthy",
        "create deleted healthy",
        "create kept healthy",
    ];
    for watch in [&mut all, &mut group] {
        assert_eq!(told(watch).await, "create web");
    }
    for watch in [&mut all, &mut group, &mut nodes] {
        for expected in of_nodes {
            assert_eq!(told(watch).await, expected);
        }
    }
    proxy.cut(Cut::default()).await;
    put_node(&server, "web", "changed", "draining").await;
    put_node(&server, "web", "created", "healthy").await;
    server
        .etcdctl(&["del", "/services/web/nodes/deleted_t"])
        .await;
    // Not a change of a node, and told where groups are.
    let set = |spec: &mut Spec| spec.common_labels.set("zone", "eu").map(drop);
    direct.configure(&web, set).await.unwrap();
    let last = server.get("/services/web").await.unwrap().mod_revision;
    server.etcdctl(&["compact", &last.to_string()]).await;
    proxy.heal().await;
    for (watch, with_group) in [(&mut all, true), (&mut group, true), (&mut nodes, false)] {
        let mut missed = Vec::new();
        for _ in 0..3 + usize::from(with_group) {
            missed.push(told(watch).await);
        }
        missed.sort();
        let mut expected = vec![
            "create created healthy",
            "delete deleted healthy",
            "update changed draining from changed healthy",
        ];
        if with_group {
            expected.push("update web");
        }
        assert_eq!(missed, expected);
    }
    for watch in [all, group, nodes] {
        watch.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_node_survives_a_restart_and_a_wiped_etcd_and_a_watch_tells_of_it() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let groups = groups(&etcd);
    let mut spec = Spec {
        credentials: GroupCredentials::new("ada", "s3cret"),
        ..Spec::default()
    };
    spec.common_labels.parse("zone=eu").unwrap();
    groups.create_or_join(&name("web"), spec).await.unwrap();
    let registration = registered(&groups, "web", "n", 4).await;
    let mut watch = groups.watch(Scope::All).unwrap();
    assert_eq!(told(&mut watch).await, "create web");
    assert_eq!(told(&mut watch).await, "create n healthy");
    etcd.restart().await;
    registration.set_status("draining");
    assert_eq!(told(&mut watch).await, "update n draining from n healthy");
    etcd.wipe();
    etcd.restart().await;
    let group = eventually(SOON, "node and group", async || {
        let (group, node) = (
            etcd.get("/services/web").await,
            etcd.get(registration.key()).await,
        );
        match (group, node) {
            (Some(group), Some(_)) => Ok(group.value_text()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    // Its labels are known to the node, and credentials are for operators to give.
    assert!(
        group.contains(r#""common_labels":{"zone":"eu"}"#),
        "{group}"
    );
    assert!(
        !group.contains("s3cret") && !group.contains("ada"),
        "{group}"
    );
    registration.close(EmptyGroup::Delete, SOON).await.unwrap();
    is_gone(&etcd, "/services/web").await;
    // Whatever it saw in between, in the end it knows that both are gone.
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let event = told(&mut watch).await;
        if event.starts_with("create") {
            gone.clear();
        } else if event.starts_with("delete") {
            gone.push(event);
        }
    }
}
