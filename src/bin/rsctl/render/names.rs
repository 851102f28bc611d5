//! The names in a template, and where they stand.

/// A name in a tag of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    /// In bytes.
    pub(super) offset: usize,
    /// Whether its tag assigns something.
    pub(super) assigns: bool,
}

/// All names in tags that are no attributes and stand in no string.
///
/// The engine knows better which of them are variables. It does not tell where they stand, and it
/// takes `set x = x | sort` for a declaration of x alone.
pub(super) fn names(source: &str) -> Vec<Name<'_>> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find("{") {
        let start = at + found;
        let rest = &source[start..];
        let close = match rest.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                at = start + 1;
                continue;
            }
        };
        let body = start + 2;
        let end = if close == "#}" {
            source[body..].find(close).map(|end| body + end)
        } else {
            end_of_tag(source, body, close)
        };
        let end = end.unwrap_or(source.len());
        at = end;
        if close == "#}" {
            continue;
        }
        let before = names.len();
        in_tag(source, body, end, &mut names);
        let first = names.get(before).map(|name| name.text);
        if close == "%}" && first == Some("raw") {
            names.truncate(before);
            at = end_of_raw(source, end);
        } else if close == "%}" && matches!(first, Some("set" | "with")) {
            names[before..]
                .iter_mut()
                .for_each(|name| name.assigns = true);
        }
    }
    names
}

fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        at += found + 2;
        let word = source[at..].trim_start_matches(['-', '+', ' ', '\t', '\n']);
        if word.starts_with("endraw") {
            return at;
        }
    }
    source.len()
}

/// Where the tag's closing stands that is in no string.
fn end_of_tag(source: &str, from: usize, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in source[from..].char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if source[from + index..].starts_with(close) => return Some(from + index),
            None => {}
        }
    }
    None
}

fn in_tag<'a>(source: &'a str, from: usize, to: usize, names: &mut Vec<Name<'a>>) {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut chars = source[from..to].char_indices().peekable();
    let mut before = ' ';
    while let Some((index, c)) = chars.next() {
        if c == '"' || c == '\'' {
            let mut escaped = false;
            for (_, inner) in chars.by_ref() {
                match inner {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    inner if inner == c => break,
                    _ => {}
                }
            }
        } else if is_name(c) {
            let offset = from + index;
            let text = &source[offset..to];
            let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
            while chars
                .next_if(|(next, _)| from + next < offset + length)
                .is_some()
            {}
            if before != '.' && !c.is_numeric() {
                names.push(Name {
                    text: &text[..length],
                    offset,
                    assigns: false,
                });
            }
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
}

/// Line and column, both from 1, the column in characters.
pub(super) fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |text| text.chars().count())
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        names(source).into_iter().map(|name| name.text).collect()
    }

    #[test]
    fn names_stand_in_tags_outside_strings_and_comments() {
        assert_eq!(texts("a {{ b.c | d(e='f g }}') }} h"), ["b", "d", "e"]);
        assert_eq!(
            texts("{# a #}{% if b1 == 2 %}{%- endif -%}"),
            ["if", "b1", "endif"]
        );
        assert_eq!(texts("{ a } {{ b"), ["b"]);
        assert_eq!(texts(r#"{{ "a\"b" ~ c }}"#), ["c"]);
        assert_eq!(texts("{% raw %}{{ a }}{% endraw %}{{ b }}"), ["b"]);
    }

    #[test]
    fn names_in_assignments_are_known_as_such() {
        let source = "{% set a = b | sort %}{{ c }}";
        let assigned: Vec<_> = names(source)
            .into_iter()
            .map(|n| (n.text, n.assigns))
            .collect();
        let expected = [
            ("set", true),
            ("a", true),
            ("b", true),
            ("sort", true),
            ("c", false),
        ];
        assert_eq!(assigned, expected);
    }

    #[test]
    fn positions_count_characters() {
        let source = "ä\nöb{{ c }}";
        let offset = source.find('c').unwrap_or_default();
        assert_eq!(position(source, offset), (2, 6));
    }
}
