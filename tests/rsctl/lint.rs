//! rsctl endpoint lint

use osgi_remote::keyspace::{Client, ConnectOptions};
use snapbox::{assert_data_eq, str};

use crate::support::{Etcd, EtcdVersion, Server, Store, on_each_server};
use crate::tool::Tool;

on_each_server!([embedded, etcd_3_5](
    a_sound_registry_has_no_findings,
    findings_name_the_key_the_peer_the_cause_and_the_cure,
    a_registry_that_begins_alike_is_told,
    what_is_not_there_is_told,
));

const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";
const ID: &str = "c7e30cee-d92d-4a6b-a81c-9a49871053e5";
const GOOD: &str = include_str!("../fixtures/ipopo_hello_endpoint.json");

fn client(server: &Store) -> Client {
    Client::new(ConnectOptions::parse(&server.endpoint()).unwrap()).unwrap()
}

async fn put(server: &Store, key: &str, value: &str) {
    let client = client(server);
    let lease = client
        .grant(std::time::Duration::from_secs(600))
        .await
        .unwrap();
    client.put(key, value, Some(lease.id)).await.unwrap();
}

/// A session with one endpoint, under one lease.
async fn session(server: &Store, value: &str) {
    let client = client(server);
    let lease = client
        .grant(std::time::Duration::from_secs(600))
        .await
        .unwrap();
    let session = format!("top/{SESSION}");
    client
        .put(session.as_str(), SESSION, Some(lease.id))
        .await
        .unwrap();
    client
        .put(format!("{session}/{ID}"), value, Some(lease.id))
        .await
        .unwrap();
}

fn lint(server: &Store) -> Tool {
    Tool::new(server).args(["--top-key", "top", "endpoint", "lint"])
}

/// The good value, without one of its properties.
fn without(name: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(GOOD).unwrap();
    let entries = value["properties"].as_array_mut().unwrap();
    entries.retain(|entry| entry["name"] != name);
    value.to_string()
}

async fn a_sound_registry_has_no_findings(server: Server) {
    session(&server, GOOD).await;
    let all = lint(&server).args(["--fail-on", "note"]).run().await.good();
    assert_data_eq!(
        all.trim_end(),
        str!["2 keys checked: 0 errors, 0 warnings, 0 notes"]
    );
    for one in [ID.to_owned(), format!("top/{SESSION}/{ID}")] {
        let ran = lint(&server).args([one]).run().await.good();
        assert_data_eq!(
            ran.trim_end(),
            str!["1 key checked: 0 errors, 0 warnings, 0 notes"]
        );
    }
}

async fn findings_name_the_key_the_peer_the_cause_and_the_cure(server: Server) {
    session(&server, &without("ecf.rsvc.id")).await;
    client(&server).put("top/rubbish", "x", None).await.unwrap();
    let ran = lint(&server).run().await;
    assert_eq!((ran.code(), ran.stderr.as_str()), (1, ""));
    assert_data_eq!(
        ran.stdout,
        str![[r#"
error: iPOPO will stop watching: ecf.rsvc.id is missing
  at   top/4469111c-91c2-4dba-b64f-750d14243fda/c7e30cee-d92d-4a6b-a81c-9a49871053e5 (ecf.rsvc.id)
  cure add it as an entry of type string: the service's number where it is called

warning: every peer will ignore this key: session id 'rubbish' is no UUID (8-4-4-4-12 hex digits), and ECF and iPOPO ignore such sessions
  at   top/rubbish (key)
  cure delete it, or move it to another prefix

3 keys checked: 1 error, 1 warning, 0 notes

"#]]
    );
    // Nothing of that is ECF's to stop at.
    let of_ecf = lint(&server).args(["--peer", "ecf"]).run().await.good();
    assert!(
        of_ecf.ends_with("3 keys checked: 0 errors, 1 warning, 0 notes\n"),
        "{of_ecf}"
    );
    let strict = lint(&server)
        .args(["--peer", "ecf", "--fail-on", "warning"])
        .run()
        .await;
    assert_eq!(strict.code(), 1);
    let json = lint(&server).args(["--output", "json"]).run().await;
    assert_eq!(json.code(), 1);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(
        (&report["checked"], &report["errors"]),
        (&3.into(), &1.into())
    );
    assert_eq!(finding["peer"], "ipopo");
    assert_eq!(finding["effect"], "stops-watching");
    assert_eq!(finding["path"], "ecf.rsvc.id");
}

async fn a_registry_that_begins_alike_is_told(server: Server) {
    put(&server, &format!("top2/{SESSION}/{ID}"), GOOD).await;
    let ran = lint(&server)
        .args(["--fail-on", "warning", "--peer", "ipopo"])
        .run()
        .await;
    assert_eq!(ran.code(), 1);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
warning: iPOPO will read this key of another registry: it reads all keys that begin with 'top', and not only those below 'top/'
  at   top2/4469111c-91c2-4dba-b64f-750d14243fda/c7e30cee-d92d-4a6b-a81c-9a49871053e5
  cure use a top key of which no other one is the beginning

1 key checked: 0 errors, 1 warning, 0 notes

"#]]
    );
}

async fn what_is_not_there_is_told(server: Server) {
    let none = lint(&server).run().await.good();
    assert_data_eq!(
        none.trim_end(),
        str!["0 keys checked: 0 errors, 0 warnings, 0 notes"]
    );
    assert_data_eq!(
        lint(&server).args(["top/x/y"]).run().await.bad(1),
        str![
            "rsctl: no file and no key top/x/y in etcd at 127.0.0.1:[..]: rsctl endpoint list shows what there is"
        ]
    );
    assert_data_eq!(
        lint(&server).args(["nobody"]).run().await.bad(1),
        str!["rsctl: no file and no endpoint nobody below top/ in etcd at [..]"]
    );
    client(&server).put("elsewhere/x", "x", None).await.unwrap();
    assert_data_eq!(
        lint(&server).args(["elsewhere/x"]).run().await.bad(2),
        str![
            "rsctl: key elsewhere/x is not in the range that peers read, below top: --top-key names another"
        ]
    );
}

#[tokio::test]
async fn a_value_is_checked_before_it_is_written_and_without_etcd() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("e.json"), without("ecf.endpoint.ts")).unwrap();
    let lint = || {
        Tool::alone()
            .folder(folder.path())
            .args(["endpoint", "lint"])
    };
    let ran = lint().args(["e.json"]).run().await;
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
error: iPOPO will stop watching: ecf.endpoint.ts is missing
  at   e.json (ecf.endpoint.ts)
  cure add it as an entry of type string: milliseconds since 1970, growing with each update

1 key checked: 1 error, 0 warnings, 0 notes

"#]]
    );
    let good = lint().args(["-"]).input(GOOD).run().await.good();
    assert_data_eq!(
        good.trim_end(),
        str!["1 key checked: 0 errors, 0 warnings, 0 notes"]
    );
    let bad = lint().args(["-"]).input("{").run().await;
    assert_eq!(bad.code(), 1);
    assert!(
        bad.stdout
            .contains("line 1, column 2: the name of a member is missing"),
        "{}",
        bad.stdout
    );
}

#[tokio::test]
async fn what_others_wrote_steers_no_terminal() {
    let value = without("endpoint.id").replace("60000", "\\u001b[31m");
    let ran = Tool::alone()
        .args(["endpoint", "lint", "-"])
        .input(value)
        .run()
        .await;
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}

#[tokio::test]
async fn a_snapshot_is_checked_with_what_is_between_its_keys() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    session(&etcd, GOOD).await;
    put(
        &etcd,
        &format!("top/0f3e8a0e-7d2c-4b6a-9c55-2f1f6a1f7e10/{ID}"),
        GOOD,
    )
    .await;
    let snapshot = Tool::new(&etcd)
        .args(["snapshot", "top/"])
        .run()
        .await
        .good();
    let lint = Tool::alone().args(["--top-key", "top", "endpoint", "lint", "-"]);
    let text = lint.input(snapshot).run().await.good();
    assert!(
        text.contains("ECF will confuse this endpoint with another"),
        "{text}"
    );
    assert!(
        text.contains("osgi-remote will take any end of this session for a goodbye"),
        "{text}"
    );
}

#[tokio::test]
async fn an_etcd_that_is_away_and_options_that_are_wrong_are_told() {
    let away = Tool::alone().args(["--endpoints", "127.0.0.1:1", "endpoint", "lint"]);
    let line = away.run().await.bad(3);
    assert!(line.contains("127.0.0.1:1"), "{line}");
    let wrong = Tool::alone()
        .args(["endpoint", "lint", "--peer", "nobody"])
        .run()
        .await;
    assert_eq!(wrong.code(), 2);
    assert!(
        wrong
            .stderr
            .contains("[possible values: ecf, ipopo, osgi-remote]"),
        "{}",
        wrong.stderr
    );
}

#[tokio::test]
async fn the_right_to_read_the_own_keys_is_enough() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    session(&etcd, GOOD).await;
    put(&etcd, "top2/x", "").await;
    for args in [
        ["user", "add", "root:pw"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "own"],
        &["role", "grant-permission", "own", "read", "top/", "top0"],
        &["user", "add", "ada:word"],
        &["user", "grant-role", "ada", "own"],
        &["user", "add", "bob:word"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args).await;
    }
    etcd.etcdctl_as("root:pw");
    let ran = lint(&etcd).args(["--user", "ada:word"]).run().await;
    assert_eq!(
        ran.stderr,
        "keys beside top/ that begin with top, which ECF and iPOPO read too, were not looked at: \
         the right to read them is not granted\n"
    );
    assert_data_eq!(
        ran.good().trim_end(),
        str!["2 keys checked: 0 errors, 0 warnings, 0 notes"]
    );
    let line = lint(&etcd).args(["--user", "bob:word"]).run().await.bad(4);
    assert!(line.contains("`top/` up to `top0`"), "{line}");
}
