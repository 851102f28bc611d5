//! rsctl service. That it does as empusa does is in `empusa`.

use std::time::Duration;

use snapbox::{assert_data_eq, str};

use crate::support::process::ReservedPort;
use crate::support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use crate::tool::{Running, SOON, Tool};

on_each_server!(
    a_service_is_registered_listed_and_unregistered,
    each_form_of_output_tells_the_same,
    a_change_is_told_to_programs,
    a_time_to_live_is_a_lease_of_its_own,
    a_dry_run_says_what_would_be_done_and_does_nothing,
    nothing_beside_the_key_is_touched,
    a_refreshed_service_lasts_until_it_is_told_to_stop,
    a_refreshed_service_comes_back_after_its_lease_was_lost_or_its_key_removed,
    a_refreshed_service_without_a_ttl_is_put_again_and_stays,
    of_two_who_refresh_one_service_the_later_one_holds_it,
    the_first_endpoint_may_be_dead,
);

const KEY: &str = "/prod/service/web/a";

/// `rsctl service` with patience, below `/prod`.
fn service(server: &Store) -> Tool {
    patient(Tool::new(server))
}

fn patient(tool: Tool) -> Tool {
    tool.variable("ETCDCTL_DIAL_TIMEOUT", "30s")
        .variable("ETCDCTL_COMMAND_TIMEOUT", "30s")
        .args(["--tree-root", "/prod", "service"])
}

fn register(server: &Store, name: &str, more: &[&str]) -> Tool {
    let location = format!("http://{name}:80");
    service(server)
        .args(["register", "--service-type", "web", "--service-name", name])
        .args(["--service-location", &location])
        .args(more)
}

async fn a_service_is_registered_listed_and_unregistered(server: Server) {
    let ran = register(&server, "a", &[]).run().await;
    assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""));
    assert_data_eq!(
        ran.stderr,
        str![[r#"
registering service a (web): key /prod/service/web/a, without a TTL
service a (web) registered

"#]]
    );
    register(&server, "b", &["--ttl", "9000"])
        .run()
        .await
        .good();
    let list = service(&server).args(["list"]).run().await;
    assert_eq!(list.stderr, "");
    assert_data_eq!(
        list.good().replace(" 8999 |", " 9000 |"),
        str![[r#"
+-----------+-------------+-------+
| Service   | Location    |   TTL |
|-----------+-------------+-------|
| web/a     | http://a:80 |       |
| web/b     | http://b:80 |  [..] |
+-----------+-------------+-------+

"#]]
    );
    assert_eq!(server.get(KEY).await.unwrap().value, b"http://a:80");
    let unregister = || {
        service(&server)
            .args(["unregister", "--service-type", "web", "--service-name", "a"])
            .run()
    };
    assert_data_eq!(
        unregister().await.stderr,
        str![[r#"
unregistering service a (web): key /prod/service/web/a
service a (web) unregistered

"#]]
    );
    let again = unregister().await;
    assert!(
        again
            .stderr
            .ends_with("service a (web) was not registered\n")
    );
    again.good();
    assert_eq!(server.get(KEY).await, None);
}

async fn each_form_of_output_tells_the_same(server: Server) {
    register(&server, "a", &[]).run().await.good();
    let list = async |args: &[&str]| {
        service(&server)
            .args(["list"])
            .args(args)
            .run()
            .await
            .good()
    };
    assert_data_eq!(
        list(&["--output", "json"]).await,
        str![[r#"
[
  {
    "service": "web/a",
    "location": "http://a:80",
    "ttl": null
  }
]

"#]]
    );
    assert_data_eq!(
        list(&["--output", "yaml"]).await,
        str![[r#"
- service: web/a
  location: http://a:80
  ttl: null

"#]]
    );
    // empusa's own option is nearer to the command.
    assert_eq!(
        list(&["--output", "yaml", "--format", "json"]).await,
        "[{\"service\": \"web/a\", \"location\": \"http://a:80\", \"ttl\": null}]\n"
    );
}

async fn a_change_is_told_to_programs(server: Server) {
    let registered = |ttl: Option<u64>, dry_run: bool| {
        serde_json::json!({
            "service": "web/a", "location": "http://a:80", "ttl": ttl, "dry_run": dry_run,
        })
    };
    let dry = ["--ttl", "60", "--dry-run", "--output", "json"];
    let told = register(&server, "a", &dry).run().await.json();
    assert_eq!(told, registered(Some(60), true));
    let told = register(&server, "a", &["--output", "json"]).run().await;
    assert_eq!(told.json(), registered(None, false));
    for ttl in [None, Some(60)] {
        let mut more = vec!["--refresh-every", "5", "--output", "json"];
        if ttl.is_some() {
            more.extend(["--ttl", "60"]);
        }
        let told = held(&server, &more).await.stop("TERM").await;
        assert_eq!(told.json(), registered(ttl, false));
    }
    register(&server, "a", &[]).run().await.good();
    let unregister = async |more: &[&str]| {
        service(&server)
            .args(["unregister", "--service-type", "web", "--service-name", "a"])
            .args(["--output", "json"])
            .args(more.iter().copied())
            .run()
            .await
            .json()
    };
    let unregistered = |unregistered: bool, dry_run: bool| serde_json::json!({"service": "web/a", "unregistered": unregistered, "dry_run": dry_run});
    assert_eq!(unregister(&["--dry-run"]).await, unregistered(true, true));
    assert_eq!(unregister(&[]).await, unregistered(true, false));
    assert_eq!(unregister(&[]).await, unregistered(false, false));
}

async fn a_time_to_live_is_a_lease_of_its_own(server: Server) {
    register(&server, "a", &["--ttl", "1"]).run().await.good();
    eventually(
        SOON,
        "the service to go with its lease",
        async || match server.get(KEY).await {
            None => Ok(()),
            Some(entry) => Err(format!("{entry:?}")),
        },
    )
    .await;
    register(&server, "a", &["--ttl", "9000"])
        .run()
        .await
        .good();
    let first = server.get(KEY).await.unwrap().lease;
    register(&server, "a", &["--ttl", "9000"])
        .run()
        .await
        .good();
    let second = server.get(KEY).await.unwrap().lease;
    assert!(first != 0 && second != 0 && first != second);
}

async fn a_dry_run_says_what_would_be_done_and_does_nothing(server: Server) {
    let ran = register(
        &server,
        "a",
        &["--dry-run", "--ttl", "60", "--refresh-every", "5"],
    )
    .run();
    assert_data_eq!(
        ran.await.bad(0),
        str![
            "dry run: service a (web) would be registered: key /prod/service/web/a, with a TTL of 60 s; now there is none"
        ]
    );
    assert_eq!(server.get(KEY).await, None);
    assert_eq!(server.leases().await, Vec::<i64>::new());
    register(&server, "a", &[]).run().await.good();
    let unregister = service(&server)
        .args([
            "unregister",
            "--service-type",
            "web",
            "--service-name",
            "a",
            "--dry-run",
        ])
        // A dry run has nothing else to give.
        .variable("EMPUSA_LOGLEVEL", "ERROR");
    assert_data_eq!(
        unregister.run().await.bad(0),
        str![
            "dry run: service a (web) would be unregistered: key /prod/service/web/a; now it is at http://a:80"
        ]
    );
    assert!(server.get(KEY).await.is_some());
}

/// Keys that only begin alike, or are below.
const NEIGHBOURS: [&str; 5] = [
    "/prod/service/web/a/inner",
    "/prod/service/web/a-2",
    "/prod/service/web/a0",
    "/prod/service/web",
    "prod/service/web/a",
];

async fn nothing_beside_the_key_is_touched(server: Server) {
    for key in NEIGHBOURS {
        server.etcdctl(&["put", key, "of another"]).await;
    }
    let before = server.get_prefix("").await;
    register(&server, "a", &["--ttl", "60"]).run().await.good();
    let running = register(&server, "a", &["--ttl", "60", "--refresh-every", "1"]).start();
    running.notes("registered; lease").await;
    running.stop("TERM").await.good();
    register(&server, "a", &[]).run().await.good();
    service(&server)
        .args(["unregister", "--service-type", "web", "--service-name", "a"])
        .run()
        .await
        .good();
    assert_eq!(server.get_prefix("").await, before);
}

/// A registration that is held, once it is there.
async fn held(server: &Store, more: &[&str]) -> Running {
    let running = register(server, "a", more).start();
    running.notes("service a (web) registered; ").await;
    running
}

async fn a_refreshed_service_lasts_until_it_is_told_to_stop(server: Server) {
    // Left over, as by a process that crashed.
    register(&server, "a", &["--ttl", "9000"])
        .run()
        .await
        .good();
    let old = server.get(KEY).await.unwrap();
    let running = held(&server, &["--ttl", "10", "--refresh-every", "1"]).await;
    let entry = server.get(KEY).await.unwrap();
    assert_ne!(entry.lease, old.lease);
    // Longer than its time to live. That nothing happens in that time takes that time.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(server.get(KEY).await.unwrap(), entry);
    let ran = running.stop("TERM").await;
    assert!(
        ran.stderr.ends_with("service a (web) unregistered\n"),
        "{}",
        ran.stderr
    );
    ran.good();
    assert_eq!(server.get(KEY).await, None);
}

async fn a_refreshed_service_comes_back_after_its_lease_was_lost_or_its_key_removed(
    server: Server,
) {
    let running = held(&server, &["--ttl", "60", "--refresh-every", "1"]).await;
    let lease = server.get(KEY).await.unwrap().lease;
    server
        .etcdctl(&["lease", "revoke", &format!("{lease:x}")])
        .await;
    running.notes("registered again, under the new lease").await;
    let entry = server.get(KEY).await.unwrap();
    assert_ne!(entry.lease, lease);
    server.etcdctl(&["del", KEY]).await;
    running
        .notes("registered again: it had been removed or changed")
        .await;
    let again = server.get(KEY).await.unwrap();
    assert_eq!(
        (again.value.as_slice(), again.lease),
        (&b"http://a:80"[..], entry.lease)
    );
    running.stop("INT").await.good();
}

async fn a_refreshed_service_without_a_ttl_is_put_again_and_stays(server: Server) {
    let running = held(&server, &["--refresh-every", "1"]).await;
    let entry = server.get(KEY).await.unwrap();
    assert_eq!(entry.lease, 0);
    server.etcdctl(&["put", KEY, "elsewhere"]).await;
    running
        .notes("registered again: it had been removed or changed")
        .await;
    assert_eq!(server.get(KEY).await.unwrap().value, entry.value);
    let ran = running.stop("TERM").await;
    assert!(
        ran.stderr.contains("stays registered, since it has no TTL"),
        "{}",
        ran.stderr
    );
    ran.good();
    assert!(server.get(KEY).await.is_some());
}

async fn of_two_who_refresh_one_service_the_later_one_holds_it(server: Server) {
    let more = ["--ttl", "60", "--refresh-every", "1"];
    let first = held(&server, &more).await;
    let second = held(&server, &more).await;
    let entry = server.get(KEY).await.unwrap();
    first.notes("another registration took its place").await;
    assert_eq!(server.get(KEY).await.unwrap(), entry);
    second.stop("TERM").await.good();
    first.notes("registered again").await;
    assert!(server.get(KEY).await.is_some());
    first.stop("TERM").await.good();
    assert_eq!(server.get(KEY).await, None);
}

async fn the_first_endpoint_may_be_dead(server: Server) {
    let dead = ReservedPort::any();
    let endpoints = format!("127.0.0.1:{},{}", dead.number, server.endpoint());
    let tool = || patient(Tool::alone().args(["--etcd-endpoint", &endpoints]));
    let name = ["--service-type", "web", "--service-name", "a"];
    let register = || {
        tool()
            .args(["register", "--service-location", "l", "--ttl", "60"])
            .args(name)
    };
    register().run().await.good();
    let list = tool().args(["list", "--service-type", "web", "--format", "json"]);
    let listed = list.run().await.json();
    assert_eq!(listed[0]["service"], "web/a");
    let running = register().args(["--refresh-every", "1"]).start();
    running.notes("registered; lease").await;
    running.stop("TERM").await.good();
    tool().args(["unregister"]).args(name).run().await.good();
    assert_eq!(server.get(KEY).await, None);
}

#[tokio::test]
async fn a_refreshed_service_survives_a_restart_of_etcd() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let running = held(&etcd, &["--ttl", "60", "--refresh-every", "1"]).await;
    let entry = etcd.get(KEY).await.unwrap();
    etcd.kill9();
    running.notes("connection to etcd lost").await;
    etcd.restart().await;
    running.notes("connection to etcd is back").await;
    assert_eq!(etcd.get(KEY).await.unwrap(), entry);
    // Nothing is left of it.
    etcd.wipe();
    running.notes("connection to etcd lost").await;
    etcd.restart().await;
    running.notes("registered again, under the new lease").await;
    assert_eq!(etcd.get(KEY).await.unwrap().value, entry.value);
    running.stop("TERM").await.good();
    assert_eq!(etcd.get(KEY).await, None);
}

#[tokio::test]
async fn a_service_without_a_ttl_survives_a_restart_of_etcd() {
    let mut etcd = Etcd::start(EtcdVersion::V3_4).await;
    let running = held(&etcd, &["--refresh-every", "1", "--command-timeout", "2s"]).await;
    etcd.wipe();
    running.notes("trying again").await;
    etcd.restart().await;
    running
        .notes("registered again: it had been removed or changed")
        .await;
    running.stop("INT").await.good();
    assert!(etcd.get(KEY).await.is_some());
}

#[tokio::test]
async fn an_unreachable_etcd_is_named() {
    let dead = ReservedPort::any();
    let endpoint = format!("127.0.0.1:{}", dead.number);
    let tool = || patient(Tool::alone().args(["--endpoints", &endpoint]));
    assert_data_eq!(
        tool()
            .args(["list"])
            .run()
            .await
            .bad(3)
            .replace(&endpoint, "ADDRESS"),
        str![
            "rsctl: etcd at ADDRESS cannot be reached (tried for [..]): [..]; check the address, that etcd runs there and that it has a leader"
        ]
    );
    for more in [
        &[][..],
        &["--refresh-every", "1"],
        &["--ttl", "5", "--refresh-every", "1"],
    ] {
        let ran = tool()
            .args([
                "register",
                "--service-type",
                "t",
                "--service-name",
                "n",
                "--service-location",
                "l",
            ])
            .args(more)
            .variable("EMPUSA_LOGLEVEL", "ERROR")
            .run()
            .await;
        let line = ran.bad(3);
        assert!(line.contains(&endpoint), "{line}");
    }
}

#[tokio::test]
async fn a_denied_user_is_told_what_to_grant() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    etcd.etcdctl(&["user", "add", "root:secret"]).await;
    etcd.etcdctl(&["user", "grant-role", "root", "root"]).await;
    etcd.etcdctl(&["user", "add", "ada:secret"]).await;
    etcd.etcdctl(&["auth", "enable"]).await;
    etcd.etcdctl_as("root:secret");
    let ada = || {
        service(&etcd)
            .args(["--user", "ada:secret"])
            .variable("EMPUSA_LOGLEVEL", "ERROR")
    };
    let line = ada().args(["list"]).run().await.bad(4);
    assert!(
        line.contains("role grant-permission ROLE read '/prod/service/' '/prod/service0'"),
        "{line}"
    );
    let register = [
        "register",
        "--service-type",
        "web",
        "--service-name",
        "a",
        "--service-location",
        "l",
    ];
    let line = ada().args(register).run().await.bad(4);
    assert!(line.contains(KEY), "{line}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_anything_is_done() {
    let bad = async |args: &[&str]| {
        let tool = Tool::alone()
            .args(["--endpoints", "127.0.0.1:1"])
            .args(args);
        tool.run().await.bad(2)
    };
    assert_data_eq!(
        bad(&["service", "list"]).await,
        str![
            "rsctl: the key below which services and switches are is missing: give --tree-root, EMPUSA_TREE_ROOT, or tree-root in the file of settings; / for the root of all keys"
        ]
    );
    assert_data_eq!(
        bad(&["--tree-root", "a/../b", "service", "list"]).await,
        str!["rsctl: tree root 'a/../b' holds `..`, which would lead out of the registry"]
    );
    assert_data_eq!(
        bad(&[
            "--tree-root",
            "a",
            "service",
            "unregister",
            "--service-type",
            "t/..",
            "--service-name",
            "n",
        ])
        .await,
        str!["rsctl: service type 't/..' holds `..`, which would lead out of the registry"]
    );
    let long = [
        "--tree-root",
        "a",
        "service",
        "register",
        "--ttl",
        "9000000001",
    ];
    let ran = Tool::alone().args(long).run().await;
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr
            .contains("it is more than etcd takes, 9000000000 seconds"),
        "{}",
        ran.stderr
    );
}
