//! `rsctl prometheus-sd`.

use std::collections::BTreeMap;

use snapbox::{assert_data_eq, str};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use crate::tool::{Running, SOON, Tool};

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server under test.
struct Served {
    running: Running,
    address: String,
}

impl Served {
    async fn start(server: &Store, args: &[&str]) -> Self {
        let running = Tool::new(server)
            .args([
                "prometheus-sd",
                "--listen",
                "127.0.0.1:0",
                "--tree-root",
                "/r",
            ])
            .args(args.iter().copied())
            .start();
        let line = running.notes("listening on http://").await;
        let address = line.rsplit('/').next().unwrap().to_owned();
        Self { running, address }
    }

    async fn ask(&self, request: &str) -> Answer {
        self.ask_with(request, "").await
    }

    /// Asks with more headers, each with the end of its line.
    async fn ask_with(&self, request: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        read(stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}")).await
    }

    /// The list, once it is served and has so many targets.
    async fn list(&self, targets: usize) -> serde_json::Value {
        eventually(SOON, &format!("{targets} targets"), async || {
            let answer = self.get("/targets").await;
            let list: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            match list.as_array() {
                Some(found) if answer.status == 200 && found.len() == targets => Ok(list),
                _ => Err(format!("{answer:?}")),
            }
        })
        .await
    }

    /// What `/health` says, once its status is this one.
    async fn health(&self, status: &str) -> serde_json::Value {
        eventually(SOON, &format!("health to be {status}"), async || {
            let answer = self.get("/health").await;
            let health: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if health["status"] == status {
                Ok(health)
            } else {
                Err(format!("{answer:?}"))
            }
        })
        .await
    }

    async fn end(self) -> String {
        let ran = self.running.stop("TERM").await;
        assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        ran.stderr
    }
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer {
        status,
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

async fn group(server: &Store) {
    let value = r#"{"name":"web","spec":{"username":"u","password":"secret","common_labels":{"env":"prod"}},"created":"2026-01-01T00:00:00Z"}"#;
    server.etcdctl(&["put", "/services/web", value]).await;
}

async fn node(server: &Store, id: &str) {
    let value = format!(
        r#"{{"id":"{id}","exporter_type":"node","port":9100,"metrics_path":"/m","labels":{{"rack":"12"}},"status":"healthy","last_seen":"2026-01-01T00:00:00Z"}}"#
    );
    server
        .etcdctl(&["put", &format!("/services/web/nodes/{id}_node"), &value])
        .await;
}

async fn nodes_are_served_as_prometheus_reads_them(server: Server) {
    group(&server).await;
    node(&server, "n1").await;
    let served = Served::start(&server, &[]).await;
    served.list(1).await;
    let answer = served.get("/").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(!answer.body.contains("secret"), "{}", answer.body);
    let list: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_data_eq!(
        serde_json::to_string_pretty(&list).unwrap(),
        str![[r#"
[
  {
    "labels": {
      "__meta_osgi_exporter_type": "node",
      "__meta_osgi_group": "web",
      "__meta_osgi_label_env": "prod",
      "__meta_osgi_label_rack": "12",
      "__meta_osgi_node_id": "n1",
      "__meta_osgi_node_status": "healthy",
      "__meta_osgi_source": "groups",
      "__metrics_path__": "/m",
      "env": "prod",
      "rack": "12"
    },
    "targets": [
      "n1:9100"
    ]
  }
]
"#]]
    );
    // What is known is not sent again, and what changed is.
    let etag = &answer.headers["etag"];
    let known = format!("If-None-Match: {etag}\r\n");
    let again = served.ask_with("GET /", &known).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    node(&server, "n2").await;
    served.list(2).await;
    assert_eq!(served.ask_with("GET /", &known).await.status, 200);
    served.end().await;
}

async fn services_and_endpoints_are_served_if_asked_for(server: Server) {
    server
        .etcdctl(&["put", "/r/service/db/main", "pg://u:secret@db-1:5432/x"])
        .await;
    server
        .etcdctl(&["put", "/r/service/db/odd", "nowhere"])
        .await;
    let served = Served::start(&server, &["--source", "services,endpoints"]).await;
    let list = served.list(1).await;
    assert_eq!(list[0]["targets"][0], "db-1:5432");
    assert_eq!(
        list[0]["labels"]["__meta_osgi_service_location"],
        "pg://db-1:5432/x"
    );
    let health = served.health("live").await;
    assert_eq!(health["sources"][0]["source"], "endpoints");
    assert_eq!(health["sources"][1]["entries"], 2);
    served.end().await;
}

async fn an_empty_list_is_served_only_if_allowed(server: Server) {
    let served = Served::start(&server, &[]).await;
    served.health("live").await;
    let answer = served.get("/targets").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("--allow-empty"), "{}", answer.body);
    served.end().await;
    let served = Served::start(&server, &["--allow-empty"]).await;
    served.list(0).await;
    served.end().await;
}

async fn other_requests_are_told_what_there_is(server: Server) {
    let served = Served::start(&server, &["--allow-empty"]).await;
    served.list(0).await;
    let answer = served.get("/metrics").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, "there are /targets (also as /) and /health\n")
    );
    let answer = served.ask("POST /targets").await;
    assert_eq!(
        (answer.status, answer.headers["allow"].as_str()),
        (405, "GET, HEAD")
    );
    let answer = served.ask("HEAD /targets").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers["content-length"], "2");
    let answer = served.get(&format!("/{}", "x".repeat(100_000))).await;
    assert!(matches!(answer.status, 414 | 431), "{answer:?}");
    served.end().await;
}

on_each_server!([embedded, etcd_3_5](
    nodes_are_served_as_prometheus_reads_them,
    services_and_endpoints_are_served_if_asked_for,
    an_empty_list_is_served_only_if_allowed,
    other_requests_are_told_what_there_is,
));

#[tokio::test]
async fn nothing_is_made_up_while_etcd_is_away() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    for id in ["n1", "n2", "n3"] {
        node(&etcd, id).await;
    }
    etcd.stop().await;
    let served = Served::start(&etcd, &["--hold", "1s", "--dial-timeout", "1s"]).await;
    let answer = served.get("/targets").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.starts_with("groups: nothing was read yet"),
        "{}",
        answer.body
    );
    assert_eq!(served.get("/health").await.status, 503);
    etcd.restart().await;
    let list = served.list(3).await;
    // What is known is served on, also by one who finds it stale.
    etcd.kill9();
    let health = served.health("stale").await;
    assert!(
        health["sources"][0]["error"]
            .as_str()
            .is_some_and(|e| e.contains("etcd")),
        "{health}"
    );
    assert_eq!(served.list(3).await, list);
    etcd.wipe();
    etcd.restart().await;
    let health = served.health("holding").await;
    assert_eq!(
        (
            &health["sources"][0]["entries"],
            &health["sources"][0]["held"]
        ),
        (&0.into(), &3.into())
    );
    assert_eq!(served.list(3).await, list);
    node(&etcd, "n2").await;
    served.list(1).await;
    let said = served.end().await;
    assert!(said.contains("HELD: 3 vanished"), "{said}");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_served_when_another_ends() {
    let server = Server::embedded().await;
    let served = Served::start(&server, &["--allow-empty", "--max-connections", "1"]).await;
    served.list(0).await;
    let mut first = TcpStream::connect(&served.address).await.unwrap();
    // Half a request keeps the one place.
    first
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let finish = async {
        first.write_all(b"Connection: close\r\n\r\n").await.unwrap();
        read(first).await
    };
    let (second, first) = tokio::join!(served.get("/targets"), finish);
    assert_eq!((first.status, second.status), (200, 200));
    served.end().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let nowhere = |args: &[&str]| {
        Tool::alone()
            .args(["--endpoints", "127.0.0.1:1", "prometheus-sd"])
            .args(args.iter().copied())
    };
    let line = nowhere(&["--listen", &address]).run().await.bad(5);
    let expected = "rsctl: cannot listen on 127.0.0.1:[..]: [..]; choose another --listen";
    assert_data_eq!(line, expected);
    for (args, expected) in [
        (
            vec!["--source", "services"],
            "the key below which services and switches are is missing[..]",
        ),
        (
            vec!["--base", "/"],
            "`/` is no place for groups: it names no key; the whole key space is no place for groups; write a key such as /services",
        ),
    ] {
        let line = nowhere(&args).run().await.bad(2);
        assert_data_eq!(line, format!("rsctl: {expected}"));
    }
}
