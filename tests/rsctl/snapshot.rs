//! rsctl snapshot, rsctl restore

use std::time::Duration;

use osgi_remote::keyspace::{Client, ConnectOptions, Range, Transaction};
use snapbox::{assert_data_eq, str};

use crate::support::process::signal;
use crate::support::{Etcd, EtcdVersion, Mode, Proxy, Server, Store, on_each_server};
use crate::tool::{Running, Tool};

on_each_server!([embedded, etcd_3_4, etcd_3_5](
    what_is_taken_is_put_back_byte_for_byte,
    many_keys_and_large_values_go_both_ways,
    keys_with_other_values_are_listed_and_left_alone,
    keys_under_a_lease_are_left_out_unless_asked_for,
    what_stops_a_peer_from_watching_is_put_by_force_alone,
));

const HEADER: &str = r#"{"format":"rsctl-snapshot","version":1,"cluster":"1","revision":1,"prefix":"app/","time":"2026-01-31T12:00:00Z"}"#;

fn client(server: &Store) -> Client {
    Client::new(ConnectOptions::parse(&server.endpoint()).unwrap()).unwrap()
}

async fn put(server: &Store, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
    client(server).put(key, value, None).await.unwrap();
}

async fn keys(server: &Store, prefix: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let listing = client(server).list(Range::prefix(prefix)).await.unwrap();
    let entries = listing.entries.into_iter();
    entries
        .map(|entry| (entry.key, entry.value.to_vec()))
        .collect()
}

async fn clear(server: &Store, prefix: &str) {
    let clear = Transaction::new().then_delete(Range::prefix(prefix));
    client(server).transact(clear).await.unwrap();
}

fn restore(server: &Store, snapshot: &str) -> Tool {
    Tool::new(server).args(["restore", "-"]).input(snapshot)
}

fn snapshot_of(keys: &[(&str, &str)]) -> String {
    let lines = keys
        .iter()
        .map(|(key, value)| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n"));
    let lines: String = lines.collect();
    format!("{HEADER}\n{lines}{{\"keys\":{}}}\n", keys.len())
}

async fn what_is_taken_is_put_back_byte_for_byte(server: Server) {
    put(&server, "app/a", "1").await;
    put(&server, "app/tricky", "\"\\\n\u{0}ü").await;
    put(&server, vec![b'a', b'p', b'p', b'/', 0xff], vec![0xfe, 0]).await;
    put(&server, "other/x", "x").await;
    let before = keys(&server, "app/").await;
    let ran = Tool::new(&server).args(["snapshot", "app/"]).run().await;
    assert_eq!(ran.code(), 0);
    assert_data_eq!(
        ran.stderr.trim_end(),
        str!["3 keys below 'app/' at revision [..] written"]
    );
    let snapshot = ran.stdout;
    assert_data_eq!(
        snapshot.clone(),
        str![[r#"
{"format":"rsctl-snapshot","version":1,"cluster":"[..]","revision":[..],"prefix":"app/","time":"[..]Z"}
{"key":"app/a","value":"1","create_revision":[..],"mod_revision":[..],"version":1}
{"key":"app/tricky","value":"/"///n/u0000ü","create_revision":[..],"mod_revision":[..],"version":1}
{"key_base64":"YXBwL/8=","value_base64":"/gA=","create_revision":[..],"mod_revision":[..],"version":1}
{"keys":3}

"#]]
    );
    clear(&server, "app/").await;
    let would = restore(&server, &snapshot)
        .args(["--dry-run"])
        .run()
        .await
        .good();
    assert_data_eq!(would.trim_end(), str!["would put 3 keys below 'app/'"]);
    assert_eq!(keys(&server, "app/").await, []);
    put(&server, "app/a", "1").await;
    put(&server, "app/b", "stays").await;
    let ran = restore(&server, &snapshot).run().await;
    assert_data_eq!(
        ran.stderr.trim_end(),
        str![
            "etcd at 127.0.0.1:[..]: put 2 keys below 'app/', leave 1 unchanged, leave 1 others alone"
        ]
    );
    assert_data_eq!(ran.good().trim_end(), str!["2 keys put"]);
    client(&server).delete("app/b").await.unwrap();
    assert_eq!(keys(&server, "app/").await, before);
    let again = restore(&server, &snapshot)
        .args(["--output", "json"])
        .run()
        .await
        .json();
    assert_eq!((&again["put"], &again["unchanged"]), (&0.into(), &3.into()));
}

async fn many_keys_and_large_values_go_both_ways(server: Server) {
    let client = client(&server);
    for batch in 0..23 {
        let mut transaction = Transaction::new();
        for n in 0..100 {
            transaction =
                transaction.then_put(format!("app/{batch:02}{n:02}"), vec![b'v'; n], None);
        }
        client.transact(transaction).await.unwrap();
    }
    for n in 0..3 {
        put(&server, format!("app/large{n}"), vec![b'x'; 1_400_000]).await;
    }
    let before = keys(&server, "app/").await;
    let folder = tempfile::tempdir().unwrap();
    let taken = Tool::new(&server)
        .folder(folder.path())
        .args(["snapshot", "app/", "--out", "s.jsonl"]);
    assert_data_eq!(
        taken.run().await.good().trim_end(),
        str!["2303 keys below 'app/' at revision [..] written into s.jsonl"]
    );
    clear(&server, "app/").await;
    let ran = Tool::new(&server)
        .folder(folder.path())
        .args(["restore", "s.jsonl"])
        .run()
        .await;
    assert_data_eq!(ran.good().trim_end(), str!["2303 keys put"]);
    assert_eq!(keys(&server, "app/").await, before);
}

async fn keys_with_other_values_are_listed_and_left_alone(server: Server) {
    let snapshot = snapshot_of(&[("app/a", "old"), ("app/b", "old"), ("app/c", "old")]);
    put(&server, "app/a", "new").await;
    put(&server, "app/b", "old").await;
    let ran = restore(&server, &snapshot).run().await;
    assert_data_eq!(ran.stdout.trim_end(), str!["other value: app/a"]);
    assert_data_eq!(
        ran.bad(1),
        str![
            "rsctl: 1 key below 'app/' in etcd at [..] with another value: nothing is written, --overwrite overwrites them"
        ]
    );
    let dry = || restore(&server, &snapshot).args(["--dry-run"]);
    let ran = dry().run().await;
    assert_data_eq!(ran.stdout.trim_end(), str!["other value: app/a"]);
    ran.bad(1);
    let ran = dry().args(["--output", "json"]).run().await;
    let refused: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(refused["put"], 0, "{refused}");
    let would = dry().args(["--overwrite"]).run().await.good();
    assert!(would.contains("would put 2 keys below 'app/'"), "{would}");
    assert_eq!(keys(&server, "app/").await.len(), 2);
    let narrow = restore(&server, &snapshot)
        .args(["--prefix", "app/c"])
        .run()
        .await;
    assert_data_eq!(narrow.good().trim_end(), str!["1 key put"]);
    let ran = restore(&server, &snapshot)
        .args(["--overwrite"])
        .run()
        .await;
    assert!(
        ran.stderr
            .contains("put 1 key below 'app/', overwriting 1 of other values, leave 2 unchanged"),
        "{}",
        ran.stderr
    );
    assert_eq!(server.get("app/a").await.unwrap().value_text(), "old");
}

async fn keys_under_a_lease_are_left_out_unless_asked_for(server: Server) {
    let client = client(&server);
    let lease = client.grant(Duration::from_secs(500)).await.unwrap().id;
    for key in ["app/a", "app/b"] {
        client.put(key, "1", Some(lease)).await.unwrap();
    }
    put(&server, "app/c", "1").await;
    let snapshot = Tool::new(&server)
        .args(["snapshot", "app/"])
        .run()
        .await
        .good();
    assert!(
        snapshot.contains(&format!("\"lease\":\"{lease:x}\",\"ttl\":")),
        "{snapshot}"
    );
    client.revoke(lease).await.unwrap();
    let ran = restore(&server, &snapshot).run().await;
    assert!(
        ran.stderr
            .contains("leave out 2 that were under a lease (--leased puts them)"),
        "{}",
        ran.stderr
    );
    assert_eq!(keys(&server, "app/").await.len(), 1);
    let ran = restore(&server, &snapshot).args(["--leased"]).run().await;
    assert!(
        ran.stderr.contains("nobody keeps the new leases alive"),
        "{}",
        ran.stderr
    );
    let put = |key: &str| {
        let key = key.to_owned();
        let client = client.clone();
        async move { client.get(key).await.unwrap().unwrap() }
    };
    let (a, b) = (put("app/a").await, put("app/b").await);
    assert!(
        a.lease.is_some() && a.lease == b.lease && a.lease != Some(lease),
        "{a:?} {b:?}"
    );
    let granted = client
        .lease(a.lease.unwrap())
        .await
        .unwrap()
        .unwrap()
        .granted;
    assert!(granted <= Duration::from_secs(500), "{granted:?}");
    client.revoke(a.lease.unwrap()).await.unwrap();
    restore(&server, &snapshot)
        .args(["--leased", "--lease-ttl", "15m"])
        .run()
        .await
        .good();
    let lease = put("app/a").await.lease.unwrap();
    let granted = client.lease(lease).await.unwrap().unwrap().granted;
    assert_eq!(granted, Duration::from_secs(900));
}

async fn what_stops_a_peer_from_watching_is_put_by_force_alone(server: Server) {
    let session = "app/4469111c-91c2-4dba-b64f-750d14243fda";
    let endpoint = format!("{session}/x");
    let snapshot = snapshot_of(&[(session, "its own"), (&endpoint, "no json")]);
    let restore = |args: &[&str]| {
        let tool = restore(&server, &snapshot).args(["--top-key", "app"]);
        tool.args(args.iter().copied())
    };
    let told = format!("harmful: {endpoint}: iPOPO will stop watching: the value is not JSON: ");
    for args in [&[][..], &["--dry-run"]] {
        let ran = restore(args).run().await;
        assert!(ran.stdout.starts_with(&told), "{}", ran.stdout);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        assert_data_eq!(
            ran.bad(1),
            str![
                "rsctl: 1 key with a value on which a peer would stop watching or drop an endpoint, such as app/4469111c-91c2-4dba-b64f-750d14243fda/x: nothing is written, mend the file, or --force puts them"
            ]
        );
    }
    let ran = restore(&["--dry-run", "-o", "json"]).run().await;
    let refused: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&refused["put"], &refused["harmful"][0]["key"]),
        (&0.into(), &endpoint.as_str().into())
    );
    assert_eq!(keys(&server, "app/").await, []);

    let would = restore(&["--dry-run", "--force"]).run().await.good();
    assert!(would.starts_with(&told), "{would}");
    assert!(
        would.contains("would put 2 keys below 'app/', 1 of them with a value that harms peers"),
        "{would}"
    );
    let forced = restore(&["--force"]).run().await;
    assert_data_eq!(forced.good().trim_end(), str!["2 keys put"]);
    // It is there already, so that leaving it does no more harm.
    restore(&[]).run().await.good();
    // Keys that no peer reads may hold anything.
    clear(&server, "app/").await;
    let elsewhere = Tool::new(&server)
        .args(["restore", "-"])
        .input(snapshot.as_str());
    assert_data_eq!(elsewhere.run().await.good().trim_end(), str!["2 keys put"]);
}

/// Ten keys of about a megabyte, each in a transaction of its own.
fn ten_large() -> String {
    let value = "v".repeat(1_000_000);
    let names: Vec<String> = (0..10).map(|n| format!("app/{n}")).collect();
    let keys: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), value.as_str()))
        .collect();
    snapshot_of(&keys)
}

/// A restore that has made its plan, and writes through a line so slow that the first transaction
/// takes most of a minute.
async fn slow_restore(proxy: &Proxy) -> Running {
    let slow = Mode {
        rate: Some(20_000),
        ..Mode::default()
    };
    proxy.set(slow).await;
    let address = proxy.address();
    let running = Tool::alone()
        .args([
            "--endpoints",
            &address,
            "--dial-timeout",
            "60s",
            "--command-timeout",
            "300s",
            "restore",
            "-",
        ])
        .input(ten_large())
        .start();
    running.notes("put 10 keys below 'app/'").await;
    running
}

#[tokio::test]
async fn what_changes_while_it_is_restored_is_not_overwritten() {
    let server = Server::etcd_3_5().await;
    let proxy = Proxy::to(server.address()).await;
    let running = slow_restore(&proxy).await;
    put(&server, "app/9", "of somebody else").await;
    proxy.set(Mode::default()).await;
    let ran = running.end().await;
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert_data_eq!(
        last,
        str![
            "rsctl: 9 of 10 keys are put, run the same command again for the rest: key app/9 was changed meanwhile, and is left as it is"
        ]
    );
    assert_eq!(
        server.get("app/9").await.unwrap().value_text(),
        "of somebody else"
    );
}

#[tokio::test]
async fn an_interrupted_restore_says_what_is_done_and_can_be_run_again() {
    let server = Server::etcd_3_5().await;
    let proxy = Proxy::to(server.address()).await;
    let running = slow_restore(&proxy).await;
    signal(running.pid(), "INT");
    proxy.set(Mode::default()).await;
    let ran = running.end().await;
    assert_eq!(ran.code(), 5, "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.starts_with("rsctl: interrupted: "), "{last}");
    assert!(
        last.ends_with(" of 10 keys are put, run the same command again for the rest"),
        "{last}"
    );
    assert!(keys(&server, "app/").await.len() < 10);
    restore(&server, &ten_large()).run().await.good();
    assert_eq!(keys(&server, "app/").await.len(), 10);
}

#[tokio::test]
async fn a_file_that_is_wrong_is_told_by_its_line_and_nothing_is_written() {
    let server = Server::etcd_3_5().await;
    let line = |key: &str| format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n");
    let good = line("app/a");
    let cases = [
        (String::new(), "line 1: not the first line of a snapshot"),
        (
            "hello\n".to_owned(),
            "line 1: not the first line of a snapshot",
        ),
        (
            HEADER.replace(":1,\"cl", ":2,\"cl"),
            "line 1: version 2 of the format is not known, only 1",
        ),
        (
            format!("{HEADER}\n{good}"),
            "line 3: the snapshot is cut off",
        ),
        (
            format!("{HEADER}\n{good}{{\"keys\":2}}\n"),
            "line 3: the snapshot is of 2 keys, and 1 are there",
        ),
        (
            format!("{HEADER}\n{good}{{\"keys\":1}}\n{good}"),
            "line 4: there is more behind the end",
        ),
        (
            format!("{HEADER}\n{good}{good}{{\"keys\":2}}\n"),
            "line 3: key app/a is there twice",
        ),
        (format!("{HEADER}\n{good}x\n"), "line 3: no line of a key"),
        (
            format!("{HEADER}\n{good}{}", line("other/b")),
            "line 3: key other/b is not below the snapshot's prefix app/",
        ),
        (
            format!("{HEADER}\n{{\"key\":\"app/a\"}}\n"),
            "line 2: there must be either value or value_base64",
        ),
        (
            format!("{HEADER}\n{{\"key\":\"app/a\",\"value_base64\":\"?\"}}\n"),
            "line 2: value_base64 is no base64",
        ),
        (
            format!("{HEADER}\n{{\"key\":\"app/a\",\"value\":\"v\",\"lease\":\"0\"}}\n"),
            "line 2: lease '0' is no lease's id in hex",
        ),
    ];
    for (text, problem) in cases {
        let told = restore(&server, &text).run().await.bad(2);
        assert!(
            told.starts_with(&format!("rsctl: stdin, {problem}")),
            "{told}\n{text}"
        );
    }
    assert_eq!(keys(&server, "").await, []);
    let partial = restore(&server, &format!("{HEADER}\n{good}"))
        .args(["--partial"])
        .run()
        .await;
    assert_data_eq!(partial.good().trim_end(), str!["1 key put"]);
    let narrow = restore(&server, &snapshot_of(&[]))
        .args(["--prefix", "other/"])
        .run()
        .await;
    assert_data_eq!(
        narrow.bad(2),
        str!["rsctl: --prefix other/: stdin holds keys below 'app/' only"]
    );
    let ttl = Tool::alone()
        .args(["restore", "x", "--leased", "--lease-ttl", "soon"])
        .run()
        .await;
    assert_eq!(ttl.code(), 2);
    assert!(
        ttl.stderr
            .contains("it is no time such as 500ms, 3s, 1m30s or 90 (seconds)"),
        "{}",
        ttl.stderr
    );
}

#[tokio::test]
async fn a_snapshot_replaces_its_file_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.jsonl");
    std::fs::write(&file, "before").unwrap();
    let take = |endpoints: &str| {
        let args = [
            "--endpoints",
            endpoints,
            "snapshot",
            "app/",
            "--out",
            "s.jsonl",
        ];
        Tool::alone().folder(folder.path()).args(args)
    };
    let line = take("127.0.0.1:1").run().await.bad(3);
    assert!(line.contains("127.0.0.1:1"), "{line}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    let server = Server::etcd_3_5().await;
    take(&server.endpoint()).run().await.good();
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("{\"format\"")
    );
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let nowhere = Tool::new(&server)
        .args(["snapshot", "--out", "/nowhere/s.jsonl"])
        .run()
        .await;
    let line = nowhere.bad(2);
    assert!(
        line.contains("/nowhere/s.jsonl cannot be written"),
        "{line}"
    );
}

#[tokio::test]
async fn who_may_not_read_or_write_is_told() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    etcd.etcdctl(&["user", "add", "root:secret"]).await;
    etcd.etcdctl(&["user", "grant-role", "root", "root"]).await;
    etcd.etcdctl(&["user", "add", "reader:secret"]).await;
    etcd.etcdctl(&["role", "add", "reads"]).await;
    etcd.etcdctl(&[
        "role",
        "grant-permission",
        "reads",
        "read",
        "--prefix",
        "app/",
    ])
    .await;
    etcd.etcdctl(&["user", "grant-role", "reader", "reads"])
        .await;
    etcd.etcdctl(&["auth", "enable"]).await;
    etcd.etcdctl_as("root:secret");
    let as_reader = |args: &[&str]| {
        Tool::new(&etcd)
            .args(["--user", "reader:secret"])
            .args(args)
    };
    as_reader(&["snapshot", "app/"]).run().await.good();
    let line = as_reader(&["snapshot", "other/"]).run().await.bad(4);
    assert!(line.contains("other/") && line.contains("read"), "{line}");
    let write = as_reader(&["restore", "-"])
        .input(snapshot_of(&[("app/a", "1")]))
        .run()
        .await;
    assert_eq!(write.code(), 4, "{}", write.stderr);
    let last = write.stderr.lines().last().unwrap();
    assert!(
        last.contains("0 of 1 keys are put") && last.contains("app/a"),
        "{last}"
    );
}
