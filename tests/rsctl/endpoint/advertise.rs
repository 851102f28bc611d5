//! rsctl endpoint advertise

use std::path::PathBuf;

use osgi_remote::discovery::Subscriber as _;
use osgi_remote::discovery::etcd::{EtcdConfig, EtcdDiscovery};
use osgi_remote::endpoint::{EndpointDescription, edef};
use osgi_remote::feed::Change;
use osgi_remote::names::TopKey;
use osgi_remote::props;
use snapbox::{assert_data_eq, str};
use tempfile::TempDir;

use super::{ALICE, BOB, announce, greeter, key};
use crate::support::process::signal;
use crate::support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use crate::tool::{SOON, Tool};

on_each_server!(
    a_files_endpoints_are_there_until_it_is_told_to_stop,
    what_show_prints_can_be_advertised_with_properties_set,
    a_dry_run_prints_keys_and_values_and_writes_nothing,
    an_endpoint_that_another_session_carries_is_refused,
    a_lease_that_is_revoked_by_hand_is_replaced,
    a_session_that_is_in_use_is_refused_and_that_of_a_dead_process_taken_over,
);

fn file(endpoints: &[&EndpointDescription]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.xml");
    std::fs::write(&path, edef::to_string(endpoints.iter().copied()).unwrap()).unwrap();
    (folder, path)
}

fn advertise(etcd: &Store, path: &std::path::Path) -> Tool {
    let args = ["endpoint", "advertise", "--session", ALICE];
    Tool::new(etcd).args(args).args([path])
}

async fn a_files_endpoints_are_there_until_it_is_told_to_stop(etcd: Server) {
    let (one, two) = (
        greeter("e1", props! { "level" => 3_i16 }),
        greeter("e2", props! {}),
    );
    let (_folder, path) = file(&[&one, &two]);
    let discovery = EtcdDiscovery::start(EtcdConfig::new(&etcd.endpoint()).unwrap()).unwrap();
    discovery.connected(SOON).await.unwrap();
    let mut peer = discovery.endpoints().listen(|_| true);
    let running = advertise(&etcd, &path).args(["--ttl", "20s"]).start();
    running.notes("SIGINT or SIGTERM takes all back").await;
    for expected in [&one, &two] {
        match peer.next().await {
            Some(Change::Added(_, told)) => assert!(told.same_content(expected), "{told:?}"),
            other => panic!("{other:?}"),
        }
    }
    let found = etcd
        .get_prefix(&format!("{}/{ALICE}", TopKey::DEFAULT))
        .await;
    assert_eq!(found.len(), 3);
    assert!(
        found
            .iter()
            .all(|kv| kv.lease != 0 && kv.lease == found[0].lease)
    );
    let ran = running.stop("TERM").await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
advertising 2 endpoints below [..]/a11ce000-0000-4000-8000-000000000001, under a lease of 20 s
advertised; SIGINT or SIGTERM takes all back
taking 2 endpoints back

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
[..]/a11ce000-0000-4000-8000-000000000001/e1
[..]/a11ce000-0000-4000-8000-000000000001/e2

"#]]
    );
    for _ in 0..2 {
        let gone = peer.next().await;
        assert!(matches!(gone, Some(Change::Removed(..))), "{gone:?}");
    }
    discovery.close().await.unwrap();
    assert_eq!(etcd.get_prefix("").await, []);
    assert_eq!(etcd.leases().await, [0_i64; 0]);
}

async fn what_show_prints_can_be_advertised_with_properties_set(etcd: Server) {
    let original = greeter(
        "e",
        props! { "level" => 3_i16, "ecf.endpoint.discovery.weight" => 5_i32 },
    );
    announce(&etcd, BOB, &original, None).await;
    let shown = Tool::new(&etcd)
        .args(["endpoint", "list", "-o", "json"])
        .run()
        .await
        .good();
    let running = advertise(&etcd, "-".as_ref())
        .args(["--set", "endpoint.id=copy", "--set", "added:Long=4"])
        .args(["-o", "json"])
        .input(shown)
        .start();
    let line: serde_json::Value = serde_json::from_str(&running.line().await).unwrap();
    assert_eq!(
        (&line["id"], &line["key"]),
        (&"copy".into(), &key(ALICE, "copy").into())
    );
    let shown = Tool::new(&etcd).args(["endpoint", "show", "copy", "-o", "json"]);
    let shown = shown.run().await.json();
    let property = |name: &str| {
        let typed = &shown["properties"][name];
        format!("{} {}", typed["type"], typed["value"])
    };
    assert_eq!(property("level"), "\"Short\" 3");
    assert_eq!(property("added"), "\"Long\" 4");
    assert_eq!(property("ecf.endpoint.discovery.weight"), "\"Integer\" 5");
    running.stop("INT").await.good();
    assert!(
        etcd.get(&key(BOB, "e")).await.is_some(),
        "the other's is left alone"
    );
    assert!(etcd.get(&key(ALICE, "copy")).await.is_none());
}

async fn a_dry_run_prints_keys_and_values_and_writes_nothing(etcd: Server) {
    let (_folder, path) = file(&[&greeter("e", props! {})]);
    let ran = advertise(&etcd, &path).args(["--dry-run"]).run().await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
would write org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/a11ce000-0000-4000-8000-000000000001 and these keys under a lease of 30 s

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/a11ce000-0000-4000-8000-000000000001/e
{"location":"ecfosgirsvc://127.0.0.1:32565/osgirsvc_e",[..]}

"#]]
    );
    let json = advertise(&etcd, &path)
        .args(["--dry-run", "-o", "json"])
        .run()
        .await
        .json();
    assert_eq!(json[0]["key"], key(ALICE, "e"));
    assert_eq!(etcd.get_prefix("").await, []);
    assert!(etcd.leases().await.is_empty());
}

async fn an_endpoint_that_another_session_carries_is_refused(etcd: Server) {
    let endpoint = greeter("e", props! {});
    announce(&etcd, BOB, &endpoint, None).await;
    let before = etcd.get_prefix("").await;
    let (_folder, path) = file(&[&endpoint]);
    assert_data_eq!(
        advertise(&etcd, &path).run().await.bad(2),
        str![
            "rsctl: not advertised: session b0b00000-0000-4000-8000-000000000002 (no lease: it never ends by itself) carries endpoint e already: consumers would take one for the other, and ECF would lose both when one ends: give another id by --set endpoint.id=ID, or take --force"
        ]
    );
    assert_eq!(etcd.get_prefix("").await, before);
    let running = advertise(&etcd, &path).args(["--force"]).start();
    running.says("/e").await;
    running.stop("INT").await.good();
    assert_eq!(etcd.get_prefix("").await, before);
}

async fn a_lease_that_is_revoked_by_hand_is_replaced(etcd: Server) {
    let (_folder, path) = file(&[&greeter("e", props! {})]);
    let running = advertise(&etcd, &path).args(["--ttl", "3"]).start();
    running.notes("SIGINT or SIGTERM takes all back").await;
    let lease = etcd.get(&key(ALICE, "e")).await.unwrap().lease;
    etcd.etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    running
        .notes("the lease was lost, and the endpoints are written again")
        .await;
    let again = etcd.get(&key(ALICE, "e")).await.unwrap();
    assert_ne!(again.lease, lease);
    running.stop("TERM").await.good();
    assert_eq!(etcd.get_prefix("").await, []);
}

async fn a_session_that_is_in_use_is_refused_and_that_of_a_dead_process_taken_over(etcd: Server) {
    let (_folder, path) = file(&[&greeter("e", props! {})]);
    let (_other_folder, other) = file(&[&greeter("other", props! {})]);
    let running = advertise(&etcd, &path).start();
    running.notes("SIGINT or SIGTERM takes all back").await;
    let ran = advertise(&etcd, &other).run().await;
    let line = ran.bad_at_last(5);
    assert!(line.contains("is in use: its key is under lease"), "{line}");
    assert!(
        line.ends_with("or take this one over by --takeover"),
        "{line}"
    );
    assert!(
        etcd.get(&key(ALICE, "e")).await.is_some(),
        "the other's is left alone"
    );
    signal(running.pid(), "KILL");
    assert_eq!(running.end().await.status.code(), None);
    let successor = advertise(&etcd, &other).args(["--takeover"]).start();
    successor.notes("SIGINT or SIGTERM takes all back").await;
    assert!(etcd.get(&key(ALICE, "other")).await.is_some());
    assert!(
        etcd.get(&key(ALICE, "e")).await.is_none(),
        "its predecessor's"
    );
    successor.stop("TERM").await.good();
    assert_eq!(etcd.get_prefix("").await, []);
}

#[tokio::test]
async fn a_restart_of_etcd_is_survived_and_told() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let (_folder, path) = file(&[&greeter("e", props! {})]);
    let running = advertise(&etcd, &path).start();
    running.notes("SIGINT or SIGTERM takes all back").await;
    etcd.kill9();
    let lost = running.notes("connection lost to etcd at 127.0.0.1:").await;
    assert!(lost.contains("; the endpoints stay for "), "{lost}");
    etcd.restart().await;
    running.notes("connection back to etcd at 127.0.0.1:").await;
    eventually(SOON, "the endpoint to be there", async || {
        etcd.get(&key(ALICE, "e")).await.ok_or("it is not")
    })
    .await;
    running.stop("TERM").await.good();
    assert_eq!(etcd.get_prefix("").await, []);
}

/// Nothing of it reaches etcd.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |text: &str, args: &[&str]| {
        std::fs::write(folder.path().join("f"), text).unwrap();
        let tool = Tool::alone()
            .folder(folder.path())
            .args(["endpoint", "advertise", "f"]);
        let tool = tool
            .args(args.iter().copied())
            .args(["--endpoints", "127.0.0.1:1"]);
        tool.run().await.bad(2)
    };
    let good = edef::to_string([&greeter("e", props! {})]).unwrap();
    let mut incomplete = greeter("e", props! {}).properties().clone();
    incomplete.remove("ecf.rsvc.id");
    let incomplete = EndpointDescription::new(incomplete).unwrap();
    let incomplete = edef::to_string([&incomplete]).unwrap();
    assert_data_eq!(
        run("", &[]).await,
        str!["rsctl: f cannot be advertised: [..]"]
    );
    assert_data_eq!(
        run("<endpoint-descriptions", &[]).await,
        str!["rsctl: f cannot be advertised: line 1, column [..]"]
    );
    assert_data_eq!(
        run("{\"a\": 1}", &[]).await,
        str![
            "rsctl: f cannot be advertised: the JSON is not of endpoints as `rsctl endpoint show` prints them[..]"
        ]
    );
    assert_data_eq!(
        run(&incomplete, &[]).await,
        str![
            "rsctl: not advertised: endpoint e: ecf.rsvc.id is missing, and iPOPO's discovery would stop: set it by --set NAME=VALUE"
        ]
    );
    assert_data_eq!(
        run(&good, &["--set", "endpoint.id=a/b"]).await,
        str!["rsctl: not advertised: endpoint.id 'a/b' holds a '/'[..]"]
    );
    assert_data_eq!(
        run(&good, &["--set", "service.imported.configs="]).await,
        str!["rsctl: f cannot be advertised: service.imported.configs is empty[..]"]
    );
    assert_data_eq!(
        run(&good, &["--host", "no_host"]).await,
        str!["rsctl: not advertised: host 'no_host' cannot stand in an endpoint's location[..]"]
    );
    let twice = good.replace("</endpoint-descriptions>", "");
    let twice = format!("{twice}{}", good.split_once("rsa/v1.0.0\">").unwrap().1);
    assert_data_eq!(
        run(&twice, &[]).await,
        str!["rsctl: f cannot be advertised: it describes endpoint e twice[..]"]
    );
    let missing = Tool::alone()
        .args(["endpoint", "advertise", "/not/there"])
        .run()
        .await;
    assert_data_eq!(
        missing.bad(2),
        str!["rsctl: /not/there cannot be advertised: No such file or directory[..]"]
    );
    let bad_set = Tool::alone()
        .args(["endpoint", "advertise", "f", "--set", "a"])
        .run()
        .await;
    assert_eq!(bad_set.code(), 2);
    assert!(
        bad_set.stderr.contains("write NAME=VALUE"),
        "{}",
        bad_set.stderr
    );
}
