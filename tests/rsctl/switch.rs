//! rsctl switch. That it does as empusa does is in `empusa`.

use snapbox::{assert_data_eq, str};

use crate::support::process::ReservedPort;
use crate::support::{Etcd, EtcdVersion, Server, Store, on_each_server};
use crate::tool::{Ran, Tool};

on_each_server!(
    a_switch_is_set_toggled_compared_and_removed,
    a_switch_that_is_not_as_expected_ends_with_one,
    a_dry_run_changes_nothing_and_ends_as_the_command_would,
    a_value_is_printed_exactly,
    each_form_of_output_tells_the_same,
    a_change_is_told_to_programs,
);

fn switch(server: &Store, args: &[&str]) -> Tool {
    Tool::new(server)
        .variable("ETCDCTL_DIAL_TIMEOUT", "30s")
        .variable("ETCDCTL_COMMAND_TIMEOUT", "30s")
        .args(["--tree-root", "prod", "switch"])
        .args(args)
}

async fn run(server: &Store, args: &[&str]) -> Ran {
    switch(server, args).run().await
}

/// What the key holds.
async fn value(server: &Store) -> Option<String> {
    Some(server.get("/prod/switch/a").await?.value_text())
}

async fn a_switch_is_set_toggled_compared_and_removed(server: Server) {
    assert_data_eq!(
        run(&server, &["set", "a", "On", "--ttl", "60"])
            .await
            .stderr,
        str![[r#"
switch a, key /prod/switch/a: to be set to On, with a TTL of 60 s
switch a set to On

"#]]
    );
    let entry = server.get("/prod/switch/a").await.unwrap();
    assert_ne!(entry.lease, 0);
    assert_data_eq!(
        run(&server, &["toggle", "a"]).await.stderr,
        str![[r#"
switch a, key /prod/switch/a: to be toggled, without a TTL
switch a set to no

"#]]
    );
    assert_eq!(server.get("/prod/switch/a").await.unwrap().lease, 0);
    assert_data_eq!(
        run(&server, &["cas", "a", "maybe", "no"]).await.stderr,
        str![[r#"
switch a, key /prod/switch/a: to be set to maybe if it is no, without a TTL
switch a set to maybe

"#]]
    );
    assert_eq!(run(&server, &["get", "a"]).await.good(), "maybe\n");
    assert_data_eq!(
        run(&server, &["remove", "a"]).await.stderr,
        str![[r#"
switch a, key /prod/switch/a: to be removed
switch a removed

"#]]
    );
    let again = run(&server, &["remove", "a"]).await;
    assert!(
        again.stderr.ends_with("switch a was not set\n"),
        "{}",
        again.stderr
    );
    again.good();
    let made = run(&server, &["cas", "a", "1", "anything"]).await;
    assert!(
        made.stderr.ends_with("switch a made, and set to 1\n"),
        "{}",
        made.stderr
    );
    assert_eq!(value(&server).await.as_deref(), Some("1"));
}

async fn a_switch_that_is_not_as_expected_ends_with_one(server: Server) {
    let no = async |args: &[&str]| {
        let tool = switch(&server, args).variable("EMPUSA_LOGLEVEL", "ERROR");
        tool.run().await.bad(1)
    };
    assert_eq!(no(&["toggle", "a"]).await, "rsctl: switch a is not set");
    let get = run(&server, &["get", "a"]).await;
    assert_eq!(
        (get.code(), get.stdout.as_str()),
        (1, "No such switch \"a\"\n")
    );
    assert_eq!(get.stderr, "");
    run(&server, &["set", "a", "maybe"]).await.good();
    assert_data_eq!(
        no(&["toggle", "a"]).await,
        str![[
            r#"rsctl: switch a has no boolean value but "maybe"; those are yes, true, y, on, 1, enabled and no, false, n, off, 0, disabled"#
        ]]
    );
    let cas = ["cas", "a", "yes", "no", "--ttl", "60"];
    assert_eq!(
        no(&cas).await,
        "rsctl: switch a is not no, and stays as it is"
    );
    assert_eq!(value(&server).await.as_deref(), Some("maybe"));
    // The lease that it would have had was given back.
    assert_eq!(server.leases().await, Vec::<i64>::new());
}

async fn a_dry_run_changes_nothing_and_ends_as_the_command_would(server: Server) {
    let dry = async |args: &[&str], code| {
        switch(&server, args)
            .args(["--dry-run"])
            .run()
            .await
            .bad(code)
    };
    assert_data_eq!(
        dry(&["set", "a", "yes"], 0).await,
        str![
            "dry run: switch a, key /prod/switch/a: to be set to yes, without a TTL; now there is none"
        ]
    );
    assert_eq!(dry(&["toggle", "a"], 1).await, "rsctl: switch a is not set");
    dry(&["cas", "a", "yes", "no"], 0).await;
    assert_eq!(value(&server).await, None);
    run(&server, &["set", "a", "yes"]).await.good();
    assert_data_eq!(
        dry(&["toggle", "a"], 0).await,
        str!["dry run: switch a, key /prod/switch/a: to be toggled, without a TTL; now it is yes"]
    );
    dry(&["cas", "a", "no", "yes", "--ttl", "60"], 0).await;
    dry(&["cas", "a", "no", "other"], 1).await;
    dry(&["remove", "a"], 0).await;
    assert_eq!(value(&server).await.as_deref(), Some("yes"));
    assert_eq!(server.leases().await, Vec::<i64>::new());
}

async fn a_value_is_printed_exactly(server: Server) {
    let text = "a\u{1b}[31mb\n\n";
    run(&server, &["set", "a", text]).await.good();
    assert_eq!(
        run(&server, &["get", "a"]).await.good(),
        format!("{text}\n")
    );
    run(&server, &["set", "a", ""]).await.good();
    assert_eq!(run(&server, &["get", "a"]).await.good(), "\n");
}

async fn each_form_of_output_tells_the_same(server: Server) {
    run(&server, &["set", "a", "yes"]).await.good();
    run(&server, &["set", "b", "12", "--ttl", "9000"])
        .await
        .good();
    // The root is written without its slash: lists have whole keys, as empusa's.
    assert_data_eq!(
        run(&server, &["list"]).await.good(),
        str![[r#"
+----------------+---------+-------+
| Switch         | Value   |   TTL |
|----------------+---------+-------|
| /prod/switch/a | yes     |       |
| /prod/switch/b | 12      |  [..] |
+----------------+---------+-------+

"#]]
    );
    let list = switch(&server, &["list", "--tree-root", "/prod", "-o", "yaml"]);
    assert_data_eq!(
        list.run().await.good(),
        str![[r#"
- switch: a
  value: "yes"
  ttl: null
- switch: b
  value: "12"
  ttl: [..]

"#]]
    );
    let get = run(&server, &["get", "a", "--output", "json"]).await.json();
    let expected = serde_json::json!({"switch": "a", "value": "yes", "ttl": null});
    assert_eq!(get, expected);
    let get = run(&server, &["get", "b", "--output", "json"]).await.json();
    assert!((1..=9000).contains(&get["ttl"].as_u64().unwrap()), "{get}");
    let none = switch(&server, &["get", "none", "--output", "json"])
        .run()
        .await;
    assert_eq!(none.bad(1), "rsctl: No such switch \"none\"");
}

async fn a_change_is_told_to_programs(server: Server) {
    let json = async |args: &[&str]| {
        let args = [args, &["--output", "json"]].concat();
        run(&server, &args).await.json()
    };
    let written = |value: &str, ttl: Option<u64>, dry_run: bool| serde_json::json!({"switch": "a", "value": value, "ttl": ttl, "dry_run": dry_run});
    let removed = |removed: bool, dry_run: bool| serde_json::json!({"switch": "a", "removed": removed, "dry_run": dry_run});
    let set = ["set", "a", "On", "--ttl", "60"];
    let dry = [set.as_slice(), &["--dry-run"]].concat();
    assert_eq!(json(&dry).await, written("On", Some(60), true));
    assert_eq!(json(&set).await, written("On", Some(60), false));
    let toggle = ["toggle", "a", "--dry-run"];
    assert_eq!(json(&toggle).await, written("no", None, true));
    assert_eq!(json(&toggle[..2]).await, written("no", None, false));
    let cas = ["cas", "a", "yes", "no", "--dry-run"];
    assert_eq!(json(&cas).await, written("yes", None, true));
    assert_eq!(json(&cas[..4]).await, written("yes", None, false));
    assert_eq!(
        json(&["remove", "a", "--dry-run"]).await,
        removed(true, true)
    );
    assert_eq!(json(&["remove", "a"]).await, removed(true, false));
    assert_eq!(json(&["remove", "a"]).await, removed(false, false));
    assert_eq!(
        run(&server, &["set", "a", "1", "-o", "yaml"]).await.good(),
        "switch: a\nvalue: \"1\"\nttl: null\ndry_run: false\n"
    );
    // For people there is what empusa has: nothing.
    assert_eq!(run(&server, &["set", "a", "1"]).await.good(), "");
}

#[tokio::test]
async fn an_unreachable_etcd_is_no_answer() {
    let dead = ReservedPort::any();
    let endpoint = format!("127.0.0.1:{}", dead.number);
    for args in [
        &["get", "a"][..],
        &["set", "a", "b"],
        &["toggle", "a"],
        &["cas", "a", "b", "c", "--ttl", "5"],
        &["remove", "a"],
        &["list"],
    ] {
        let tool = Tool::alone()
            .args(["--endpoints", &endpoint, "--tree-root", "prod", "switch"])
            .args(args)
            .variable("EMPUSA_LOGLEVEL", "ERROR");
        let line = tool.run().await.bad(3);
        assert!(line.contains(&endpoint), "{line}");
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    etcd.etcdctl(&["user", "add", "root:secret"]).await;
    etcd.etcdctl(&["user", "grant-role", "root", "root"]).await;
    etcd.etcdctl(&["user", "add", "ada:secret"]).await;
    etcd.etcdctl(&["auth", "enable"]).await;
    for args in [
        &["get", "a"][..],
        &["set", "a", "b"],
        &["remove", "a"],
        &["cas", "a", "b", "c"],
    ] {
        let tool = switch(&etcd, args)
            .args(["--user", "ada:secret"])
            .variable("EMPUSA_LOGLEVEL", "ERROR");
        let line = tool.run().await.bad(4);
        assert!(line.contains("/prod/switch/a"), "{line}");
    }
}

#[tokio::test]
async fn the_older_version_of_the_api_is_told_of_with_v() {
    let registry = crate::support::Embedded::start().await;
    let args = ["list", "--etcd-api-version", "2"];
    let quiet = run(&registry, &args).await;
    assert_eq!(quiet.stderr, "");
    quiet.good();
    let told = switch(&registry, &args).args(["-v"]).run().await;
    assert!(told.stderr.contains("API 3 is used"), "{}", told.stderr);
    told.good();
}
