//! The book: a history in the making.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::checker::{Client, History, Key, What};

/// A history, shared by everybody who adds to it.
#[derive(Clone)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

struct Pages {
    start: Instant,
    history: History,
    /// By the numbers of clients: what each of them is, for people.
    clients: Vec<String>,
    /// What happened, for people, if they want to know.
    trace: Option<Vec<String>>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self::begin(None)
    }

    /// A book that also tells people what is written into it.
    pub(crate) fn traced() -> Self {
        Self::begin(Some(Vec::new()))
    }

    fn begin(trace: Option<Vec<String>>) -> Self {
        Self(Arc::new(Mutex::new(Pages {
            start: Instant::now(),
            history: History::default(),
            clients: Vec::new(),
            trace,
        })))
    }

    /// The number of a new client.
    pub(crate) fn client(&self, name: impl Into<String>) -> Client {
        let mut pages = self.0.lock();
        let (number, name) = (pages.clients.len(), name.into());
        if pages.trace.is_some() {
            pages.add(format!("client {number} is {name}"));
        }
        pages.clients.push(name);
        Client::try_from(number).unwrap()
    }

    /// By their numbers: what the clients are.
    pub(crate) fn clients(&self) -> Vec<String> {
        self.0.lock().clients.clone()
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

    /// Tells people what is no record; made only if somebody wants to know.
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
