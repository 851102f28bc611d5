//! What would change in a file.

use anstyle::{AnsiColor, Style};
use similar::TextDiff;

use crate::output::printable;

/// A unified diff.
pub(super) fn unified(file: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let new_name = format!("{file} (new)");
    diff.unified_diff().header(file, &new_name).to_string()
}

/// The same for people.
pub(super) fn coloured(diff: &str) -> String {
    let lines: Vec<String> = diff
        .lines()
        .map(|line| {
            let style: Style = match line.as_bytes().first() {
                Some(b'+') => AnsiColor::Green.on_default(),
                Some(b'-') => AnsiColor::Red.on_default(),
                Some(b'@') => AnsiColor::Cyan.on_default(),
                _ => return printable(line),
            };
            format!("{style}{}{style:#}", printable(line))
        })
        .collect();
    lines.join("\n")
}
