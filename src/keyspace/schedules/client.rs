//! A process of a world: one machine, with the connection that its shell would keep.

use std::time::{Duration, Instant};

use super::model::number;
use crate::keyspace::connect::{Failure, FailureKind};
use crate::keyspace::range::PageRequest;
use crate::keyspace::session::event::{self as session, Answer, Batch};
use crate::keyspace::session::machine::SessionMachine;
use crate::keyspace::watcher::event as watcher;
use crate::keyspace::watcher::machine::WatcherMachine;

/// A request on its way to the store.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Dial,
    Grant { lease: i64 },
    Renew { lease: i64 },
    Page(PageRequest),
    TimeToLive { lease: i64 },
    Write(Batch),
    Revoke { lease: i64 },
    Open { revision: i64 },
    Progress,
}

/// The request's kind, which tells what its failure looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dial,
    Grant,
    Renew,
    Page,
    TimeToLive,
    Write,
    Revoke,
    Open,
    Progress,
}

impl Request {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Dial => Kind::Dial,
            Self::Grant { .. } => Kind::Grant,
            Self::Renew { .. } => Kind::Renew,
            Self::Page(_) => Kind::Page,
            Self::TimeToLive { .. } => Kind::TimeToLive,
            Self::Write(_) => Kind::Write,
            Self::Revoke { .. } => Kind::Revoke,
            Self::Open { .. } => Kind::Open,
            Self::Progress => Kind::Progress,
        }
    }
}

/// What a machine is told.
#[derive(Debug)]
pub(super) enum Input {
    Session(session::Event),
    Watcher(watcher::Event),
}

impl Input {
    pub(super) const fn is_tick(&self) -> bool {
        matches!(
            self,
            Self::Session(session::Event::Tick) | Self::Watcher(watcher::Event::Tick)
        )
    }
}

#[derive(Debug)]
pub(super) enum Machine {
    Session(Box<SessionMachine>),
    Watcher(Box<WatcherMachine>),
}

impl Machine {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self {
            Self::Session(machine) => machine.next_wake(),
            Self::Watcher(machine) => machine.next_wake(),
        }
    }

    pub(super) const fn tick(&self) -> Input {
        match self {
            Self::Session(_) => Input::Session(session::Event::Tick),
            Self::Watcher(_) => Input::Watcher(watcher::Event::Tick),
        }
    }

    /// A call's failure, as the shell would tell it.
    pub(super) fn failed(&self, call: u64, kind: Kind) -> Input {
        let failure = super::model::failure(FailureKind::Unavailable);
        match self {
            Self::Session(_) => Input::Session(session::Event::Done {
                call,
                answer: failed_answer(kind, failure),
            }),
            Self::Watcher(_) => Input::Watcher(match kind {
                Kind::Dial => watcher::Event::Dialled {
                    call,
                    result: Err(failure),
                },
                Kind::Page => watcher::Event::Page {
                    call,
                    result: Err(failure),
                },
                _ => watcher::Event::Watch {
                    call,
                    result: Err(failure),
                },
            }),
        }
    }
}

const fn failed_answer(kind: Kind, failure: Failure) -> Answer {
    match kind {
        Kind::Grant => Answer::Granted(Err(failure)),
        Kind::Renew => Answer::Renewed(Err(failure)),
        Kind::Page => Answer::Page(Err(failure)),
        Kind::TimeToLive => Answer::TimeToLive(Err(failure)),
        Kind::Write => Answer::Written(Err(failure)),
        Kind::Revoke => Answer::Revoked(Err(failure)),
        Kind::Dial | Kind::Open | Kind::Progress => Answer::Dialled(Err(failure)),
    }
}

/// The server's side of a watch.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u64,
    pub(super) call: u64,
    /// The revision to send next, and how many of its changes were sent.
    pub(super) next: i64,
    pub(super) sent: usize,
    /// A message is scheduled.
    pub(super) busy: bool,
    /// Requests for progress stay without an answer (etcd issue 17507).
    pub(super) mute: bool,
    /// An answer to a request for progress is due once all is sent.
    pub(super) owes_progress: bool,
}

/// What is wrong with a client's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) requests: bool,
    pub(super) answers: bool,
    /// What is under way waits for the healing, instead of being lost.
    pub(super) holds: bool,
    pub(super) until: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) machine: Machine,
    /// Whether it runs: killed and closed ones stay for the record.
    pub(super) alive: bool,
    pub(super) closing: bool,
    /// The session key's number.
    pub(super) root: usize,
    /// Counts connections. What belongs to an earlier one concerns nobody any more.
    pub(super) connection: u64,
    pub(super) open: Vec<(u64, Kind)>,
    pub(super) stream: Option<Stream>,
    pub(super) cut: Cut,
    pub(super) stalled_until: u64,
    /// How much its clock has lost.
    pub(super) lag: u64,
    pub(super) wake_at: u64,
    pub(super) claim: Option<(i64, u64)>,
    pub(super) wants: [Option<u8>; super::model::OF_SESSION],
    /// Callers who wait for a key to be written.
    pub(super) waiting: Vec<u64>,
    /// What a broken client's wrapper remembers.
    pub(super) bend: super::broken::Memory,
}

impl Client {
    pub(super) fn new(machine: Machine, root: usize) -> Self {
        Self {
            machine,
            alive: true,
            closing: false,
            root,
            connection: 0,
            open: Vec::new(),
            stream: None,
            cut: Cut::default(),
            stalled_until: 0,
            lag: 0,
            wake_at: u64::MAX,
            claim: None,
            wants: [None; super::model::OF_SESSION],
            waiting: Vec::new(),
            bend: super::broken::Memory::default(),
        }
    }

    /// The client's own clock.
    pub(super) fn clock(&self, base: Instant, now: u64) -> Instant {
        base + Duration::from_micros(now.saturating_sub(self.lag))
    }

    /// A time of the client's own clock, in the world's.
    pub(super) fn world_time(&self, base: Instant, at: Instant) -> u64 {
        let micros = at.saturating_duration_since(base).as_nanos().div_ceil(1000);
        u64::try_from(micros).unwrap_or(u64::MAX / 2) + self.lag
    }

    pub(super) const fn is_session(&self) -> bool {
        matches!(self.machine, Machine::Session(_))
    }

    /// Whether it is a session that is to stay.
    pub(super) const fn wants_on(&self) -> bool {
        self.is_session() && self.alive && !self.closing
    }

    pub(super) const fn is_cut(&self, now: u64) -> bool {
        now < self.cut.until
    }

    pub(super) fn disconnect(&mut self) {
        self.connection += 1;
        self.open.clear();
        self.stream = None;
    }

    /// Takes a call as answered. Returns false when it was given up before.
    pub(super) fn close_call(&mut self, call: u64) -> bool {
        let at = self.open.iter().position(|(open, _)| *open == call);
        at.map(|at| self.open.swap_remove(at)).is_some()
    }
}

/// The keys that a watcher's machine takes for delivered.
pub(super) fn view(machine: &WatcherMachine) -> Vec<(super::checker::Key, i64)> {
    machine
        .delivered()
        .map(|(key, revision)| (super::model::key(number(key)), revision))
        .collect()
}
