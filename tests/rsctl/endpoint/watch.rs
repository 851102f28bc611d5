//! rsctl endpoint watch

use osgi_remote::props;
use serde_json::Value;
use snapbox::{assert_data_eq, str};

use super::{ALICE, BOB, LONG, announce, grant, greeter, key};
use crate::support::{Etcd, EtcdVersion, Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    endpoints_are_told_of_as_they_come_change_and_go,
    events_as_json_have_all_that_is_known,
    endpoints_that_vanish_with_many_others_are_suspect_first,
    watching_writes_nothing,
);

async fn endpoints_are_told_of_as_they_come_change_and_go(etcd: Server) {
    announce(
        &etcd,
        ALICE,
        &greeter("e1", props! { "colour" => "red" }),
        None,
    )
    .await;
    announce(
        &etcd,
        ALICE,
        &greeter("x", props! { "colour" => "black" }),
        None,
    )
    .await;
    let watch = Tool::new(&etcd).args(["endpoint", "watch", "--filter", "(!(colour=black))"]);
    let watch = watch.start();
    watch.notes("watching etcd at").await;
    watch.says("ADDED").await;
    announce(&etcd, BOB, &greeter("e2", props! {}), None).await;
    watch.says("ADDED").await;
    announce(
        &etcd,
        ALICE,
        &greeter("e1", props! { "colour" => "blue" }),
        None,
    )
    .await;
    watch.says("MODIFIED").await;
    announce(
        &etcd,
        ALICE,
        &greeter("e1", props! { "colour" => "black" }),
        None,
    )
    .await;
    watch.says("ENDMATCH").await;
    etcd.etcdctl(&["del", &key(BOB, "e2")]).await;
    watch.says("REMOVED").await;
    let ran = watch.stop("INT").await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
watching etcd at 127.0.0.1:[..]: 2 endpoints of 1 session

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
[..]Z ADDED    org.example.Greeter [e1] at http://127.0.0.1:1/xml-rpc
[..]Z ADDED    org.example.Greeter [e2] at http://127.0.0.1:1/xml-rpc
[..]Z MODIFIED org.example.Greeter [e1] at http://127.0.0.1:1/xml-rpc, changed: colour
[..]Z ENDMATCH org.example.Greeter [e1] at http://127.0.0.1:1/xml-rpc, changed: colour
[..]Z REMOVED  org.example.Greeter [e2] at http://127.0.0.1:1/xml-rpc

"#]]
    );
}

async fn events_as_json_have_all_that_is_known(etcd: Server) {
    let other = props! { "objectClass" => ["org.example.Other"] };
    announce(&etcd, ALICE, &greeter("x", other), None).await;
    let args = [
        "endpoint",
        "watch",
        "--interface",
        "org.example.Greeter",
        "-o",
    ];
    let watch = Tool::new(&etcd).args(args).args(["json"]).start();
    announce(
        &etcd,
        ALICE,
        &greeter("e", props! { "level" => 3_i32 }),
        None,
    )
    .await;
    let added: Value = serde_json::from_str(&watch.line().await).unwrap();
    assert_eq!(
        (&added["event"], &added["id"]),
        (&"ADDED".into(), &"e".into())
    );
    assert_eq!(added["properties"]["level"]["type"], "Integer");
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let modified: Value = serde_json::from_str(&watch.line().await).unwrap();
    assert_eq!(modified["changed"], serde_json::json!(["level"]));
    watch.stop("TERM").await.good();

    let watch = Tool::new(&etcd).args(args).args(["yaml"]).start();
    assert_eq!(watch.line().await, "---");
    watch.says("event: ADDED").await;
    watch.stop("TERM").await.good();
}

async fn endpoints_that_vanish_with_many_others_are_suspect_first(etcd: Server) {
    // One lease for all, so that they vanish in one instant however slow the machine is.
    let lease = grant(&etcd, LONG).await;
    let session = |number: u32| format!("00000000-0000-4000-8000-00000000000{number}");
    for number in 0..4 {
        let endpoint = greeter(&format!("e{number}"), props! {});
        announce(&etcd, &session(number), &endpoint, Some(&lease)).await;
    }
    let watch = Tool::new(&etcd).args(["endpoint", "watch"]).start();
    watch.notes("4 endpoints of 4 sessions").await;
    watch.says("[e3]").await;
    etcd.etcdctl(&["lease", "revoke", &lease]).await;
    for number in 0..4 {
        let suspect = watch.says("SUSPECT").await;
        assert!(suspect.contains(&format!("[e{number}]")), "{suspect}");
        assert!(suspect.contains(", kept for "), "{suspect}");
    }
    announce(&etcd, &session(2), &greeter("e2", props! {}), None).await;
    let kept = watch.says("KEPT").await;
    assert!(kept.contains("[e2]"), "{kept}");
    let out = watch.stop("INT").await.good();
    let (before, _) = out.split_once("KEPT").unwrap();
    assert!(!before.contains("REMOVED"), "{out}");
}

async fn watching_writes_nothing(etcd: Server) {
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let before = etcd.get_prefix("").await;
    let watch = Tool::new(&etcd).args(["endpoint", "watch"]).start();
    watch.says("ADDED").await;
    assert_eq!(etcd.get_prefix("").await, before);
    assert!(etcd.leases().await.is_empty());
    watch.stop("TERM").await.good();
    assert_eq!(etcd.get_prefix("").await, before);
}

#[tokio::test]
async fn a_restart_of_etcd_is_survived_and_told() {
    let mut etcd = Etcd::start(EtcdVersion::V3_4).await;
    announce(&etcd, ALICE, &greeter("e1", props! {}), None).await;
    let watch = Tool::new(&etcd).args(["endpoint", "watch"]).start();
    watch.says("[e1]").await;
    etcd.kill9();
    let lost = watch.notes("connection lost to etcd at 127.0.0.1:").await;
    assert!(lost.contains("the view may be stale since 20"), "{lost}");
    etcd.restart().await;
    let back = watch.notes("connection back to etcd at 127.0.0.1:").await;
    assert!(back.contains("the view was stale for "), "{back}");
    announce(&etcd, BOB, &greeter("e2", props! {}), None).await;
    watch.says("[e2]").await;
    let out = watch.stop("TERM").await.good();
    assert_eq!(
        out.lines().count(),
        2,
        "nothing was removed or told twice: {out}"
    );
}

#[tokio::test]
async fn an_etcd_that_is_not_there_at_first_is_an_error_and_one_of_a_list_is_enough() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let watch =
        |endpoints: &str| Tool::alone().args(["endpoint", "watch", "--endpoints", endpoints]);
    assert_data_eq!(
        watch("127.0.0.1:1").run().await.bad(3),
        str!["rsctl: etcd at 127.0.0.1:1 cannot be reached [..]"]
    );
    let list = format!("127.0.0.1:1,{}", etcd.endpoint());
    let running = watch(&list).start();
    running.says("[e]").await;
    running.stop("INT").await.good();
    // A key of another world is none of its business.
    let elsewhere = watch(&list).args(["--top-key", "other"]).start();
    elsewhere.notes("0 endpoints of 0 sessions").await;
    assert_eq!(elsewhere.stop("INT").await.good(), "");
}
