//! Real faults: the list of faults against real etcd 3.4 and 3.5, single and in a cluster of three, and
//! after each of them every invariant, by machine.
//!
//! `make faults` runs the whole matrix and prints it as a table; `make faults QUICK=1`, and `make test`,
//! run the essential part. The histories are in `target/faults/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are private"
)]

#[path = "../checker/mod.rs"]
mod checker;
#[path = "../recording/mod.rs"]
mod recording;
#[path = "../support/mod.rs"]
mod support;

mod book;
mod child;
mod faults;
mod herd;
mod pair;
mod party;
mod peers;
mod table;
mod world;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use checker::{Herd, Limits, What, check};
use faults::Row;
use recording::Book;
use support::namespace::Namespace;
use support::{Cluster, Etcd, EtcdVersion};
use table::Line;
use world::{Store, TTL, World};

/// The time in which everything is to be right again after a fault: the time to live, the longest
/// backoff, and slack for a machine that does other things too.
const RECOVERED_WITHIN: Duration = Duration::from_secs(3 + 30 + 30);

/// Rows that run side by side: they mostly wait.
const AT_ONCE: usize = 4;

#[test]
fn nothing_is_lost_in_the_essential_faults() {
    let cases = cases(|row| row.quick);
    let single = |case: &Case| case.place == Place::Alone;
    run(cases.into_iter().filter(single).collect());
}

#[test]
#[ignore = "takes many minutes: run it with `make faults`"]
fn nothing_is_lost_in_any_fault_of_the_matrix() {
    run(cases(|_| true));
}

fn limits() -> Limits {
    Limits {
        herd: Some(Herd {
            clients: 200,
            window: Duration::from_millis(100),
            at_most: 60,
        }),
        ..Limits::for_ttl(TTL)
    }
}

/// One row on one store.
#[derive(Clone, Copy)]
struct Case {
    row: Row,
    version: EtcdVersion,
    place: Place,
}

/// How etcd runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    Cluster,
    Namespace,
}

fn cases(wanted: impl Fn(&Row) -> bool) -> Vec<Case> {
    // For work on one fault: a part of its name.
    let only = std::env::var("FAULT").unwrap_or_default();
    let rows = faults::all()
        .into_iter()
        .filter(|row| wanted(row) && row.name.contains(&only));
    let mut cases = Vec::new();
    for row in rows {
        for version in EtcdVersion::ALL {
            for (place, asked) in [
                (Place::Alone, row.single),
                (Place::Cluster, row.cluster),
                (Place::Namespace, row.namespace),
            ] {
                if asked {
                    cases.push(Case {
                        row,
                        version,
                        place,
                    });
                }
            }
        }
    }
    cases
}

/// Runs all rows, prints the table, and fails with the rows that failed.
fn run(cases: Vec<Case>) {
    let start = Instant::now();
    let queue: Mutex<VecDeque<_>> = Mutex::new(cases.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some((number, case)) = next else { break };
                    let line = case.run();
                    done.lock().unwrap().push((number, line));
                }
            });
        }
    });
    let mut lines = done.into_inner().unwrap();
    lines.sort_by_key(|(number, _)| *number);
    let lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
    report(&lines, start.elapsed());
}

fn report(lines: &[Line], took: Duration) {
    let folder = folder();
    let mut failures = Vec::new();
    for line in lines {
        let stored = line.store(&folder).expect("the histories can be stored");
        if !line.is_good() {
            failures.push(line.failure(&stored));
        }
    }
    println!();
    table::print(lines);
    println!("{} rows in {:.0} s", lines.len(), took.as_secs_f64());
    assert!(
        failures.is_empty(),
        "{} of {} rows failed\n{}",
        failures.len(),
        lines.len(),
        failures.join("\n")
    );
}

fn folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().expect("a target folder").join("faults")
}

impl Case {
    fn etcd(&self) -> String {
        let version = match self.version {
            EtcdVersion::V3_4 => "3.4",
            EtcdVersion::V3_5 => "3.5",
        };
        let members = if self.place == Place::Cluster {
            " x3"
        } else {
            ""
        };
        format!("{version}{members}")
    }

    /// Runs in a runtime of its own, so that its tasks can be counted.
    fn run(&self) -> Line {
        let book = Book::new();
        let mut line = Line {
            fault: self.row.name,
            etcd: self.etcd(),
            lost: 0,
            false_removals: 0,
            recovery: None,
            verdicts: Vec::new(),
            problems: Vec::new(),
            skipped: None,
            book: book.clone(),
        };
        let case = *self;
        let ran = std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(case.broken_and_judged(&mut line));
            };
            scope.spawn(run).join()
        });
        if let Err(panic) = ran {
            line.problems.push(said(panic.as_ref()));
        }
        let how = match (&line.skipped, line.is_good()) {
            (Some(why), _) => format!("skipped, since this machine does not allow it: {why}"),
            (None, true) => "ok".to_owned(),
            (None, false) => "FAILED".to_owned(),
        };
        println!("{} on etcd {}: {how}", line.fault, line.etcd);
        line
    }

    async fn broken_and_judged(self, line: &mut Line) {
        let (store, namespace) = match self.place {
            Place::Alone => (Store::Single(Etcd::start(self.version).await), None),
            Place::Cluster => (Store::Cluster(Cluster::start(self.version).await), None),
            Place::Namespace => match Namespace::new().await {
                Ok(space) => {
                    let (pid, host) = (space.pid(), space.inside);
                    let etcd = Etcd::start_in_namespace(self.version, pid, host).await;
                    (Store::Single(etcd), Some(space))
                }
                Err(why) => {
                    line.skipped = Some(why);
                    return;
                }
            },
        };
        let mut world = World::start(line.book.clone(), store, namespace).await;
        (self.row.run)(&mut world).await;
        assert!(world.healed_at.is_some(), "every fault heals");
        if let Err(error) = world.settle(RECOVERED_WITHIN).await {
            line.problems.push(format!("not right {error}"));
        }
        line.recovery = world.recovery.get().copied();
        judge(&world, line).await;
        for peer in &world.peers {
            peer.record(&world);
        }
        world.end().await;
        line.verdicts = check(&line.book.history(), &limits());
    }
}

/// Lets the world rest, and writes down what is to be so at rest.
async fn judge(world: &World, line: &mut Line) {
    connections_are_few(world).await;
    line.book.push(What::Rest);
    observe(world).await;
    faults::renewed(world, 3).await;
    observe(world).await;
    let expected = world.expected();
    for consumer in &world.consumers {
        let view = consumer.view();
        line.lost += expected.keys().filter(|id| !view.contains_key(*id)).count();
    }
    let listeners: Vec<_> = world
        .consumers
        .iter()
        .filter_map(|c| c.listeners())
        .collect();
    line.false_removals = table::false_removals(&line.book, &listeners, world.silent);
}

/// Connections that were given up end when the other side hears of it.
async fn connections_are_few(world: &World) {
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let many = world.parties().any(|party| {
            let (open, allowed) = party.connections();
            open > allowed
        });
        if !many {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn observe(world: &World) {
    world.snapshot().await.record(&world.book);
    for party in world.parties() {
        let (open, allowed) = party.connections();
        party.record(&[("connections", open, allowed)]);
    }
    // All tasks of this row, with those of the proxies and of the test's own clients, which come and go.
    const OTHERS: usize = 15;
    let parties = world.parties().filter(|party| !party.gone).count();
    let allowed = world.tasks_a_party() * parties + OTHERS;
    let count = |number: usize| u64::try_from(number).expect("tasks are few");
    world.consumers[0].holds("tasks in all", count(world.tasks_alive()), count(allowed));
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without a word").to_owned()
}
