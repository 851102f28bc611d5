//! What a world finds out that the checker has no word for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::recording::Book;

/// What is wrong, and how calls went: shared by everybody in a world, as its book is.
#[derive(Clone)]
pub(crate) struct Findings {
    book: Book,
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    /// Of calls: how often each was carried out.
    carried_out: BTreeMap<i64, u32>,
    calls: BTreeMap<&'static str, u64>,
}

impl Findings {
    pub(crate) fn new(book: Book) -> Self {
        Self {
            book,
            found: Arc::default(),
        }
    }

    pub(crate) const fn book(&self) -> &Book {
        &self.book
    }

    /// Writes down what may not be.
    pub(crate) fn wrong(&self, what: String) {
        self.book.say(|| format!("WRONG: {what}"));
        self.found.lock().wrong.push(what);
    }

    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.found.lock().wrong.clone()
    }

    /// A service begins with a call.
    pub(crate) fn carry_out(&self, call: i64) {
        let times = {
            let mut found = self.found.lock();
            let times = found.carried_out.entry(call).or_default();
            *times += 1;
            *times
        };
        if times > 1 {
            self.wrong(format!("call {call} was carried out {times} times"));
        }
    }

    /// A call ended in this way.
    pub(crate) fn called(&self, outcome: &'static str) {
        *self.found.lock().calls.entry(outcome).or_default() += 1;
    }

    /// How calls ended, and how often.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.found.lock().calls.clone()
    }
}
