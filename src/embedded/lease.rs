//! Leases: who they are, when they end, and which keys end with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::error::Error;
use super::store::event::{Commit, Kind};

/// The longest time to live that etcd grants, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

/// As good as never, where the clock cannot count so far.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The leases, as a pure function of what happens and when.
#[derive(Debug)]
pub(crate) struct Leases {
    leases: BTreeMap<i64, Lease>,
    /// Of all leases, the first deadline first.
    due: BTreeSet<(Instant, i64)>,
    min_ttl: i64,
}

#[derive(Debug)]
struct Lease {
    /// Seconds, as granted.
    ttl: i64,
    deadline: Instant,
    keys: BTreeSet<Bytes>,
}

/// What there is to know about a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeaseInfo<'a> {
    /// Whole seconds left.
    pub(crate) remaining: i64,
    /// Seconds, as granted.
    pub(crate) granted: i64,
    /// Ascending.
    pub(crate) keys: &'a BTreeSet<Bytes>,
}

impl Leases {
    /// No leases. Those to come live at least `min_ttl` seconds.
    pub(crate) fn new(min_ttl: i64) -> Self {
        Self {
            leases: BTreeMap::new(),
            due: BTreeSet::new(),
            min_ttl,
        }
    }

    /// Grants a lease under an id; gives its time to live in seconds.
    pub(crate) fn grant(&mut self, id: i64, ttl: i64, now: Instant) -> Result<i64, Error> {
        if ttl > MAX_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.contains(id) {
            return Err(Error::LeaseExists);
        }
        let ttl = ttl.max(self.min_ttl);
        let deadline = deadline(ttl, now);
        let lease = Lease {
            ttl,
            deadline,
            keys: BTreeSet::new(),
        };
        self.leases.insert(id, lease);
        self.due.insert((deadline, id));
        Ok(ttl)
    }

    /// Lets a lease live for its whole time again; gives that time in seconds.
    pub(crate) fn keep_alive(&mut self, id: i64, now: Instant) -> Result<i64, Error> {
        let lease = self.leases.get_mut(&id).ok_or(Error::LeaseNotFound)?;
        self.due.remove(&(lease.deadline, id));
        lease.deadline = deadline(lease.ttl, now);
        self.due.insert((lease.deadline, id));
        Ok(lease.ttl)
    }

    /// Ends a lease; gives the keys that are to end with it.
    pub(crate) fn remove(&mut self, id: i64) -> Result<BTreeSet<Bytes>, Error> {
        let lease = self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        self.due.remove(&(lease.deadline, id));
        Ok(lease.keys)
    }

    /// Whether there is such a lease.
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// What is known about a lease.
    pub(crate) fn info(&self, id: i64, now: Instant) -> Option<LeaseInfo<'_>> {
        let lease = self.leases.get(&id)?;
        let remaining = lease.deadline.saturating_duration_since(now).as_secs();
        Some(LeaseInfo {
            remaining: i64::try_from(remaining).unwrap_or(i64::MAX),
            granted: lease.ttl,
            keys: &lease.keys,
        })
    }

    /// All leases, the first to end first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.due.iter().map(|(_, id)| *id)
    }

    /// When the first lease ends.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Ends the first lease whose time is over, if any; gives its id and the
    /// keys that are to end with it.
    pub(crate) fn remove_due(&mut self, now: Instant) -> Option<(i64, BTreeSet<Bytes>)> {
        let (deadline, id) = *self.due.first()?;
        if deadline > now {
            return None;
        }
        let keys = self.remove(id).ok()?;
        Some((id, keys))
    }

    /// Attaches and detaches keys as a commit says: a key belongs to the lease
    /// that it was written under last.
    pub(crate) fn follow(&mut self, commit: &Commit) {
        for change in &commit.events {
            let before = change.previous.as_ref().map_or(0, |kv| kv.lease);
            let after = match change.kind {
                Kind::Put => change.kv.lease,
                Kind::Delete => 0,
            };
            if before == after {
                continue;
            }
            if let Some(lease) = self.leases.get_mut(&before) {
                lease.keys.remove(&change.kv.key[..]);
            }
            if let Some(lease) = self.leases.get_mut(&after) {
                lease.keys.insert(Bytes::copy_from_slice(&change.kv.key));
            }
        }
    }
}

fn deadline(ttl: i64, now: Instant) -> Instant {
    let ttl = Duration::from_secs(ttl.unsigned_abs());
    now.checked_add(ttl).unwrap_or_else(|| now + FAR)
}
