//! Random schedules of whole worlds: sessions and watchers as pure machines, a network that does
//! its worst, and a model of etcd, judged by the checker that judges real histories too.
//!
//! `SCHEDULES=N` sets the number of schedules and `SCHEDULE_SEED=S` the first seed; a failure
//! prints the command that runs its schedule again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod broken;
#[path = "../../../tests/checker/mod.rs"]
mod checker;
mod client;
mod faults;
mod herd;
mod model;
mod network;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use self::broken::Bend;
use self::checker::{Invariant, Outcome, Verdict, table};
use self::world::World;

const SCHEDULES: u64 = 200_000;
const THREADS: usize = 2;
/// How much of a failed schedule is printed.
const LAST_EVENTS: usize = 250;

fn parameter(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{name}={text} is no number: {error}")),
        Err(_) => default,
    }
}

fn breaks(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(Verdict::is_broken)
}

fn run(seed: u64) -> bool {
    catch_unwind(|| breaks(&World::new(seed, Bend::None, false).run())).unwrap_or(true)
}

/// Runs a schedule that failed once more, and says everything of it.
fn explain(seed: u64) -> String {
    let mut world = World::new(seed, Bend::None, true);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let verdict = match &result {
        Ok(verdicts) => table(verdicts),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panic: {}\n", text.unwrap_or("?"))
        }
    };
    let events = world.trace();
    let last = events[events.len().saturating_sub(LAST_EVENTS)..].join("\n");
    format!(
        "schedule {seed} breaks an invariant\n{last}\n{:?}\n{verdict}replay with: \
         SCHEDULES=1 SCHEDULE_SEED={seed} cargo test --lib keyspace::schedules::every_schedule",
        world.plan
    )
}

#[test]
fn every_schedule_keeps_every_invariant() {
    let first = parameter("SCHEDULE_SEED", 0);
    let count = parameter("SCHEDULES", SCHEDULES);
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        break;
                    }
                    if !run(seed) {
                        continue;
                    }
                    failed.fetch_min(seed, Ordering::Relaxed);
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "{}", explain(failed));
}

/// I12: an outage that outlasts every backoff must not be followed by a herd.
#[test]
fn two_hundred_sessions_do_not_come_back_in_one_instant() {
    let verdicts = World::herd(1, 200).run_herd();
    let gentle = &verdicts[Invariant::Gentle as usize];
    assert!(
        matches!(gentle.outcome, Outcome::Held { checks } if checks > 1000),
        "{}",
        table(&verdicts)
    );
}
