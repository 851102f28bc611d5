//! Carrying a plan out, in transactions that etcd takes.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use osgi_remote::keyspace::{Answer, Client, Condition, Transaction};

use super::RestoreArgs;
use super::file::{Kept, Source};
use super::plan::{Plan, Step};
use super::take::progress;
use crate::failure::Failure;
use crate::output::printable;

/// etcd takes 128 steps in a transaction, and 1.5 MiB in a request.
const MOST_KEYS: usize = 100;
const MOST_BYTES: usize = 1 << 20;

/// Puts what is planned, until it is `stopped`; returns how many keys.
pub(super) async fn put(
    client: &Client,
    source: &Source,
    plan: &Plan,
    args: &RestoreArgs,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Result<u64, Failure> {
    let progress = progress("keys put");
    let mut batch = Batch::default();
    let mut leases = HashMap::new();
    let mut done = 0;
    let planned = plan.put;
    let so_far = |done: u64| {
        format!("{done} of {planned} keys are put, run the same command again for the rest")
    };
    let mut reader = source.snapshot(args.partial)?;
    let mut steps = plan.steps.iter();
    loop {
        let kept = reader.next()?;
        let is_last = kept.is_none();
        let next = kept.zip(steps.next().copied());
        let put = match next {
            Some((kept, Step::Put(revision))) => Some((kept, revision)),
            _ => None,
        };
        let room = put.as_ref().is_none_or(|(kept, _)| batch.has_room(kept));
        if (is_last || !room) && !batch.puts.is_empty() {
            // Between transactions, so that it is always known what was done.
            let asked_to_stop = tokio::select! {
                biased;
                () = &mut stopped => true,
                () = std::future::ready(()) => false,
            };
            if asked_to_stop {
                return Err(Failure::failed(format!("interrupted: {}", so_far(done))));
            }
            let writes = batch.write(client).await;
            done += writes.map_err(|failure| failure.of(so_far(done)))?;
            progress.set_position(done);
        }
        if is_last {
            progress.finish_and_clear();
            return Ok(done);
        }
        if let Some((kept, revision)) = put {
            let lease = lease(client, &kept, args, &mut leases).await;
            let lease = lease.map_err(|failure| failure.of(so_far(done)))?;
            batch.add(kept, revision, lease);
        }
    }
}

/// The new lease of a key that was under one: the same for all that were under the same.
async fn lease(
    client: &Client,
    kept: &Kept,
    args: &RestoreArgs,
    leases: &mut HashMap<i64, i64>,
) -> Result<Option<i64>, Failure> {
    let Some(old) = kept.lease else {
        return Ok(None);
    };
    if let Some(new) = leases.get(&old) {
        return Ok(Some(*new));
    }
    let left = Duration::from_secs(kept.ttl.unwrap_or(1));
    let new = client.grant(args.lease_ttl.unwrap_or(left)).await?.id;
    leases.insert(old, new);
    Ok(Some(new))
}

#[derive(Debug, Default)]
struct Batch {
    puts: Vec<(Kept, i64, Option<i64>)>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self, kept: &Kept) -> bool {
        let bytes = self.bytes + size(kept);
        self.puts.is_empty() || self.puts.len() < MOST_KEYS && bytes <= MOST_BYTES
    }

    fn add(&mut self, kept: Kept, revision: i64, lease: Option<i64>) {
        self.bytes += size(&kept);
        self.puts.push((kept, revision, lease));
    }

    /// Writes all of it, or nothing if one of the keys is not as it was found.
    async fn write(&mut self, client: &Client) -> Result<u64, Failure> {
        let puts = std::mem::take(&mut self.puts);
        self.bytes = 0;
        let mut transaction = Transaction::new();
        for (kept, revision, lease) in &puts {
            transaction = transaction
                .when(Condition::mod_revision(kept.key.clone(), *revision))
                .then_put(kept.key.clone(), kept.value.clone(), *lease)
                .or_get(kept.key.as_slice());
        }
        let outcome = client.transact(transaction).await?;
        if outcome.succeeded {
            return Ok(puts.len() as u64);
        }
        let there = outcome.answers.into_iter().map(Answer::into_entries);
        let changed = puts.iter().zip(there).find(|((_, revision, _), there)| {
            let now = there.first().map_or(0, |entry| entry.mod_revision);
            now != *revision
        });
        let key = changed.map_or_else(String::new, |((kept, ..), _)| printable(&kept.key_text()));
        Err(Failure::no(format!(
            "key {key} was changed meanwhile, and is left as it is"
        )))
    }
}

/// With the key three times: in the condition, the put and the answer.
fn size(kept: &Kept) -> usize {
    3 * kept.key.len() + kept.value.len() + 64
}
