//! Whole frameworks, an embedded registry and calls over a simulated network in simulated time.
//!
//! Each world follows from its seed: what goes wrong, when, and how long everything takes. It is
//! judged by the checker that judges real faults and the machines' schedules too. `SIM_SCHEDULES=N`
//! sets the number of worlds; `SIM_SEED=S` alone runs the world of one seed and prints all that
//! happened in it, and with `SIM_SCHEDULES` it is the first seed. A failure prints its seed, and the
//! command that runs it again; what all worlds covered is printed, too (`make simulation`).
#![cfg(all(feature = "embedded", feature = "xmlrpc"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

#[path = "../checker/mod.rs"]
mod checker;
mod coverage;
mod defects;
mod findings;
mod herd;
mod net;
mod panics;
mod party;
mod plan;
mod recorder;
#[path = "../recording/mod.rs"]
mod recording;
mod service;
mod trouble;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::checker::{Invariant, broken};
use self::coverage::Coverage;
use self::defects::ON_PURPOSE;
use self::net::Defect;
use self::plan::{Loss, Plan, Stampede};
use self::world::{Report, run};

const SCHEDULES: u64 = 10_000;
const THREADS: usize = 2;
/// How much of a failed world is printed.
const LAST_EVENTS: usize = 400;

fn parameter(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={text} is no number: {error}"),
    }
}

/// Runs a world, if nothing is wrong in it.
fn good(seed: u64) -> Option<Report> {
    let report = catch_unwind(|| run(seed, None, None, false)).ok()?;
    report.is_good().then_some(report)
}

/// Runs a world that failed once more, and says everything of it.
fn explain(seed: u64) -> String {
    let command = format!(
        "replay with: SIM_SEED={seed} cargo test --all-features --test simulation every_simulated -- --nocapture"
    );
    match catch_unwind(|| run(seed, None, None, true)) {
        Ok(report) => {
            let from = report.trace.len().saturating_sub(LAST_EVENTS);
            let last = report.trace[from..].join("\n");
            format!(
                "the world of seed {seed} fails\n{last}\n{}{command}",
                report.text()
            )
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!(
                "the world of seed {seed} panics: {}\n{command}",
                text.unwrap_or("?")
            )
        }
    }
}

#[test]
fn every_simulated_schedule_keeps_every_invariant() {
    let (seed, count) = (parameter("SIM_SEED"), parameter("SIM_SCHEDULES"));
    if let (Some(seed), None) = (seed, count) {
        let report = run(seed, None, None, true);
        println!("{}\n{}", report.trace.join("\n"), report.text());
        assert!(report.is_good(), "{}", report.text());
        return;
    }
    let (first, count) = (seed.unwrap_or(0), count.unwrap_or(SCHEDULES));
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    let coverage = Mutex::new(Coverage::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        break;
                    }
                    match good(seed) {
                        Some(report) => coverage.lock().add(&report),
                        None => drop(failed.fetch_min(seed, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "{}", explain(failed));
    let coverage = coverage.into_inner();
    println!("{coverage}");
    assert_eq!(coverage.gaps(), Vec::<String>::new(), "{coverage}");
}

/// The first seed that gives such a world.
fn first_seed(is: fn(&Plan) -> bool) -> u64 {
    let plan = |seed| Plan::draw(&mut StdRng::seed_from_u64(seed));
    (0..SCHEDULES).find(|seed| is(&plan(*seed))).unwrap()
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    let rare = [
        first_seed(|plan| plan.stampede.is_some()),
        first_seed(|plan| plan.stretch > 1),
    ];
    for seed in (0..20).chain(rare) {
        let (first, again) = (run(seed, None, None, false), run(seed, None, None, false));
        let pairs = first.records.iter().zip(&again.records);
        let differs = pairs.enumerate().find(|(_, (one, other))| one != other);
        assert!(
            differs.is_none(),
            "two runs of seed {seed} differ at record {differs:?}"
        );
        assert_eq!(
            first.records.len(),
            again.records.len(),
            "two runs of seed {seed} differ"
        );
        assert_eq!(
            first.digest, again.digest,
            "what was read in two runs of seed {seed} differs"
        );
    }
}

fn quiet(defect: Option<Defect>) -> Report {
    run(1, Some(Plan::quiet()), defect, false)
}

#[test]
fn a_world_without_trouble_is_judged_by_nearly_all_invariants() {
    let report = quiet(None);
    assert!(report.is_good(), "{}", report.text());
    let judged = |invariant: Invariant| {
        let outcome = &report.verdicts[invariant as usize].outcome;
        matches!(outcome, checker::Outcome::Held { .. })
    };
    for invariant in Invariant::ALL {
        // Without an outage there is no silence and no gentleness in one.
        let needs_trouble = matches!(invariant, Invariant::Silence | Invariant::Gentle);
        assert!(
            judged(invariant) || needs_trouble,
            "{invariant}: {}",
            report.text()
        );
    }
}

#[test]
fn a_registry_that_loses_a_watch_event_is_caught_by_the_view() {
    let report = quiet(Some(Defect::LoseEvent));
    assert!(report.bent, "no event was lost");
    let broken = broken(&report.verdicts);
    assert!(broken.contains(&Invariant::View), "{}", report.text());
}

#[test]
fn a_network_that_changes_an_answer_is_caught_by_the_caller() {
    let report = quiet(Some(Defect::Corrupt));
    assert!(report.bent, "no answer was changed");
    let caught = report.wrong.iter().any(|wrong| wrong.contains("got `"));
    assert!(caught, "{}", report.text());
}

#[test]
fn a_network_that_delivers_a_call_twice_is_caught_by_the_service() {
    let report = quiet(Some(Defect::Duplicate));
    assert!(report.bent, "no call was delivered twice");
    let caught = report
        .wrong
        .iter()
        .any(|wrong| wrong.contains("was carried out 2 times"));
    assert!(caught, "{}", report.text());
}

#[test]
fn a_registry_that_forgets_a_key_is_caught_by_peers_and_quiet() {
    let report = quiet(Some(Defect::ForgetKey));
    assert!(report.bent, "no key was forgotten");
    // Its session finds out and writes it again, which peers take for a second registration.
    let broken = broken(&report.verdicts);
    assert!(broken.contains(&Invariant::Peers), "{}", report.text());
    assert!(broken.contains(&Invariant::Quiet), "{}", report.text());
}

#[test]
fn a_registry_that_never_ends_a_lease_is_caught_by_registered_and_no_leaks() {
    let report = quiet(Some(Defect::KeepLease));
    assert!(report.bent, "no lease was kept");
    let broken = broken(&report.verdicts);
    assert!(broken.contains(&Invariant::Registered), "{}", report.text());
    assert!(broken.contains(&Invariant::NoLeaks), "{}", report.text());
}

#[test]
fn a_task_that_panics_and_that_nobody_joins_is_caught() {
    let report = quiet(Some(Defect::Panic));
    assert!(report.bent, "no task panicked");
    let caught = |wrong: &String| wrong.contains("a panic at") && wrong.contains(ON_PURPOSE);
    assert!(report.wrong.iter().any(caught), "{}", report.text());
}

/// Sessions that began in one millisecond and lost their connections in one: they come back by and
/// by, and at once if something between them and the registry takes their own time from them.
#[test]
fn a_herd_that_comes_back_in_one_instant_is_caught_by_gentle() {
    let stampede = |defect| {
        let stampede = Stampede {
            sessions: 200,
            in_step: true,
            loss: Loss::Broken,
            lasts: Duration::from_millis(1),
        };
        let plan = Plan {
            stampede: Some(stampede),
            ..Plan::quiet()
        };
        run(1, Some(plan), defect, false)
    };
    let spread = stampede(None);
    assert!(spread.is_good(), "{}", spread.text());
    let at_once = stampede(Some(Defect::InStep));
    assert_eq!(
        broken(&at_once.verdicts),
        [Invariant::Gentle],
        "{}",
        at_once.text()
    );
}
