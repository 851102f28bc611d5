//! rsctl diff

use std::time::Duration;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::edef;
use osgi_remote::endpoint::service_info::{ServiceInfo, decode, encode};
use osgi_remote::keyspace::{Client, ConnectOptions};
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use crate::support::{Server, Store, on_each_server};
use crate::tool::Tool;

on_each_server!([embedded, etcd_3_5](
    the_registry_is_compared_with_an_edef_file,
    the_registry_is_compared_with_a_snapshot,
    a_key_that_lost_its_lease_differs_and_one_under_another_lease_does_not,
    passwords_of_groups_are_in_a_snapshot_and_in_no_view,
));

const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";

fn client(server: &Store) -> Client {
    Client::new(ConnectOptions::parse(&server.endpoint()).unwrap()).unwrap()
}

fn endpoint(id: &str, colour: &str) -> EndpointDescription {
    EndpointDescription::new(props! {
        "objectClass" => ["org.example.Greeter"], "endpoint.id" => id, "colour" => colour,
        "endpoint.service.id" => 19_i64, "endpoint.framework.uuid" => "f",
        "service.imported.configs" => ["ecf.xmlrpc.server"],
        "ecf.endpoint.id" => "http://127.0.0.1:8080/xml-rpc",
        "ecf.endpoint.id.ns" => "ecf.namespace.xmlrpc", "ecf.rsvc.id" => 3_i64,
        "ecf.endpoint.ts" => 1_i64,
    })
    .unwrap()
}

fn value(endpoint: &EndpointDescription) -> String {
    encode(&ServiceInfo::new(endpoint.clone()), "127.0.0.1").unwrap()
}

async fn put(server: &Store, endpoint: &EndpointDescription) {
    let key = format!("top/{SESSION}/{}", endpoint.id());
    client(server)
        .put(key, value(endpoint), None)
        .await
        .unwrap();
}

fn edef_of_two() -> String {
    edef::to_string(&[endpoint("e1", "red"), endpoint("e2", "red")]).unwrap()
}

fn diff(server: &Store, input: impl Into<Vec<u8>>) -> Tool {
    Tool::new(server)
        .args(["--top-key", "top", "diff", "-"])
        .input(input)
}

async fn the_registry_is_compared_with_an_edef_file(server: Server) {
    let file = [
        endpoint("e1", "red"),
        endpoint("e2", "red"),
        endpoint("e3", "red"),
    ];
    let file = edef::to_string(&file).unwrap();
    for there in [
        endpoint("e1", "red"),
        endpoint("e2", "blue"),
        endpoint("e4", "red"),
    ] {
        put(&server, &there).await;
    }
    let ran = diff(&server, file.clone()).run().await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (1, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
~ e2
  - colour = red
  + colour = blue
- e3  org.example.Greeter
+ e4  org.example.Greeter

"#]]
    );
    let json = diff(&server, file.clone())
        .args(["--output", "json"])
        .run()
        .await;
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&report["added"], &report["removed"], &report["changed"]),
        (&1.into(), &1.into(), &1.into())
    );
    let changed = &report["differences"][0];
    assert_eq!(changed["properties"][0]["old"], "red");
    assert_eq!(changed["key"], format!("top/{SESSION}/e2"));

    for there in [endpoint("e2", "red"), endpoint("e3", "red")] {
        put(&server, &there).await;
    }
    let extra = diff(&server, file.clone())
        .args(["--ignore-extra"])
        .run()
        .await
        .good();
    assert_eq!(extra, "");
    client(&server)
        .delete(format!("top/{SESSION}/e4"))
        .await
        .unwrap();
    assert_eq!(diff(&server, file).run().await.good(), "");
}

async fn the_registry_is_compared_with_a_snapshot(server: Server) {
    let client = client(&server);
    put(&server, &endpoint("e1", "red")).await;
    put(&server, &endpoint("e2", "red")).await;
    assert_eq!(diff(&server, edef_of_two()).run().await.good(), "");
    for (key, value) in [("top/gone", "x"), ("top/lines", "a\nb\nc\n")] {
        client.put(key, value, None).await.unwrap();
    }
    client.put("top/raw", vec![0xff, 1], None).await.unwrap();
    let snapshot = Tool::new(&server)
        .args(["snapshot", "top/"])
        .run()
        .await
        .good();
    assert_eq!(diff(&server, snapshot.clone()).run().await.good(), "");

    // The same endpoint, written in another way.
    let mut again: serde_json::Value =
        serde_json::from_str(&value(&endpoint("e1", "red"))).unwrap();
    again["properties"].as_array_mut().unwrap().reverse();
    let again = format!("  {again}");
    assert!(decode(again.as_bytes()).is_ok());
    client
        .put(format!("top/{SESSION}/e1"), again, None)
        .await
        .unwrap();
    put(&server, &endpoint("e2", "blue")).await;
    client.delete("top/gone").await.unwrap();
    client.put("top/lines", "a\nB\nc\n", None).await.unwrap();
    client.put("top/raw", vec![0xff, 2], None).await.unwrap();
    client.put("top/new", "y", None).await.unwrap();
    client.put("elsewhere", "y", None).await.unwrap();
    let ran = diff(&server, snapshot.clone()).run().await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (1, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
~ top/4469111c-91c2-4dba-b64f-750d14243fda/e2
  - colour = red
  + colour = blue
- top/gone
~ top/lines
    a
  - b
  + B
    c
+ top/new
~ top/raw
  - (2 bytes, ff01)
  + (2 bytes, ff02)

"#]]
    );
    let coloured = diff(&server, snapshot)
        .args(["--color", "always"])
        .run()
        .await;
    assert!(
        coloured.stdout.contains("\u{1b}[32m+ top/new"),
        "{}",
        coloured.stdout
    );
}

async fn a_key_that_lost_its_lease_differs_and_one_under_another_lease_does_not(server: Server) {
    let client = client(&server);
    let long = Duration::from_secs(600);
    let first = client.grant(long).await.unwrap().id;
    let endpoint = value(&endpoint("e1", "red"));
    let key = format!("top/{SESSION}/e1");
    client
        .put(key.as_str(), endpoint.as_str(), Some(first))
        .await
        .unwrap();
    client.put("top/x", "1", Some(first)).await.unwrap();
    client.put("top/y", "1", None).await.unwrap();
    let args = ["snapshot", "top/"];
    let snapshot = Tool::new(&server).args(args).run().await.good();

    let second = client.grant(long).await.unwrap().id;
    client
        .put(key.as_str(), endpoint.as_str(), Some(second))
        .await
        .unwrap();
    client.put("top/x", "1", Some(second)).await.unwrap();
    assert_eq!(diff(&server, snapshot.clone()).run().await.good(), "");

    client.put(key.as_str(), endpoint, None).await.unwrap();
    client.put("top/x", "2", None).await.unwrap();
    client.put("top/y", "1", Some(second)).await.unwrap();
    let ran = diff(&server, snapshot.clone()).run().await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (1, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
~ top/4469111c-91c2-4dba-b64f-750d14243fda/e1
  - under a lease
  + under no lease
~ top/x
  - under a lease
  + under no lease
  - 1
  + 2
~ top/y
  - under no lease
  + under a lease

"#]]
    );
    let json = diff(&server, snapshot).args(["-o", "json"]).run().await;
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let leased = &report["differences"][0]["leased"];
    assert_eq!(
        (&leased["old"], &leased["new"]),
        (&true.into(), &false.into())
    );
}

async fn passwords_of_groups_are_in_a_snapshot_and_in_no_view(server: Server) {
    let client = client(&server);
    let group = |word: &str| {
        format!(
            r#"{{"name":"g","spec":{{"username":"ada","password":"{word}"}},"created":"2026-01-31T12:00:00Z"}}"#
        )
    };
    client.put("my/g", group("s3cret"), None).await.unwrap();
    let run = async |args: &[&str], input: &str| {
        let tool = Tool::new(&server).args(args.iter().copied());
        tool.input(input).run().await
    };
    let snapshot = run(&["snapshot", "my/"], "").await.good();
    assert!(snapshot.contains("s3cret"), "{snapshot}");
    for args in [
        ["tree", "my/", "--values", "-o", "table"],
        ["tree", "my/", "--values", "-o", "json"],
    ] {
        let tree = run(&args, "").await.good();
        assert!(tree.contains("hidden"), "{tree}");
        assert!(!tree.contains("s3cret") && !tree.contains("ada"), "{tree}");
    }
    client.put("my/g", group("newer"), None).await.unwrap();
    for form in ["table", "json", "yaml"] {
        let ran = run(&["diff", "-", "-o", form], &snapshot).await;
        let shown = ran.stdout;
        assert!(shown.contains("hidden, and another"), "{shown}");
        for secret in ["s3cret", "newer", "ada"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn files_that_are_neither_and_an_etcd_that_is_away_are_told() {
    let server = Server::etcd_3_5().await;
    assert_data_eq!(
        diff(&server, "<a/>").run().await.bad(2),
        str![
            "rsctl: stdin is neither a snapshot nor a good EDEF file: line 1, column 5: there is no <endpoint-descriptions> of the namespace [..]"
        ]
    );
    let empty = "<endpoint-descriptions xmlns=\"http://www.osgi.org/xmlns/rsa/v1.0.0\"/>";
    assert_data_eq!(
        diff(&server, empty).run().await.bad(2),
        str!["rsctl: stdin is neither a snapshot nor an EDEF file: it describes no endpoint"]
    );
    let broken = "<endpoint-descriptions xmlns=\"http://www.osgi.org/xmlns/rsa/v1.0.0\">\n<endpoint-description>";
    let line = diff(&server, broken).run().await.bad(2);
    assert!(
        line.contains("neither a snapshot nor a good EDEF file: line 2"),
        "{line}"
    );
    let cut = "{\"format\":\"rsctl-snapshot\",\"version\":1,\"cluster\":\"1\",\"revision\":1,\"prefix\":\"top/\",\"time\":\"2026-01-31T12:00:00Z\"}\n";
    let line = diff(&server, cut).run().await.bad(2);
    assert!(line.contains("the snapshot is cut off"), "{line}");
    let missing = Tool::new(&server)
        .args(["diff", "/nowhere/x"])
        .run()
        .await
        .bad(2);
    assert!(missing.contains("/nowhere/x cannot be read"), "{missing}");
    let file = edef::to_string(&[endpoint("e1", "red")]).unwrap();
    let away = Tool::alone()
        .args(["--endpoints", "127.0.0.1:1", "diff", "-"])
        .input(file);
    let line = away.run().await.bad(3);
    assert!(line.contains("127.0.0.1:1"), "{line}");
}
