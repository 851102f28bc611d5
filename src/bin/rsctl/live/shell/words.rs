//! Lines of the shell, as commands and words.

/// Splits a line into commands, which are separated by `;` or line ends, and these into words.
///
/// `'…'` keeps everything as it is, `"…"` all but `\"` and `\\`; elsewhere `\` takes the next
/// character as it is, and a `#` at the beginning of a word begins a comment.
///
/// # Errors
///
/// If a quote is not closed, or a `\` stands at the end.
pub(super) fn commands(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' | '\n' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            c if c.is_whitespace() => words.extend(word.take()),
            // The rest of the line.
            '#' if word.is_none() => {
                if chars.by_ref().any(|c| c == '\n') {
                    commands.push(std::mem::take(&mut words));
                }
            }
            '\'' => quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("there is nothing after the last '\\'".to_owned()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    Ok(commands)
}

/// A command that `commands` reads as these words.
pub(super) fn joined(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| in_quotes(word)).collect();
    words.join(" ")
}

fn in_quotes(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, ';' | '#' | '\'' | '"' | '\\');
    match word {
        word if !word.is_empty() && !word.contains(special) => word.to_owned(),
        word if !word.contains('\'') => format!("'{word}'"),
        word => format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\"")),
    }
}

fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err("a ' is not closed".to_owned())
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a \" is not closed".to_owned())
}

/// The words before the cursor and the one that is being written, with where it begins; for
/// completion, which helps with words without quotes.
pub(super) fn before_cursor(line: &str) -> (Vec<&str>, &str, usize) {
    let command = line.rfind(';').map_or(0, |at| at + 1);
    let rest = &line[command..];
    let start = rest.rfind(char::is_whitespace).map_or(0, |at| {
        at + rest[at..].chars().next().map_or(1, char::len_utf8)
    });
    let (before, partial) = rest.split_at(start);
    (
        before.split_whitespace().collect(),
        partial,
        command + start,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_into_commands_and_words() {
        for (line, expected) in [
            ("", vec![]),
            ("  # nothing", vec![]),
            ("sl", vec![vec!["sl"]]),
            (" sl ;; lexps  x ", vec![vec!["sl"], vec!["lexps", "x"]]),
            ("a # b\nc", vec![vec!["a"], vec!["c"]]),
            ("a#b ''", vec![vec!["a#b", ""]]),
            (
                r#"m '"a; b"' "c'\"\\\n""#,
                vec![vec!["m", r#""a; b""#, r#"c'"\\n"#]],
            ),
            (r"a\ b\;c", vec![vec!["a b;c"]]),
            (r#"x=1'2'"3""#, vec![vec!["x=123"]]),
        ] {
            assert_eq!(commands(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn words_are_joined_as_they_are_read() {
        for line in [
            "sl",
            r#"call a.A m '"a; b"' '' 'x#'"#,
            r#"m "it's \\ \"" a=b"#,
        ] {
            let read = commands(line).unwrap();
            let line = joined(&read[0]);
            assert_eq!(commands(&line).unwrap(), read, "{line}");
        }
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for (line, part) in [
            ("a 'b", "' is"),
            ("a \"b", "\" is"),
            ("\"\\", "\" is"),
            ("a\\", "\\"),
        ] {
            let error = commands(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn the_word_at_the_cursor_is_found() {
        assert_eq!(before_cursor("li"), (vec![], "li", 0));
        assert_eq!(before_cursor("lexps 47"), (vec!["lexps"], "47", 6));
        assert_eq!(before_cursor("lexps "), (vec!["lexps"], "", 6));
        assert_eq!(before_cursor("sl; lexps é "), (vec!["lexps", "é"], "", 13));
        assert_eq!(before_cursor("sl;le"), (vec![], "le", 3));
    }
}
