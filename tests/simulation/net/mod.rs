//! A network that is simulated: hosts, links between them, and connections that live as those of
//! TCP do.
//!
//! Time is tokio's, which is to be paused: nothing happens between two events, so that idle hours
//! cost nothing. What is written on a connection arrives, in order and unchanged, or the connection
//! ends: loss is a delay, because TCP sends again, and a cut holds up what is on its way until it is
//! healed, or somebody loses patience. A host that crashes is silent; who sends to it after it is
//! up again is told that there is no such connection.
//!
//! A host can stand still, as a process that is stopped does: its kernel takes connections and what
//! arrives on them, up to the window, and its program reads, writes, accepts, begins and closes none
//! until it goes on. Its timers cannot stand still, because all hosts share tokio's one clock: it
//! sees its deadlines pass one by one, as if it were cut off, and not all at once when it goes on.
//! That is for the machines' own schedules and for real processes (`tests/faults/`).

mod bend;
mod host;
mod pipe;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::pipe::{Kind, Pipe};
use self::stream::End;

pub(crate) use self::bend::{Bend, Defect};
pub(crate) use self::host::HostNetwork;

/// What a link does to what goes over it, in one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// The time that everything takes.
    pub(crate) latency: Duration,
    /// Up to so much more.
    pub(crate) jitter: Duration,
    /// Of a thousand segments so many are lost, and sent again later.
    pub(crate) loss: u32,
    /// Bytes in a millisecond; none for no limit.
    pub(crate) bandwidth: Option<u32>,
}

impl Quality {
    pub(crate) const GOOD: Self = Self {
        latency: Duration::from_millis(1),
        jitter: Duration::from_millis(1),
        loss: 0,
        bandwidth: None,
    };
}

/// The time after which a lost segment is sent again, at first.
const RETRANSMIT: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Link {
    quality: Quality,
    cut_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Host {
    up: bool,
    /// Counts boots: what was made before the last one is of no use any more.
    boots: u32,
    /// When something from another host was last read, by that host.
    heard: BTreeMap<Ipv4Addr, Instant>,
    stalled: bool,
    goes_on: Arc<Notify>,
    /// Ends of connections that it would have closed, had it not stood still.
    unclosed: Vec<(u64, usize)>,
}

/// Connections that are made and not accepted yet.
#[derive(Debug, Default)]
struct Backlog {
    ends: Mutex<VecDeque<End>>,
    filled: Notify,
}

/// As much as tokio asks the operating system for.
const BACKLOG: usize = 1024;

/// One connection. Side 0 is the one that connected.
#[derive(Debug)]
struct Connection {
    hosts: [Ipv4Addr; 2],
    /// By the side that writes.
    pipes: [Pipe; 2],
    /// Sides whose program dropped the stream.
    dropped: [bool; 2],
    /// Sides whose host crashed: nobody is there.
    dead: [bool; 2],
    /// Sides that sent something into the void.
    unanswered: [bool; 2],
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    hosts: BTreeMap<Ipv4Addr, Host>,
    links: BTreeMap<(Ipv4Addr, Ipv4Addr), Link>,
    listeners: BTreeMap<SocketAddrV4, Arc<Backlog>>,
    connections: BTreeMap<u64, Connection>,
    made: u64,
    start: Instant,
    /// Of all that was ever read: when, and on which connection. Not how much: the registry's
    /// answers hold the real date, packed into fewer bytes or more.
    digest: u64,
    bend: Option<Bend>,
}

/// The network of one world. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

impl Net {
    /// A network without hosts.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: StdRng::seed_from_u64(seed),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            made: 0,
            start: Instant::now(),
            digest: 0,
            bend: None,
        })))
    }

    /// Makes the network do what none may, once it is told to.
    pub(crate) fn bend(&self, bend: Bend) {
        self.0.lock().bend = Some(bend);
    }

    /// From here on the network may do what it may not.
    pub(crate) fn arm(&self) {
        if let Some(bend) = &mut self.0.lock().bend {
            bend.armed = true;
        }
    }

    /// From here on it may not any more.
    pub(crate) fn disarm(&self) {
        if let Some(bend) = &mut self.0.lock().bend {
            bend.armed = false;
        }
    }

    /// Whether the network got to do what it may not.
    pub(crate) fn is_bent(&self) -> bool {
        self.0.lock().bend.as_ref().is_some_and(Bend::is_done)
    }

    /// Switches a host on. Its network is of use until it crashes.
    pub(crate) fn boot(&self, ip: Ipv4Addr) -> Arc<HostNetwork> {
        let mut state = self.0.lock();
        let host = state.hosts.entry(ip).or_default();
        host.up = true;
        host.boots += 1;
        let boots = host.boots;
        state.answer_the_unanswered(ip);
        Arc::new(HostNetwork::new(self.clone(), ip, boots))
    }

    /// Switches a host off, with all its connections. With `resets` their peers are told at once,
    /// as when a process is killed; without, they have to find out.
    pub(crate) fn crash(&self, ip: Ipv4Addr, resets: bool) {
        let mut state = self.0.lock();
        state.resume(ip);
        state.hosts.entry(ip).or_default().up = false;
        state.listeners.retain(|address, _| *address.ip() != ip);
        for number in state.of_host(ip) {
            if resets {
                state.reset_from(number, ip);
            }
            for side in 0..2 {
                let Some(hosts) = state.connections.get(&number).map(|c| c.hosts) else {
                    continue;
                };
                let cut_since = state.link(ip, hosts[1 - side]).cut_since;
                if let Some(connection) = state.connections.get_mut(&number)
                    && hosts[side] == ip
                {
                    connection.dead[side] = true;
                    connection.pipes[side].lose_what_is_sent(cut_since);
                    connection.pipes[side].wake();
                    connection.pipes[1 - side].wake();
                }
            }
        }
    }

    /// Lets a host stand still.
    pub(crate) fn stall(&self, ip: Ipv4Addr) {
        self.0.lock().hosts.entry(ip).or_default().stalled = true;
    }

    /// Lets it go on where it was.
    pub(crate) fn resume(&self, ip: Ipv4Addr) {
        self.0.lock().resume(ip);
    }

    /// Whether something that one host has sent to another is not read by then.
    pub(crate) fn owes(&self, from: Ipv4Addr, to: Ipv4Addr, by: Instant) -> bool {
        let mut state = self.0.lock();
        let held_up = state.is_stalled(to) || state.link(from, to).cut_since.is_some();
        let mut pipes = state.connections.values().flat_map(|c| {
            let sides = (0..2).filter(|side| c.hosts[*side] == from && c.hosts[1 - side] == to);
            sides.map(|side| c.pipes[side].last_data())
        });
        pipes.any(|last| last.is_some_and(|at| held_up || at > by))
    }

    /// Waits until a host goes on, if it stands still.
    async fn awake(&self, ip: Ipv4Addr) {
        loop {
            let goes_on = match self.0.lock().hosts.get(&ip) {
                Some(host) if host.stalled => Arc::clone(&host.goes_on).notified_owned(),
                _ => return,
            };
            goes_on.await;
        }
    }

    /// Breaks all connections between two hosts, as a firewall does that forgets them.
    pub(crate) fn reset(&self, a: Ipv4Addr, b: Ipv4Addr) {
        let mut state = self.0.lock();
        for number in state.of_host(a) {
            let of_both = state.connections.get(&number).map(|c| c.hosts.contains(&b));
            if of_both == Some(true) {
                state.reset_from(number, a);
                state.reset_from(number, b);
            }
        }
    }

    /// How the link from one host to another is.
    pub(crate) fn set(&self, from: Ipv4Addr, to: Ipv4Addr, quality: Quality) {
        self.0.lock().link(from, to).quality = quality;
    }

    /// Holds up everything from one host to another.
    pub(crate) fn cut(&self, from: Ipv4Addr, to: Ipv4Addr) {
        let now = Instant::now();
        self.0.lock().link(from, to).cut_since.get_or_insert(now);
    }

    /// Lets everything pass again. What was held up is sent again, sooner or later.
    pub(crate) fn heal(&self, from: Ipv4Addr, to: Ipv4Addr) {
        let mut state = self.0.lock();
        let Some(since) = state.link(from, to).cut_since.take() else {
            return;
        };
        let now = Instant::now();
        // The longer it lasted, the longer are the pauses between two attempts.
        let longest = (now - since).clamp(RETRANSMIT, Duration::from_secs(3));
        for number in state.of_host(from) {
            let again = now + state.up_to(longest);
            if let Some(connection) = state.connections.get_mut(&number) {
                for side in 0..2 {
                    if connection.hosts[side] == from && connection.hosts[1 - side] == to {
                        connection.pipes[side].hold_up(since, again);
                    }
                }
            }
        }
    }

    /// When a host last read something that came from another one.
    pub(crate) fn heard(&self, host: Ipv4Addr, from: Ipv4Addr) -> Option<Instant> {
        self.0.lock().hosts.get(&host)?.heard.get(&from).copied()
    }

    /// How many connections from one host to another its programs hold.
    pub(crate) fn open(&self, from: Ipv4Addr, to: Ipv4Addr) -> usize {
        let state = self.0.lock();
        let open = state
            .connections
            .values()
            .filter(|c| c.hosts == [from, to] && !c.dropped[0] && !c.dead[0]);
        open.count()
    }

    /// A number that is the same after the same history, and hardly after another one.
    pub(crate) fn digest(&self) -> u64 {
        self.0.lock().digest
    }
}

impl State {
    fn link(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> &mut Link {
        self.links.entry((from, to)).or_insert(Link {
            quality: Quality::GOOD,
            cut_since: None,
        })
    }

    fn is_stalled(&self, ip: Ipv4Addr) -> bool {
        self.hosts.get(&ip).is_some_and(|host| host.stalled)
    }

    fn resume(&mut self, ip: Ipv4Addr) {
        let Some(host) = self.hosts.get_mut(&ip) else {
            return;
        };
        host.stalled = false;
        host.goes_on.notify_waiters();
        for (number, side) in std::mem::take(&mut host.unclosed) {
            self.drop_end(number, side);
        }
        for number in self.of_host(ip) {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.pipes.iter_mut().for_each(Pipe::wake);
            }
        }
    }

    fn of_host(&self, ip: Ipv4Addr) -> Vec<u64> {
        let connections = self.connections.iter();
        let of_host = connections.filter(|(_, c)| c.hosts.contains(&ip));
        of_host.map(|(number, _)| *number).collect()
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.rng.random_range(0..=longest))
    }

    /// The time that a segment takes on a link, with what is lost on the way.
    fn travel(&mut self, from: Ipv4Addr, to: Ipv4Addr, size: usize) -> Duration {
        let quality = self.link(from, to).quality;
        let mut time = quality.latency + self.up_to(quality.jitter);
        let mut again = RETRANSMIT;
        while quality.loss > 0 && self.rng.random_range(0..1000) < quality.loss {
            time += again;
            again *= 2;
        }
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let sending = quality.bandwidth.map_or(0, |rate| size / u64::from(rate));
        time + Duration::from_millis(sending)
    }

    /// Sends from one side to the other.
    fn send(&mut self, number: u64, side: usize, kind: Kind) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let [from, to] = [connection.hosts[side], connection.hosts[1 - side]];
        if connection.dead[side] {
            return;
        }
        let (dead, dropped) = (connection.dead[1 - side], connection.dropped[1 - side]);
        let is_up = self.hosts.get(&to).is_some_and(|host| host.up);
        let is_data = matches!(kind, Kind::Data(_));
        if dead {
            if is_up && is_data {
                self.refuse(number, side);
            } else if let Some(connection) = self.connections.get_mut(&number) {
                connection.unanswered[side] = true;
            }
            return;
        }
        if dropped && is_data {
            self.refuse(number, side);
            return;
        }
        let at = Instant::now() + self.travel(from, to, kind.size());
        let cut_since = self.link(from, to).cut_since;
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.pipes[side].push(at, kind, cut_since);
        }
    }

    /// Tells a side that sent something that nobody is there.
    fn refuse(&mut self, number: u64, side: usize) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let [from, to] = [connection.hosts[side], connection.hosts[1 - side]];
        let there = self.travel(from, to, 0);
        let at = Instant::now() + there + self.travel(to, from, 0);
        let cut_since = self.link(to, from).cut_since;
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.pipes[1 - side].push(at, Kind::Reset, cut_since);
        }
    }

    /// A host is back that others have sent to while it was away.
    fn answer_the_unanswered(&mut self, ip: Ipv4Addr) {
        for number in self.of_host(ip) {
            for side in 0..2 {
                let Some(connection) = self.connections.get_mut(&number) else {
                    continue;
                };
                if connection.hosts[1 - side] == ip
                    && connection.dead[1 - side]
                    && std::mem::take(&mut connection.unanswered[side])
                {
                    self.refuse(number, side);
                }
            }
        }
    }

    /// The side of `ip` gives a connection up, and tells the other one.
    fn reset_from(&mut self, number: u64, ip: Ipv4Addr) {
        for side in 0..2 {
            let of_ip = self.connections.get(&number).map(|c| c.hosts[side] == ip);
            if of_ip == Some(true) {
                self.send(number, side, Kind::Reset);
            }
        }
    }

    /// A program dropped its stream.
    fn drop_end(&mut self, number: u64, side: usize) {
        let held_by = self.connections.get(&number).filter(|c| !c.dead[side]);
        let host = held_by.and_then(|c| self.hosts.get_mut(&c.hosts[side]));
        if let Some(host) = host.filter(|host| host.stalled) {
            host.unclosed.push((number, side));
            return;
        }
        self.send(number, side, Kind::Fin);
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        connection.dropped[side] = true;
        if (0..2).all(|side| connection.dropped[side]) {
            self.connections.remove(&number);
        }
    }

    fn note_read(&mut self, number: u64, reader: usize) {
        let now = Instant::now();
        let at = u64::try_from((now - self.start).as_millis()).unwrap_or(u64::MAX);
        for part in [at, number, reader as u64] {
            self.digest = (self.digest ^ part)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(17);
        }
        if let Some(connection) = self.connections.get(&number) {
            let [host, from] = [connection.hosts[reader], connection.hosts[1 - reader]];
            if let Some(host) = self.hosts.get_mut(&host) {
                host.heard.insert(from, now);
            }
        }
    }
}
