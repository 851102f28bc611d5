//! `rsctl doctor`: each thing that may be wrong, and that it leaves nothing behind.

mod tls;

use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::support::process::ReservedPort;
use crate::support::{Etcd, EtcdVersion, Server, Store, on_each_server};
use crate::tool::{Ran, Tool};

on_each_server!(
    nothing_is_written_without_being_asked_for,
    what_is_written_is_announced_and_taken_away_again,
    rubbish_below_the_top_key_is_told_key_by_key,
    what_ends_ipopos_watcher_is_an_error_though_the_value_reads_here,
);

const TOP: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";
const SESSION: &str = "4469111c-91c2-4dba-b64f-750d14243fda";

/// What the doctor found.
struct Diagnosis {
    code: i32,
    result: String,
    findings: Vec<Value>,
    stderr: String,
}

impl Diagnosis {
    fn of(ran: Ran) -> Self {
        let code = ran.code();
        let value: Value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?} ({})", ran.stdout, ran.stderr));
        Self {
            code,
            result: value["result"].as_str().unwrap().to_owned(),
            findings: value["findings"].as_array().unwrap().clone(),
            stderr: ran.stderr,
        }
    }

    /// The one finding of this check that holds this, as its result and its cure.
    #[track_caller]
    fn found(&self, check: &str, part: &str) -> (&str, &str) {
        let mut fitting = self.findings.iter().filter(|finding| {
            finding["check"] == check && finding["finding"].as_str().unwrap().contains(part)
        });
        let finding = fitting.next();
        let finding =
            finding.unwrap_or_else(|| panic!("no {check} '{part}': {:#?}", self.findings));
        assert!(
            fitting.next().is_none(),
            "{check} '{part}' twice: {:#?}",
            self.findings
        );
        let cure = finding["cure"].as_str().unwrap_or_default();
        (finding["result"].as_str().unwrap(), cure)
    }

    fn has(&self, check: &str) -> bool {
        self.findings
            .iter()
            .any(|finding| finding["check"] == check)
    }
}

async fn doctor(endpoints: &str, args: &[&str]) -> Diagnosis {
    let tool = Tool::alone().args(["--endpoints", endpoints, "-o", "json", "doctor"]);
    Diagnosis::of(tool.args(args.iter().copied()).run().await)
}

/// The store's revision, and that there is neither a key nor a lease.
async fn untouched(store: &Store) -> i64 {
    assert_eq!(store.get_prefix("").await, []);
    assert_eq!(store.leases().await, [0; 0]);
    let text = store.etcdctl(&["get", "x", "--write-out", "json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["header"]["revision"].as_i64().unwrap()
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn a_sound_server_is_told_check_by_check() {
    let server = Server::embedded().await;
    let out = Tool::new(&server).args(["doctor"]).run().await.good();
    assert_data_eq!(
        out,
        str![[r#"
RESULT[..]CHECK[..]ENDPOINT[..]FINDING[..]CURE
ok[..]tls[..]127.0.0.1:[..]  plain text, which does not leave this machine[..]-
ok[..]leader[..]127.0.0.1:[..]  it is the leader[..]-
ok[..]size[..]127.0.0.1:[..]  [..] MiB, [..] MiB of it in use; the quota is 2048 MiB[..]-
ok[..]clock[..]127.0.0.1:[..]  the server's clock agrees with ours[..]-
ok[..]version[..]127.0.0.1:[..]  3.5.0+embedded: the registry of rsctl serve, in memory and without users[..]-
ok[..]members[..]-[..]-
ok[..]user[..]-[..]etcd asks for no user: who reaches it may read and write everything[..]-
ok[..]read[..]-[..]allowed below org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/[..]-
ok[..]rubbish[..]-[..]none: 0 endpoints in 0 sessions[..]-
ok[..]write[..]-[..]allowed below org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/[..] (nothing was written)[..]-
unknown[..]limit[..]-[..]whether requests of 1500000 bytes pass was not tried[..]rsctl doctor --write tries it, and a put under a lease
[..]address[..]services that listen on all addresses are called at [..]

"#]]
    );
}

#[tokio::test]
async fn yaml_and_json_tell_the_same() {
    let server = Server::etcd_3_4().await;
    let json = Tool::new(&server)
        .args(["-o", "json", "doctor"])
        .run()
        .await;
    let yaml = Tool::new(&server)
        .args(["-o", "yaml", "doctor"])
        .run()
        .await
        .good();
    let count = json.json()["findings"].as_array().unwrap().len();
    assert!(yaml.starts_with("result: warning\nfindings:\n"), "{yaml}");
    assert_eq!(yaml.matches("check: ").count(), count);
}

async fn nothing_is_written_without_being_asked_for(server: Server) {
    let before = untouched(&server).await;
    let diagnosis = doctor(&server.endpoint(), &[]).await;
    assert_eq!(diagnosis.found("write", "nothing was written").0, "ok");
    assert_eq!(diagnosis.stderr, "");
    assert!(!diagnosis.has("put"));
    let (result, cure) = diagnosis.found("limit", "was not tried");
    assert_eq!(result, "unknown");
    assert!(cure.contains("doctor --write"), "{cure}");
    let diagnosis = doctor(&server.endpoint(), &["--write", "--dry-run"]).await;
    assert!(
        diagnosis
            .stderr
            .starts_with("would be written: puts the key")
    );
    assert!(!diagnosis.has("put"));
    let (result, cure) = diagnosis.found("limit", "was not tried");
    assert_eq!(result, "unknown");
    assert!(cure.contains("doctor --write"), "{cure}");
    assert_eq!(untouched(&server).await, before);
}

async fn what_is_written_is_announced_and_taken_away_again(server: Server) {
    let before = untouched(&server).await;
    let diagnosis = doctor(&server.endpoint(), &["--write", "--session", SESSION]).await;
    let key = format!("writes: puts the key {TOP}/{SESSION} under a lease of 10 s");
    assert!(diagnosis.stderr.starts_with(&key), "{}", diagnosis.stderr);
    assert_eq!(diagnosis.found("put", "went with the lease").0, "ok");
    assert_eq!(diagnosis.found("limit", "1500000 bytes pass").0, "ok");
    assert!(untouched(&server).await > before);

    // A session that is in use is left as it is.
    let key = format!("{TOP}/{SESSION}");
    server.etcdctl(&["put", &key, "its own"]).await;
    let diagnosis = doctor(&server.endpoint(), &["--write", "--session", SESSION]).await;
    assert_eq!(diagnosis.found("put", "in use").0, "error");
    assert_eq!(diagnosis.code, 1);
    assert_eq!(server.get(&key).await.unwrap().value_text(), "its own");
}

async fn rubbish_below_the_top_key_is_told_key_by_key(server: Server) {
    let session = format!("top/{SESSION}");
    for (key, value) in [
        (format!("{session}/e"), "no endpoint"),
        ("top/x".to_owned(), "1"),
        ("top2/x".to_owned(), "1"),
    ] {
        server.etcdctl(&["put", &key, value]).await;
    }
    let diagnosis = doctor(&server.endpoint(), &["--top-key", "top"]).await;
    let (result, cure) = diagnosis.found("rubbish", "top/x: every peer will ignore this key");
    assert_eq!(result, "warning");
    assert!(cure.contains("etcdctl del"), "{cure}");
    let json = format!("{session}/e: iPOPO will stop watching: the value is not JSON");
    assert_eq!(diagnosis.found("rubbish", &json).0, "error");
    assert_eq!(diagnosis.code, 1);
    let orphan = diagnosis.found("rubbish", "has no key of its own");
    assert_eq!(orphan.0, "warning");
    assert_eq!(diagnosis.found("rubbish", "such as top2/x").0, "warning");
    let immortal = format!("{session}/e: every peer will see this when its owner is gone");
    assert_eq!(diagnosis.found("rubbish", &immortal).0, "warning");
}

async fn what_ends_ipopos_watcher_is_an_error_though_the_value_reads_here(server: Server) {
    let good = include_str!("../fixtures/ipopo_hello_endpoint.json");
    let value = good.replace("ecf.rsvc.id", "rsvc.id");
    let id = "c7e30cee-d92d-4a6b-a81c-9a49871053e5";
    let (session, beside) = (format!("top/{SESSION}"), format!("top-2/{SESSION}/e"));
    let endpoint = format!("{session}/{id}");
    server.etcdctl(&["put", &session, SESSION]).await;
    server.etcdctl(&["put", &endpoint, good]).await;
    let diagnosis = doctor(&server.endpoint(), &["--top-key", "top"]).await;
    let findings = diagnosis.findings.iter();
    let mut rubbish = findings.filter(|finding| finding["check"] == "rubbish");
    assert!(
        rubbish.all(|finding| finding["result"] == "warning"),
        "{:#?}",
        diagnosis.findings
    );
    server.etcdctl(&["put", &endpoint, &value]).await;
    server.etcdctl(&["put", &beside, "{}"]).await;
    let diagnosis = doctor(&server.endpoint(), &["--top-key", "top"]).await;
    let missing = format!("{endpoint}: iPOPO will stop watching: ecf.rsvc.id is missing");
    let (result, cure) = diagnosis.found("rubbish", &missing);
    assert_eq!(result, "error");
    assert!(cure.contains("restart the peers"), "{cure}");
    let empty = format!("{beside}: iPOPO will stop watching: there are no properties");
    assert_eq!(diagnosis.found("rubbish", &empty).0, "error");
    assert_eq!(diagnosis.code, 1);
}

#[tokio::test]
async fn bytes_that_end_ipopos_watcher_are_an_error() {
    let server = Server::etcd_3_4().await;
    let client = etcd_client::Client::connect([server.endpoint()], None).await;
    client
        .unwrap()
        .put(b"top/\xff".to_vec(), "1", None)
        .await
        .unwrap();
    let diagnosis = doctor(&server.endpoint(), &["--top-key", "top"]).await;
    assert_eq!(
        diagnosis
            .found("rubbish", "iPOPO will stop watching: the key is not UTF-8")
            .0,
        "error"
    );
    assert_eq!((diagnosis.code, diagnosis.result.as_str()), (1, "error"));
}

#[tokio::test]
async fn known_bugs_are_told_by_the_version() {
    let server = Server::etcd_3_4().await;
    let diagnosis = doctor(&server.endpoint(), &[]).await;
    let (result, cure) = diagnosis.found("version", "miss events after a compaction");
    assert_eq!((result, cure), ("warning", "upgrade to 3.4.31 or newer"));
    assert_eq!(diagnosis.found("clock", "agrees with ours").0, "ok");
    assert_eq!((diagnosis.code, diagnosis.result.as_str()), (0, "warning"));

    // The tests' 3.5 has a bug that loses data.
    let newer = Server::etcd_3_5().await;
    let diagnosis = doctor(&newer.endpoint(), &[]).await;
    let (result, cure) = diagnosis.found("version", "different data after a crash");
    assert_eq!((result, cure), ("error", "upgrade to 3.5.3 or newer"));
    assert_eq!(diagnosis.code, 1);

    // Together they are a list that names two clusters.
    let both = format!("{},{}", server.endpoint(), newer.endpoint());
    let diagnosis = doctor(&both, &[]).await;
    let (result, cure) = diagnosis.found("cluster", "servers of 2 clusters");
    assert_eq!(
        (result, cure),
        ("error", "name servers of one cluster only")
    );
    assert_eq!(diagnosis.found("version", "several versions").0, "warning");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_by_the_step_that_fails() {
    let dead = ReservedPort::any();
    let dead = format!("127.0.0.1:{}", dead.number);
    let diagnosis = doctor(&dead, &[]).await;
    let (result, cure) = diagnosis.found("tcp", "Connection refused");
    assert_eq!(result, "error");
    assert!(cure.contains("check that etcd runs there"), "{cure}");
    assert_eq!(diagnosis.code, 3);
    assert!(!diagnosis.has("read"));

    let diagnosis = doctor("no-such-host.invalid:2379", &[]).await;
    assert_eq!(diagnosis.found("name", "no-such-host.invalid").0, "error");
    assert_eq!(diagnosis.code, 3);

    // With another one that answers, the list is wrong and the rest is looked at.
    let server = Server::etcd_3_4().await;
    let diagnosis = doctor(&format!("{dead},{}", server.endpoint()), &[]).await;
    assert_eq!(diagnosis.found("tcp", "Connection refused").0, "error");
    assert_eq!(diagnosis.found("read", "allowed").0, "ok");
    assert_eq!(diagnosis.code, 1);
}

#[tokio::test]
async fn a_server_that_is_stopped_accepts_and_does_not_answer() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    etcd.pause();
    let diagnosis = doctor(&etcd.endpoint(), &["--command-timeout", "2s"]).await;
    etcd.resume();
    let (result, cure) = diagnosis.found("etcd", "no answer within 2s");
    assert_eq!(result, "error");
    assert!(cure.contains("that etcd runs there"), "{cure}");
    assert_eq!(diagnosis.code, 3);
}

#[tokio::test]
async fn a_full_database_is_an_alarm_and_stops_writes() {
    let full = ["--quota-backend-bytes", "20000"];
    let etcd = Etcd::start_with(EtcdVersion::V3_4, &full).await;
    let refused = etcd.try_etcdctl(&["put", "k", "v"]).await.unwrap_err();
    assert!(refused.contains("space exceeded"), "{refused}");
    let diagnosis = doctor(&etcd.endpoint(), &[]).await;
    let (result, cure) = diagnosis.found("alarm", "NOSPACE");
    assert_eq!(result, "error");
    assert!(cure.contains("etcdctl alarm disarm"), "{cure}");
    assert_eq!(diagnosis.found("write", "space exceeded").0, "error");
    assert_eq!(diagnosis.found("read", "allowed").0, "ok");
    assert_eq!(diagnosis.code, 1);
}

#[tokio::test]
async fn a_limit_of_requests_below_that_of_sessions_is_found() {
    let small = ["--max-request-bytes", "500000"];
    let etcd = Etcd::start_with(EtcdVersion::V3_4, &small).await;
    let diagnosis = doctor(&etcd.endpoint(), &["--write"]).await;
    let (result, cure) = diagnosis.found("limit", "bytes are refused");
    assert_eq!(result, "warning");
    assert!(cure.contains("--max-request-bytes"), "{cure}");
    let limit = diagnosis.findings.iter().find(|f| f["check"] == "limit");
    let text = limit.unwrap()["finding"].as_str().unwrap();
    let bytes: Vec<usize> = text
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!((480_000..500_000).contains(&bytes[0]), "{text}");
}

#[tokio::test]
async fn who_is_not_let_in_or_may_not_read_is_told_what_to_grant() {
    let mut etcd = Etcd::start(EtcdVersion::V3_4).await;
    for args in [
        ["user", "add", "root:pw"].as_slice(),
        &["user", "grant-role", "root", "root"],
        &["role", "add", "listener"],
        &[
            "role",
            "grant-permission",
            "listener",
            "read",
            "top/",
            "top0",
        ],
        &["user", "add", "ada:word"],
        &["user", "grant-role", "ada", "listener"],
        &["user", "add", "bob:word"],
        &["auth", "enable"],
    ] {
        etcd.etcdctl(args).await;
    }
    etcd.etcdctl_as("root:pw");
    let endpoint = etcd.endpoint();
    let as_user = async |user: &str, more: &[&str]| {
        let args = [["--top-key", "top", "--user", user].as_slice(), more].concat();
        doctor(&endpoint, &args).await
    };

    let nobody = doctor(&endpoint, &[]).await;
    assert_eq!(
        nobody.found("read", "a client that gave no user").0,
        "error"
    );
    assert_eq!(nobody.code, 4);

    let wrong = as_user("ada:wrong", &[]).await;
    let (result, cure) = wrong.found("etcd", "does not let user `ada` in");
    assert_eq!(result, "error");
    assert!(cure.contains("check the name and the password"), "{cure}");
    assert_eq!(wrong.code, 4);

    let without = as_user("bob:word", &[]).await;
    let (result, cure) = without.found("read", "denies user `bob`");
    assert_eq!(result, "error");
    assert!(cure.ends_with("ROLE read 'top/' 'top0'"), "{cure}");
    assert_eq!(without.code, 4);

    // Who reads only may be meant to.
    let reader = as_user("ada:word", &[]).await;
    assert_eq!(reader.found("user", "ada is let in").0, "ok");
    let (result, cure) = reader.found("rubbish", "keys beside top/ that begin with top");
    assert_eq!(result, "unknown");
    assert!(cure.contains("as a user who may read them"), "{cure}");
    let (result, cure) = reader.found("write", "denies user `ada`");
    assert_eq!(result, "warning");
    assert!(cure.contains("say which: --session ID"), "{cure}");
    assert_eq!(reader.code, 0);
    // Not if it is to have this session.
    let of_session = as_user("ada:word", &["--session", SESSION]).await;
    let (result, cure) = of_session.found("write", "denies user `ada`");
    assert_eq!(result, "error");
    assert!(
        cure.ends_with(&format!("ROLE readwrite 'top/{SESSION}'")),
        "{cure}"
    );
    assert_eq!(of_session.code, 4);

    let key = format!("top/{SESSION}");
    let (below, end) = (format!("{key}/"), format!("{key}0"));
    for range in [[key.as_str()].as_slice(), &[&below, &end]] {
        let grant = ["role", "grant-permission", "listener", "readwrite"];
        etcd.etcdctl(&[grant.as_slice(), range].concat()).await;
    }
    let granted = as_user("ada:word", &["--session", SESSION, "--write"]).await;
    assert_eq!(granted.found("write", "allowed below").0, "ok");
    assert_eq!(granted.found("put", "went with the lease").0, "ok");
    assert_eq!(granted.code, 0);
}

#[tokio::test]
async fn a_command_line_that_cannot_be_used_is_told_before_anything_is_tried() {
    let run = async |args: &[&str]| {
        let tool = Tool::alone().args(["doctor"]);
        tool.args(args.iter().copied()).run().await
    };
    let ran = run(&["--session", "me"]).await;
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("--session"), "{}", ran.stderr);
    let ran = run(&["--dry-run"]).await;
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("--write"), "{}", ran.stderr);
    assert_data_eq!(
        run(&["--endpoints", "ftp://a"]).await.bad(2),
        str!["rsctl: `ftp://a` is no usable etcd address: the scheme is neither http nor https"]
    );
    assert_data_eq!(
        run(&["--cacert", "/nowhere.pem"]).await.bad(2),
        str!["rsctl: [..]/nowhere.pem[..]"]
    );
}
