//! empusa and `rsctl`, given the same command lines: empusa on etcd's v2 API, `rsctl` on the v3 API
//! of the same etcd. Their stores have nothing to do with each other.

mod differences;
mod scripts;

use std::process::Stdio;

use osgi_remote::keyspace::{Client, ConnectOptions};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;

use crate::certificates::Authority;
use crate::support::{Etcd, EtcdVersion, tools};
use crate::tool::{SOON, Tool};

/// What a script sees of a program.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    stdout: String,
    /// Which is compared only by its parts.
    stderr: String,
}

/// A command line, and the variables that it is run with.
#[derive(Clone, Copy, Debug)]
struct Step {
    variables: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
}

const fn step(args: &'static [&'static str]) -> Step {
    let variables = &[];
    Step { variables, args }
}

async fn etcd() -> Etcd {
    Etcd::start_with(EtcdVersion::V3_4, &["--enable-v2=true"]).await
}

/// In place of what changes from run to run. A first argument of `alone` stands for no address and
/// no root.
fn command_line(step: &Step, etcd: &Etcd, root: &str) -> (Variables, Vec<String>) {
    let fill = |text: &str| text.replace("ETCD", &etcd.endpoint()).replace("ROOT", root);
    let variables = step.variables.iter();
    let variables = variables.map(|(name, value)| ((*name).to_owned(), fill(value)));
    let general = ["--etcd-endpoint", "ETCD", "--tree-root", "ROOT"];
    let args: Vec<&str> = match step.args {
        ["alone", args @ ..] => args.to_vec(),
        args => general.iter().chain(args).copied().collect(),
    };
    let args = args.into_iter().map(fill);
    (variables.collect(), args.collect())
}

type Variables = Vec<(String, String)>;

async fn empusa(variables: Variables, args: Vec<String>) -> Seen {
    let command = tokio::process::Command::new(tools::file("venv/bin/empusa"))
        .args(args)
        .env_clear()
        .envs(variables)
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SOON, command).await;
    let output = output.expect("empusa ends").expect("empusa runs");
    Seen {
        code: output.status.code(),
        stdout: same_ttl(&String::from_utf8_lossy(&output.stdout)),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn rsctl(variables: Variables, args: Vec<String>) -> Seen {
    let patient = Tool::alone()
        .args(args)
        .variable("ETCDCTL_DIAL_TIMEOUT", "30s")
        .variable("ETCDCTL_COMMAND_TIMEOUT", "30s");
    let tool = variables
        .into_iter()
        .fold(patient, |tool, (name, value)| tool.variable(&name, value));
    let ran = tool.run().await;
    Seen {
        code: ran.status.code(),
        stdout: same_ttl(&ran.stdout),
        stderr: ran.stderr,
    }
}

/// A time to live of 9000 s is in no list for longer than a moment; up to 200 s less are the same.
fn same_ttl(text: &str) -> String {
    (8800..9000_u32).fold(text.to_owned(), |text, seconds| {
        text.replace(&format!("{seconds:>5} |"), " 9000 |")
            .replace(&format!("\"ttl\": {seconds}}}"), "\"ttl\": 9000}")
    })
}

async fn both(step: &Step, etcd: &Etcd, root: &str) -> (Seen, Seen) {
    let (variables, args) = command_line(step, etcd, root);
    both_run(variables, args).await
}

async fn both_run(variables: Variables, args: Vec<String>) -> (Seen, Seen) {
    let theirs = empusa(variables.clone(), args.clone());
    tokio::join!(theirs, rsctl(variables, args))
}

/// Runs scripts, each below a root of its own.
async fn assert_same(scripts: &[(&str, &[Step])]) {
    let etcd = etcd().await;
    for (number, (name, steps)) in scripts.iter().enumerate() {
        let root = format!("/root-{number}");
        for step in *steps {
            let (theirs, ours) = both(step, &etcd, &root).await;
            assert_eq!(
                (ours.code, &ours.stdout),
                (theirs.code, &theirs.stdout),
                "{name}, {step:?}\nempusa said: {}\nrsctl said: {}",
                theirs.stderr,
                ours.stderr
            );
        }
    }
}

#[tokio::test]
async fn services_are_registered_and_listed_as_by_empusa() {
    assert_same(scripts::SERVICES).await;
}

#[tokio::test]
async fn switches_are_those_of_empusa() {
    assert_same(scripts::SWITCHES).await;
}

#[tokio::test]
async fn options_and_variables_are_read_as_by_empusa() {
    assert_same(scripts::OPTIONS).await;
}

#[tokio::test]
async fn roots_and_names_are_read_as_by_empusa() {
    assert_same(scripts::NAMES).await;
}

#[tokio::test]
async fn tls_is_asked_for_as_by_empusa() {
    let authority = Authority::new();
    let server = authority.server(&authority.issue(&["127.0.0.1"], "etcd"));
    let etcd = Etcd::start_tls(EtcdVersion::V3_4, &server, &["--enable-v2=true"]).await;
    let bundle = authority.file("bundle.pem", &authority.cert);
    let endpoint = etcd.endpoint();
    let run = async |variables: &[(&str, &str)], more: &[&str]| {
        let general = ["--etcd-endpoint", &endpoint, "--tree-root", "/r"];
        let args = general.iter().chain(more).map(ToString::to_string);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        both_run(variables.iter().map(owned).collect(), args.collect()).await
    };
    let bundle = bundle.to_str().unwrap();
    for (number, name) in ["EMPUSA_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]
        .into_iter()
        .enumerate()
    {
        let variables = [(name, bundle), ("EMPUSA_ETCD_PROTOCOL", "https")];
        let switch = format!("switch-{number}");
        for more in [&["switch", "set", &switch, "yes"][..], &["switch", "list"]] {
            let (theirs, ours) = run(&variables, more).await;
            assert_eq!(theirs.code, Some(0), "{theirs:?}");
            assert_eq!(
                (ours.code, &ours.stdout),
                (theirs.code, &theirs.stdout),
                "{ours:?}"
            );
        }
    }
    // Nobody vouches for the authority.
    let (theirs, ours) = run(&[], &["--etcd-protocol", "https", "switch", "list"]).await;
    assert_eq!((theirs.code, ours.code), (Some(1), Some(4)), "{ours:?}");
    assert!(ours.stderr.contains("TLS with etcd"), "{ours:?}");
}

/// Each difference is still one, so that the table stays true.
#[tokio::test]
async fn what_differs_on_purpose_is_in_a_table() {
    let etcd = etcd().await;
    let mut wrong = Vec::new();
    for (number, difference) in differences::ALL.iter().enumerate() {
        let root = format!("/{}-{number}", difference.root);
        for step in difference.before {
            both(step, &etcd, &root).await;
        }
        let (theirs, ours) = both(&difference.step, &etcd, &root).await;
        let why = difference.why;
        let same = theirs.code == ours.code && theirs.stdout == ours.stdout;
        if same || !difference.empusa.is(&theirs) || !difference.rsctl.is(&ours) {
            wrong.push(format!("{why}:\n  empusa: {theirs:?}\n  rsctl: {ours:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "not as the table says:\n{}",
        wrong.join("\n")
    );
}

/// Values that columns are aligned by, and some that only look so.
const VALUES: &[&str] = &[
    "1",
    "22",
    "-333",
    "+4",
    "007",
    "1_0",
    "1__0",
    "1.5",
    "1.50",
    "-2.25",
    ".5",
    "7.",
    "1e23",
    "1E5",
    "1e-7",
    "1e400",
    "123456.5",
    "1234567.0",
    "0.00001234",
    "0.1",
    "-0.0",
    "-0",
    "1,000",
    "1,000.5",
    "-12,345,678",
    "1,0000",
    "1000,000",
    ",5",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "True",
    "False",
    "true",
    "",
    " 12 ",
    "12 ",
    " x ",
    "yes",
    "no",
    "0x1f",
    "1 2",
    "e",
    ".",
    "-",
    "ü",
    "😀",
    "http://h:1",
    "10.0.0.1:80",
    "a,b",
    "\\",
    "\"",
    "{}",
    "|",
    "+--",
];

/// Lists of switches, of one to four values.
fn lists() -> Vec<Vec<(String, String)>> {
    const SEED: u64 = 7;
    const COUNT: usize = 120;
    let mut random = StdRng::seed_from_u64(SEED);
    let list = |_| {
        let length = random.random_range(1..=4);
        let value = |number| {
            let value = VALUES.choose(&mut random).expect("there are values");
            (format!("{number}"), (*value).to_owned())
        };
        (0..length).map(value).collect()
    };
    (0..COUNT).map(list).collect()
}

async fn tabulated(lists: &[Vec<(String, String)>]) -> Vec<(String, String)> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/support/empusa_tables.py"
    );
    let mut child = tokio::process::Command::new(tools::file("venv/bin/python"))
        .arg(script)
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let input = serde_json::to_vec(lists).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&input).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await;
    let output = output.expect("python ends").unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn any_list_is_drawn_as_by_empusa() {
    let etcd = etcd().await;
    let mut options = ConnectOptions::parse(&etcd.endpoint()).unwrap();
    options.call_timeout = SOON;
    let client = Client::new(options).unwrap();
    let lists = lists();
    let expected = tabulated(&lists).await;
    for (number, (list, (table, json))) in lists.iter().zip(expected).enumerate() {
        let root = format!("/list-{number}");
        for (name, value) in list {
            let key = format!("{root}/switch/{name}");
            client.put(key, value.clone(), None).await.unwrap();
        }
        let args = ["--tree-root", &root, "switch", "list", "--format"];
        let tool = |format| Tool::new(&etcd).args(args).args([format]).run();
        let (ours, our_json) = tokio::join!(tool("table"), tool("json"));
        assert_eq!(ours.good(), format!("{table}\n"), "{list:?}");
        assert_eq!(our_json.good(), format!("{json}\n"), "{list:?}");
    }
}
