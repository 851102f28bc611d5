//! Puts with delivery to 10 watchers: the embedded registry against etcd 3.5 that does not wait for
//! its disk. Each server is a process of its own, reached over loopback; rounds alternate.
//!
//! It fails when the embedded registry's median is the lower one.
//!
//! `cargo bench --features embedded --bench embedded`, with etcd from `make setup-tests`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, WatchOptions};
use osgi_remote::embedded::Registry;
use support::{Etcd, EtcdVersion};
use tokio::task::JoinSet;

const WATCHERS: usize = 10;
const ROUNDS: usize = 7;
const PUTS: usize = 4000;
/// About what an endpoint takes.
const VALUE: usize = 1024;
/// The argument that makes this program the server.
const SERVE: &str = "serve-embedded";

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == SERVE) {
        serve();
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let slower = runtime.block_on(compare());
    for problem in &slower {
        eprintln!("{problem}");
    }
    if slower.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Serves until standard input ends, which it does with the parent.
fn serve() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = runtime.block_on(Registry::start("127.0.0.1:0")).unwrap();
    println!("{}", registry.address().unwrap());
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
    runtime.block_on(registry.shutdown());
}

/// The embedded registry in a process.
struct Embedded {
    child: Child,
    address: String,
}

impl Embedded {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        Self { child, address }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Prints the figures, and gives where the embedded registry is the slower one: it never should be.
async fn compare() -> Vec<String> {
    let etcd = Etcd::start_with(EtcdVersion::V3_5, &["--unsafe-no-fsync"]).await;
    let embedded = Embedded::start();
    println!("puts of {VALUE} bytes, each delivered to {WATCHERS} watchers, per second");
    println!(
        "{:>10} {:>10} {:>10} {:>8}",
        "in flight", "etcd 3.5", "embedded", "ratio"
    );
    let mut slower = Vec::new();
    for in_flight in [1, 32] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS {
            let their = puts_a_second(&etcd.endpoint(), in_flight).await;
            let our = puts_a_second(&embedded.address, in_flight).await;
            if round > 0 {
                theirs.push(their);
                ours.push(our);
            }
        }
        let (their, our) = (median(theirs), median(ours));
        let ratio = our / their;
        println!("{in_flight:>10} {their:>10.0} {our:>10.0} {ratio:>7.2}x");
        if ratio < 1.0 {
            slower.push(format!(
                "with {in_flight} in flight, the embedded registry does {our:.0} puts per second and \
                 etcd 3.5 does {their:.0}: it should do at least as many"
            ));
        }
    }
    slower
}

async fn puts_a_second(endpoint: &str, in_flight: usize) -> f64 {
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        // A connection each, as separate processes have.
        let mut client = Client::connect([endpoint], None).await.unwrap();
        let options = WatchOptions::new().with_prefix();
        let mut stream = client.watch("bench/", Some(options)).await.unwrap();
        assert!(stream.message().await.unwrap().unwrap().created());
        watchers.spawn(async move {
            let mut seen = 0;
            while seen < PUTS {
                seen += stream.message().await.unwrap().unwrap().events().len();
            }
        });
    }
    let client = Client::connect([endpoint], None).await.unwrap();
    let value = vec![b'v'; VALUE];
    let start = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..in_flight {
        let (mut client, value) = (client.kv_client(), value.clone());
        writers.spawn(async move {
            for put in (writer..PUTS).step_by(in_flight) {
                let key = format!("bench/{}", put % 1000);
                client.put(key, value.clone(), None).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let told = async { while watchers.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .expect("each watcher is told of each put");
    PUTS as f64 / start.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
