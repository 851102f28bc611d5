//! Differences, and how they are shown.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::output::printable;
use crate::secrets;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What the registry is compared with.
    file: String,
    /// How many are only in the registry.
    added: usize,
    /// How many are only in the file.
    removed: usize,
    /// How many are in both and differ.
    changed: usize,
    differences: Vec<Difference>,
}

/// One endpoint or key that is not the same in the registry and in the file.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    change: Change,
    /// The endpoint's id, or the key.
    name: String,
    /// The key that carries it in the registry, where the name is an endpoint's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<PropertyChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<ValueChange>,
    /// Whether a lease ends it, if that is not as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    leased: Option<LeasedChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// Only in the registry.
    Added,
    /// Only in the file.
    Removed,
    /// In both.
    Changed,
}

/// A property of an endpoint; `null` where it is not there.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct PropertyChange {
    pub(super) name: String,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// Whether a key is under a lease. Which one is no difference: a session has another after a restart.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LeasedChange {
    pub(super) old: bool,
    pub(super) new: bool,
}

/// A value that is no endpoint: as text, or by its size where it is none.
#[derive(Debug, Serialize)]
pub(super) struct ValueChange {
    old: String,
    new: String,
}

impl ValueChange {
    /// Without what is secret in them.
    pub(super) fn new(old: &[u8], new: &[u8]) -> Self {
        let (old, new) = (&*secrets::masked(old), &*secrets::masked_after(old, new));
        let texts = (std::str::from_utf8(old), std::str::from_utf8(new));
        let (old, new) = match texts {
            (Ok(old), Ok(new)) => (old.to_owned(), new.to_owned()),
            _ => (bytes(old), bytes(new)),
        };
        Self { old, new }
    }
}

/// The first bytes; two values of one size must not look the same.
fn bytes(value: &[u8]) -> String {
    const MOST: usize = 16;
    let hex: String = value
        .iter()
        .take(MOST)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let more = if value.len() > MOST { "…" } else { "" };
    format!("({} bytes, {hex}{more})", value.len())
}

impl Difference {
    pub(super) fn new(change: Change, name: impl Into<String>) -> Self {
        Self {
            change,
            name: name.into(),
            key: None,
            about: None,
            properties: Vec::new(),
            value: None,
            leased: None,
        }
    }

    pub(super) fn key(mut self, key: String) -> Self {
        self.key = Some(key);
        self
    }

    pub(super) fn about(mut self, about: String) -> Self {
        self.about = Some(about);
        self
    }

    pub(super) fn properties(mut self, properties: Vec<PropertyChange>) -> Self {
        self.properties = properties;
        self
    }

    pub(super) fn value(mut self, value: ValueChange) -> Self {
        self.value = Some(value);
        self
    }

    pub(super) fn leased(mut self, leased: Option<LeasedChange>) -> Self {
        self.leased = leased;
        self
    }

    pub(super) fn is_extra(&self) -> bool {
        self.change == Change::Added
    }
}

const PLUS: Style = AnsiColor::Green.on_default();
const MINUS: Style = AnsiColor::Red.on_default();
const TILDE: Style = AnsiColor::Yellow.on_default();

impl Report {
    pub(super) fn new(file: &str, differences: Vec<Difference>) -> Self {
        let count = |change| differences.iter().filter(|d| d.change == change).count();
        Self {
            file: file.to_owned(),
            added: count(Change::Added),
            removed: count(Change::Removed),
            changed: count(Change::Changed),
            differences,
        }
    }

    pub(super) fn differs(&self) -> bool {
        !self.differences.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for difference in &self.differences {
            difference.write(&mut text);
        }
        text
    }
}

impl Difference {
    fn write(&self, text: &mut String) {
        let (style, mark) = match self.change {
            Change::Added => (PLUS, '+'),
            Change::Removed => (MINUS, '-'),
            Change::Changed => (TILDE, '~'),
        };
        let about = match &self.about {
            Some(about) => format!("  {}", printable(about)),
            None => String::new(),
        };
        line(
            text,
            style,
            &format!("{mark} {}{about}", printable(&self.name)),
        );
        for PropertyChange { name, old, new } in &self.properties {
            for (style, mark, value) in [(MINUS, '-', old), (PLUS, '+', new)] {
                if let Some(value) = value {
                    let (name, value) = (printable(name), printable(value));
                    line(text, style, &format!("  {mark} {name} = {value}"));
                }
            }
        }
        if let Some(LeasedChange { old, new }) = self.leased {
            for (style, mark, leased) in [(MINUS, '-', old), (PLUS, '+', new)] {
                let what = if leased { "a" } else { "no" };
                line(text, style, &format!("  {mark} under {what} lease"));
            }
        }
        if let Some(ValueChange { old, new }) = &self.value {
            for change in TextDiff::from_lines(old, new).iter_all_changes() {
                let (style, mark) = match change.tag() {
                    ChangeTag::Delete => (MINUS, '-'),
                    ChangeTag::Insert => (PLUS, '+'),
                    ChangeTag::Equal => (Style::new(), ' '),
                };
                let value = printable(change.value().trim_end_matches('\n'));
                line(text, style, &format!("  {mark} {value}"));
            }
        }
    }
}

fn line(text: &mut String, style: Style, line: &str) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{style}{line}{style:#}");
}
