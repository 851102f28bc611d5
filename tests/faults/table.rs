//! What is printed and stored of each row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checker::{Invariant, News, Outcome, Record, Verdict, What};
use crate::recording::Book;

/// How one row went.
pub struct Line {
    pub fault: &'static str,
    pub etcd: String,
    /// Endpoints that a consumer does not know in the end, over all consumers.
    pub lost: usize,
    /// Removals that a listener was told of and that never were.
    pub false_removals: usize,
    pub recovery: Option<Duration>,
    pub verdicts: Vec<Verdict>,
    /// What else is wrong, if anything is.
    pub problems: Vec<String>,
    /// Why it could not be run here.
    pub skipped: Option<String>,
    pub book: Book,
}

impl Line {
    pub fn is_good(&self) -> bool {
        self.skipped.is_some()
            || self.lost == 0
                && self.false_removals == 0
                && self.problems.is_empty()
                && !self.verdicts.is_empty()
                && !self.verdicts.iter().any(Verdict::is_broken)
    }

    fn verdict(&self) -> String {
        if let Some(why) = &self.skipped {
            return format!("skipped: {why}");
        }
        let broken = crate::checker::broken(&self.verdicts);
        if !broken.is_empty() {
            let names: Vec<String> = broken.iter().map(ToString::to_string).collect();
            return format!("BROKEN: {}", names.join(", "));
        }
        if !self.problems.is_empty() {
            return "FAILED".to_owned();
        }
        let not_judged: Vec<String> = self
            .verdicts
            .iter()
            .filter(|verdict| verdict.outcome == Outcome::NotApplicable)
            .map(|verdict| number(verdict.invariant))
            .collect();
        match not_judged.is_empty() {
            true => "I1-I12 held".to_owned(),
            false => format!("I1-I12 held (no case for {})", not_judged.join(", ")),
        }
    }

    /// What went wrong, with the end of the history.
    pub fn failure(&self, stored: &Path) -> String {
        const TAIL: usize = 40;
        let mut text = format!("--- {} on etcd {} ---\n", self.fault, self.etcd);
        for problem in &self.problems {
            let _ = writeln!(text, "{problem}");
        }
        for verdict in self.verdicts.iter().filter(|verdict| verdict.is_broken()) {
            let _ = writeln!(text, "{verdict}");
        }
        let lines = lines(&self.book);
        let from = lines.len().saturating_sub(TAIL);
        let _ = writeln!(
            text,
            "the end of its history, which is in {}:",
            stored.display()
        );
        for line in &lines[from..] {
            let _ = writeln!(text, "  {}", shortened(line));
        }
        text
    }

    /// Stores the history, one JSON object a line.
    pub fn store(&self, folder: &Path) -> io::Result<PathBuf> {
        let name: String = format!("{}-{}", self.fault, self.etcd)
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let path = folder.join(name + ".json");
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, lines(&self.book).join("\n") + "\n")?;
        Ok(path)
    }
}

fn number(invariant: Invariant) -> String {
    let name = invariant.to_string();
    name.split(' ').next().unwrap_or_default().to_owned()
}

fn shortened(line: &str) -> String {
    const LONGEST: usize = 240;
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}

/// The history as lines of JSON: first what the numbers stand for, then what happened.
fn lines(book: &Book) -> Vec<String> {
    let history = book.history();
    let clients = book.clients();
    let keys = (0..u32::try_from(history.keys()).expect("keys are few"))
        .map(|key| serde_json::json!({"key": key, "name": history.name(crate::checker::Key(key))}));
    let named = (0..)
        .zip(&clients)
        .map(|(client, name): (u32, _)| serde_json::json!({"client": client, "name": name}));
    let records = history.records().iter().enumerate().map(|(number, record)| {
        let Record { at, what } = record;
        serde_json::json!({"record": number, "at": at.as_secs_f64(), "what": format!("{what:?}")})
    });
    let all = keys.chain(named).chain(records);
    all.map(|value| value.to_string()).collect()
}

/// The table of all rows.
pub fn print(lines: &[Line]) {
    let heads = [
        "fault",
        "etcd",
        "lost",
        "false removals",
        "recovery",
        "verdicts",
    ];
    let rows: Vec<[String; 6]> = lines
        .iter()
        .map(|line| {
            let recovery = line
                .recovery
                .map(|time| format!("{:.1} s", time.as_secs_f64()));
            [
                line.fault.to_owned(),
                line.etcd.clone(),
                line.lost.to_string(),
                line.false_removals.to_string(),
                recovery.unwrap_or_else(|| "-".to_owned()),
                line.verdict(),
            ]
        })
        .collect();
    let mut widths = heads.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let show = |cells: Vec<&str>| {
        let cells = cells.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("{}", line.join("  ").trim_end());
    };
    show(heads.to_vec());
    for row in &rows {
        show(row.iter().map(String::as_str).collect());
    }
}

/// Removals that listeners were told of more often than they happened. The order does not matter here:
/// two tasks write down what is nearly simultaneous.
pub fn false_removals(book: &Book, listeners: &[(u32, u32)], silent: bool) -> usize {
    let history = book.history();
    // How often each key, and each endpoint, went.
    let mut gone: BTreeMap<String, usize> = BTreeMap::new();
    let mut present: BTreeMap<String, ()> = BTreeMap::new();
    let mut told: BTreeMap<(u32, String), usize> = BTreeMap::new();
    let endpoint = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    for Record { what, .. } in history.records() {
        match what {
            What::Put { key, .. } => {
                present.insert(history.name(*key).to_owned(), ());
            }
            What::Delete { key, .. } => {
                let name = history.name(*key).to_owned();
                present.remove(&name);
                *gone.entry(endpoint(&name)).or_default() += 1;
                *gone.entry(name).or_default() += 1;
            }
            What::Wiped => {
                for (name, ()) in std::mem::take(&mut present) {
                    *gone.entry(endpoint(&name)).or_default() += 1;
                    *gone.entry(name).or_default() += 1;
                }
            }
            What::Told {
                listener,
                news: News::Removed,
                key,
                ..
            } => {
                let name = history.name(*key).to_owned();
                *told.entry((*listener, name)).or_default() += 1;
            }
            _ => {}
        }
    }
    let of_endpoints = |listener: u32| {
        listeners
            .iter()
            .any(|(endpoints, _)| *endpoints == listener)
    };
    told.iter()
        .map(|((listener, name), told)| {
            let true_ones = match silent && of_endpoints(*listener) {
                true => 0,
                false => gone.get(name).copied().unwrap_or(0),
            };
            told.saturating_sub(true_ones)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::By;

    const ENDPOINTS: u32 = 0;
    const KEYS: u32 = 1;

    fn removed(book: &Book, listener: u32, name: &str) {
        let (news, key) = (News::Removed, book.key(name));
        book.push(What::Told {
            listener,
            news,
            key,
            revision: 0,
            value: 0,
        });
    }

    fn deleted(book: &Book, name: &str) {
        let (key, revision) = (book.key(name), 2);
        book.push(What::Delete { key, revision });
    }

    fn false_ones(book: &Book, silent: bool) -> usize {
        false_removals(book, &[(ENDPOINTS, KEYS)], silent)
    }

    #[test]
    fn a_removal_without_a_deletion_is_false_and_one_with_it_is_true() {
        let book = Book::new();
        removed(&book, KEYS, "top/s/e");
        removed(&book, ENDPOINTS, "e");
        assert_eq!(false_ones(&book, false), 2);
        deleted(&book, "top/s/e");
        assert_eq!(false_ones(&book, false), 0);
        removed(&book, ENDPOINTS, "e");
        assert_eq!(false_ones(&book, false), 1, "it went once only");
    }

    #[test]
    fn what_goes_with_a_wiped_store_is_gone() {
        let book = Book::new();
        book.push(What::Put {
            key: book.key("top/s/e"),
            revision: 1,
            value: 0,
            lease: 1,
            by: By::Unknown,
        });
        book.push(What::Wiped);
        removed(&book, ENDPOINTS, "e");
        removed(&book, KEYS, "top/s/e");
        assert_eq!(false_ones(&book, false), 0);
    }

    #[test]
    fn where_nobody_is_to_be_told_every_removal_of_an_endpoint_is_false() {
        let book = Book::new();
        deleted(&book, "top/s/e");
        removed(&book, KEYS, "top/s/e");
        removed(&book, ENDPOINTS, "e");
        assert_eq!(false_ones(&book, true), 1);
    }
}
