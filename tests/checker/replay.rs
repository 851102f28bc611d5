//! The one pass over a history.

use std::time::Duration;

use super::Limits;
use super::clients::Clients;
use super::history::{History, What};
use super::listeners::{Listeners, Place};
use super::store::Store;
use super::verdict::{Bench, Verdict};

/// Judges a history: one verdict for each invariant, in their order.
pub(crate) fn check(history: &History, limits: &Limits) -> Vec<Verdict> {
    let mut bench = Bench::default();
    let mut store = Store::new(history);
    let mut listeners = Listeners::default();
    let mut clients = Clients::default();
    let mut rest = Rest::default();
    for (number, record) in history.records().iter().enumerate() {
        rest.take(&record.what, record.at);
        let place = Place {
            history,
            limits,
            record: number,
            at: record.at,
            rest: rest.is_due(record.at, limits),
        };
        let what = &record.what;
        // Before the store, which is to be as it was when they were told.
        clients.take(&place, what, &store, &mut bench);
        listeners.take(&place, what, &store, &mut bench);
        store.take(history, number, what, &mut bench);
    }
    bench.verdicts()
}

/// When everything is to be at rest.
#[derive(Debug, Default)]
struct Rest {
    declared: bool,
    /// Faults that have begun and not healed.
    faults: u32,
    disturbed: Duration,
}

impl Rest {
    const fn take(&mut self, what: &What, at: Duration) {
        match what {
            What::Rest => self.declared = true,
            What::Began { .. } => {
                self.faults += 1;
                self.disturb(at);
            }
            What::Healed { .. } => {
                self.faults = self.faults.saturating_sub(1);
                self.disturb(at);
            }
            What::Opened { .. }
            | What::Wants { .. }
            | What::Gone { .. }
            | What::ClockStopped { .. }
            | What::Wiped
            | What::Meddled => self.disturb(at),
            _ => {}
        }
    }

    const fn disturb(&mut self, at: Duration) {
        self.declared = false;
        self.disturbed = at;
    }

    fn is_due(&self, at: Duration, limits: &Limits) -> bool {
        self.declared || self.faults == 0 && at >= self.disturbed + limits.settle
    }
}
