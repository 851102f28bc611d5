//! What many worlds covered, in all.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::SCHEDULES;
use crate::checker::{Invariant, Outcome};
use crate::plan::{Kind, Loss};
use crate::world::Report;

/// Sums over worlds.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    worlds: u64,
    lasted: Duration,
    longest: Duration,
    troubles: BTreeMap<Kind, u64>,
    /// Hosts that did not come back.
    left: u64,
    herds: BTreeMap<Loss, u64>,
    calls: BTreeMap<&'static str, u64>,
    /// By invariant: how often it was judged.
    checks: BTreeMap<Invariant, u64>,
}

/// The simulated time that the usual number of worlds covers, at least.
const USUAL: Duration = Duration::from_hours(200);

impl Coverage {
    pub(crate) fn add(&mut self, report: &Report) {
        self.worlds += 1;
        self.lasted += report.lasted;
        self.longest = self.longest.max(report.lasted);
        self.left += u64::from(report.left);
        if let Some(stampede) = report.plan.stampede {
            *self.herds.entry(stampede.loss).or_default() += 1;
        }
        for (kind, count) in &report.troubles {
            *self.troubles.entry(*kind).or_default() += count;
        }
        for (outcome, count) in &report.calls {
            *self.calls.entry(outcome).or_default() += count;
        }
        for verdict in &report.verdicts {
            if let Outcome::Held { checks } = verdict.outcome {
                *self.checks.entry(verdict.invariant).or_default() += checks;
            }
        }
    }

    /// What the usual number of worlds, or more, should have covered and did not. Fewer worlds need
    /// not meet everything.
    pub(crate) fn gaps(&self) -> Vec<String> {
        if self.worlds < SCHEDULES {
            return Vec::new();
        }
        let mut gaps = Vec::new();
        if self.lasted < USUAL {
            gaps.push(format!("the worlds lasted only {}", hours(self.lasted)));
        }
        let kinds = Kind::ALL.iter().filter(|k| !self.troubles.contains_key(k));
        gaps.extend(kinds.map(|kind| format!("there was no {kind:?}")));
        let losses = Loss::ALL.iter().filter(|l| !self.herds.contains_key(l));
        gaps.extend(losses.map(|loss| format!("there was no herd with a loss that is {loss:?}")));
        let all = Invariant::ALL.iter();
        let unjudged = all.filter(|invariant| !self.checks.contains_key(invariant));
        gaps.extend(unjudged.map(|invariant| format!("{invariant} was never judged")));
        if self.left == 0 {
            gaps.push("no host went for good".to_owned());
        }
        gaps
    }
}

fn hours(time: Duration) -> String {
    format!("{:.1} h", time.as_secs_f64() / 3600.0)
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lasted, longest) = (hours(self.lasted), hours(self.longest));
        writeln!(
            f,
            "{} worlds, {lasted} of simulated time, the longest {longest}",
            self.worlds
        )?;
        writeln!(
            f,
            "troubles: {:?}, hosts that never came back: {}",
            self.troubles, self.left
        )?;
        writeln!(f, "herds, by how they lost the registry: {:?}", self.herds)?;
        writeln!(f, "calls: {:?}", self.calls)?;
        for (invariant, checks) in &self.checks {
            writeln!(f, "{invariant:<24} held in {checks} checks")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Coverage {
        Coverage {
            worlds: SCHEDULES,
            lasted: USUAL,
            longest: Duration::from_hours(2),
            troubles: Kind::ALL.map(|kind| (kind, 1)).into(),
            left: 1,
            herds: Loss::ALL.map(|loss| (loss, 1)).into(),
            calls: BTreeMap::new(),
            checks: Invariant::ALL.map(|invariant| (invariant, 1)).into(),
        }
    }

    #[test]
    fn what_the_usual_number_of_worlds_did_not_meet_is_a_gap() {
        assert_eq!(usual().gaps(), Vec::<String>::new());
        let mut few = usual();
        few.troubles.remove(&Kind::Wipe);
        few.herds.remove(&Loss::Killed);
        few.checks.remove(&Invariant::Gentle);
        few.left = 0;
        few.lasted -= Duration::from_secs(1);
        assert_eq!(few.gaps().len(), 5, "{:?}", few.gaps());
        few.worlds -= 1;
        assert_eq!(few.gaps(), Vec::<String>::new(), "fewer need not meet all");
    }
}
