//! The other side in Go. `tests/support/go_peer/` does to etcd what `go.lumeweb.com/etcd-registry`
//! does, with the same client library.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use osgi_remote::catalog::groups::{EmptyGroup, Node, RegisterOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{groups, name};
use crate::support::{Server, Store, on_each_server, tools};
use crate::tool::{SOON, Tool};

on_each_server!([embedded, etcd_3_5](
    what_go_configures_is_shown_and_changed_here_and_nothing_of_it_is_lost,
    nodes_that_go_registers_are_seen_by_a_watch_here_each_once,
    nodes_that_are_registered_here_are_seen_by_a_watch_in_go,
));

const MANY: usize = 100;

/// The program, which `make setup-tests` builds where there is Go. Where there is none these
/// tests are left out, and say so.
fn go_peer() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(|folder| folder.join("go").is_file()) {
        return Some(tools::file("go/go-peer"));
    }
    println!(
        "left out: there is no `go` in PATH; install Go 1.23 or newer (https://go.dev/dl) and run \
         `make setup-tests`"
    );
    None
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

async fn what_go_configures_is_shown_and_changed_here_and_nothing_of_it_is_lost(server: Server) {
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

async fn nodes_that_go_registers_are_seen_by_a_watch_here_each_once(server: Server) {
    let Some(program) = go_peer() else { return };
    let peer = Peer::new(&program, &server);
    peer.run(&["configure", "web", "", "", "zone=eu", "peer=group"])
        .await;
    let args = ["node", "watch", "web", "--changes-only", "-o", "json"];
    let watch = Tool::new(&server).args(args).start();
    watch.notes("watching").await;
    // It writes each node again after each second, which is no news.
    let mut go = peer.start(&["register", "web", "go-", &MANY.to_string(), "2s"]);
    assert_eq!(go.line().await, "registered");
    let told = |line: String| -> (Value, Value) {
        let event: Value = serde_json::from_str(&line).unwrap();
        (event["event"].clone(), event["node"].clone())
    };
    let ids: Vec<String> = (0..MANY).map(|n| format!("go-{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        let (event, node) = told(watch.line().await);
        assert_eq!((&event, &node["id"]), (&json!("create"), &json!(id)));
        assert_eq!(node["port"], json!(9100 + n));
        assert_eq!(node["labels"], json!({"peer": "go", "zone": "eu"}));
    }
    let listed = Tool::new(&server)
        .args(["node", "list", "web", "-o", "json"])
        .run()
        .await
        .json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), MANY);
    assert!(
        listed
            .iter()
            .all(|node| node["ttl"].as_u64().is_some_and(|ttl| ttl <= 2))
    );
    // Long enough for each to be written again.
    let first = server
        .get("/services/web/nodes/go-0_go_exporter")
        .await
        .unwrap()
        .version;
    crate::support::eventually(SOON, "nodes to be written again", async || {
        let node = server
            .get("/services/web/nodes/go-0_go_exporter")
            .await
            .unwrap();
        if node.version > first + 1 {
            Ok(())
        } else {
            Err(node.version)
        }
    })
    .await;
    go.tell_to_end();
    for id in &ids {
        let (event, node) = told(watch.line().await);
        assert_eq!((&event, &node["id"]), (&json!("delete"), &json!(id)));
        assert_eq!(node["exporter_type"], "go_exporter");
    }
    assert_eq!(go.line().await, "deleted");
    watch.stop("TERM").await.good();
}

async fn nodes_that_are_registered_here_are_seen_by_a_watch_in_go(server: Server) {
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
