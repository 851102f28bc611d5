//! A model of etcd: one linearizable store with its history, and leases.

use bytes::Bytes;

use super::checker::{By, End, Entry as Read, History, Key, What, hash};
use crate::keyspace::connect::{Failure, FailureKind, Header};
use crate::keyspace::range::{Entry, Page, PageRequest};
use crate::keyspace::session::event::{Batch, Guard};
use crate::keyspace::watcher::Change;

/// All keys of a world, sorted; a key's place is its number. Two sessions, the keys of others, and
/// rubbish.
pub(super) const NAMES: [&str; 13] = [
    "k/A", "k/A/1", "k/A/2", "k/A/3", "k/B", "k/B/1", "k/B/2", "k/B/3", "k/z/1", "k/z/2", "k/z/3",
    "k/z/4", "k/~",
];
/// How many keys belong to one session, its session key first.
pub(super) const OF_SESSION: usize = 4;
/// The keys of nobody under test.
pub(super) const OTHERS: std::ops::Range<usize> = 8..13;
pub(super) const ROOT_VALUE: &[u8] = b"root";
pub(super) const SECOND: u64 = 1_000_000;
pub(super) const TTL: u64 = 9 * SECOND;

pub(super) fn number(key: &[u8]) -> usize {
    NAMES
        .iter()
        .position(|name| name.as_bytes() == key)
        .unwrap_or_else(|| panic!("no key of this world: {key:?}"))
}

pub(super) fn key(number: usize) -> Key {
    Key(u32::try_from(number).unwrap())
}

pub(super) fn failure(kind: FailureKind) -> Failure {
    // Without a text, which would be allocated a million times.
    Failure::new(kind, String::new(), std::time::Duration::ZERO)
}

#[derive(Debug, Clone)]
struct Stored {
    value: Bytes,
    lease: i64,
    revision: i64,
}

/// One change of one key, as the store remembers it.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) revision: i64,
    key: usize,
    put: Option<(Bytes, i64)>,
}

impl Logged {
    pub(super) fn change(&self) -> Change {
        let key = NAMES[self.key].as_bytes().to_vec();
        match &self.put {
            Some((value, lease)) => Change::Put {
                key,
                value: value.clone(),
                mod_revision: self.revision,
                lease: *lease,
            },
            None => Change::Delete {
                key,
                mod_revision: self.revision,
            },
        }
    }
}

#[derive(Debug)]
struct Lease {
    id: i64,
    ends: u64,
}

#[derive(Debug)]
pub(super) struct Etcd {
    pub(super) header: Header,
    pub(super) compacted: i64,
    keys: [Option<Stored>; NAMES.len()],
    pub(super) log: Vec<Logged>,
    leases: Vec<Lease>,
    /// The time of the last record, for those that are made here.
    pub(super) now: u64,
    pub(super) history: History,
    /// The most keys in one page, whatever is asked for.
    pub(super) page: usize,
}

impl Etcd {
    pub(super) fn new(page: usize) -> Self {
        let mut history = History::default();
        for name in NAMES {
            history.key(name);
        }
        Self {
            header: Header {
                cluster: 1,
                term: 2,
                revision: 1,
            },
            compacted: 0,
            keys: [const { None }; NAMES.len()],
            log: Vec::new(),
            leases: Vec::new(),
            now: 0,
            history,
            page,
        }
    }

    pub(super) fn note(&mut self, what: What) {
        self.history
            .push(std::time::Duration::from_micros(self.now), what);
    }

    /// Another store at the same address. Revisions start over; the cluster's id is derived from
    /// its configuration, so it may be the same.
    pub(super) fn wipe(&mut self, new_cluster: bool) {
        self.header = Header {
            cluster: self.header.cluster + u64::from(new_cluster),
            term: 2,
            revision: 1,
        };
        self.compacted = 0;
        self.keys = [const { None }; NAMES.len()];
        self.log.clear();
        self.leases.clear();
        self.note(What::Wiped);
    }

    /// The next lease's end.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.leases.iter().map(|lease| lease.ends).min()
    }

    pub(super) fn expire(&mut self) {
        while let Some(at) = self.leases.iter().position(|lease| lease.ends <= self.now) {
            let lease = self.leases.swap_remove(at).id;
            self.end(lease, End::Expired);
        }
    }

    fn end(&mut self, lease: i64, how: End) {
        self.note(What::Ended { lease, how });
        let with: Vec<usize> = (0..NAMES.len())
            .filter(|key| self.keys[*key].as_ref().is_some_and(|s| s.lease == lease))
            .collect();
        if !with.is_empty() {
            self.header.revision += 1;
            with.into_iter().for_each(|key| self.delete(key));
        }
    }

    pub(super) fn revoke(&mut self, lease: i64) -> Result<(), Failure> {
        let Some(at) = self.leases.iter().position(|l| l.id == lease) else {
            return Err(failure(FailureKind::LeaseNotFound));
        };
        self.leases.swap_remove(at);
        self.end(lease, End::Revoked);
        Ok(())
    }

    /// A new leader, or a server that comes back, gives every lease its full time again.
    pub(super) fn extend_leases(&mut self) {
        for lease in &mut self.leases {
            lease.ends = self.now + TTL;
        }
    }

    pub(super) fn living(&self) -> Vec<i64> {
        self.leases.iter().map(|lease| lease.id).collect()
    }

    pub(super) fn grant(&mut self, lease: i64, by: u32) -> Result<(), Failure> {
        if self.leases.iter().any(|l| l.id == lease) {
            return Err(failure(FailureKind::LeaseExists));
        }
        let ends = self.now + TTL;
        self.leases.push(Lease { id: lease, ends });
        self.note(What::Granted {
            lease,
            by: Some(by),
        });
        Ok(())
    }

    /// Whether the lease lives, and is renewed.
    pub(super) fn renew(&mut self, lease: i64) -> bool {
        let ends = self.now + TTL;
        let found = self.leases.iter_mut().find(|l| l.id == lease);
        found.map(|l| l.ends = ends).is_some()
    }

    /// The rest of a lease's time in microseconds; zero when it is gone.
    pub(super) fn left(&self, lease: i64) -> u64 {
        let found = self.leases.iter().find(|l| l.id == lease);
        found.map_or(0, |l| l.ends.saturating_sub(self.now))
    }

    pub(super) fn lease_of(&self, key: usize) -> Option<i64> {
        self.keys[key].as_ref().map(|stored| stored.lease)
    }

    pub(super) fn value_of(&self, key: usize) -> Option<&Bytes> {
        self.keys[key].as_ref().map(|stored| &stored.value)
    }

    fn revision_of(&self, key: usize) -> i64 {
        self.keys[key].as_ref().map_or(0, |stored| stored.revision)
    }

    /// Puts a key in the revision that the caller has begun.
    pub(super) fn put(&mut self, key_number: usize, value: Bytes, lease: i64, by: By) {
        let revision = self.header.revision;
        self.note(What::Put {
            key: key(key_number),
            revision,
            value: hash(&value),
            lease,
            by,
        });
        self.log.push(Logged {
            revision,
            key: key_number,
            put: Some((value.clone(), lease)),
        });
        self.keys[key_number] = Some(Stored {
            value,
            lease,
            revision,
        });
    }

    /// Deletes a key, if it is there, in the revision that the caller has begun.
    pub(super) fn delete(&mut self, key_number: usize) {
        if self.keys[key_number].take().is_some() {
            let revision = self.header.revision;
            self.note(What::Delete {
                key: key(key_number),
                revision,
            });
            self.log.push(Logged {
                revision,
                key: key_number,
                put: None,
            });
        }
    }

    pub(super) fn write(
        &mut self,
        root: usize,
        batch: Batch,
        by: u32,
    ) -> Result<(bool, i64), Failure> {
        let holds = match batch.guard {
            Guard::Take { mod_revision, .. } => self.revision_of(root) == mod_revision,
            Guard::Held => self.lease_of(root) == Some(batch.lease),
        };
        let based = batch
            .ops
            .iter()
            .all(|op| self.revision_of(number(op.key.as_bytes())) == op.base);
        if !holds || !based {
            return Ok((false, self.header.revision));
        }
        let puts = batch.guard != Guard::Held || batch.ops.iter().any(|op| op.value.is_some());
        // Lease zero is none, and needs not live.
        if puts && batch.lease != 0 && !self.leases.iter().any(|l| l.id == batch.lease) {
            return Err(failure(FailureKind::LeaseNotFound));
        }
        self.header.revision += 1;
        if let Guard::Take { value, .. } = batch.guard {
            self.put(root, value, batch.lease, By::Client(by));
        }
        for op in batch.ops {
            let key = number(op.key.as_bytes());
            match op.value {
                Some(value) => self.put(key, value, batch.lease, By::Client(by)),
                None => self.delete(key),
            }
        }
        Ok((true, self.header.revision))
    }

    pub(super) fn page(&self, request: &PageRequest) -> Result<Page, Failure> {
        let revision = match request.revision {
            0 => self.header.revision,
            at => at,
        };
        if revision < self.compacted {
            return Err(failure(FailureKind::Compacted));
        }
        if revision > self.header.revision {
            // "required revision is a future revision": the store was wiped between two pages.
            return Err(failure(FailureKind::Unavailable));
        }
        let mut more = false;
        let mut entries = Vec::new();
        for (number, name) in NAMES.iter().enumerate() {
            let name = name.as_bytes();
            if name < request.start.as_slice() || name >= request.end.as_slice() {
                continue;
            }
            let Some((value, lease, mod_revision)) = self.at(number, revision) else {
                continue;
            };
            if entries.len() == self.page.min(request.limit as usize) {
                more = true;
                break;
            }
            entries.push(Entry {
                key: name.to_vec(),
                value: if request.keys_only {
                    Bytes::new()
                } else {
                    value
                },
                create_revision: 0,
                mod_revision,
                version: 0,
                lease,
            });
        }
        Ok(Page {
            header: self.header,
            entries,
            more,
        })
    }

    fn at(&self, key: usize, revision: i64) -> Option<(Bytes, i64, i64)> {
        if self.revision_of(key) <= revision && revision == self.header.revision {
            let stored = self.keys[key].as_ref()?;
            return Some((stored.value.clone(), stored.lease, stored.revision));
        }
        let mut before = self.log.iter().rev();
        let last = before.find(|logged| logged.key == key && logged.revision <= revision)?;
        let (value, lease) = last.put.clone()?;
        Some((value, lease, last.revision))
    }

    /// Whether these are all keys and their modification revisions.
    pub(super) fn is_shown_by<'a>(&self, shown: impl Iterator<Item = (&'a [u8], i64)>) -> bool {
        let mut count = 0;
        let right = |(key, revision)| self.revision_of(number(key)) == revision;
        shown.inspect(|_| count += 1).all(right) && count == self.keys.iter().flatten().count()
    }

    /// A quorum read of everything, for the checker.
    pub(super) fn note_read(&mut self) {
        let entries = (0..NAMES.len())
            .filter_map(|number| {
                let stored = self.keys[number].as_ref()?;
                Some(Read {
                    key: key(number),
                    revision: stored.revision,
                    value: hash(&stored.value),
                    lease: stored.lease,
                })
            })
            .collect();
        let living = self.living();
        self.note(What::Read { entries, living });
    }
}
