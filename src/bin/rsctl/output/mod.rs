//! How results are shown: tables for people, JSON and YAML for programs.
//!
//! A command has one serializable value for each thing that it shows, and a table is another view
//! of the same values, so that no form tells more than another.

mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use self::table::{Table, printable};
use crate::advice::in_options;
use crate::failure::Failure;

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// For people; may change from version to version.
    #[default]
    Table,
    /// One JSON document, or one for each line of what goes on.
    Json,
    /// One YAML document, or several with `---` between of what goes on.
    Yaml,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ColorChoice {
    /// On a terminal, and if NO_COLOR is not set.
    #[default]
    Auto,
    /// Also in a pipe.
    Always,
    /// Nowhere.
    Never,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format, color: ColorChoice) -> Self {
        // anstream keeps this for the process: what it prints later, on stdout and on stderr, has
        // its colours or loses them by it.
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { format }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Shows values; `table` is called only if a table is wanted.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        value: &T,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        self.show_text(value, || table().to_string())
    }

    /// Shows a value that is no table for people either. The text may have colours.
    pub(crate) fn show_text<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&text()),
            Format::Json => print(&pretty_json(value)?),
            Format::Yaml => print(&yaml(value)?),
        }
    }

    /// Shows one of many values that come one after another: a line of text or JSON, or a YAML
    /// document. It is written at once.
    pub(crate) fn event<T: Serialize + ?Sized>(
        &self,
        value: &T,
        line: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&line()),
            Format::Json => print(&line_of_json(value)?),
            Format::Yaml => print(&format!("---\n{}", yaml(value)?)),
        }
    }

    /// Shows such a value of work that goes on whether or not somebody reads of it.
    pub(crate) fn tell<T: Serialize + ?Sized>(&self, value: &T, line: impl FnOnce() -> String) {
        heard(self.event(value, line));
    }
}

/// Takes what became of showing something for no end of the work, and says once that it is not
/// shown any more.
pub(crate) fn heard(shown: Result<(), Failure>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let Err(failure) = shown else { return };
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let why = match failure.to_string() {
        // As of a reader that has enough.
        text if text.is_empty() => "nobody reads stdout any more".to_owned(),
        text => text,
    };
    note(&format!("{why}; the work goes on"));
}

/// Writes a text to stdout, with a newline at its end, and flushes.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    if text.is_empty() || text.ends_with('\n') {
        write!(out, "{text}")?;
    } else {
        writeln!(out, "{text}")?;
    }
    out.flush()?;
    Ok(())
}

/// Says something on stderr that is no result: what will be done, how it goes on, what failed.
pub(crate) fn note(text: &str) {
    let text = in_options(text);
    // Where stderr takes no more, as a log on a full disk, the work goes on all the same.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A number of things, as in `1 key` and `2 keys`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// The terminal's width; `None` where there is no terminal, and nothing is to be wrapped.
pub(crate) fn width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    // A terminal that does not know its width, as some of automatic sessions, says 0.
    comfy_table::Table::new().width().filter(|width| *width > 0)
}

pub(crate) fn pretty_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(unserializable)?;
    Ok(escape_control(text))
}

fn line_of_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(unserializable)?;
    Ok(escape_control(text))
}

/// JSON escapes only some of the characters that steer a terminal; the others can stand in texts
/// alone, where an escape means the same.
fn escape_control(text: String) -> String {
    let steers = |c: char| c.is_control() && c != '\n';
    if !text.contains(steers) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(&value).map_err(unserializable)
}

fn unserializable(error: impl std::error::Error) -> Failure {
    Failure::failed(format!(
        "the result cannot be written in this form: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_alone_is_no_plural() {
        let counts = [0, 1, 2].map(|number: usize| counted(number, "key"));
        assert_eq!(counts, ["0 keys", "1 key", "2 keys"]);
    }

    #[test]
    fn json_steers_no_terminal_and_means_the_same() {
        let text = "a\u{9b}31m\u{7f}b\u{1b}c";
        let json = pretty_json(text).unwrap_or_default();
        assert_eq!(json, r#""a\u009b31m\u007fb\u001bc""#);
        assert_eq!(
            serde_json::from_str::<String>(&json).ok().as_deref(),
            Some(text)
        );
    }
}
