//! The samples as a user runs them: processes of their own, on a real etcd.
#![cfg(feature = "xmlrpc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use support::process::{OwnedChild, ReservedPort, dying_with_us, signal};
use support::{Etcd, EtcdVersion, eventually};

/// Generous, since all tests share few cores.
const SOON: Duration = Duration::from_secs(30);
/// What a user takes for at once.
const SECONDS: Duration = Duration::from_secs(10);
/// More lines than any sample prints here.
const MOST_LINES: usize = 1000;

/// Where cargo puts examples: beside the folder of this test.
fn samples() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(|deps| deps.parent()).unwrap();
    folder.join("examples")
}

fn program(name: &str) -> PathBuf {
    let program = samples().join(name);
    assert!(
        program.exists(),
        "the sample {name} is not built: run `cargo build --examples`"
    );
    program
}

/// A running sample.
struct Sample {
    child: OwnedChild,
    lines: mpsc::Receiver<String>,
    errors: std::thread::JoinHandle<String>,
}

impl Sample {
    fn start(name: &str, etcd: &str, more: &[&str]) -> Self {
        Self::run(name, &[&["--etcd", etcd], more].concat())
    }

    fn run(name: &str, arguments: &[&str]) -> Self {
        let mut command = dying_with_us(program(name));
        command.args(arguments);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = OwnedChild::spawn(command).unwrap();
        let out = child.inner().stdout.take().unwrap();
        let mut err = child.inner().stderr.take().unwrap();
        let (sender, lines) = mpsc::sync_channel(MOST_LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            child,
            lines,
            errors,
        }
    }

    async fn line(&self, beginning: &str) -> String {
        let what = format!("a line with '{beginning}'");
        eventually(SOON, &what, async || self.lines.try_recv()).await
    }

    /// Waits for the next line, which must begin so; gives the rest.
    async fn says(&self, beginning: &str) -> String {
        Self::rest(&self.line(beginning).await, beginning)
    }

    /// The same of a watcher's endpoints. How discovery stands is told between, whenever that
    /// changes: as a rule the watcher is not up to date yet when it begins, but not always.
    async fn says_of_an_endpoint(&self, beginning: &str) -> String {
        loop {
            let line = self.line(beginning).await;
            if !line.starts_with("health ") {
                return Self::rest(&line, beginning);
            }
        }
    }

    fn rest(line: &str, beginning: &str) -> String {
        let rest = line.strip_prefix(beginning);
        rest.unwrap_or_else(|| panic!("'{line}' does not begin with '{beginning}'"))
            .trim()
            .to_owned()
    }

    /// How it ends, and what it wrote to stderr.
    async fn end(mut self, within: Duration) -> (ExitStatus, String) {
        let status = self.child.end("the sample to end", within).await;
        (status, self.errors.join().unwrap())
    }

    /// Ends it by a signal; it must end well, and soon.
    async fn stop(self, name: &str) {
        signal(self.child.pid(), name);
        self.says_of_an_endpoint("stopping").await;
        self.says_of_an_endpoint("stopped").await;
        let (status, errors) = self.end(SECONDS).await;
        assert_eq!(status.code(), Some(0), "{errors}");
    }
}

async fn all_keys(etcd: &Etcd) -> Vec<String> {
    let all = etcd.get_prefix("").await;
    all.iter().map(support::Kv::key_text).collect()
}

#[tokio::test]
async fn exporter_and_consumer_find_each_other_and_end_well_on_both_signals() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let exporter = Sample::start("hello_exporter", &etcd.endpoint(), &["--property", "a=b"]);
    let connected = exporter.says("connected session=").await;
    let exported = exporter.says("exported ").await;
    assert!(
        exported.starts_with("org.eclipse.ecf.examples.hello.IHello ["),
        "{exported}"
    );
    let (session, lease) = connected.split_once(" lease=").unwrap();
    let keys = all_keys(&etcd).await;
    assert!(keys[0].ends_with(session), "{keys:?}");
    let leases = etcd.leases().await;
    assert_eq!(format!("{:x}", leases[0]), lease);

    let consumer = Sample::start("hello_consumer", &etcd.endpoint(), &[]);
    consumer.says("connected ").await;
    assert_eq!(consumer.says("imported ").await, exported);
    for (kind, name, method) in [
        ("sync", "Sync", "sayHello"),
        ("async", "Async", "sayHelloAsync"),
        ("promise", "Promise", "sayHelloPromise"),
    ] {
        let answer = consumer.says(&format!("answer {kind}: ")).await;
        assert_eq!(
            answer,
            format!("Rust{name} says: Howdy Consumer{name} that's a nice runtime you got there")
        );
        let called = exporter.says(&format!("Rust.{method} called by: ")).await;
        assert_eq!(called, format!("Consumer{name} with message: 'Hello Impl'"));
    }

    exporter.stop("INT").await;
    assert_eq!(consumer.says("removed ").await, exported);
    consumer.stop("TERM").await;
    assert_eq!(all_keys(&etcd).await, [""; 0]);
}

/// Runs the demo to its end, with the samples that were built with this test.
#[cfg(feature = "embedded")]
async fn demo(arguments: &[&str]) -> String {
    for name in ["hello_exporter", "hello_consumer", "watcher"] {
        program(name);
    }
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo.sh");
    let mut command = dying_with_us("bash");
    command.arg(script).args(arguments);
    command.env("OSGI_REMOTE_SAMPLES", samples());
    let mut demo = Sample::spawn(command);
    // It has a limit for each of its steps, and says in which it failed.
    let status = demo.child.end("the demo to end", 10 * SOON).await;
    let said: Vec<String> = demo.lines.iter().collect();
    let said = said.join("\n");
    let errors = demo.errors.join().unwrap();
    assert!(status.success(), "{said}\n{errors}");
    said
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_demo_needs_nothing_but_itself() {
    let said = demo(&[]).await;
    assert!(said.ends_with("and its end was noticed by both"), "{said}");
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_demo_finds_its_way_through_an_etcd_that_is_given() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let said = demo(&[&etcd.endpoint()]).await;
    let found = format!("demo: OK: found through {}, called", etcd.endpoint());
    assert!(said.contains(&found), "{said}");
    assert_eq!(all_keys(&etcd).await, [""; 0]);
}

#[cfg(feature = "edef")]
#[tokio::test]
async fn the_importer_of_files_calls_what_they_describe_and_follows_them() {
    use osgi_remote::endpoint::{edef, service_info};

    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let exporter = Sample::start("hello_exporter", &etcd.endpoint(), &[]);
    exporter.says("connected session=").await;
    exporter.says("exported ").await;
    let all = etcd.get_prefix("").await;
    let endpoint = all
        .iter()
        .find(|kv| kv.key_text().matches('/').count() == 2);
    let description = service_info::decode(&endpoint.unwrap().value);
    let description = description.unwrap().description;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("hello.xml");
    std::fs::write(&file, edef::to_string([&description]).unwrap()).unwrap();

    let importer = Sample::run("edef_import", &[file.to_str().unwrap()]);
    assert_eq!(importer.says("files: ").await, "1 endpoints in 1 files");
    let id = description.id().as_str();
    assert_eq!(importer.says("imported ").await, id);
    for kind in ["sync", "async", "promise"] {
        importer.says(&format!("answer {kind}: Rust")).await;
        exporter.says("Rust.").await;
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(importer.says("removed ").await, id);
    importer.stop("TERM").await;
    exporter.stop("INT").await;
}

#[tokio::test]
async fn both_sides_in_one_process_do_all_there_is_and_end() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let sample = Sample::start(
        "in_process",
        &etcd.endpoint(),
        &["--set", "etcd.lease_ttl=5"],
    );
    for line in [
        "connected ",
        "exported org.eclipse.ecf.examples.hello.IHello [",
        "connected ",
        "imported",
        "Rust.sayHello called by: ConsumerSync",
        "answer sync: ",
        "Rust.sayHelloAsync called by: ConsumerAsync",
        "answer async: ",
        "Rust.sayHelloPromise called by: ConsumerPromise",
        "answer promise: ",
        "removed",
    ] {
        sample.says(line).await;
    }
    let (status, errors) = sample.end(SECONDS).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(all_keys(&etcd).await, [""; 0]);
}

#[tokio::test]
async fn the_watcher_prints_what_comes_and_goes() {
    let etcd = Etcd::start(EtcdVersion::V3_4).await;
    let watcher = Sample::start("watcher", &etcd.endpoint(), &[]);
    watcher.says("connected ").await;
    let exporter = Sample::start("hello_exporter", &etcd.endpoint(), &[]);
    exporter.says("connected ").await;
    let exported = exporter.says("exported ").await;
    assert_eq!(watcher.says_of_an_endpoint("added ").await, exported);
    exporter.stop("INT").await;
    assert_eq!(watcher.says_of_an_endpoint("removed ").await, exported);
    watcher.stop("TERM").await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_registry_serves_the_others_in_place_of_etcd() {
    let registry = Sample::run("registry", &["--listen", "127.0.0.1:0"]);
    let address = registry.says("listening on ").await;
    let exporter = Sample::start("hello_exporter", &address, &[]);
    exporter.says("connected ").await;
    let exported = exporter.says("exported ").await;
    let consumer = Sample::start("hello_consumer", &address, &[]);
    consumer.says("connected ").await;
    assert_eq!(consumer.says("imported ").await, exported);

    let second = Sample::run("registry", &["--listen", &address]);
    let (status, errors) = second.end(SECONDS).await;
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains(&format!("cannot listen on {address}")));

    exporter.says("Rust.sayHello called by: ").await;
    drop((exporter, consumer));
    registry.stop("TERM").await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn a_sample_that_runs_the_registry_is_joined_by_its_address() {
    let watcher = Sample::run("watcher", &["--embedded", "127.0.0.1:0"]);
    watcher.says("connected ").await;
    let address = watcher.says("listening on ").await;
    let exporter = Sample::start("hello_exporter", &address, &[]);
    exporter.says("connected ").await;
    let exported = exporter.says("exported ").await;
    assert_eq!(watcher.says_of_an_endpoint("added ").await, exported);
    exporter.stop("TERM").await;
    assert_eq!(watcher.says_of_an_endpoint("removed ").await, exported);
    watcher.stop("TERM").await;
}

#[tokio::test]
async fn a_policy_of_ones_own_exports_one_team_and_imports_from_one_framework() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let sample = Sample::start("custom_topology", &etcd.endpoint(), &[]);
    for line in [
        "connected ",
        "red kept",
        "blue exported",
        "connected ",
        "connected ",
        "heard of an endpoint",
        "heard of an endpoint",
        "imported what blue approved",
        "Rust.sayHello called by: ConsumerSync",
        "answer sync: ",
        "Rust.sayHelloAsync called by: ConsumerAsync",
        "answer async: ",
        "Rust.sayHelloPromise called by: ConsumerPromise",
        "answer promise: ",
    ] {
        sample.says(line).await;
    }
    let (status, errors) = sample.end(SECONDS).await;
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(all_keys(&etcd).await, [""; 0]);
}

#[tokio::test]
async fn one_of_three_exporters_is_killed_and_no_call_of_the_balanced_consumer_fails() {
    let etcd = Etcd::start(EtcdVersion::V3_5).await;
    let mut exporters = Vec::new();
    for _ in 0..3 {
        let exporter = Sample::start("hello_exporter", &etcd.endpoint(), &[]);
        exporter.says("connected ").await;
        exporter.says("exported ").await;
        exporters.push(exporter);
    }
    let consumer = Sample::start("balanced_consumer", &etcd.endpoint(), &[]);
    consumer.says("connected ").await;
    let called = "Rust.sayHello called by: Balanced with message: ";
    for exporter in &exporters {
        exporter.says(called).await;
    }
    let victim = exporters.remove(0);
    signal(victim.child.pid(), "KILL");
    victim.end(SECONDS).await;
    // Its turn comes many times more, for its lease has not run out.
    for exporter in exporters.iter().cycle().take(20) {
        exporter.says(called).await;
    }
    signal(consumer.child.pid(), "TERM");
    let mut answers = 0;
    let sum = loop {
        let line = consumer.says("").await;
        if !line.starts_with("answer ") {
            break line;
        }
        answers += 1;
    };
    assert!(answers >= 20, "{answers}");
    assert_eq!(sum, format!("{answers} calls answered, 0 failed"));
    consumer.says("stopping").await;
    consumer.says("stopped").await;
    let (status, errors) = consumer.end(SECONDS).await;
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_told_in_words_and_by_the_exit_code() {
    let dead = ReservedPort::any();
    let address = format!("127.0.0.1:{}", dead.number);
    let samples = ["hello_exporter", "hello_consumer", "in_process"]
        .map(|name| Sample::start(name, &address, &[]));
    for sample in samples {
        let (status, errors) = sample.end(SOON).await;
        assert_eq!(status.code(), Some(1), "{errors}");
        let last = errors.lines().last().unwrap();
        for part in [
            "error: session `",
            "was not registered within 10.0s",
            &format!("etcd at {address} cannot be reached (tried for "),
            "check the address, that etcd runs there",
        ] {
            assert!(last.contains(part), "{errors}");
        }
    }
}

#[tokio::test]
async fn a_bad_option_or_setting_is_told_by_its_name() {
    for (more, code, expected) in [
        (
            ["--set", "etcd.top_key=a/b"],
            1,
            "error: a setting cannot be used: etcd.top_key: top key 'a/b' holds a '/'",
        ),
        (
            ["--set", "nonsense"],
            2,
            "there is no '=': write NAME=VALUE",
        ),
        (
            ["--listen", "here"],
            1,
            "error: a setting cannot be used: the XML-RPC address is 'here': it must be host:port",
        ),
    ] {
        let sample = Sample::start("hello_exporter", "127.0.0.1:1", &more);
        let (status, errors) = sample.end(SECONDS).await;
        assert_eq!(status.code(), Some(code), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[tokio::test]
async fn who_waits_for_etcd_can_be_stopped() {
    let dead = ReservedPort::any();
    let address = format!("127.0.0.1:{}", dead.number);
    for (name, by) in [("hello_exporter", "INT"), ("hello_consumer", "TERM")] {
        let sample = Sample::start(name, &address, &[]);
        let pid = sample.child.pid();
        listens_to_signals(pid).await;
        signal(pid, by);
        let (status, errors) = sample.end(SECONDS).await;
        assert_eq!(status.code(), Some(0), "{errors}");
    }
}

/// Waits until the process catches both signals, as the kernel sees it.
async fn listens_to_signals(pid: u32) {
    const BOTH: u64 = 1 << (2 - 1) | 1 << (15 - 1);
    eventually(SOON, "the sample listens to signals", async || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        if caught & BOTH == BOTH {
            Ok(())
        } else {
            Err(format!("{caught:x}"))
        }
    })
    .await;
}
