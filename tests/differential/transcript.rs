//! What each watch of a stream was told, taken apart from all that the stream carried.

use std::fmt::Write as _;
use std::ops::Range;

use etcd_client::proto::{PbEvent, PbWatchResponse};

use crate::request::Terms;

/// One watch from its creation to its end. An id that is used again makes another.
#[derive(Debug, Default)]
pub struct Told {
    id: i64,
    /// The answers that created and ended it, without their events.
    marks: Vec<PbWatchResponse>,
    pub canceled: bool,
    events: Vec<PbEvent>,
    /// The answers that carried the events.
    answers: Vec<Carried>,
    /// What no server may do.
    problems: Vec<String>,
    /// Whether the next answer continues the last one.
    fragment: bool,
}

/// An answer with events.
#[derive(Debug)]
struct Carried {
    /// Where among all events of the watch they are.
    events: Range<usize>,
    revision: i64,
    /// Whether the next answer continues it.
    fragment: bool,
}

/// All watches of a stream, in the order of their creation, and what belongs to none of them.
#[derive(Debug, Default)]
pub struct Stream {
    pub watches: Vec<Told>,
    pub progress: Vec<PbWatchResponse>,
    strays: Vec<PbWatchResponse>,
}

pub fn revision_of(event: &PbEvent) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

impl Stream {
    pub fn of(answers: &[PbWatchResponse]) -> Self {
        let mut stream = Self::default();
        for answer in answers {
            stream.take(answer);
        }
        stream
    }

    fn take(&mut self, answer: &PbWatchResponse) {
        if answer.created {
            let mut told = Told {
                id: answer.watch_id,
                ..Told::default()
            };
            told.take(answer);
            self.watches.push(told);
            return;
        }
        if !answer.canceled && answer.events.is_empty() {
            self.progress.push(answer.clone());
            return;
        }
        // One that was refused for its id shares the id of the one that lives.
        let with_id = |watch: &Told| watch.id == answer.watch_id;
        let living = self.watches.iter().rposition(|w| with_id(w) && !w.canceled);
        let of = living.or_else(|| self.watches.iter().rposition(with_id));
        match of {
            Some(index) => self.watches[index].take(answer),
            None => self.strays.push(answer.clone()),
        }
    }

    /// What no server may do, on any of its watches.
    pub fn problems(&self) -> Vec<String> {
        let strays = self
            .strays
            .iter()
            .map(|stray| format!("an answer for no watch: {stray:?}"));
        let of_watches = self.watches.iter().flat_map(|watch| watch.problems.clone());
        strays.chain(of_watches).collect()
    }
}

impl Told {
    fn take(&mut self, answer: &PbWatchResponse) {
        if self.canceled {
            self.problems.push(format!(
                "watch {}: an answer after its end: {answer:?}",
                self.id
            ));
        }
        if answer.created || answer.canceled {
            let mut mark = answer.clone();
            mark.events.clear();
            self.marks.push(mark);
        }
        self.canceled |= answer.canceled;
        if let (Some(last), Some(first)) = (self.last_revision(), answer.events.first()) {
            let first = revision_of(first);
            if first < last || (first == last && !self.fragment) {
                self.problems.push(format!(
                    "watch {}: revision {first} after {last} in an answer of its own",
                    self.id
                ));
            }
        }
        self.fragment = answer.fragment;
        let begin = self.events.len();
        self.events.extend(answer.events.iter().cloned());
        let header = answer.header.as_ref().map_or(0, |header| header.revision);
        if begin < self.events.len() {
            self.answers.push(Carried {
                events: begin..self.events.len(),
                revision: header,
                fragment: answer.fragment,
            });
        }
        if let (Some(last), true) = (self.last_revision(), !answer.events.is_empty())
            && header < last
        {
            self.problems.push(format!(
                "watch {}: an event of revision {last} in an answer of revision {header}",
                self.id
            ));
        }
    }

    pub fn id(&self) -> i64 {
        self.id
    }

    /// The revision of the newest event.
    pub fn last_revision(&self) -> Option<i64> {
        self.events.last().map(revision_of)
    }

    /// What the watch was told. How the events are spread over answers, and of which revisions those
    /// are, is shown of what was told as it happened; `live` says which revisions those are. What is
    /// read from the history comes in answers as large, and of a time, as each server likes.
    pub fn show(&self, terms: &Terms, live: &[(i64, i64)]) -> String {
        let created = self.marks.first().and_then(|mark| mark.header.as_ref());
        let created = created.map_or(0, |header| header.revision);
        let is_live = |event: &PbEvent| {
            let revision = revision_of(event);
            let is_in = |(after, to): &(i64, i64)| revision > *after && revision <= *to;
            revision > created && live.iter().any(is_in)
        };
        let mut text = String::new();
        for mark in &self.marks {
            let _ = writeln!(text, "{}", terms.show_watch(mark));
        }
        for answer in &self.answers {
            let events = &self.events[answer.events.clone()];
            if events.iter().any(is_live) {
                let fragment = if answer.fragment { " fragment" } else { "" };
                let revision = terms.show_rev(answer.revision);
                let _ = writeln!(text, "answer @{revision}{fragment}");
            }
            for event in events {
                let _ = writeln!(text, "{}", terms.show_event(event));
            }
        }
        text
    }
}
