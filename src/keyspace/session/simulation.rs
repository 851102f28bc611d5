//! Random schedules of a session against a model of etcd: lost answers, writes that are carried out
//! long after they were given up, leases that end early, keys changed by hand, wiped stores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::event::{Action, Answer, Batch, CallId, Event, Guard, Wish};
use super::machine::SessionMachine;
use super::{SessionConfig, SessionPhase};
use crate::keyspace::connect::{Failure, FailureKind, Header};
use crate::keyspace::range::{Entry, Page, PageRequest};

const ROOT: &str = "s";
const TTL: Duration = Duration::from_secs(9);

fn fail<T>(kind: FailureKind) -> Result<T, Failure> {
    Err(Failure::new(kind, "made up", Duration::ZERO))
}

#[derive(Debug, Clone, PartialEq)]
struct Stored {
    value: Bytes,
    lease: i64,
    mod_revision: i64,
}

/// The part of etcd that a session sees.
#[derive(Debug, Default)]
struct Etcd {
    revision: i64,
    keys: BTreeMap<String, Stored>,
    leases: BTreeMap<i64, Instant>,
    puts: u64,
}

impl Etcd {
    fn expire(&mut self, now: Instant) {
        let ended: Vec<i64> = self
            .leases
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for lease in ended {
            self.revoke(lease);
        }
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.revision += 1;
        self.keys.retain(|_, stored| stored.lease != lease);
    }

    fn put(&mut self, key: &str, value: Bytes, lease: i64) {
        let mod_revision = self.revision;
        let stored = Stored {
            value,
            lease,
            mod_revision,
        };
        self.keys.insert(key.to_owned(), stored);
        self.puts += 1;
    }

    fn mod_revision(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |stored| stored.mod_revision)
    }

    fn write(&mut self, batch: Batch) -> Result<(bool, i64), Failure> {
        let root = match batch.guard {
            Guard::Take { mod_revision } => self.mod_revision(ROOT) == mod_revision,
            Guard::Held => self
                .keys
                .get(ROOT)
                .is_some_and(|stored| stored.lease == batch.lease),
        };
        let expected = |op: &super::wanted::Op| self.mod_revision(&op.key) == op.base;
        if !root || !batch.ops.iter().all(expected) {
            return Ok((false, self.revision));
        }
        if !self.leases.contains_key(&batch.lease) {
            return fail(FailureKind::LeaseNotFound);
        }
        self.revision += 1;
        if batch.guard != Guard::Held {
            self.put(ROOT, Bytes::from_static(b"root"), batch.lease);
        }
        for op in batch.ops {
            match op.value {
                Some(value) => self.put(&op.key, value, batch.lease),
                None => {
                    self.keys.remove(&op.key);
                }
            }
        }
        Ok((true, self.revision))
    }

    fn read(&self, request: &PageRequest) -> Page {
        let start = String::from_utf8(request.start.clone()).unwrap();
        let mut rest = self.keys.range(start..);
        let entries = rest
            .by_ref()
            .take(3)
            .map(|(key, stored)| Entry {
                key: key.clone().into_bytes(),
                value: if request.keys_only {
                    Bytes::new()
                } else {
                    stored.value.clone()
                },
                mod_revision: stored.mod_revision,
                lease: stored.lease,
            })
            .collect();
        Page {
            header: Header {
                revision: self.revision,
                ..Header::default()
            },
            entries,
            more: rest.next().is_some(),
        }
    }

    /// Somebody else meddles.
    fn meddle(&mut self, rng: &mut StdRng) {
        self.revision += 1;
        let key = match rng.random_range(0..6) {
            0 => ROOT.to_owned(),
            n => format!("{ROOT}/{n}"),
        };
        if rng.random_bool(0.5) {
            self.keys.remove(&key);
        } else if key != ROOT {
            // An immortal.
            self.put(&key, Bytes::from_static(b"forged"), 0);
        }
    }
}

/// What the shell holds for the machine.
struct World {
    rng: StdRng,
    now: Instant,
    etcd: Etcd,
    machine: SessionMachine,
    actions: VecDeque<Action>,
    /// Requests that were given up, and that etcd carries out when it pleases.
    late: Vec<Batch>,
    settled: BTreeMap<u64, i64>,
    trouble: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut config = SessionConfig::new(ROOT, "root").ttl(TTL);
        config.audit_interval = Duration::from_secs(20);
        Self {
            rng: StdRng::seed_from_u64(seed),
            now,
            etcd: Etcd::default(),
            machine: SessionMachine::new(config, 3, Duration::from_secs(3), seed, now),
            actions: VecDeque::new(),
            late: Vec::new(),
            settled: BTreeMap::new(),
            trouble: true,
        }
    }

    fn step(&mut self, event: Event) {
        self.actions.extend(self.machine.step(event, self.now));
    }

    fn lost(&mut self) -> bool {
        self.trouble && self.rng.random_bool(0.12)
    }

    fn perform(&mut self, action: Action) {
        let (call, answer) = match action {
            Action::Settle(settled) => return self.settled.extend(settled),
            // Whatever was under way on it is answered at once in this model.
            Action::Disconnect | Action::Report(_) => return,
            Action::Reject { .. } | Action::Finish(_) => panic!("nothing asked for this"),
            Action::Write { call, batch } => return self.write(call, batch),
            Action::Dial { call, .. } => (call, Answer::Dialled(Ok(Header::default()))),
            Action::Grant { call, lease, .. } => {
                let exists = self.etcd.leases.contains_key(&lease);
                let result = if exists {
                    fail(FailureKind::LeaseExists)
                } else {
                    self.etcd.leases.insert(lease, self.now + TTL);
                    Ok(TTL)
                };
                (call, Answer::Granted(result))
            }
            Action::Renew { call, lease } => {
                let now = self.now;
                let ttl = self.etcd.leases.get_mut(&lease).map(|at| *at = now + TTL);
                (
                    call,
                    Answer::Renewed(Ok(ttl.map_or(Duration::ZERO, |()| TTL))),
                )
            }
            Action::ReadPage { call, request } => {
                (call, Answer::Page(Ok(self.etcd.read(&request))))
            }
            Action::AskTimeToLive { call, lease } => {
                let left = self
                    .etcd
                    .leases
                    .get(&lease)
                    .map_or(Duration::ZERO, |at| at.saturating_duration_since(self.now));
                (call, Answer::TimeToLive(Ok(left)))
            }
            Action::Revoke { .. } => panic!("nobody closes"),
        };
        let answer = if self.lost() { lose(&answer) } else { answer };
        self.step(Event::Done { call, answer });
    }

    fn write(&mut self, call: CallId, batch: Batch) {
        let result = if self.trouble && self.rng.random_bool(0.1) {
            self.late.push(batch);
            fail(FailureKind::Unavailable)
        } else {
            let result = self.etcd.write(batch);
            if self.lost() {
                fail(FailureKind::Unavailable)
            } else {
                result
            }
        };
        let answer = Answer::Written(result);
        self.step(Event::Done { call, answer });
    }

    /// I8: the process calls itself registered only while its keys are there.
    fn check_honesty(&self, seed: u64) {
        let until = self.machine.registered_until();
        if until.is_some_and(|until| self.now < until) {
            let stored = self.etcd.keys.get(ROOT).map(|stored| stored.lease);
            assert_eq!(stored, self.machine.lease(), "seed {seed}");
        }
    }

    fn trouble(&mut self) {
        match self.rng.random_range(0..100) {
            0..4 => self.etcd.meddle(&mut self.rng),
            4..6 => {
                let lease = self.machine.lease().unwrap_or_default();
                self.etcd.revoke(lease);
            }
            6..7 => self.etcd = Etcd::default(),
            7..9 => self.now += TTL * 2,
            9..20 if !self.late.is_empty() => {
                let batch = self.late.remove(0);
                // Nobody hears the answer.
                let _ = self.etcd.write(batch);
            }
            _ => {}
        }
        self.etcd.expire(self.now);
    }
}

/// The answer never comes.
fn lose(answer: &Answer) -> Answer {
    match answer {
        Answer::Dialled(_) => Answer::Dialled(fail(FailureKind::Unavailable)),
        Answer::Granted(_) => Answer::Granted(fail(FailureKind::Unavailable)),
        Answer::Renewed(_) => Answer::Renewed(fail(FailureKind::Unavailable)),
        Answer::Page(_) => Answer::Page(fail(FailureKind::Unavailable)),
        Answer::TimeToLive(_) => Answer::TimeToLive(fail(FailureKind::Unavailable)),
        Answer::Written(_) => Answer::Written(fail(FailureKind::Unavailable)),
        Answer::Revoked(_) => Answer::Revoked(fail(FailureKind::Unavailable)),
    }
}

fn run_schedule(seed: u64) {
    let mut world = World::new(seed);
    let mut wanted: BTreeMap<String, Bytes> = BTreeMap::new();
    let mut waiters = 0;
    world.step(Event::Tick);
    const TROUBLE: usize = 200;
    let mut audited = false;
    let mut round = 0;
    loop {
        round += 1;
        assert!(round < 5000, "seed {seed}: it never comes to rest");
        world.trouble = round <= TROUBLE;
        if world.trouble {
            world.trouble();
            if world.rng.random_bool(0.2) {
                let key = format!("{ROOT}/{}", world.rng.random_range(1..6));
                let value = world
                    .rng
                    .random_bool(0.7)
                    .then(|| Bytes::from(world.rng.random_range(0..3).to_string()));
                match &value {
                    Some(value) => wanted.insert(key.clone(), value.clone()),
                    None => wanted.remove(&key),
                };
                waiters += 1;
                world.step(Event::Want(vec![Wish {
                    key,
                    value,
                    waiters: vec![waiters],
                }]));
            }
        } else if round == TROUBLE + 1 {
            // What was given up is carried out now or never.
            for batch in std::mem::take(&mut world.late) {
                let _ = world.etcd.write(batch);
            }
        }
        if let Some(action) = world.actions.pop_front() {
            world.perform(action);
            continue;
        }
        if !world.trouble && world.machine.phase() == SessionPhase::Held {
            if audited {
                break;
            }
            // What was done by hand just before is found by the next look.
            audited = true;
            world.step(Event::Audit);
            continue;
        }
        let at = world.machine.next_wake().expect("it never sleeps for ever");
        let before = world.now;
        world.now = world.now.max(at);
        world.etcd.expire(world.now);
        world.step(Event::Tick);
        let idle = world.actions.is_empty() && world.machine.next_wake() <= Some(before);
        assert!(
            !idle,
            "seed {seed}: it asks to be woken without doing anything"
        );
    }
    let lease = world.machine.lease().unwrap();
    let mut expected: BTreeMap<String, (Bytes, i64)> = wanted
        .into_iter()
        .map(|(key, value)| (key, (value, lease)))
        .collect();
    expected.insert(ROOT.to_owned(), (Bytes::from_static(b"root"), lease));
    let stored: BTreeMap<String, (Bytes, i64)> = world
        .etcd
        .keys
        .iter()
        .map(|(key, stored)| (key.clone(), (stored.value.clone(), stored.lease)))
        .collect();
    assert_eq!(stored, expected, "seed {seed}");
    assert_eq!(world.settled.len() as u64, waiters, "seed {seed}");
    stays_quiet(&mut world, seed, false);
    stays_quiet(&mut world, seed, true);
}

/// I11: in the steady state nothing is put. And honesty, also when the process is stopped.
fn stays_quiet(world: &mut World, seed: u64, stops: bool) {
    let puts = world.etcd.puts;
    let end = world.now + TTL * 20;
    while world.now < end {
        if let Some(action) = world.actions.pop_front() {
            world.perform(action);
            continue;
        }
        world.check_honesty(seed);
        let at = world.machine.next_wake().unwrap();
        world.now = world.now.max(at);
        // Now and then the process is stopped for longer than its lease lives.
        if stops && world.rng.random_bool(0.1) {
            world.now += TTL * 2;
        }
        world.etcd.expire(world.now);
        world.step(Event::Tick);
    }
    let leases = world.etcd.leases.len();
    if stops {
        // It may just be waking up.
        assert!(leases <= 1, "seed {seed}: {leases} leases");
    } else {
        assert_eq!((world.etcd.puts, leases), (puts, 1), "seed {seed}");
    }
}

#[test]
fn after_any_trouble_the_store_holds_exactly_what_is_wanted() {
    for seed in 0..3000 {
        run_schedule(seed);
    }
}
