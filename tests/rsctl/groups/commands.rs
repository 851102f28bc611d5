//! `rsctl group` as a process.

use snapbox::{assert_data_eq, str};

use super::{keys, put_node};
use crate::support::{Etcd, EtcdVersion, Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    a_group_is_created_joined_configured_shown_and_deleted,
    a_group_with_nodes_is_deleted_only_by_force,
);

async fn a_group_is_created_joined_configured_shown_and_deleted(server: Server) {
    let tool = |args: &[&str]| Tool::new(&server).args(["group"]).args(args);
    let created = tool(&["create", "web", "--label", "zone=eu", "--username", "ada"])
        .variable("RSCTL_GROUP_PASSWORD", "s3cret")
        .run()
        .await;
    let announced = "will create group `web` at `/services/web`, or join it if it is there\n";
    assert_eq!(created.stderr, announced);
    assert_eq!(created.good(), "group `web` created\n");
    let value = server.get("/services/web").await.unwrap().value_text();
    assert_data_eq!(
        value,
        str![[
            r#"{"name":"web","spec":{"username":"ada","password":"s3cret","common_labels":{"zone":"eu"}},"created":"[..]Z"}"#
        ]]
    );

    let joined = tool(&["create", "web", "--label", "zone=us"]).run().await;
    assert_data_eq!(
        &joined.stderr,
        str![[r#"
will create group `web` at `/services/web`, or join it if it is there
the group is there and stays as it is, without label `zone=us`: `rsctl group configure` changes it

"#]]
    );
    assert_eq!(joined.good(), "group `web` joined: it was there\n");

    let change = [
        "configure",
        "web",
        "--label",
        "zone=us",
        "--label",
        "rack=1",
    ];
    let configured = tool(&change).run().await;
    assert_data_eq!(
        &configured.stderr,
        str![[r#"
will configure group `web` at `/services/web`: label rack=1; label zone=us (was eu)

"#]]
    );
    let done = "group `web` configured: label rack=1; label zone=us (was eu)\n";
    assert_eq!(configured.good(), done);
    let again = tool(&change).run().await.good();
    assert_eq!(again, "group `web` is so already\n");

    assert_data_eq!(
        tool(&["list"]).run().await.good(),
        str![[r#"
GROUP  NODES  LABELS          CREDENTIALS  CREATED
web    0      rack=1,zone=us  yes          [..]Z

"#]]
    );
    assert_data_eq!(
        tool(&["show", "web"]).run().await.good(),
        str![[r#"
Group:        web
Key:          /services/web
Labels:       rack=1,zone=us
Credentials:  yes
Created:      [..]Z

no nodes

"#]]
    );
    for form in ["json", "yaml"] {
        let shown = tool(&["show", "web", "--output", form, "-vvv"]).run().await;
        assert!(!shown.stderr.contains("s3cret"), "{}", shown.stderr);
        let shown = shown.good();
        assert!(
            !shown.contains("s3cret") && !shown.contains("ada"),
            "{shown}"
        );
    }
    let shown = tool(&["show", "web", "--output", "json"])
        .run()
        .await
        .json();
    let expected = serde_json::json!({
        "name": "web", "key": "/services/web", "labels": {"rack": "1", "zone": "us"},
        "credentials": true, "created": shown["created"], "nodes": [],
    });
    assert_eq!(shown, expected);

    let bare = ["configure", "web", "--unlabel", "zone", "--no-credentials"];
    let bared = tool(&bare).run().await.good();
    let expected =
        "group `web` configured: label zone taken away (was us); credentials taken away\n";
    assert_eq!(bared, expected);
    let value = server.get("/services/web").await.unwrap().value_text();
    assert!(value.contains(r#""username":"","password":"""#), "{value}");

    let deleted = tool(&["delete", "web"]).run().await;
    assert_eq!(
        deleted.stderr,
        "will delete group `web` at `/services/web`\n"
    );
    assert_eq!(deleted.good(), "group `web` deleted\n");
    assert_eq!(tool(&["list"]).run().await.good(), "no groups\n");
    for args in [&["delete", "web"][..], &["show", "web"]] {
        assert_data_eq!(
            tool(args).run().await.bad(1),
            str![
                "rsctl: there is no group `web`: etcd has neither key `/services/web` nor nodes below it"
            ]
        );
    }
    assert_data_eq!(
        tool(&["configure", "web", "--label", "a=b"])
            .run()
            .await
            .bad(1),
        str!["rsctl: there is no group `web`: etcd has no key `/services/web`"]
    );
}

async fn a_group_with_nodes_is_deleted_only_by_force(server: Server) {
    let tool = |args: &[&str]| Tool::new(&server).args(["group"]).args(args);
    for group in ["web", "web-2"] {
        tool(&["create", group]).run().await.good();
        put_node(&server, group, "a", "healthy").await;
    }
    assert_data_eq!(
        tool(&["delete", "web"]).run().await.bad(1),
        str![
            "rsctl: group `web` has 1 node below `/services/web/nodes/`; end them first, or delete them with it: --force"
        ]
    );
    let before = keys(&server).await;
    let dry = tool(&["delete", "web", "--force", "--dry-run"]).run().await;
    assert_data_eq!(
        &dry.stderr,
        str![[r#"
would delete group `web` at `/services/web` and its 1 node: /services/web/nodes/a_t (--dry-run: nothing is written)

"#]]
    );
    assert_eq!(dry.good(), "group `web` would be deleted with 1 node\n");
    assert_eq!(keys(&server).await, before);
    let deleted = tool(&["delete", "web", "--force", "-o", "json"])
        .run()
        .await
        .json();
    let expected = serde_json::json!({
        "group": "web", "key": "/services/web", "nodes": ["/services/web/nodes/a_t"],
        "dry_run": false,
    });
    assert_eq!(deleted, expected);
    assert_eq!(
        keys(&server).await,
        ["/services/web-2", "/services/web-2/nodes/a_t"]
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_tells_the_same() {
    let server = Server::embedded().await;
    let tool = |args: &[&str]| Tool::new(&server).args(args).args(["--dry-run"]);
    let would = tool(&["group", "create", "web", "--label", "a=b"])
        .run()
        .await;
    assert!(
        would.stderr.starts_with("would create group `web`"),
        "{}",
        would.stderr
    );
    assert_eq!(would.good(), "group `web` would be created\n");
    let register = [
        "node", "register", "web", "--id", "n", "--type", "t", "--port", "1",
    ];
    let would = tool(&register).run().await;
    assert!(
        would
            .stderr
            .starts_with("would keep node `/services/web/nodes/n_t`"),
        "{}",
        would.stderr
    );
    assert_eq!(would.code(), 0);
    assert!(keys(&server).await.is_empty());

    Tool::new(&server)
        .args(["group", "create", "web"])
        .run()
        .await
        .good();
    put_node(&server, "web", "n", "healthy").await;
    let before = server.get_prefix("/services").await;
    let joined = tool(&["group", "create", "web"]).run().await.good();
    assert_eq!(joined, "group `web` would be joined: it is there\n");
    let configured = tool(&["group", "configure", "web", "--label", "a=b"])
        .run()
        .await
        .good();
    assert_eq!(configured, "group `web` would be configured: label a=b\n");
    let deregistered = tool(&["node", "deregister", "web", "n", "t"])
        .run()
        .await
        .good();
    assert_eq!(
        deregistered,
        "node `/services/web/nodes/n_t` would be deleted; it was the last one, and group `web` \
         would be deleted\n"
    );
    assert_eq!(server.get_prefix("/services").await, before);
}

#[tokio::test]
async fn a_password_comes_from_a_file_or_from_stdin() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "of file\n").unwrap();
    let tool = |file: &str| {
        let args = ["group", "configure", "web", "--password-file", file];
        Tool::new(&server).folder(folder.path()).args(args)
    };
    Tool::new(&server)
        .args(["group", "create", "web", "--username", "ada"])
        .run()
        .await
        .good();
    for (file, input, expected) in [("secret", "", "of file"), ("-", "of stdin\n", "of stdin")] {
        // Whatever is logged of it, the password is not.
        let set = tool(file)
            .variable("RUST_LOG", "trace")
            .input(input)
            .run()
            .await;
        assert!(set.stderr.contains("TRACE"), "{}", set.stderr);
        assert!(!set.stderr.contains(expected), "{}", set.stderr);
        let set = set.good();
        assert_eq!(set, "group `web` configured: credentials set\n");
        let value = server.get("/services/web").await.unwrap().value_text();
        let written = format!(r#""username":"ada","password":"{expected}""#);
        assert!(value.contains(&written), "{value}");
    }
    assert_data_eq!(
        tool("missing").run().await.bad(2),
        str!["rsctl: no password can be read from missing: No such file or directory (os error 2)"]
    );
    assert_data_eq!(
        tool("-").input("\n").run().await.bad(2),
        str!["rsctl: the first line of stdin is empty; write the password there"]
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_told_in_one_line() {
    for (args, expected) in [
        (
            &["group", "create", "a b"][..],
            "rsctl: `a b` is no name for a group: it may have letters, digits, `-` and `_` only",
        ),
        (
            &["group", "show", "a/b"],
            "rsctl: `a/b` is no name for a group: it has a slash",
        ),
        (
            &["group", "list", "--base", "/"],
            "rsctl: `/` is no place for groups: it names no key; the whole key space is no place \
             for groups; write a key such as /services",
        ),
        (
            &["group", "create", "a", "--label", "zone"],
            "rsctl: label `zone` cannot be used: write KEY=VALUE",
        ),
        (
            &["group", "create", "a", "--label", "b=1", "--label", "b=2"],
            "rsctl: label `b=2` cannot be used: its key was given before",
        ),
        (
            &["group", "configure", "a"],
            "rsctl: nothing is to be changed: give --label, --unlabel, --username, \
             --password-file or --no-credentials",
        ),
        (
            &[
                "group",
                "configure",
                "a",
                "--label",
                "b=1",
                "--unlabel",
                "b",
            ],
            "rsctl: label `b` is to be set and to be taken away; leave one of the two",
        ),
        (
            &[
                "node", "register", "a", "--id", "n", "--type", "t", "--port", "0",
            ],
            "rsctl: node `n` cannot be registered: its port is 0; give one of 1 to 65535",
        ),
        (
            &[
                "node", "register", "a", "--id", "", "--type", "t", "--port", "1",
            ],
            "rsctl: node `` cannot be registered: its id is empty",
        ),
        (
            &[
                "node", "register", "a", "--id", "n", "--type", "t", "--port", "1", "--ttl",
                "500ms",
            ],
            "rsctl: --ttl 500ms cannot be used: etcd counts leases in whole seconds, from one up",
        ),
        (
            &[
                "node", "register", "a", "--id", "n", "--type", "t", "--port", "1", "--ttl", "soon",
            ],
            "rsctl: --ttl `soon` cannot be used: it is no time such as 500ms, 3s, 1m30s or 90 (seconds)",
        ),
    ] {
        // Nothing is asked of etcd, which is not there.
        let ran = Tool::alone()
            .args(["--endpoints", "127.0.0.1:1"])
            .args(args)
            .run()
            .await;
        assert_eq!(ran.bad(2), expected);
    }
}

#[tokio::test]
async fn an_etcd_that_cannot_be_reached_is_named() {
    for args in [
        &["group", "list"][..],
        &["group", "show", "a"],
        &["group", "configure", "a", "--label", "b=c"],
        &["group", "delete", "a"],
        &["node", "list"],
        &["node", "watch"],
    ] {
        let ran = Tool::alone()
            .args(["--endpoints", "127.0.0.1:1"])
            .args(args)
            .run()
            .await;
        let line = ran.bad(3);
        assert!(
            line.contains("etcd at 127.0.0.1:1 cannot be reached"),
            "{args:?}: {line}"
        );
    }
    // These say before what they will do.
    for args in [
        &["group", "create", "a"][..],
        &[
            "node", "register", "a", "--id", "n", "--type", "t", "--port", "1",
        ],
        &["node", "deregister", "a", "n", "t"],
    ] {
        let ran = Tool::alone()
            .args(["--endpoints", "127.0.0.1:1"])
            .args(args)
            .run()
            .await;
        assert_eq!(ran.code(), 3, "{args:?}: {}", ran.stderr);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{args:?}: {lines:?}");
        assert!(
            lines[1].contains("etcd at 127.0.0.1:1 cannot be reached"),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_are_missing() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    for args in [
        &["user", "add", "root:root"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "ada:pw"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args).await;
    }
    etcd.etcdctl_as("root:root");
    for args in [
        &["group", "list"][..],
        &["node", "watch"],
        &["group", "delete", "a"],
    ] {
        let ran = Tool::new(&etcd)
            .args(["--user", "ada:pw"])
            .args(args)
            .run()
            .await;
        let line = ran.bad(4);
        assert!(
            line.contains("denies user `ada`") && line.contains("/services/"),
            "{line}"
        );
    }
    let wrong = Tool::new(&etcd)
        .args(["--user", "ada:wrong", "group", "list"])
        .run()
        .await;
    assert!(wrong.bad(4).contains("does not let user `ada` in"));
}

#[tokio::test]
async fn rubbish_among_groups_is_told_and_harms_nothing() {
    let server = Server::embedded().await;
    let tool = |args: &[&str]| Tool::new(&server).args(args);
    put_node(&server, "web", "n", "healthy").await;
    for (key, value) in [
        ("/services/web", r#"{"spec":{"password":12345}}"#),
        ("/services/web/nodes/x_t", "{"),
        ("/services/web/other", "x"),
    ] {
        server.etcdctl(&["put", key, value]).await;
    }
    let listed = tool(&["group", "list"]).run().await;
    assert_data_eq!(
        &listed.stderr,
        str![[r#"
passed over `/services/web`: `password` is a number, not a text
passed over `/services/web/nodes/x_t`: it is no JSON (line 1, column 1)
passed over `/services/web/other`: the key is neither a group's nor a node's

"#]]
    );
    assert_data_eq!(
        listed.good(),
        str![[r#"
GROUP  NODES  LABELS  CREDENTIALS  CREATED
web    1      -       no           -

"#]]
    );
    assert_data_eq!(
        tool(&["group", "configure", "web", "--label", "a=b"])
            .run()
            .await
            .bad(5),
        str![
            "rsctl: the value of `/services/web` cannot be used: `password` is a number, not a text; put a good one there, or delete the key"
        ]
    );
    // A group of no readable value can be deleted all the same.
    tool(&["group", "delete", "web", "--force"])
        .run()
        .await
        .good();
    assert_eq!(keys(&server).await, ["/services/web/other"]);
}
