//! Lays what two servers answered side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::command::Step;
use crate::differences::{Seen, Who, explained};
use crate::run::Answers;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What no entry of the table explains; empty when all is well.
    pub report: String,
    /// The entries of the table that were needed.
    pub used: BTreeSet<&'static str>,
}

pub fn compare(steps: &[Step], reference: &Answers, who: Who, other: &Answers) -> Verdict {
    let mut verdict = Verdict::default();
    for (of, answers) in [("etcd 3.5", reference), ("the other", other)] {
        for problem in &answers.problems {
            let _ = writeln!(verdict.report, "{of}: {problem}");
        }
        for (number, answer) in answers.answers.iter().enumerate() {
            if answer.contains("SILENT") {
                let _ = writeln!(verdict.report, "{of}: step {number}: {answer}");
            }
        }
    }
    let answers = reference.answers.iter().zip(&other.answers).enumerate();
    for (number, (reference, other)) in answers {
        verdict.look(steps, "step", number, who, reference, other);
    }
    let watches = reference.watches.iter().zip(&other.watches);
    for ((number, reference), (_, other)) in watches {
        verdict.look(steps, "the watch of step", *number, who, reference, other);
    }
    if reference.watches.len() != other.watches.len() {
        let (one, two) = (reference.watches.len(), other.watches.len());
        let _ = writeln!(verdict.report, "{one} watches against {two}");
    }
    verdict
}

impl Verdict {
    fn look(
        &mut self,
        steps: &[Step],
        what: &str,
        number: usize,
        who: Who,
        reference: &str,
        other: &str,
    ) {
        if reference == other {
            return;
        }
        let seen = Seen {
            command: &steps[number].command,
            reference,
            other,
        };
        match explained(who, &seen) {
            Some(difference) => {
                self.used.insert(difference.name);
            }
            None => {
                let command = &seen.command;
                let _ = writeln!(
                    self.report,
                    "{what} {number}, {command:?}\n--- etcd 3.5\n{reference}\n--- {who:?}\n{other}",
                );
            }
        }
    }
}
