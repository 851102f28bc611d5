//! A world: sessions and watchers, the network between them and the model of etcd, and time.
//!
//! It is a simulation of discrete events. Every message takes a time of its own, drawn from the
//! seed, so that answers are slow, requests are carried out long after they were given up, and
//! streams break at any message.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::broken::{self, Bend};
use super::checker::{Client as Number, Fault, Limits, News, Scope, Verdict, What, check, hash};
use super::client::{Client, Input, Kind, Machine, Request, view};
use super::faults::{Plan, Trouble};
use super::model::{Etcd, NAMES, OF_SESSION, ROOT_VALUE, SECOND, TTL, key, number};
use crate::keyspace::session::event::{Action as Act, Event as SessionEvent, Wish};
use crate::keyspace::session::machine::SessionMachine;
use crate::keyspace::session::{SessionConfig, SessionPhase};
use crate::keyspace::watcher::event::Action as WatchAct;
use crate::keyspace::watcher::machine::WatcherMachine;
use crate::keyspace::watcher::{Change, WatchConfig, WatchPhase};

pub(super) const CALL_TIMEOUT: u64 = 3 * SECOND;
const VALUES: [&[u8]; 3] = [b"1", b"2", b"3"];
/// The longest that a message is on its way.
pub(super) const SLOWEST: u64 = 8 * SECOND;
/// A world that has not come to rest by then has not settled: the lease's time, the longest
/// backoff, an audit's longest interval, and what was still on its way.
const SETTLE: u64 = TTL + 30 * SECOND + 27 * SECOND + 2 * SLOWEST + 20 * SECOND;

/// Something that is due.
#[derive(Debug)]
pub(super) enum Due {
    Arrive {
        client: usize,
        connection: u64,
        call: u64,
        request: Request,
    },
    Answer {
        client: usize,
        connection: u64,
        call: u64,
        input: Input,
    },
    Timeout {
        client: usize,
        connection: u64,
        call: u64,
        kind: Kind,
    },
    Wake {
        client: usize,
    },
    Push {
        client: usize,
        stream: u64,
    },
    /// The client notices that its connection is broken.
    Break {
        client: usize,
        connection: u64,
    },
    Expire,
    Trouble,
    Heal(Trouble, usize),
}

#[derive(Debug)]
struct Scheduled {
    at: u64,
    order: u64,
    due: Due,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) plan: Plan,
    pub(super) etcd: Etcd,
    pub(super) clients: Vec<Client>,
    base: Instant,
    due: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    pub(super) streams: u64,
    pub(super) down_until: u64,
    expire_at: u64,
    next_waiter: u64,
    pub(super) bend: Bend,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, bend: Bend, trace: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        let mut world = Self::with(rng.random(), plan, bend);
        world.trace = trace.then(Vec::new);
        for n in 0..world.plan.sessions {
            let root = if world.plan.twins { 0 } else { n * OF_SESSION };
            let takeover = n > 0 && world.plan.takeover;
            world.open_session(root, takeover);
        }
        for _ in 0..world.plan.watchers {
            world.open_watcher();
        }
        world.later(SECOND / 2, Due::Trouble);
        world
    }

    /// A world without clients.
    pub(super) fn with(seed: u64, plan: Plan, bend: Bend) -> Self {
        Self {
            etcd: Etcd::new(plan.page),
            plan,
            rng: StdRng::seed_from_u64(seed),
            clients: Vec::new(),
            base: Instant::now(),
            due: BinaryHeap::new(),
            order: 0,
            streams: 0,
            down_until: 0,
            expire_at: u64::MAX,
            next_waiter: 0,
            bend,
            trace: None,
        }
    }

    pub(super) fn open_session(&mut self, root: usize, takeover: bool) -> usize {
        let mut config =
            SessionConfig::new(NAMES[root], ROOT_VALUE).ttl(Duration::from_micros(TTL));
        config.takeover = takeover;
        let (seed, now) = (self.rng.random(), self.instant());
        let machine = SessionMachine::new(config, 3, timeout(), seed, now);
        let machine = Machine::Session(Box::new(machine));
        let client = self.clients.len();
        self.clients.push(Client::new(machine, root));
        self.etcd.note(What::Opened {
            client: id(client),
            root: key(root),
            value: hash(ROOT_VALUE),
        });
        self.tick(client);
        client
    }

    fn open_watcher(&mut self) {
        let mut config = WatchConfig::prefix("k/");
        config.silence = Duration::from_secs(6);
        config.patience = Duration::from_secs(2);
        config.audit_interval = self.plan.audits.then_some(Duration::from_secs(20));
        let (seed, now) = (self.rng.random(), self.instant());
        let machine = WatcherMachine::new(config, 3, timeout(), seed, now);
        let machine = Machine::Watcher(Box::new(machine));
        let client = self.clients.len();
        self.clients.push(Client::new(machine, 0));
        self.etcd.note(What::Listening {
            listener: id(client),
            scope: Scope::Keys,
        });
        self.tick(client);
    }

    pub(super) const fn now(&self) -> u64 {
        self.etcd.now
    }

    pub(super) const fn base(&self) -> Instant {
        self.base
    }

    fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now())
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.etcd.now;
        if let Some(trace) = &mut self.trace {
            let seconds = now / SECOND;
            trace.push(format!("{seconds:>4}.{:06} {}", now % SECOND, what()));
        }
    }

    /// What happened last, for people.
    pub(super) fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(super) fn later(&mut self, pause: u64, due: Due) {
        self.at(self.now().saturating_add(pause), due);
    }

    pub(super) fn at(&mut self, at: u64, due: Due) {
        self.order += 1;
        let order = self.order;
        self.due.push(Reverse(Scheduled { at, order, due }));
    }

    /// A server that dies takes along what was on its way to it and from it.
    pub(super) fn drop_messages(&mut self) {
        let is_message = |due: &Due| matches!(due, Due::Arrive { .. } | Due::Answer { .. });
        self.due.retain(|next| !is_message(&next.0.due));
    }

    pub(super) const fn is_peace(&self) -> bool {
        self.etcd.now >= self.plan.trouble
    }

    /// Runs the whole schedule and judges it.
    pub(super) fn run(&mut self) -> Vec<Verdict> {
        let give_up_at = self.plan.trouble + SETTLE;
        // What was given up is carried out by then, or never.
        let mut look_at = self.plan.trouble + 2 * SLOWEST;
        loop {
            let next = self.due.peek().map_or(u64::MAX, |next| next.0.at);
            if next <= look_at {
                self.next();
                continue;
            }
            self.etcd.now = look_at;
            if self.is_settled() || look_at >= give_up_at {
                break;
            }
            look_at += 2 * SECOND;
        }
        self.rest();
        check(&self.etcd.history, &limits())
    }

    pub(super) fn run_until(&mut self, end: u64) {
        while self.due.peek().is_some_and(|next| next.0.at <= end) {
            self.next();
        }
        self.etcd.now = end;
    }

    /// The time after everything has settled, in which nothing may happen any more.
    fn rest(&mut self) {
        self.say(|| "rest".to_owned());
        self.etcd.note(What::Rest);
        self.run_until(self.now() + 2 * TTL);
        for client in 0..self.clients.len() {
            self.note_view(client);
        }
        self.etcd.note_read();
        for client in &self.clients {
            // One of two processes with one session id may wait for ever.
            let waits = client.alive && !client.waiting.is_empty() && !self.plan.twins;
            let lost = waits && self.bend == Bend::None;
            assert!(!lost, "callers still wait: {:?}", client.waiting);
        }
    }

    fn note_view(&mut self, client: usize) {
        let Machine::Watcher(machine) = &self.clients[client].machine else {
            return;
        };
        let entries = view(machine);
        let count = u64::from(self.clients[client].stream.is_some());
        let listener = id(client);
        self.etcd.note(What::View { listener, entries });
        self.etcd.note(What::Holds {
            client: listener,
            what: "watches",
            count,
            allowed: 1,
        });
    }

    /// Whether nothing is left to be done.
    fn is_settled(&self) -> bool {
        let mut running = self.clients.iter().filter(|client| client.alive);
        running.all(|client| match &client.machine {
            Machine::Watcher(machine) => {
                machine.phase() == WatchPhase::Live && self.etcd.is_shown_by(machine.delivered())
            }
            Machine::Session(machine) => match machine.phase() {
                SessionPhase::Held => self.has_its_keys(client, machine),
                SessionPhase::Taken => self.is_held_by_another(client),
                _ => false,
            },
        })
    }

    fn is_held_by_another(&self, waiting: &Client) -> bool {
        self.clients.iter().any(|client| match &client.machine {
            Machine::Session(machine) => {
                client.alive && client.root == waiting.root && machine.phase() == SessionPhase::Held
            }
            Machine::Watcher(_) => false,
        })
    }

    fn has_its_keys(&self, client: &Client, machine: &SessionMachine) -> bool {
        (0..OF_SESSION).all(|n| {
            let own = (n == 0).then_some(ROOT_VALUE);
            let wanted = client.wants[n]
                .map(|value| VALUES[usize::from(value)])
                .or(own);
            let key = client.root + n;
            self.etcd.value_of(key).map(|value| &value[..]) == wanted
                && (wanted.is_none() || self.etcd.lease_of(key) == machine.lease())
        })
    }

    fn next(&mut self) {
        let Some(Reverse(Scheduled { at, due, .. })) = self.due.pop() else {
            return;
        };
        self.etcd.now = self.now().max(at);
        match due {
            Due::Arrive {
                client,
                connection,
                call,
                request,
            } => self.arrive(client, connection, call, request),
            Due::Answer {
                client,
                connection,
                call,
                input,
            } => self.answer(client, connection, call, input),
            Due::Timeout {
                client,
                connection,
                call,
                kind,
            } => self.time_out(client, connection, call, kind),
            Due::Wake { client } => {
                if self.clients[client].wake_at == at {
                    self.clients[client].wake_at = u64::MAX;
                    self.tick(client);
                }
            }
            Due::Push { client, stream } => self.push(client, stream),
            Due::Break { client, connection } => self.break_connection(client, connection),
            Due::Expire => {
                self.expire_at = u64::MAX;
                if self.down_until <= self.now() {
                    self.etcd.expire();
                    self.stored();
                }
            }
            Due::Trouble => self.trouble(),
            Due::Heal(trouble, client) => self.heal(trouble, client),
        }
        self.watch_leases();
    }

    fn watch_leases(&mut self) {
        if self.expire_at == u64::MAX
            && let Some(end) = self.etcd.next_end()
        {
            // A server that is down lets no lease run out, and a real one is a little late.
            let late = self.rng.random_range(0..SECOND / 2);
            self.expire_at = end.max(self.down_until).max(self.now()) + late;
            self.at(self.expire_at, Due::Expire);
        }
    }

    /// When a stalled process goes on; none for one that runs.
    pub(super) fn stalled(&self, client: usize) -> Option<u64> {
        let until = self.clients[client].stalled_until;
        (until > self.now()).then_some(until)
    }

    pub(super) fn tick(&mut self, client: usize) {
        let tick = self.clients[client].machine.tick();
        self.step(client, tick);
    }

    /// One step of one machine, and what it asks for.
    pub(super) fn step(&mut self, client: usize, input: Input) {
        if !self.clients[client].alive {
            return;
        }
        if let Some(until) = self.stalled(client) {
            if input.is_tick() {
                self.wake(client, until);
            }
            return;
        }
        self.say(|| format!("client {client} <- {input:?}"));
        let now = self.clients[client].clock(self.base, self.now());
        let Some(input) = broken::bend_input(self, client, input) else {
            return;
        };
        let was_tick = input.is_tick();
        let idle = match (&mut self.clients[client].machine, input) {
            (Machine::Session(machine), Input::Session(event)) => {
                let actions = machine.step(event, now);
                let idle = actions.is_empty();
                for action in actions {
                    self.say(|| format!("client {client} -> {action:?}"));
                    self.act(client, action);
                }
                idle
            }
            (Machine::Watcher(machine), Input::Watcher(event)) => {
                let actions = machine.step(event, now);
                let idle = actions.is_empty();
                for action in broken::bend_actions(self, client, actions) {
                    self.say(|| format!("client {client} -> {action:?}"));
                    self.act_watcher(client, action);
                }
                idle
            }
            _ => panic!("a client is told what is meant for another"),
        };
        self.claim(client);
        if let Some(wake) = self.clients[client].machine.next_wake() {
            assert!(
                wake > now || !idle || !was_tick,
                "client {client} asks to be woken without doing anything"
            );
            let at = self.clients[client].world_time(self.base, wake);
            self.wake(client, at.max(self.now()));
        }
    }

    fn wake(&mut self, client: usize, at: u64) {
        if self.clients[client].wake_at != at {
            self.clients[client].wake_at = at;
            self.at(at, Due::Wake { client });
        }
    }

    /// Notes what a session says of itself.
    fn claim(&mut self, client: usize) {
        let Machine::Session(machine) = &self.clients[client].machine else {
            return;
        };
        let until = machine.registered_until();
        let until = until.map(|until| self.clients[client].world_time(self.base, until));
        let claim = machine.lease().zip(broken::bend_claim(self.bend, until));
        if self.clients[client].claim != claim {
            self.clients[client].claim = claim;
            self.etcd.note(What::Registered {
                client: id(client),
                lease: claim.map_or(0, |(lease, _)| lease),
                until: claim.map(|(_, until)| Duration::from_micros(until)),
            });
        }
    }

    fn act(&mut self, client: usize, action: Act) {
        match action {
            Act::Dial { call, .. } => self.send(client, call, Request::Dial),
            Act::Disconnect => self.clients[client].disconnect(),
            Act::Grant { call, lease, .. } => self.send(client, call, Request::Grant { lease }),
            Act::Renew { call, lease } => self.send(client, call, Request::Renew { lease }),
            Act::ReadPage { call, request } => self.send(client, call, Request::Page(request)),
            Act::AskTimeToLive { call, lease } => {
                self.send(client, call, Request::TimeToLive { lease });
            }
            Act::Write { call, batch } => self.send(client, call, Request::Write(batch)),
            Act::Revoke { call, lease } => self.send(client, call, Request::Revoke { lease }),
            Act::Settle(settled) => {
                for (waiter, _) in settled {
                    let waiting = &mut self.clients[client].waiting;
                    let at = waiting.iter().position(|w| *w == waiter);
                    let at = at.expect("a caller is told twice, or one that nobody knows");
                    waiting.swap_remove(at);
                }
            }
            Act::Reject { .. } => panic!("the model refuses nothing"),
            Act::Report(_) => {}
            Act::Finish(_) => self.gone(client),
        }
    }

    /// A process is over.
    pub(super) fn gone(&mut self, client: usize) {
        self.clients[client].alive = false;
        self.clients[client].disconnect();
        self.etcd.note(What::Gone { client: id(client) });
    }

    fn act_watcher(&mut self, client: usize, action: WatchAct) {
        let listener = id(client);
        match action {
            WatchAct::Dial { call, .. } => self.send(client, call, Request::Dial),
            WatchAct::Disconnect => self.clients[client].disconnect(),
            WatchAct::ReadPage { call, request } => {
                self.clients[client].stream = None;
                self.send(client, call, Request::Page(request));
            }
            WatchAct::Open { call, revision } => {
                self.clients[client].stream = None;
                self.send(client, call, Request::Open { revision });
            }
            WatchAct::AskProgress => self.send(client, u64::MAX, Request::Progress),
            WatchAct::Deliver(changes) => {
                changes
                    .iter()
                    .for_each(|change| self.tell(listener, change));
            }
            WatchAct::Synced(_) => self.note_view(client),
            WatchAct::HistoryLost => self.etcd.note(What::HistoryLost { listener }),
            WatchAct::Report(_) => {}
        }
    }

    fn tell(&mut self, listener: Number, change: &Change) {
        let (news, value) = match change {
            Change::Put { value, .. } => (News::Put, hash(value)),
            Change::Delete { .. } => (News::Removed, 0),
        };
        self.etcd.note(What::Told {
            listener,
            news,
            key: key(number(change.key())),
            revision: change.mod_revision(),
            value,
        });
    }

    /// Somebody wants a key to have a value, or not to exist.
    pub(super) fn want(&mut self, client: usize, n: usize, value: Option<u8>) {
        if self.stalled(client).is_some() || !self.clients[client].alive {
            return;
        }
        self.clients[client].wants[n] = value;
        self.next_waiter += 1;
        let waiter = self.next_waiter;
        let value = value.map(|value| Bytes::from_static(VALUES[usize::from(value)]));
        let number = self.clients[client].root + n;
        self.etcd.note(What::Wants {
            client: id(client),
            key: key(number),
            value: value.as_ref().map(|value| hash(value)),
        });
        self.clients[client].waiting.push(waiter);
        let wish = Wish {
            key: NAMES[number].to_owned(),
            value,
            waiters: vec![waiter],
        };
        self.step(client, Input::Session(SessionEvent::Want(vec![wish])));
    }

    pub(super) fn begin(&mut self, fault: Fault, client: Option<usize>) {
        self.say(|| format!("begins: {fault:?} {client:?}"));
        let client = client.map(id);
        self.etcd.note(What::Began { fault, client });
    }

    pub(super) fn end(&mut self, fault: Fault, client: Option<usize>) {
        self.say(|| format!("ends: {fault:?} {client:?}"));
        let client = client.map(id);
        self.etcd.note(What::Healed { fault, client });
    }
}

pub(super) fn id(client: usize) -> Number {
    Number::try_from(client).unwrap()
}

const fn timeout() -> Duration {
    Duration::from_micros(CALL_TIMEOUT)
}

fn limits() -> Limits {
    Limits {
        settle: Duration::from_micros(SETTLE),
        in_flight: Duration::ZERO,
        ..Limits::for_ttl(Duration::from_micros(TTL))
    }
}
