//! Transactions: if all conditions hold, do this, else do that, all at one revision.

use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse,
};

use super::entry::{Entry, Range};
use crate::keyspace::range;

/// One condition of a [`Transaction`].
#[derive(Debug, Clone)]
pub struct Condition {
    compare: Compare,
    range: Range,
    size: usize,
}

impl Condition {
    fn new(compare: Compare, range: Range) -> Self {
        let size = range.start().len() + range.end().len();
        Self {
            compare,
            range,
            size,
        }
    }

    fn on_key(key: impl Into<Vec<u8>>, compare: impl FnOnce(Vec<u8>) -> Compare) -> Self {
        let key = key.into();
        Self::new(compare(key.clone()), Range::key(key))
    }

    /// The key does not exist.
    #[must_use]
    pub fn absent(key: impl Into<Vec<u8>>) -> Self {
        Self::create_revision(key, 0)
    }

    /// The key exists.
    #[must_use]
    pub fn present(key: impl Into<Vec<u8>>) -> Self {
        Self::on_key(key, |key| Compare::version(key, CompareOp::Greater, 0))
    }

    /// The key exists and has this value.
    #[must_use]
    pub fn value(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        let size = value.len();
        let mut condition = Self::on_key(key, |key| Compare::value(key, CompareOp::Equal, value));
        condition.size += size;
        condition
    }

    /// The key's last put was at this revision; 0 for a key that does not exist.
    #[must_use]
    pub fn mod_revision(key: impl Into<Vec<u8>>, revision: i64) -> Self {
        Self::on_key(key, |key| {
            Compare::mod_revision(key, CompareOp::Equal, revision)
        })
    }

    /// The key was made at this revision; 0 for a key that does not exist.
    #[must_use]
    pub fn create_revision(key: impl Into<Vec<u8>>, revision: i64) -> Self {
        Self::on_key(key, |key| {
            Compare::create_revision(key, CompareOp::Equal, revision)
        })
    }

    /// The key is under this lease; 0 for a key without one, and for a key that does not exist.
    #[must_use]
    pub fn lease(key: impl Into<Vec<u8>>, lease: i64) -> Self {
        Self::on_key(key, |key| Compare::lease(key, CompareOp::Equal, lease))
    }

    /// There is no key in the range.
    #[must_use]
    pub fn empty(range: impl Into<Range>) -> Self {
        let range = range.into();
        // No key has version 0, and etcd compares a range without keys as one such key.
        let compare = Compare::version(range.start(), CompareOp::Equal, 0);
        let compare = if range.end().is_empty() {
            compare
        } else {
            compare.with_range(range.end())
        };
        Self::new(compare, range)
    }
}

/// What is done, all of it or nothing, in one revision of the store.
///
/// If all conditions hold (which they do if there are none), what `then_...` added is done, else
/// what `or_...` added. No key may be put twice, nor put and deleted. etcd takes at most 128
/// conditions and 128 steps on either side, unless it is told otherwise.
///
/// Where etcd asks for users, the user needs the permissions of both sides: read for conditions
/// and gets, write for puts, and both for deletions, because these tell what was there.
#[derive(Debug, Clone, Default)]
#[must_use = "a transaction does nothing until Client::transact"]
pub struct Transaction {
    conditions: Vec<Condition>,
    then: Vec<Step>,
    or: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        lease: Option<i64>,
    },
    Delete(Range),
    Get(Range),
}

impl Transaction {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// If all conditions hold: puts a key, under a lease if one is given.
    pub fn then_put(
        mut self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        lease: Option<i64>,
    ) -> Self {
        self.then.push(Step::put(key, value, lease));
        self
    }

    /// If all conditions hold: deletes a key, or all keys of a range.
    pub fn then_delete(mut self, range: impl Into<Range>) -> Self {
        self.then.push(Step::Delete(range.into()));
        self
    }

    /// If all conditions hold: reads a key, or all keys of a range, after the steps before it.
    /// Large ranges are for [`Client::list`](super::Client::list), which reads in pages.
    pub fn then_get(mut self, range: impl Into<Range>) -> Self {
        self.then.push(Step::Get(range.into()));
        self
    }

    /// If a condition does not hold: puts a key, under a lease if one is given.
    pub fn or_put(
        mut self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        lease: Option<i64>,
    ) -> Self {
        self.or.push(Step::put(key, value, lease));
        self
    }

    /// If a condition does not hold: deletes a key, or all keys of a range.
    pub fn or_delete(mut self, range: impl Into<Range>) -> Self {
        self.or.push(Step::Delete(range.into()));
        self
    }

    /// If a condition does not hold: reads a key, or all keys of a range.
    pub fn or_get(mut self, range: impl Into<Range>) -> Self {
        self.or.push(Step::Get(range.into()));
        self
    }

    /// Whether nothing would be changed in either case, so that it can be made again.
    pub(super) fn only_reads(&self) -> bool {
        let mut steps = self.then.iter().chain(&self.or);
        steps.all(|step| matches!(step, Step::Get(_)))
    }

    /// The keys and ranges that are written or, if there are none, that are read.
    pub(super) fn touches(&self) -> Vec<Range> {
        let steps = || self.then.iter().chain(&self.or);
        let mut touched: Vec<Range> = if self.only_reads() {
            let conditions = self.conditions.iter().map(|condition| &condition.range);
            conditions
                .cloned()
                .chain(steps().map(Step::range))
                .collect()
        } else {
            let writes = steps().filter(|step| !matches!(step, Step::Get(_)));
            writes.map(Step::range).collect()
        };
        let mut seen = Vec::new();
        touched.retain(|range| {
            let new = !seen.contains(range);
            seen.push(range.clone());
            new
        });
        touched
    }

    /// What keys and values take in a request, in bytes, without what lies around them.
    pub(super) fn size(&self) -> usize {
        let steps = self.then.iter().chain(&self.or).map(Step::size);
        let conditions = self.conditions.iter().map(|condition| condition.size);
        steps.chain(conditions).sum()
    }

    pub(super) fn request(&self) -> Txn {
        let conditions = self.conditions.iter().map(|c| c.compare.clone());
        let ops = |steps: &[Step]| steps.iter().map(Step::op).collect::<Vec<_>>();
        Txn::new()
            .when(conditions.collect::<Vec<_>>())
            .and_then(ops(&self.then))
            .or_else(ops(&self.or))
    }
}

impl Step {
    fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, lease: Option<i64>) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease,
        }
    }

    fn range(&self) -> Range {
        match self {
            Self::Put { key, .. } => Range::key(key.clone()),
            Self::Delete(range) | Self::Get(range) => range.clone(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete(range) | Self::Get(range) => range.start().len() + range.end().len(),
        }
    }

    fn op(&self) -> TxnOp {
        match self {
            Self::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease));
                TxnOp::put(key.as_slice(), value.as_slice(), options)
            }
            Self::Delete(range) => {
                let options = DeleteOptions::new().with_prev_key();
                let options = if range.end().is_empty() {
                    options
                } else {
                    options.with_range(range.end())
                };
                TxnOp::delete(range.start(), Some(options))
            }
            Self::Get(range) => {
                let options = GetOptions::new().with_range(range.end());
                TxnOp::get(range.start(), Some(options))
            }
        }
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// The store's revision: that of the transaction if it changed something.
    pub revision: i64,
    /// One for each step of the side that was done, in their order.
    pub answers: Vec<Answer>,
}

/// The answer to one step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The key was put.
    Put,
    /// What was there and is deleted.
    Deleted(Vec<Entry>),
    /// What is there.
    Got(Vec<Entry>),
}

impl Answer {
    /// The keys that were read or deleted; none for a put.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        match self {
            Self::Put => Vec::new(),
            Self::Deleted(entries) | Self::Got(entries) => entries,
        }
    }
}

impl Outcome {
    pub(super) fn of(response: &etcd_client::TxnResponse) -> Self {
        Self {
            succeeded: response.succeeded(),
            revision: response.header().map_or(0, |header| header.revision()),
            answers: response.op_responses().into_iter().map(answer).collect(),
        }
    }
}

fn answer(response: TxnOpResponse) -> Answer {
    let entries = |kvs: Vec<etcd_client::KeyValue>| {
        let kvs = kvs.into_iter().map(range::Entry::from);
        kvs.map(Entry::from).collect()
    };
    match response {
        TxnOpResponse::Get(mut get) => Answer::Got(entries(get.take_kvs())),
        TxnOpResponse::Delete(mut delete) => Answer::Deleted(entries(delete.take_prev_kvs())),
        // No transaction stands within another one here.
        TxnOpResponse::Put(_) | TxnOpResponse::Txn(_) => Answer::Put,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_only_reads_touches_its_conditions_and_gets() {
        let reads = Transaction::new()
            .when(Condition::present("a"))
            .then_get("a")
            .or_get(Range::prefix("b/"));
        assert!(reads.only_reads());
        assert_eq!(reads.touches(), [Range::key("a"), Range::prefix("b/")]);
    }

    #[test]
    fn a_transaction_that_writes_touches_what_it_writes_on_either_side_once() {
        let writes = Transaction::new()
            .when(Condition::absent("a"))
            .then_put("a", "1", None)
            .then_get("z")
            .or_put("a", "2", Some(7))
            .or_delete("c");
        assert!(!writes.only_reads());
        assert_eq!(writes.touches(), [Range::key("a"), Range::key("c")]);
        assert_eq!(writes.size(), 1 + 2 + 1 + 2 + 1);
    }
}
