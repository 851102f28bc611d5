//! Users who may write one key and not the ones below it, which is easily granted by mistake; and
//! those who may write for a while.

use std::path::PathBuf;

use osgi_remote::endpoint::edef;
use osgi_remote::names::TopKey;
use osgi_remote::props;
use tempfile::TempDir;

use crate::endpoint::{ALICE, greeter};
use crate::support::{Etcd, EtcdVersion};
use crate::tool::{REGISTER_A, Ran, Running, Tool};

/// Who is asked about only after minutes is not told by a limit of time.
const PATIENT: [&str; 2] = ["--connect-timeout", "10m"];

/// A server with a user who may do this and nothing else.
async fn with_ada(version: EtcdVersion, permissions: &[&[&str]]) -> Etcd {
    let mut etcd = Etcd::start(version).await;
    for args in [
        ["user", "add", "root:pw"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "some"],
        &["user", "add", "ada:lovelace"],
        &["user", "grant-role", "ada", "some"],
    ] {
        etcd.etcdctl(args).await;
    }
    for permission in permissions {
        grant(&etcd, permission).await;
    }
    etcd.etcdctl(&["auth", "enable"]).await;
    etcd.etcdctl_as("root:pw");
    etcd
}

/// What was granted for the same range before is replaced.
async fn grant(etcd: &Etcd, permission: &[&str]) {
    let args = [["role", "grant-permission", "some"].as_slice(), permission].concat();
    etcd.etcdctl(&args).await;
}

fn ada(etcd: &Etcd, args: &[&str]) -> Tool {
    Tool::new(etcd)
        .args(["--user", "ada:lovelace"])
        .args(args.iter().copied())
}

fn top(rest: &str) -> String {
    format!("{}/{rest}", TopKey::DEFAULT)
}

/// What ada is told at last, of a command that ends with the code of a denial and leaves nothing.
async fn denied(etcd: &Etcd, ran: Ran) -> String {
    let line = ran.bad_at_last(4);
    assert!(line.contains("denies user `ada` to readwrite"), "{line}");
    assert_eq!(etcd.leases().await, [0_i64; 0], "{line}");
    line
}

const REGISTER: [&str; 9] = [
    "node", "register", "g", "--id", "a", "--type", "t", "--port", "1",
];

#[tokio::test]
async fn a_node_that_may_not_be_written_is_told_at_once() {
    for version in EtcdVersion::ALL {
        let read = ["read", "--prefix", "/services"];
        let etcd = with_ada(version, &[&read, &["readwrite", "/services/g"]]).await;
        let line = denied(&etcd, ada(&etcd, &REGISTER).run().await).await;
        assert!(line.contains("/services/g/nodes/a_t"), "{line}");
        // The group is there, as it was granted.
        assert_eq!(etcd.get_prefix("").await.len(), 1);
        let group = ada(
            &etcd,
            &["node", "register", "h", "--id", "a", "--type", "t"],
        );
        denied(&etcd, group.args(["--port", "1"]).run().await).await;
    }
}

#[tokio::test]
async fn a_node_that_may_no_longer_be_written_is_told_so_and_tried_again() {
    let write = ["readwrite", "--prefix", "/services"];
    let etcd = with_ada(EtcdVersion::V3_5, &[&write]).await;
    let more = ["--refresh-every", "500ms", "--ttl", "10m"];
    let node = ada(&etcd, &REGISTER).args(more).start();
    node.says("registered  ").await;
    grant(&etcd, &["read", "--prefix", "/services"]).await;
    let told = node.notes("denied: ").await;
    assert!(told.contains("denies user `ada` to readwrite"), "{told}");
    assert!(told.ends_with("; trying again"), "{told}");
    grant(&etcd, &write).await;
    node.notes("; the lease was kept").await;
    node.stop("TERM").await.good();
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.xml");
    let endpoint = greeter("e", props! {});
    std::fs::write(&path, edef::to_string([&endpoint]).unwrap()).unwrap();
    (folder, path)
}

/// Ada may read all and write the key of a session, but not those of its endpoints.
async fn with_session_key(version: EtcdVersion) -> Etcd {
    let (all, session) = (top(""), top(ALICE));
    let read = ["read", "--prefix", all.as_str()];
    with_ada(version, &[&read, &["readwrite", &session]]).await
}

#[tokio::test]
async fn an_endpoint_that_may_not_be_written_is_told_at_once() {
    for version in EtcdVersion::ALL {
        let etcd = with_session_key(version).await;
        let (_folder, path) = file();
        let advertise = || ada(&etcd, &["endpoint", "advertise"]).args([&path]);
        let ran = advertise().args(["--session", ALICE]).run().await;
        denied(&etcd, ran).await;
        // Of another session not even its key.
        let line = denied(&etcd, advertise().run().await).await;
        assert!(!line.contains(ALICE), "{line}");
        assert_eq!(etcd.get_prefix("").await.len(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_may_no_longer_be_written_is_told_so_and_tried_again() {
    let (all, session) = (top(""), top(ALICE));
    let write = ["readwrite", "--prefix", all.as_str()];
    let etcd = with_ada(EtcdVersion::V3_4, &[&write]).await;
    let (_folder, path) = file();
    let advertise = ada(&etcd, &["endpoint", "advertise", "--session", ALICE]);
    let advertising = advertise.args([&path]).args(["--ttl", "10s"]).start();
    advertising.notes("takes all back").await;
    grant(&etcd, &["read", "--prefix", &all]).await;
    // What is taken away it writes again.
    let endpoint = format!("{session}/e");
    etcd.etcdctl(&["del", &endpoint]).await;
    let told = advertising.notes("denied: ").await;
    assert!(told.contains("denies user `ada` to readwrite"), "{told}");
    assert!(told.contains("; trying goes on"), "{told}");
    grant(&etcd, &write).await;
    advertising.notes("no longer denied by etcd at ").await;
    advertising.stop("TERM").await.good();
    assert_eq!(etcd.get_prefix("").await.len(), 0);
}

fn export(etcd: &Etcd, session: &str) -> Tool {
    let session = format!("etcd.session_id={session}");
    ada(etcd, &["export", "--interface", "a.A", "--echo", "--set"])
        .args([session.as_str()])
        .args(PATIENT)
}

#[tokio::test]
async fn an_export_that_may_not_be_written_is_told_at_once() {
    let etcd = with_session_key(EtcdVersion::V3_4).await;
    let line = denied(&etcd, export(&etcd, ALICE).run().await).await;
    assert!(
        line.starts_with("rsctl: the service is not announced: etcd at "),
        "{line}"
    );
    let another = "b0b00000-0000-4000-8000-000000000003";
    denied(&etcd, export(&etcd, another).run().await).await;
    assert_eq!(etcd.get_prefix("").await.len(), 0);
}

#[tokio::test]
async fn an_export_that_may_no_longer_be_written_is_told_so_and_tried_again() {
    let all = top("");
    let write = ["readwrite", "--prefix", all.as_str()];
    let etcd = with_ada(EtcdVersion::V3_5, &[&write]).await;
    let export = export(&etcd, ALICE).args(["--set", "etcd.lease_ttl=10"]);
    let export = export.start();
    export.says("exported a.A as endpoint ").await;
    grant(&etcd, &["read", "--prefix", &all]).await;
    // What is taken away it writes again.
    let endpoints = format!("{}/", top(ALICE));
    etcd.etcdctl(&["del", "--prefix", &endpoints]).await;
    is_told(&export, "denied, trying goes on: ").await;
    grant(&etcd, &write).await;
    export.notes(" denies it no more").await;
    assert_eq!(etcd.get_prefix(&endpoints).await.len(), 1);
    let ran = export.stop("TERM").await;
    let told = ran.stderr.matches("trying goes on").count();
    assert_eq!(
        told, 1,
        "each once, however often it was tried: {}",
        ran.stderr
    );
    ran.good();
}

#[tokio::test]
async fn a_framework_that_may_not_read_is_told_at_once() {
    let etcd = with_ada(EtcdVersion::V3_5, &[]).await;
    for command in [
        &["import", "a.A"][..],
        &["shell", "-c", "sl"],
        &["export", "--interface", "a.A", "--echo"],
    ] {
        let ran = ada(&etcd, command).args(PATIENT).run().await;
        let line = ran.bad_at_last(4);
        assert!(
            line.contains("denies user `ada` to "),
            "{command:?}: {line}"
        );
    }
    let wrong = Tool::new(&etcd).args(["--user", "ada:wrong", "shell", "-c", "sl"]);
    let line = wrong.args(PATIENT).run().await.bad_at_last(4);
    assert!(line.contains("does not let user `ada` in"), "{line}");
}

#[tokio::test]
async fn an_export_of_the_shell_that_may_not_be_written_is_told_as_denied() {
    let etcd = with_session_key(EtcdVersion::V3_5).await;
    let session = format!("etcd.session_id={ALICE}");
    let register = "register a.A service.exported.interfaces=* --echo";
    let shell =
        |commands: &str| ada(&etcd, &["shell", "--set", &session, "-c", commands]).args(PATIENT);
    let line = denied(&etcd, shell(register).run().await).await;
    assert!(line.contains(" is not announced: etcd at "), "{line}");
    assert!(line.ends_with("; trying goes on"), "{line}");
    assert_eq!(etcd.get_prefix("").await.len(), 0);
}

#[tokio::test]
async fn a_service_that_may_not_be_written_is_told_at_once() {
    let read = ["read", "--prefix", "/prod"];
    let etcd = with_ada(EtcdVersion::V3_4, &[&read]).await;
    let lease = ["--ttl", "60", "--refresh-every", "20"];
    let options = ["--tree-root", "/prod", "--command-timeout", "10m"];
    let ran = ada(&etcd, &options)
        .args(REGISTER_A)
        .args(lease)
        .run()
        .await;
    denied(&etcd, ran).await;
}

async fn is_told(running: &Running, what: &str) {
    let told = running.notes(what).await;
    assert!(told.contains("denies user `ada` to readwrite"), "{told}");
}

#[tokio::test]
async fn a_service_that_may_no_longer_be_written_is_told_so_and_tried_again() {
    let write = ["readwrite", "--prefix", "/prod"];
    let etcd = with_ada(EtcdVersion::V3_5, &[&write]).await;
    let lease = ["--ttl", "600", "--refresh-every", "1"];
    let tool = ada(&etcd, &["--tree-root", "/prod"]);
    let running = tool.args(REGISTER_A).args(lease).start();
    running.notes("until SIGINT or SIGTERM").await;
    grant(&etcd, &["read", "--prefix", "/prod"]).await;
    etcd.etcdctl(&["del", "/prod/service/web/a"]).await;
    is_told(&running, "denied: ").await;
    grant(&etcd, &write).await;
    running.notes("registered again: ").await;
    running.stop("TERM").await.good();
}
