//! etcdctl 3.4 and 3.5 work against the embedded registry as they do against etcd.
//!
//! Each test runs the same commands against real etcd 3.5 and the embedded registry; what they print must
//! be equal, but for what `output.rs` hides.
#![cfg(feature = "embedded")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are private"
)]

#[path = "../support/mod.rs"]
mod support;

mod output;

use std::process::Stdio;
use std::time::Duration;

use output::{Printed, shape};
use support::{Embedded, Etcd, EtcdVersion, Store};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const SOON: Duration = Duration::from_secs(30);

/// Both servers, asked by one version of etcdctl.
async fn both(etcdctl: EtcdVersion) -> (Etcd, Embedded, [Store; 2]) {
    let (etcd, embedded) = tokio::join!(Etcd::start(EtcdVersion::V3_5), Embedded::start());
    let stores = [etcd.asked_by(etcdctl), embedded.asked_by(etcdctl)];
    (etcd, embedded, stores)
}

/// Runs commands on both servers and compares what each prints.
async fn print_the_same(commands: &[&[&str]]) {
    for version in EtcdVersion::ALL {
        let (_etcd, _embedded, [etcd, embedded]) = both(version).await;
        for command in commands {
            let expected = Printed::by(&etcd, command, "").await;
            let actual = Printed::by(&embedded, command, "").await;
            assert_eq!(actual, expected, "etcdctl {version:?} {command:?}");
        }
    }
}

#[tokio::test]
async fn put_get_and_del_print_the_same() {
    print_the_same(&[
        &["put", "a", "1"],
        &["put", "ab", "22"],
        &["put", "b", "0"],
        &["put", "a", "3", "--prev-kv"],
        &["put", "b", "--ignore-value"],
        &["put", "nothing", "--ignore-value"],
        &["put", "c", "x", "--lease", "1234"],
        &["get", "a"],
        &["get", "a", "-w", "json"],
        &["get", "a", "-w", "fields"],
        &["get", "nothing", "-w", "json"],
        &["get", "a", "--prefix"],
        &["get", "a", "--prefix", "--order", "DESCEND"],
        &[
            "get",
            "",
            "--prefix",
            "--sort-by",
            "VALUE",
            "--order",
            "ASCEND",
        ],
        &[
            "get",
            "",
            "--prefix",
            "--sort-by",
            "MODIFY",
            "--order",
            "DESCEND",
        ],
        &["get", "", "--prefix", "--limit", "2", "-w", "json"],
        &["get", "a", "b"],
        &["get", "ab", "--from-key"],
        &["get", "a", "--rev", "2"],
        &["get", "a", "--rev", "2", "-w", "json"],
        &["get", "a", "--rev", "99"],
        &["get", "a", "--prefix", "--keys-only"],
        &["get", "a", "--prefix", "--print-value-only"],
        &["get", "", "--prefix", "--count-only", "-w", "fields"],
        &["get", "a", "--consistency", "s"],
        &["del", "nothing"],
        &["del", "a", "--prev-kv"],
        &["del", "a", "--prefix", "--prev-kv", "-w", "json"],
        &["put", "x", "1"],
        &["put", "y", "1"],
        &["del", "x", "--from-key"],
        &["get", "", "--prefix"],
        &["compaction", "4"],
        &["compaction", "4"],
        &["compaction", "99"],
        &["compaction", "6", "--physical"],
        &["get", "a", "--rev", "2"],
    ])
    .await;
}

#[tokio::test]
async fn transactions_print_the_same() {
    const FORMS: [&str; 5] = [
        "value(\"a\") = \"1\"\nversion(\"b\") = \"0\"\n\nput b 2\nget a\n\nput c 3\n\n",
        "mod(\"a\") > \"100\"\n\nput b 2\n\nget a\ndel a --prev-kv\nget a\n\n",
        "create(\"a\") = \"0\"\nversion(\"c\") < \"9\"\n\nput a 7\nget \"\" --prefix\n\n\n",
        "\nput a 1\nput a 2\n\n\n",
        "\n\n\n",
    ];
    for version in EtcdVersion::ALL {
        let (_etcd, _embedded, [etcd, embedded]) = both(version).await;
        etcd.etcdctl(&["put", "a", "1"]).await;
        embedded.etcdctl(&["put", "a", "1"]).await;
        for form in FORMS {
            for command in [&["txn"][..], &["txn", "-i"], &["txn", "-w", "json"]] {
                let expected = Printed::by(&etcd, command, form).await;
                let actual = Printed::by(&embedded, command, form).await;
                assert_eq!(actual, expected, "etcdctl {version:?} {command:?}: {form}");
            }
        }
    }
}

/// Runs an etcdctl that does not end by itself until it has printed so many lines.
async fn lines_of(store: &Store, args: &[&str], input: &str, count: usize) -> Vec<String> {
    let mut child = store
        .etcdctl_command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    while lines.len() < count {
        match tokio::time::timeout(SOON, output.next_line()).await {
            Ok(line) => lines.push(line.unwrap().expect("etcdctl goes on")),
            Err(_) => panic!("etcdctl {args:?} printed only {lines:#?}"),
        }
    }
    child.kill().await.unwrap();
    lines
}

#[tokio::test]
async fn watches_print_the_same() {
    for version in EtcdVersion::ALL {
        let (_etcd, _embedded, stores) = both(version).await;
        let mut printed = Vec::new();
        for store in stores {
            for command in [
                &["put", "a", "1"][..],
                &["put", "ab", "1"],
                &["put", "a", "2"],
                &["del", "a", "--prefix"],
                &["put", "b", "1"],
            ] {
                store.etcdctl(command).await;
            }
            let mut all = Vec::new();
            // Two puts of three lines each, one more, and two deletions of two lines and an empty one.
            let prefix = ["watch", "a", "--prefix", "--rev", "1"];
            all.push(lines_of(&store, &prefix, "", 15).await);
            let previous = ["watch", "a", "--prefix", "--rev", "1", "--prev-kv"];
            all.push(lines_of(&store, &previous, "", 20).await);
            let range = ["watch", "a", "c", "--rev", "4"];
            all.push(lines_of(&store, &range, "", 12).await);
            let json = ["watch", "a", "--rev", "2", "-w", "json"];
            let json = lines_of(&store, &json, "", 1).await;
            all.push(json.iter().map(|line| output::json(line)).collect());
            let interactive = "watch b --rev=1\nprogress\n";
            let mut lines = lines_of(&store, &["watch", "-i"], interactive, 4).await;
            // Whether the progress is told before or after what there was is a matter of time.
            lines.sort();
            all.push(lines);
            store.etcdctl(&["compaction", "5"]).await;
            let old = ["watch", "a", "--rev", "2"];
            all.push(vec![store.try_etcdctl(&old).await.unwrap_err()]);
            printed.push(all);
        }
        assert_eq!(printed[1], printed[0], "etcdctl {version:?}");
    }
}

#[tokio::test]
async fn leases_print_the_same() {
    for version in EtcdVersion::ALL {
        let (_etcd, _embedded, stores) = both(version).await;
        let mut printed = Vec::new();
        for store in stores {
            let granted = store.etcdctl(&["lease", "grant", "100"]).await;
            let id = granted.split_whitespace().nth(1).unwrap().to_owned();
            let mut all = vec![granted];
            for command in [
                &["put", "a", "1", "--lease", &id][..],
                &["lease", "list"],
                &["lease", "timetolive", &id, "--keys"],
                &["lease", "timetolive", &id],
                &["lease", "keep-alive", "--once", &id],
                &["lease", "timetolive", "77"],
                &["lease", "keep-alive", "--once", "77"],
                &["lease", "revoke", "77"],
                &["lease", "revoke", &id],
                &["get", "a"],
                &["lease", "list"],
            ] {
                all.push(Printed::by(&store, command, "").await.to_string());
            }
            let hidden = all.iter().map(|text| text.replace(&id, "ID"));
            printed.push(
                hidden
                    .map(|text| output::without_seconds_left(&text))
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(printed[1], printed[0], "etcdctl {version:?}");
    }
}

#[tokio::test]
async fn what_an_operator_asks_is_answered_in_the_same_form() {
    const COMMANDS: [&[&str]; 6] = [
        &["endpoint", "status", "-w", "json"],
        &["endpoint", "health", "-w", "json"],
        &["endpoint", "hashkv", "-w", "json"],
        &["member", "list", "-w", "json"],
        &["alarm", "list", "-w", "json"],
        &["alarm", "disarm", "-w", "json"],
    ];
    for version in EtcdVersion::ALL {
        let (_etcd, _embedded, [etcd, embedded]) = both(version).await;
        for store in [&etcd, &embedded] {
            store.etcdctl(&["put", "a", "1"]).await;
        }
        for command in COMMANDS {
            let expected = shape(&etcd.etcdctl(command).await);
            let actual = shape(&embedded.etcdctl(command).await);
            assert_eq!(actual, expected, "etcdctl {version:?} {command:?}");
        }
        for store in [&etcd, &embedded] {
            let defragmented = store.etcdctl(&["defrag"]).await;
            assert!(
                defragmented.starts_with("Finished defragmenting etcd member"),
                "{defragmented}"
            );
            let members = store.etcdctl(&["member", "list"]).await;
            assert!(members.contains(&store.endpoint()), "{members}");
            let status = store.etcdctl(&["endpoint", "status"]).await;
            assert!(status.contains("3.5."), "{status}");
        }
    }
}

/// etcdctl makes both of keys, leases and watches.
#[tokio::test]
async fn locks_and_elections_of_etcdctl_work() {
    for version in EtcdVersion::ALL {
        let embedded = Embedded::start().await;
        let store = embedded.asked_by(version);
        let run = store.etcdctl(&["lock", "door", "echo", "inside"]).await;
        assert_eq!(run, "inside\n");
        let leader = lines_of(&store, &["elect", "post", "me"], "", 2).await;
        assert_eq!(leader[1], "me");
    }
}

#[tokio::test]
async fn what_the_registry_does_not_do_says_so_in_a_sentence() {
    let embedded = Embedded::start().await;
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    for version in EtcdVersion::ALL {
        let store = embedded.asked_by(version);
        for command in [
            &["auth", "enable"][..],
            &["user", "list"],
            &["role", "add", "r"],
            &["snapshot", "save", snapshot.to_str().unwrap()],
            &["member", "add", "m", "--peer-urls", "http://127.0.0.1:1"],
            &["move-leader", "1"],
        ] {
            let error = store.try_etcdctl(command).await.unwrap_err();
            assert!(
                error.contains("embedded registry"),
                "etcdctl {version:?} {command:?}: {error}"
            );
        }
    }
}
