//! What the checker says.

use std::fmt;

/// The invariants, by number and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    Registered,
    NoImmortals,
    View,
    Replay,
    Forward,
    NoPhantoms,
    Silence,
    Honesty,
    NoLeaks,
    Peers,
    Quiet,
    Gentle,
}

impl Invariant {
    pub(crate) const ALL: [Self; 12] = [
        Self::Registered,
        Self::NoImmortals,
        Self::View,
        Self::Replay,
        Self::Forward,
        Self::NoPhantoms,
        Self::Silence,
        Self::Honesty,
        Self::NoLeaks,
        Self::Peers,
        Self::Quiet,
        Self::Gentle,
    ];
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Registered => "I1 Registered",
            Self::NoImmortals => "I2 No immortals",
            Self::View => "I3 View",
            Self::Replay => "I4 Replay",
            Self::Forward => "I5 Forward",
            Self::NoPhantoms => "I6 No phantoms",
            Self::Silence => "I7 Silence in an outage",
            Self::Honesty => "I8 Honesty",
            Self::NoLeaks => "I9 No leaks",
            Self::Peers => "I10 Peers",
            Self::Quiet => "I11 Quiet",
            Self::Gentle => "I12 Gentle",
        })
    }
}

/// Whether an invariant held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Held {
        checks: u64,
    },
    /// At this record for the first time.
    Broken {
        record: usize,
        why: String,
    },
    /// The history has nothing to judge it by.
    NotApplicable,
}

/// The outcome for one invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) invariant: Invariant,
    pub(crate) outcome: Outcome,
}

impl Verdict {
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.outcome, Outcome::Broken { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", self.invariant)?;
        match &self.outcome {
            Outcome::Held { checks } => write!(f, "held ({checks} checks)"),
            Outcome::Broken { record, why } => write!(f, "BROKEN at record {record}: {why}"),
            Outcome::NotApplicable => f.write_str("not applicable"),
        }
    }
}

/// The verdicts, one a line.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    verdicts
        .iter()
        .map(|verdict| format!("{verdict}\n"))
        .collect()
}

/// The invariants that are broken.
pub(crate) fn broken(verdicts: &[Verdict]) -> Vec<Invariant> {
    verdicts
        .iter()
        .filter(|verdict| verdict.is_broken())
        .map(|verdict| verdict.invariant)
        .collect()
}

/// Verdicts in the making.
#[derive(Debug, Default)]
pub(super) struct Bench {
    checks: [u64; 12],
    broken: [Option<(usize, String)>; 12],
}

impl Bench {
    /// Judges an invariant at a record; only its first breach is told.
    pub(super) fn judge(
        &mut self,
        invariant: Invariant,
        record: usize,
        holds: bool,
        why: impl FnOnce() -> String,
    ) {
        let at = invariant as usize;
        self.checks[at] += 1;
        if !holds && self.broken[at].is_none() {
            self.broken[at] = Some((record, why()));
        }
    }

    pub(super) fn verdicts(self) -> Vec<Verdict> {
        let outcomes = self.checks.into_iter().zip(self.broken);
        Invariant::ALL
            .into_iter()
            .zip(outcomes)
            .map(|(invariant, (checks, broken))| Verdict {
                invariant,
                outcome: match broken {
                    Some((record, why)) => Outcome::Broken { record, why },
                    None if checks == 0 => Outcome::NotApplicable,
                    None => Outcome::Held { checks },
                },
            })
            .collect()
    }
}
