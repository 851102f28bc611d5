//! What a world writes down, for the checker and for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::checker::{Client, History, Key, What};

/// The history of one world, shared by everybody who adds to it.
#[derive(Clone)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

struct Pages {
    start: Instant,
    history: History,
    clients: Client,
    /// What the checker has no word for, and is wrong all the same.
    wrong: Vec<String>,
    /// Of calls: how often each was carried out.
    carried_out: BTreeMap<i64, u32>,
    calls: BTreeMap<&'static str, u64>,
    trace: Option<Vec<String>>,
}

impl Book {
    pub(crate) fn new(trace: bool) -> Self {
        Self(Arc::new(Mutex::new(Pages {
            start: Instant::now(),
            history: History::default(),
            clients: 0,
            wrong: Vec::new(),
            carried_out: BTreeMap::new(),
            calls: BTreeMap::new(),
            trace: trace.then(Vec::new),
        })))
    }

    /// The number of a new client.
    pub(crate) fn client(&self, name: impl FnOnce() -> String) -> Client {
        let number = {
            let mut pages = self.0.lock();
            pages.clients += 1;
            pages.clients - 1
        };
        self.say(|| format!("client {number} is {}", name()));
        number
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        self.0.lock().history.key(name)
    }

    pub(crate) fn push(&self, what: What) {
        self.push_at(Instant::now(), what);
    }

    /// Adds what was true at a moment that has just passed.
    pub(crate) fn push_at(&self, at: Instant, what: What) {
        let mut pages = self.0.lock();
        let since = pages.since_start(at);
        if pages.trace.is_some() {
            let line = pages.words(&what);
            pages.add(line);
        }
        pages.history.push(since, what);
    }

    /// A moment as the history counts it.
    pub(crate) fn at(&self, at: Instant) -> Duration {
        self.0.lock().since_start(at)
    }

    pub(crate) fn history(&self) -> History {
        self.0.lock().history.clone()
    }

    /// What happened, for people; made only if somebody wants to know.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        let mut pages = self.0.lock();
        if pages.trace.is_some() {
            let line = what();
            pages.add(line);
        }
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.0.lock().trace.clone().unwrap_or_default()
    }

    /// Writes down what may not be.
    pub(crate) fn wrong(&self, what: String) {
        self.say(|| format!("WRONG: {what}"));
        self.0.lock().wrong.push(what);
    }

    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.0.lock().wrong.clone()
    }

    /// A service begins with a call.
    pub(crate) fn carry_out(&self, call: i64) {
        let times = {
            let mut pages = self.0.lock();
            let times = pages.carried_out.entry(call).or_default();
            *times += 1;
            *times
        };
        if times > 1 {
            self.wrong(format!("call {call} was carried out {times} times"));
        }
    }

    /// A call ended in this way.
    pub(crate) fn called(&self, outcome: &'static str) {
        *self.0.lock().calls.entry(outcome).or_default() += 1;
    }

    /// How calls ended, and how often.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().calls.clone()
    }
}

impl Pages {
    fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    fn add(&mut self, line: String) {
        let now = self.start.elapsed();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8.3} {line}", now.as_secs_f64()));
        }
    }

    /// A record with names in the place of the numbers of keys.
    fn words(&self, what: &What) -> String {
        let name = |key: &Key| self.history.name(*key).to_owned();
        match what {
            What::Put {
                key,
                revision,
                lease,
                ..
            } => {
                format!("put {} at {revision} under {lease:x}", name(key))
            }
            What::Delete { key, revision } => format!("delete {} at {revision}", name(key)),
            What::Wants { client, key, value } => {
                let verb = if value.is_some() { "wants" } else { "wants no" };
                format!("client {client} {verb} {}", name(key))
            }
            What::Told {
                listener,
                news,
                key,
                revision,
                ..
            } => {
                format!(
                    "client {listener} is told {news:?} of {} at {revision}",
                    name(key)
                )
            }
            What::Read { entries, living } => {
                let keys: Vec<_> = entries.iter().map(|e| (name(&e.key), e.revision)).collect();
                format!("a read shows {keys:?} and leases {living:x?}")
            }
            What::View { listener, entries } => {
                let keys: Vec<_> = entries.iter().map(|(key, at)| (name(key), *at)).collect();
                format!("client {listener} sees {keys:?}")
            }
            other => format!("{other:?}"),
        }
    }
}
