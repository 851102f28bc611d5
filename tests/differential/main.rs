//! Random sequences of commands get the same answers from the embedded registry, etcd 3.4 and etcd 3.5.
//!
//! A case runs on all of them, one call after another from several clients, and what each answered is
//! compared as text: see `normalise.rs` for what is hidden, and `differences.rs` for what differs on
//! purpose. `DIFFERENTIAL_CASES` sets how many cases there are.
#![cfg(feature = "embedded")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are private"
)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod compare;
mod differences;
mod known;
mod normalise;
mod request;
mod rpc;
mod run;
mod strategy;
mod transcript;

use std::cell::RefCell;

use command::{Command, Step};
use compare::{Verdict, compare};
use differences::{TABLE, Who};
use osgi_remote::embedded::Settings;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use run::{Answers, Target};
use support::{Embedded, Etcd, EtcdVersion};
use tokio::sync::{Mutex, MutexGuard};

/// About thirty seconds on two cores.
const CASES: u32 = 150;
const CASES_VARIABLE: &str = "DIFFERENTIAL_CASES";

/// etcd's own timing, on which the shortest TTL depends.
const TIMING: [&str; 4] = ["--heartbeat-interval", "100", "--election-timeout", "1000"];

/// Three servers at a time are as many as a machine of two cores can carry, whatever else it does.
static ONE_SET: Mutex<()> = Mutex::const_new(());

/// All that are compared, with etcd 3.5 as the one that is right. There is one set at a time.
struct Servers {
    _only: MutexGuard<'static, ()>,
    reference: (Etcd, Target),
    older: (Etcd, Target),
    embedded: (Embedded, Target),
}

async fn etcd(version: EtcdVersion) -> (Etcd, Target) {
    let etcd = Etcd::start_with(version, &TIMING).await;
    let target = Target::connect(etcd.address()).await;
    (etcd, target)
}

async fn embedded() -> (Embedded, Target) {
    let embedded = Embedded::start_with(Settings::default()).await;
    let target = Target::connect(embedded.address()).await;
    (embedded, target)
}

/// What an etcd answered; one that crashed is started anew and empty, for the cases to come.
async fn on_etcd((etcd, target): &mut (Etcd, Target), steps: &[Step]) -> Answers {
    match target.run(steps).await {
        Ok(answers) => answers,
        Err(status) => {
            let problem = format!("the case broke off: {status}; {}", etcd.log_tail());
            etcd.wipe();
            etcd.restart().await;
            *target = Target::connect(etcd.address()).await;
            Answers::broken(problem)
        }
    }
}

async fn on_embedded(server: &mut (Embedded, Target), steps: &[Step]) -> Answers {
    match server.1.run(steps).await {
        Ok(answers) => answers,
        Err(status) => {
            *server = embedded().await;
            Answers::broken(format!("the case broke off: {status}"))
        }
    }
}

impl Servers {
    async fn start() -> Self {
        let only = ONE_SET.lock().await;
        let (reference, older, embedded) =
            tokio::join!(etcd(EtcdVersion::V3_5), etcd(EtcdVersion::V3_4), embedded(),);
        Self {
            _only: only,
            reference,
            older,
            embedded,
        }
    }

    /// Runs a case on all; one verdict for each of the others.
    async fn run(&mut self, steps: &[Step]) -> Vec<(Who, Verdict)> {
        let (reference, older, embedded) = tokio::join!(
            on_etcd(&mut self.reference, steps),
            on_etcd(&mut self.older, steps),
            on_embedded(&mut self.embedded, steps),
        );
        [(Who::Etcd3_4, older), (Who::Embedded, embedded)]
            .iter()
            .map(|(who, answers)| (*who, compare(steps, &reference, *who, answers)))
            .collect()
    }
}

/// The commands, from one client after the other.
fn by_turns(commands: Vec<Command>) -> Vec<Step> {
    let step = |(number, command)| Step {
        client: number % strategy::CLIENTS,
        command,
    };
    commands.into_iter().enumerate().map(step).collect()
}

fn cases() -> u32 {
    match std::env::var(CASES_VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{CASES_VARIABLE} is '{text}', no number: {error}")),
        Err(_) => CASES,
    }
}

#[test]
fn random_sequences_get_the_same_answers_everywhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = RefCell::new(runtime.block_on(Servers::start()));
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/differential.txt",
        ))),
        max_shrink_time: 120_000,
        max_shrink_iters: 500,
        ..Config::default()
    });
    let result = runner.run(&strategy::steps(), |steps| {
        let verdicts = runtime.block_on(servers.borrow_mut().run(&steps));
        let report: String = verdicts.into_iter().map(|(_, v)| v.report).collect();
        if report.is_empty() {
            Ok(())
        } else {
            Err(TestCaseError::fail(report))
        }
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_once_told_servers_apart_get_the_same_answers() {
    let mut servers = Servers::start().await;
    for (name, commands) in known::all() {
        for (who, verdict) in servers.run(&by_turns(commands.clone())).await {
            assert!(
                verdict.report.is_empty(),
                "{name}, {who:?}: {}",
                verdict.report
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_of_the_table_is_still_there() {
    let mut servers = Servers::start().await;
    for difference in TABLE {
        let steps = by_turns((difference.example)());
        let verdicts = servers.run(&steps).await;
        let (_, verdict) = verdicts
            .iter()
            .find(|(who, _)| *who == difference.who)
            .unwrap();
        assert!(
            verdict.used.contains(difference.name),
            "{:?} no longer differs: take '{}' from the table ({})",
            difference.who,
            difference.name,
            difference.reason,
        );
    }
}
