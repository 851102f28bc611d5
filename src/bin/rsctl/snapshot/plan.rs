//! What is to be done with each key of a snapshot.

use osgi_remote::discovery::etcd::lint::{self, Item, Severity};
use osgi_remote::keyspace::{Client, Range};
use osgi_remote::names::TopKey;
use serde::Serialize;

use super::RestoreArgs;
use super::file::{Kept, Source};
use super::present::Present;
use super::take::progress;
use crate::failure::Failure;

/// What is to be done with one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Leave,
    /// Put it, if the key is still as it was found: last written at this revision, 0 if it was
    /// not there.
    Put(i64),
}

/// What is to be done, line by line.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) put: u64,
    /// There with the same value.
    pub(super) unchanged: u64,
    /// Left out because they were under a lease.
    pub(super) leased: u64,
    /// Left out because the time of their lease was over, or is not known.
    pub(super) ended: u64,
    /// There with another value.
    pub(super) differing: Vec<String>,
    /// Of those, how many are under a lease now.
    pub(super) alive: u64,
    /// Keys that the snapshot does not have.
    pub(super) others: u64,
    /// Of the keys to be put, those that do harm.
    pub(super) harmful: Vec<Harmful>,
}

/// A key that peers watch, with a value on which one of them stops watching, or drops an endpoint.
#[derive(Debug, Serialize)]
pub(super) struct Harmful {
    pub(super) key: String,
    /// Who does what, why, and the cure; the worst of what there is.
    pub(super) harm: String,
}

impl Harmful {
    /// What is said of a key if it is put under this top key's peers' eyes.
    fn of(top: &TopKey, kept: &Kept) -> Option<Self> {
        let verdicts = lint::lint(
            top,
            Item {
                key: &kept.key,
                value: &kept.value,
                lease: kept.lease,
            },
        );
        let worst = verdicts.into_iter().next()?;
        (worst.severity == Severity::Error).then(|| Self {
            harm: worst.to_string(),
            key: worst.key,
        })
    }
}

impl Plan {
    /// Compares the snapshot with what is there, and writes nothing.
    pub(super) async fn make(
        client: &Client,
        source: &Source,
        prefix: &str,
        top: &TopKey,
        args: &RestoreArgs,
    ) -> Result<Self, Failure> {
        let progress = progress("keys compared");
        let mut plan = Self::default();
        let mut present = Present::new(client, Range::prefix(prefix));
        let mut reader = source.snapshot(args.partial)?;
        while let Some(kept) = reader.next()? {
            progress.inc(1);
            let wanted = kept.key.starts_with(prefix.as_bytes()) && plan.may_put(&kept, args);
            while present.before(&kept.key).await?.is_some() {
                plan.others += 1;
            }
            let there = present.at(&kept.key).await?;
            let step = match there {
                _ if !wanted => Step::Leave,
                None => plan.puts(0),
                Some(there) if there.value == kept.value => {
                    plan.unchanged += 1;
                    Step::Leave
                }
                Some(there) => {
                    plan.differing.push(kept.key_text());
                    plan.alive += u64::from(there.lease.is_some());
                    plan.puts(there.mod_revision)
                }
            };
            if matches!(step, Step::Put(_)) {
                plan.harmful.extend(Harmful::of(top, &kept));
            }
            plan.steps.push(step);
        }
        while present.any().await?.is_some() {
            plan.others += 1;
        }
        progress.finish_and_clear();
        Ok(plan)
    }

    fn puts(&mut self, revision: i64) -> Step {
        self.put += 1;
        Step::Put(revision)
    }

    /// Whether a key may be put, as far as its lease goes.
    fn may_put(&mut self, kept: &Kept, args: &RestoreArgs) -> bool {
        if kept.lease.is_none() {
            return true;
        }
        if !args.leased {
            self.leased += 1;
            return false;
        }
        let lives = args.lease_ttl.is_some() || kept.ttl.is_some_and(|ttl| ttl > 0);
        self.ended += u64::from(!lives);
        lives
    }
}
