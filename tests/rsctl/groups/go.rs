//! A stand-in for Go's module `go.lumeweb.com/etcd-registry`, which cannot be fetched where the tests
//! run: `tests/support/go_peer/` does to etcd what the module does, with the same client library.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use osgi_remote::catalog::groups::{EmptyGroup, Node, RegisterOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{groups, name};
use crate::support::{Kv, Server, Store, on_each_server, tools};
use crate::tool::{SOON, Tool};

on_each_server!([embedded, etcd_3_5](
    what_a_go_stand_in_configures_is_shown_and_changed_here_and_nothing_of_it_is_lost,
    nodes_that_a_go_stand_in_registers_are_seen_by_a_watch_here_each_once,
    nodes_that_are_registered_here_are_seen_by_a_watch_in_a_go_stand_in,
    nodes_that_are_registered_here_come_back_when_a_go_stand_in_revokes_every_lease,
));

const MANY: usize = 100;

/// The stand-in, which `make setup-tests` builds. Where that finds no Go and cannot install it, it
/// says so in a file, and these tests are left out; otherwise a stand-in that is missing fails them.
fn go_peer() -> Option<PathBuf> {
    if let Ok(reason) = std::fs::read_to_string(tools::folder().join("go/none")) {
        println!("left out: {}", reason.trim_end());
        return None;
    }
    Some(tools::file("go/go-peer"))
}

struct Peer<'a> {
    program: &'a Path,
    endpoint: String,
}

/// A command that goes on until its stdin ends.
struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl<'a> Peer<'a> {
    fn new(program: &'a Path, server: &Store) -> Self {
        let endpoint = server.endpoint();
        Self { program, endpoint }
    }

    fn start(&self, args: &[&str]) -> Going {
        let mut child = Command::new(self.program)
            .args([&self.endpoint, "/services"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Going { child, lines }
    }

    /// What a command prints that ends by itself, each line a JSON value.
    async fn run(&self, args: &[&str]) -> Vec<Value> {
        let mut going = self.start(args);
        let mut all = Vec::new();
        while let Some(line) = going.next().await {
            all.push(serde_json::from_str(&line).unwrap());
        }
        assert!(
            going.child.wait().await.unwrap().success(),
            "go-peer {args:?}"
        );
        all
    }
}

impl Going {
    async fn next(&mut self) -> Option<String> {
        let line = tokio::time::timeout(SOON, self.lines.next_line()).await;
        line.expect("the Go peer says something").unwrap()
    }

    async fn line(&mut self) -> String {
        self.next().await.expect("the Go peer goes on")
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    fn tell_to_end(&mut self) {
        drop(self.child.stdin.take());
    }
}

async fn what_a_go_stand_in_configures_is_shown_and_changed_here_and_nothing_of_it_is_lost(
    server: Server,
) {
    let Some(program) = go_peer() else { return };
    let peer = Peer::new(&program, &server);
    let before = peer
        .run(&["configure", "web", "ada", "s3cret", "zone=eu"])
        .await
        .remove(0);
    let tool = |args: &[&str]| Tool::new(&server).args(["group"]).args(args);
    let shown = tool(&["show", "web", "-o", "json"]).run().await.json();
    assert_eq!(shown["labels"], json!({"zone": "eu"}));
    assert_eq!(
        (&shown["credentials"], &shown["nodes"]),
        (&json!(true), &json!([]))
    );
    tool(&["configure", "web", "--label", "rack=1"])
        .run()
        .await
        .good();
    let mut expected = before.clone();
    expected["spec"]["common_labels"]["rack"] = json!("1");
    assert_eq!(peer.run(&["show", "web"]).await, [expected]);

    // The other way round: created here, configured there.
    tool(&["create", "api", "--label", "zone=us"])
        .run()
        .await
        .good();
    let there = peer.run(&["show", "api"]).await.remove(0);
    assert_eq!(there["spec"]["common_labels"], json!({"zone": "us"}));
    peer.run(&["configure", "api", "bob", "pw", "tier=1"]).await;
    let shown = tool(&["show", "api", "-o", "json"]).run().await.json();
    assert_eq!(shown["labels"], json!({"tier": "1"}));
    let joined = tool(&["create", "api", "-o", "json"]).run().await.json();
    assert_eq!(
        (&joined["is_new"], &joined["created"]),
        (&json!(false), &shown["created"])
    );
}

async fn nodes_that_a_go_stand_in_registers_are_seen_by_a_watch_here_each_once(server: Server) {
    let Some(program) = go_peer() else { return };
    let peer = Peer::new(&program, &server);
    peer.run(&["configure", "web", "", "", "zone=eu", "peer=group"])
        .await;
    let args = ["node", "watch", "web", "--changes-only", "-o", "json"];
    let watch = Tool::new(&server).args(args).start();
    watch.notes("watching").await;
    let mut go = peer.start(&["register", "web", "go-", &MANY.to_string(), "10s"]);
    assert_eq!(go.line().await, "registered");
    let told = |line: String| -> (Value, Value) {
        let event: Value = serde_json::from_str(&line).unwrap();
        (event["event"].clone(), event["node"].clone())
    };
    for n in 0..MANY {
        let (event, node) = told(watch.line().await);
        assert_eq!(
            (&event, &node["id"]),
            (&json!("create"), &json!(format!("go-{n}")))
        );
        assert_eq!(node["port"], json!(9100 + n));
        assert_eq!(node["labels"], json!({"peer": "go", "zone": "eu"}));
    }
    // After 5 s it writes each node again, half of them with another `last_seen`, under another
    // lease, and keeps the first one alive: no news, all of it.
    crate::support::eventually(SOON, "nodes to be written again", async || {
        let nodes = server.get_prefix("/services/web/nodes/").await;
        match nodes.iter().filter(|node| node.version > 1).count() {
            MANY => Ok(()),
            some => Err(format!("{some} of {}", nodes.len())),
        }
    })
    .await;
    let leases = server.leases().await.len();
    assert!(leases >= 2 * MANY, "{leases} leases");
    let args = ["node", "list", "web", "-o", "json"];
    let listed = Tool::new(&server).args(args).run().await.json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), MANY);
    let is_fresh = |node: &Value| node["ttl"].as_u64().is_some_and(|ttl| ttl <= 10);
    assert!(listed.iter().all(is_fresh), "{listed:?}");

    // It deletes none of them, and then revokes all leases, in an order of its own.
    go.tell_to_end();
    let mut deleted = Vec::new();
    while deleted.len() < MANY {
        let (event, node) = told(watch.line().await);
        assert_eq!(event, json!("delete"), "{node}");
        assert_eq!(node["exporter_type"], "go_exporter");
        deleted.push(node["port"].as_u64().unwrap());
    }
    deleted.sort_unstable();
    let all: Vec<u64> = (0..MANY as u64).map(|n| 9100 + n).collect();
    assert_eq!(deleted, all);
    assert_eq!(go.line().await, "closed");
    assert_eq!(go.next().await, None);
    watch.stop("TERM").await.good();
}

async fn nodes_that_are_registered_here_come_back_when_a_go_stand_in_revokes_every_lease(
    server: Server,
) {
    const KEY: &str = "/services/web/nodes/rust_t";
    let Some(program) = go_peer() else { return };
    let peer = Peer::new(&program, &server);
    let node = Node::new("rust", "t", 9100, "/metrics").unwrap();
    let options = RegisterOptions::with_ttl(Duration::from_secs(10));
    let groups = groups(&server);
    let registration = groups.register(&name("web"), node, options).await.unwrap();
    registration.ready().await.unwrap();
    let args = ["register", "web", "--id", "tool", "--type", "t"];
    let tool = Tool::new(&server).args(["node"]).args(args);
    let tool = tool.args(["--port", "1", "--ttl", "10s"]).start();
    tool.says("registered  ").await;
    let mut go = peer.start(&["register", "web", "go-", "3", "10s"]);
    assert_eq!(go.line().await, "registered");
    let before = server.get_prefix("/services/web/nodes/").await;
    assert_eq!(before.len(), 5);

    go.tell_to_end();
    assert_eq!(go.line().await, "closed");
    crate::support::eventually(SOON, "both nodes to come back", async || {
        let now = server.get_prefix("/services/web/nodes/").await;
        let is_new = |kv: &Kv| before.iter().all(|old| old.lease != kv.lease);
        match now.len() == 2 && now.iter().all(is_new) {
            true => Ok(()),
            false => Err(format!("{now:?}")),
        }
    })
    .await;
    assert!(server.get(KEY).await.is_some());
    registration.close(EmptyGroup::Keep, SOON).await.unwrap();
    assert_eq!(server.get(KEY).await, None);
    tool.stop("TERM").await.good();
}

async fn nodes_that_are_registered_here_are_seen_by_a_watch_in_a_go_stand_in(server: Server) {
    let Some(program) = go_peer() else { return };
    let peer = Peer::new(&program, &server);
    peer.run(&["configure", "web", "", "", "zone=eu"]).await;
    let mut go = peer.start(&["watch", "web"]);
    assert_eq!(go.line().await, "watching");
    let groups = groups(&server);
    let web = name("web");
    let register = |n: usize| {
        let node = Node::new(format!("rust-{n}"), "t", 9100, "/metrics").unwrap();
        let options = RegisterOptions::default();
        groups.register(&web, node, options)
    };
    let many = MANY / 4;
    let registrations = futures::future::join_all((0..many).map(register)).await;
    let registrations: Vec<_> = registrations.into_iter().map(Result::unwrap).collect();
    let args = [
        "node", "register", "web", "--id", "tool", "--type", "t", "--port", "1",
    ];
    let tool = Tool::new(&server).args(args).start();
    tool.says("registered  ").await;
    let mut created = Vec::new();
    while created.len() < many + 1 {
        let event = go.json().await;
        assert_eq!(event["type"], "create", "{event}");
        assert_eq!(event["node"]["labels"], json!({"zone": "eu"}));
        assert_eq!(event["node"]["status"], "healthy");
        created.push(event["node"]["id"].as_str().unwrap().to_owned());
    }
    created.sort();
    let mut expected: Vec<String> = (0..many).map(|n| format!("rust-{n}")).collect();
    expected.push("tool".to_owned());
    expected.sort();
    assert_eq!(created, expected);
    let read = peer.run(&["nodes", "web"]).await;
    assert_eq!(read.len(), many + 1);
    assert!(
        read.iter().all(|node| node["metrics_path"] == "/metrics"),
        "{read:?}"
    );

    registrations[0].set_status("draining");
    let event = go.json().await;
    assert_eq!(
        (&event["type"], &event["node"]["status"]),
        (&json!("update"), &json!("draining"))
    );
    let closed = registrations
        .into_iter()
        .map(|one| one.close(EmptyGroup::Keep, SOON));
    for closed in futures::future::join_all(closed).await {
        closed.unwrap();
    }
    tool.stop("TERM").await.good();
    let mut deleted = 0;
    while deleted < many + 1 {
        let event = go.json().await;
        // A node may be written once more before its end.
        deleted += usize::from(event["type"] == "delete");
    }
    go.tell_to_end();
    assert_eq!(go.next().await, None);
}
