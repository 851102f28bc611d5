//! What goes wrong in a world, and who meddles with it.

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

use super::checker::{By, Fault, What};
use super::client::{Client, Cut, Input};
use super::model::{NAMES, OF_SESSION, OTHERS, SECOND, TTL};
use super::world::{Due, World, id};
use crate::keyspace::session::event::Event;

/// What one schedule is made of, drawn at its beginning: few kinds of faults at a time find more
/// than all of them at once.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) sessions: usize,
    pub(super) watchers: usize,
    /// Both sessions have one session id.
    pub(super) twins: bool,
    pub(super) takeover: bool,
    /// The most keys in a page.
    pub(super) page: usize,
    /// How many messages are lost.
    pub(super) loss: f64,
    /// Requests for progress have no answer on a quiet watch (etcd issue 17507).
    pub(super) mute: bool,
    /// Answers to requests for progress overtake events (etcd issue 15220).
    pub(super) overtakes: bool,
    /// Watchers audit. Without it everything must be noticed from the watch alone.
    pub(super) audits: bool,
    /// The time in which faults happen.
    pub(super) trouble: u64,
    faults: Vec<Trouble>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Down,
    Cut,
    Stall,
    ClockStop,
    Reset,
    NewLeader,
    Compact,
    Wipe,
    Meddle,
    Revoke,
    Kill,
    Close,
}

const TROUBLES: [Trouble; 12] = [
    Trouble::Down,
    Trouble::Cut,
    Trouble::Stall,
    Trouble::ClockStop,
    Trouble::Reset,
    Trouble::NewLeader,
    Trouble::Compact,
    Trouble::Wipe,
    Trouble::Meddle,
    Trouble::Revoke,
    Trouble::Kill,
    Trouble::Close,
];

impl Plan {
    /// Nothing goes wrong by itself.
    pub(super) const fn quiet() -> Self {
        Self {
            sessions: 0,
            watchers: 0,
            twins: true,
            takeover: false,
            page: 100,
            loss: 0.0,
            mute: false,
            overtakes: false,
            audits: false,
            trouble: 0,
            faults: Vec::new(),
        }
    }

    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let (sessions, watchers) = match rng.random_range(0..6u32) {
            0 => (0, 2),
            1 | 2 => (1, 1),
            3 => (2, 0),
            4 => (1, 2),
            _ => (2, 1),
        };
        let share = [0.15, 0.3, 0.6][rng.random_range(0..3)];
        let mut faults: Vec<Trouble> = TROUBLES.to_vec();
        faults.retain(|_| rng.random_bool(share));
        // A store that is replaced by one with the same name is noticed by audits alone.
        let audits = rng.random_bool(0.3) || faults.contains(&Trouble::Wipe);
        Self {
            sessions,
            watchers,
            twins: sessions == 2 && rng.random_bool(0.3),
            takeover: rng.random_bool(0.5),
            page: [2, 3, 100][rng.random_range(0..3)],
            loss: [0.0, 0.03, 0.1][rng.random_range(0..3)],
            mute: rng.random_bool(0.2),
            overtakes: rng.random_bool(0.3),
            audits,
            trouble: rng.random_range(5..25) * SECOND,
            faults,
        }
    }
}

impl World {
    /// Something happens, and something will again.
    pub(super) fn trouble(&mut self) {
        if self.is_peace() {
            // From now on nothing goes wrong: every fault ends by this time.
            return self.say(|| "peace".to_owned());
        }
        self.work();
        if self.rng.random_bool(0.5) && !self.plan.faults.is_empty() {
            let kind = self.plan.faults[self.rng.random_range(0..self.plan.faults.len())];
            let client = self.rng.random_range(0..self.clients.len());
            self.say(|| format!("trouble: {kind:?} for client {client}"));
            self.cause(kind, client);
        }
        let pause = self.rng.random_range(SECOND / 50..SECOND * 3 / 2);
        let left = self.plan.trouble - self.now();
        self.later(pause.min(left), Due::Trouble);
    }

    /// What users and strangers do all the time.
    fn work(&mut self) {
        let client = self.rng.random_range(0..self.clients.len());
        if self.clients[client].is_session() && self.rng.random_bool(0.7) {
            let n = self.rng.random_range(0..OF_SESSION);
            let value = self.rng.random_range(0..4u8);
            // The session key has some value at all times.
            if n > 0 || value < 3 {
                self.want(client, n, (value < 3).then_some(value));
            }
        }
        if self.rng.random_bool(0.4) && self.down_until <= self.now() {
            // Several keys in one revision, as a transaction or a lease's end does.
            self.etcd.header.revision += 1;
            for key in OTHERS {
                match self.rng.random_range(0..6u32) {
                    0 | 1 => {
                        let value = Bytes::from_static(b"other");
                        self.etcd.put(key, value, 0, By::Meddler);
                    }
                    2 => self.etcd.delete(key),
                    _ => {}
                }
            }
            self.stored();
        }
    }

    fn cause(&mut self, kind: Trouble, client: usize) {
        let now = self.now();
        let left = self.plan.trouble - now;
        let is_session = self.clients[client].is_session();
        match kind {
            Trouble::Down if self.down_until <= now => {
                let pause = self.rng.random_range(SECOND / 10..2 * TTL).min(left);
                // A moment longer than until it heals, so that nothing overtakes the healing.
                self.down_until = now + pause + 1;
                self.begin(Fault::CutOff, None);
                self.reset_all();
                self.later(pause, Due::Heal(kind, client));
            }
            Trouble::Cut if !self.clients[client].is_cut(now) => self.cut(client, left),
            Trouble::Stall | Trouble::ClockStop if self.stalled(client).is_none() => {
                let pause = self.rng.random_range(SECOND / 10..2 * TTL).min(left);
                self.clients[client].stalled_until = now + pause + 1;
                self.begin(Fault::Other("stalled"), Some(client));
                if kind == Trouble::ClockStop && is_session {
                    self.clients[client].lag += pause;
                    let (client, time) = (id(client), std::time::Duration::from_micros(pause));
                    self.etcd.note(What::ClockStopped { client, time });
                }
                self.later(pause, Due::Heal(kind, client));
            }
            Trouble::Reset => self.reset(client),
            Trouble::NewLeader => {
                self.etcd.header.term += 1;
                self.etcd.extend_leases();
            }
            Trouble::Compact => {
                let back = self.rng.random_range(0..4);
                let revision = (self.etcd.header.revision - back).max(self.etcd.compacted);
                self.etcd.compacted = revision;
                self.etcd.note(What::Compacted { revision });
            }
            Trouble::Wipe if self.down_until <= now => {
                let new_cluster = self.rng.random_bool(0.5);
                self.etcd.wipe(new_cluster);
                self.reset_all();
            }
            Trouble::Meddle if self.down_until <= now => self.meddle(),
            Trouble::Revoke if self.down_until <= now => {
                let living = self.etcd.living();
                if !living.is_empty() {
                    let lease = living[self.rng.random_range(0..living.len())];
                    self.etcd.note(What::Meddled);
                    if self.etcd.revoke(lease).is_ok() {
                        self.stored();
                    }
                }
            }
            // Stalled processes are not told to close.
            Trouble::Close if self.clients[client].wants_on() && self.stalled(client).is_none() => {
                self.clients[client].closing = true;
                let deadline = self.clients[client].clock(self.base(), now)
                    + std::time::Duration::from_secs(5);
                self.step(client, Input::Session(Event::Close { deadline }));
                self.replace(client);
            }
            Trouble::Kill if is_session && self.clients[client].alive => {
                self.gone(client);
                self.replace(client);
            }
            _ => {}
        }
    }

    /// Another process with the same session id, perhaps.
    fn replace(&mut self, client: usize) {
        let root = self.clients[client].root;
        let others = self.clients.iter();
        let is_held = others.filter(|c| c.root == root).any(Client::wants_on);
        if !is_held && self.clients.len() < 6 && self.rng.random_bool(0.6) {
            let takeover = self.rng.random_bool(0.5);
            self.open_session(root, takeover);
        }
    }

    fn cut(&mut self, client: usize, left: u64) {
        let pause = self.rng.random_range(SECOND / 10..2 * TTL).min(left);
        let both = self.rng.random_bool(0.5);
        let requests = both || self.rng.random_bool(0.5);
        let cut = Cut {
            requests,
            answers: both || !requests,
            holds: self.rng.random_bool(0.5),
            until: self.now() + pause + 1,
        };
        self.clients[client].cut = cut;
        // Cut one way, answers to what was asked before still arrive.
        let fault = if cut.answers {
            Fault::CutOff
        } else {
            Fault::Other("requests cut")
        };
        self.begin(fault, Some(client));
        self.later(pause, Due::Heal(Trouble::Cut, client));
        // Pings find a cut after ten seconds; otherwise it ends by a reset, or unnoticed.
        let connection = self.clients[client].connection;
        if pause > 10 * SECOND {
            self.later(10 * SECOND, Due::Break { client, connection });
        } else if !cut.holds {
            self.later(pause, Due::Break { client, connection });
        }
    }

    /// Something ends that went wrong.
    pub(super) fn heal(&mut self, kind: Trouble, client: usize) {
        match kind {
            Trouble::Down => {
                self.down_until = self.now();
                self.etcd.extend_leases();
                self.end(Fault::CutOff, None);
            }
            Trouble::Cut => {
                self.clients[client].cut.until = self.now();
                let fault = if self.clients[client].cut.answers {
                    Fault::CutOff
                } else {
                    Fault::Other("requests cut")
                };
                self.end(fault, Some(client));
            }
            _ => {
                self.clients[client].stalled_until = self.now();
                self.end(Fault::Other("stalled"), Some(client));
                self.tick(client);
            }
        }
    }

    pub(super) fn reset_all(&mut self) {
        self.drop_messages();
        for client in 0..self.clients.len() {
            if let Some(stream) = &mut self.clients[client].stream {
                stream.end();
            }
            let connection = self.clients[client].connection;
            // At once: the server closes its sockets.
            self.later(0, Due::Break { client, connection });
        }
    }

    /// By hand: a key deleted, or put without a lease.
    fn meddle(&mut self) {
        let key = self.rng.random_range(0..NAMES.len());
        let is_root = key % OF_SESSION == 0;
        self.etcd.note(What::Meddled);
        self.etcd.header.revision += 1;
        let used = self.clients.iter().any(|client| {
            client.is_session() && (client.root..client.root + OF_SESSION).contains(&key)
        });
        if self.rng.random_bool(0.5) || !used {
            self.etcd.delete(key);
        } else if !is_root {
            let value = Bytes::from_static(b"forged");
            self.etcd.put(key, value, 0, By::Meddler);
        }
        self.stored();
    }
}
