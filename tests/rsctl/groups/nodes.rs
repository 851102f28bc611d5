//! `rsctl node` as a process.

use snapbox::{assert_data_eq, str};

use super::{keys, put_node};
use crate::support::{Etcd, EtcdVersion, Server, eventually, on_each_server};
use crate::tool::{SOON, Tool};

on_each_server!(
    a_node_is_registered_listed_watched_and_taken_away,
    a_deregistered_node_takes_the_group_along_if_it_was_the_last,
    a_node_whose_key_looks_the_same_is_not_deregistered,
    a_lost_lease_and_a_taken_node_are_told,
    a_node_that_waited_to_the_end_is_not_said_to_go,
    a_dry_run_shows_what_would_become_of_the_node,
);

const REGISTER: [&str; 9] = [
    "node",
    "register",
    "web",
    "--id",
    "n1",
    "--type",
    "node_exporter",
    "--port",
    "9100",
];

async fn a_node_is_registered_listed_watched_and_taken_away(server: Server) {
    let tool = |args: &[&str]| Tool::new(&server).args(args);
    let create = [
        "group",
        "create",
        "web",
        "--label",
        "zone=eu",
        "--label",
        "own=group",
    ];
    tool(&create).run().await.good();
    let watch = tool(&["node", "watch", "web", "--changes-only"]).start();
    watch.notes("watching").await;
    let all = tool(&["node", "watch", "--with-groups", "-o", "json"]).start();
    assert!(
        all.line()
            .await
            .starts_with(r#"{"event":"create","group":{"name":"web""#)
    );

    let node = tool(&REGISTER)
        .args(["--label", "own=node", "--ttl", "4s"])
        .start();
    assert_data_eq!(
        node.line().await,
        str!["registered  /services/web/nodes/n1_node_exporter  lease [..]"]
    );
    assert_eq!(
        watch.line().await,
        "create  node web/n1 (node_exporter)  port 9100 /metrics healthy own=node,zone=eu"
    );
    let event: serde_json::Value = serde_json::from_str(&all.line().await).unwrap();
    let expected = serde_json::json!({"event": "create", "node": {
        "group": "web", "id": "n1", "exporter_type": "node_exporter", "port": 9100,
        "metrics_path": "/metrics", "labels": {"own": "node", "zone": "eu"},
        "status": "healthy", "last_seen": event["node"]["last_seen"],
    }});
    assert_eq!(event, expected);

    // A label that the group has later is the node's too, in the list at once.
    tool(&["group", "configure", "web", "--label", "new=1"])
        .run()
        .await
        .good();
    assert_data_eq!(
        tool(&["node", "list", "web"]).run().await.good(),
        str![[r#"
GROUP  ID  TYPE           PORT  PATH      STATUS   LABELS                  LAST SEEN [..]TTL
web    n1  node_exporter  9100  /metrics  healthy  new=1,own=node,zone=eu  [..]Z  [..]s

"#]]
    );
    let shown = tool(&["group", "show", "web", "-o", "json"])
        .run()
        .await
        .json();
    assert!(shown["nodes"][0]["ttl"].as_u64().unwrap() <= 4, "{shown}");
    // And soon in etcd.
    assert_eq!(
        watch.line().await,
        "update  node web/n1 (node_exporter)  label new=1"
    );

    let ended = node.stop("TERM").await;
    assert_data_eq!(
        &ended.stderr,
        str![[r#"
will keep node `/services/web/nodes/n1_node_exporter` under a lease of 4 s, in group `/services/web`, which is created if it is not there

"#]]
    );
    assert!(
        ended
            .good()
            .ends_with("deregistered  /services/web/nodes/n1_node_exporter\n")
    );
    assert_eq!(
        watch.line().await,
        "delete  node web/n1 (node_exporter)  port 9100 /metrics healthy new=1,own=node,zone=eu"
    );
    assert_eq!(keys(&server).await, ["/services/web"]);
    watch.stop("INT").await.good();
    all.stop("TERM").await.good();
}

async fn a_deregistered_node_takes_the_group_along_if_it_was_the_last(server: Server) {
    let tool = |args: &[&str]| Tool::new(&server).args(args);
    tool(&["group", "create", "web"]).run().await.good();
    for id in ["a", "b", "c"] {
        put_node(&server, "web", id, "healthy").await;
    }
    let done = tool(&["node", "deregister", "web", "a", "t"]).run().await;
    assert_eq!(
        done.stderr,
        "will delete node `/services/web/nodes/a_t`, and group `/services/web` if no node is left \
         in it\n"
    );
    assert_eq!(done.good(), "node `/services/web/nodes/a_t` deleted\n");
    let again = tool(&["node", "deregister", "web", "a", "t"]).run().await;
    assert_eq!(again.code(), 1);
    let missing = "rsctl: there is no such node: etcd has no key `/services/web/nodes/a_t`\n";
    assert!(again.stderr.ends_with(missing), "{}", again.stderr);
    let last = tool(&["node", "deregister", "web", "b", "t"])
        .run()
        .await
        .good();
    assert_eq!(last, "node `/services/web/nodes/b_t` deleted\n");
    let kept = ["node", "deregister", "web", "c", "t", "--keep-group"];
    tool(&kept).run().await.good();
    assert_eq!(keys(&server).await, ["/services/web"]);
    assert_eq!(
        tool(&["node", "list", "web"]).run().await.good(),
        "no nodes\n"
    );
    put_node(&server, "web", "d", "healthy").await;
    let last = tool(&["node", "deregister", "web", "d", "t", "-o", "json"])
        .run()
        .await
        .json();
    let expected = serde_json::json!({
        "key": "/services/web/nodes/d_t", "group": "web", "group_deleted": true,
        "dry_run": false,
    });
    assert_eq!(last, expected);
    assert!(keys(&server).await.is_empty());
    let line = tool(&["node", "list", "web"]).run().await.bad(1);
    assert!(line.contains("there is no group `web`"), "{line}");
    assert_eq!(tool(&["node", "list"]).run().await.good(), "no nodes\n");
}

async fn a_node_whose_key_looks_the_same_is_not_deregistered(server: Server) {
    let value = r#"{"id":"a","exporter_type":"b_c","port":1,"status":"healthy"}"#;
    let key = "/services/g/nodes/a_b_c";
    server.etcdctl(&["put", key, value]).await;
    let deregister = |args: &[&str]| {
        Tool::new(&server)
            .args(["node", "deregister", "g"])
            .args(args)
            .run()
    };
    for args in [&["a_b", "c"][..], &["a_b", "c", "--dry-run"]] {
        let ran = deregister(args).await;
        assert_eq!(ran.code(), 1, "{}", ran.stderr);
        let other = "rsctl: `/services/g/nodes/a_b_c` is the key of another node, id `a` and type \
                     `b_c`, and is left alone; give that id and that type if it is meant\n";
        assert!(ran.stderr.ends_with(other), "{}", ran.stderr);
        assert_eq!(server.get(key).await.unwrap().value_text(), value);
    }
    deregister(&["a", "b_c"]).await.good();
    assert!(keys(&server).await.is_empty());
    // What nobody can read is whoever's key it is.
    server.etcdctl(&["put", key, "{"]).await;
    deregister(&["a_b", "c"]).await.good();
    assert!(keys(&server).await.is_empty());
}

async fn a_node_that_waited_to_the_end_is_not_said_to_go(server: Server) {
    let first = Tool::new(&server).args(REGISTER).start();
    first.says("registered  ").await;
    let second = Tool::new(&server).args(REGISTER).start();
    assert_data_eq!(
        second.notes("waits: ").await,
        str![
            "`/services/web/nodes/n1_node_exporter` waits: another process keeps it, under lease [..]; stop that one, take the node over by --takeover, or give another --id"
        ]
    );
    let ended = second.stop("TERM").await;
    assert!(
        ended
            .stderr
            .ends_with("`/services/web/nodes/n1_node_exporter` was not registered\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.good(), "");
    first.stop("TERM").await.good();
}

async fn a_lost_lease_and_a_taken_node_are_told(server: Server) {
    let key = "/services/web/nodes/n1_node_exporter";
    let first = Tool::new(&server)
        .args(REGISTER)
        .args(["--ttl", "4"])
        .start();
    first.says("registered  ").await;
    let lease = server.get(key).await.unwrap().lease;
    server
        .etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    first
        .notes("the lease was lost, and the node is registered again")
        .await;
    first.says("registered-again").await;

    let second = Tool::new(&server)
        .args(REGISTER)
        .args(["--ttl", "4"])
        .start();
    second.notes("waits: ").await;
    first.stop("INT").await.good();
    second.says("registered  ").await;
    second.stop("INT").await.good();

    let last = Tool::new(&server)
        .args(REGISTER)
        .args(["--delete-empty-group"])
        .start();
    last.says("registered  ").await;
    let end = last.stop("INT").await.good();
    assert!(
        end.contains("and its group, which has no node any more"),
        "{end}"
    );
    assert!(keys(&server).await.is_empty());
}

async fn a_dry_run_shows_what_would_become_of_the_node(server: Server) {
    let dry = |args: &[&str]| {
        Tool::new(&server)
            .args(REGISTER)
            .args(["--label", "own=node", "--dry-run"])
            .args(args.iter().copied())
    };
    let ran = dry(&[]).run().await;
    let would = "would keep node `/services/web/nodes/n1_node_exporter` under a lease of 30 s";
    assert!(ran.stderr.starts_with(would), "{}", ran.stderr);
    assert_eq!(
        ran.good(),
        "node `/services/web/nodes/n1_node_exporter` would be registered, with labels own=node; \
         group `web` would be created\n"
    );
    assert!(keys(&server).await.is_empty());
    let create = ["group", "create", "web", "--label", "zone=eu"];
    Tool::new(&server).args(create).run().await.good();
    let json = dry(&["-o", "json"]).run().await.json();
    let expected = serde_json::json!({
        "group": "web", "id": "n1", "exporter_type": "node_exporter", "port": 9100,
        "metrics_path": "/metrics", "labels": {"own": "node", "zone": "eu"},
        "status": "healthy", "last_seen": null, "ttl": 30,
        "key": "/services/web/nodes/n1_node_exporter", "group_is_new": false,
        "result": "register", "dry_run": true,
    });
    assert_eq!(json, expected);

    let node = Tool::new(&server).args(REGISTER).start();
    node.says("registered  ").await;
    let ran = dry(&["-o", "json"]).run().await;
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["result"], "wait");
    let last = ran.stderr.lines().last().unwrap();
    assert!(
        last.contains("another process keeps it, under lease "),
        "{last}"
    );
    assert!(
        last.ends_with("by --takeover, or give another --id"),
        "{last}"
    );
    let taken = dry(&["--takeover"]).run().await.good();
    assert!(taken.contains("would be taken over from lease "), "{taken}");
    node.stop("TERM").await.good();
    put_node(&server, "web", "n1", "healthy").await;
    let args = ["--type", "t", "-o", "json"];
    assert_eq!(dry(&args).run().await.json()["result"], "replace");

    server.etcdctl(&["put", "/services/web", "{"]).await;
    let line = dry(&[]).run().await.bad_at_last(5);
    assert!(
        line.contains("the value of `/services/web` cannot be used"),
        "{line}"
    );
}

#[tokio::test]
async fn watching_and_registering_survive_an_etcd_restart_and_say_so() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let watch = Tool::new(&etcd).args(["node", "watch", "web"]).start();
    let node = Tool::new(&etcd)
        .args(REGISTER)
        .args(["--ttl", "60s"])
        .start();
    node.says("registered  ").await;
    watch.says("create  node web/n1").await;
    etcd.kill9();
    watch.notes("connection lost: ").await;
    node.notes("connection lost: ").await;
    etcd.restart().await;
    watch.notes("connected again to ").await;
    node.notes("the lease was kept").await;
    put_node(&etcd, "web", "n2", "healthy").await;
    watch.says("create  node web/n2").await;
    node.stop("TERM").await.good();
    watch.says("delete  node web/n1").await;
    watch.stop("TERM").await.good();
}

#[tokio::test]
async fn a_node_of_a_killed_process_is_gone_after_its_time() {
    let server = Server::embedded().await;
    let node = Tool::new(&server)
        .args(REGISTER)
        .args(["--ttl", "2s"])
        .start();
    node.says("registered  ").await;
    let watch = Tool::new(&server).args(["node", "watch"]).start();
    watch.says("create  node web/n1").await;
    crate::support::process::signal(node.pid(), "KILL");
    watch.says("delete  node web/n1").await;
    drop(node);
    watch.stop("TERM").await.good();
    eventually(SOON, "only the group to be there", async || {
        let keys = keys(&server).await;
        if keys == ["/services/web"] {
            Ok(())
        } else {
            Err(format!("{keys:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_watch_tells_rubbish_on_stderr() {
    let server = Server::embedded().await;
    let watch = Tool::new(&server)
        .args(["node", "watch", "--changes-only"])
        .start();
    watch.notes("watching").await;
    server
        .etcdctl(&["put", "/services/web/nodes/x_t", "{\u{1b}[31m"])
        .await;
    put_node(&server, "web", "n", "healthy").await;
    assert_eq!(
        watch.notes("passed over").await,
        "passed over `/services/web/nodes/x_t`: it is no JSON (line 1, column 2)"
    );
    watch.says("create  node web/n ").await;
    watch.stop("TERM").await.good();
}
