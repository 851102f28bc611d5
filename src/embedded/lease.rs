//! Leases: who they are, when they end, and which keys end with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.leases.len()
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
        // A commit tells what was before it, and may change a key twice.
        let mut within: HashMap<&[u8], i64> = HashMap::new();
        for change in &commit.events {
            let after = match change.kind {
                Kind::Put => change.kv.lease,
                Kind::Delete => 0,
            };
            let before = match within.insert(&change.kv.key, after) {
                Some(earlier) => earlier,
                None => change.previous.as_ref().map_or(0, |kv| kv.lease),
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_time_to_live_is_at_least_the_shortest_and_at_most_etcds_longest() {
        let now = Instant::now();
        let mut leases = Leases::new(2);
        for (id, (asked, granted)) in (1..).zip([(-5, 2), (0, 2), (1, 2), (2, 2), (3, 3)]) {
            assert_eq!(leases.grant(id, asked, now), Ok(granted));
        }
        assert_eq!(leases.grant(9, 9_000_000_000, now), Ok(9_000_000_000));
        let too_long = leases.grant(10, 9_000_000_001, now);
        assert_eq!(too_long, Err(Error::LeaseTtlTooLarge));
        assert_eq!(leases.grant(1, 5, now), Err(Error::LeaseExists));
        assert_eq!(leases.grant(-7, 5, now), Ok(5), "etcd takes negative ids");
    }

    #[test]
    fn a_lease_is_due_when_its_time_is_over_and_not_before() {
        let start = Instant::now();
        let mut leases = Leases::new(2);
        leases.grant(1, 10, start).unwrap();
        leases.grant(2, 5, start).unwrap();
        assert_eq!(leases.next_deadline(), Some(after(start, 5)));
        let just_before = after(start, 5) - Duration::from_nanos(1);
        assert_eq!(leases.remove_due(just_before), None);
        let ended = leases.remove_due(after(start, 5)).map(|(id, _)| id);
        assert_eq!(ended, Some(2));
        assert!(leases.contains(1) && !leases.contains(2));
    }

    #[test]
    fn a_keepalive_counts_the_time_anew() {
        let start = Instant::now();
        let mut leases = Leases::new(2);
        leases.grant(1, 10, start).unwrap();
        leases.grant(2, 11, start).unwrap();
        assert_eq!(leases.keep_alive(1, after(start, 9)), Ok(10));
        assert_eq!(leases.ids().collect::<Vec<_>>(), [2, 1]);
        let info = leases.info(1, after(start, 9)).unwrap();
        assert_eq!((info.remaining, info.granted), (10, 10));
        let later = after(start, 9) + Duration::from_millis(1);
        assert_eq!(leases.info(1, later).unwrap().remaining, 9);
        let unknown = leases.keep_alive(3, start);
        assert_eq!(unknown, Err(Error::LeaseNotFound));
        assert_eq!(leases.remove(3), Err(Error::LeaseNotFound));
    }
}
