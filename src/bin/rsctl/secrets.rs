//! What is secret in values, wherever they lie: the credentials of groups.
//!
//! A group is `{"name", "spec": {"username", "password", ...}, "created"}`, below whatever prefix
//! its owner chose, so it is known by its shape. Text that breaks off is looked at as well, for its
//! password is one all the same.

use std::ops::Range;

const HIDDEN: &str = "\"hidden\"";
const HIDDEN_AND_ANOTHER: &str = "\"hidden, and another\"";

/// The value with "hidden" in place of what is secret.
pub(crate) fn masked(value: &[u8]) -> Vec<u8> {
    replaced(value, |_| HIDDEN)
}

/// The same of a value that came after an earlier one; it says what is not as it was.
pub(crate) fn masked_after(old: &[u8], new: &[u8]) -> Vec<u8> {
    let before = secrets(old);
    replaced(new, |secret| {
        let same = |other: &&Secret| other.name == secret.name;
        match before.iter().find(same) {
            Some(other) if old.get(other.place.clone()) != new.get(secret.place.clone()) => {
                HIDDEN_AND_ANOTHER
            }
            _ => HIDDEN,
        }
    })
}

fn replaced(value: &[u8], word: impl Fn(&Secret) -> &'static str) -> Vec<u8> {
    let mut shown = Vec::with_capacity(value.len());
    let mut from = 0;
    for secret in secrets(value) {
        shown.extend_from_slice(value.get(from..secret.place.start).unwrap_or_default());
        shown.extend_from_slice(word(&secret).as_bytes());
        from = secret.place.end;
    }
    shown.extend_from_slice(value.get(from..).unwrap_or_default());
    shown
}

struct Secret {
    /// In lower case.
    name: String,
    place: Range<usize>,
}

/// The credentials in a value, in order. No credentials (an empty text) are no secret.
fn secrets(value: &[u8]) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut in_spec = false;
    let mut at = spaces(value, 0);
    if value.get(at) != Some(&b'{') {
        return found;
    }
    while let Some(byte) = value.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_spec &= depth >= 2;
            }
            b'"' => {
                let end = end_of_text(value, at);
                let colon = spaces(value, end);
                if value.get(colon) == Some(&b':') {
                    let start = spaces(value, colon + 1);
                    let name = text(value.get(at..end).unwrap_or_default()).to_lowercase();
                    if depth == 1 && name == "spec" {
                        in_spec = value.get(start) == Some(&b'{');
                    } else if in_spec && matches!(name.as_str(), "username" | "password") {
                        let place = start..end_of_value(value, start);
                        at = place.end;
                        let is_empty = matches!(value.get(place.clone()), Some(b"\"\"" | b""));
                        if !is_empty {
                            found.push(Secret { name, place });
                        }
                        continue;
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn spaces(value: &[u8], from: usize) -> usize {
    let rest = value.get(from..).unwrap_or_default();
    let count = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
    from + count.count()
}

/// Where the text that begins here ends, behind its quote, or all if it breaks off.
fn end_of_text(value: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = value.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    value.len()
}

/// Where the value that begins here ends: a text, a number or another word, or all that a list or an
/// object holds.
fn end_of_value(value: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = value.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(value, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

/// What a text in quotes says, escapes resolved.
fn text(quoted: &[u8]) -> String {
    serde_json::from_slice(quoted).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        String::from_utf8_lossy(&masked(value.as_bytes())).into_owned()
    }

    #[test]
    fn credentials_are_hidden_and_nothing_else_changes() {
        let group =
            r#"{"name":"g", "spec":{"username":"ada","password":"a\"b","tier":1},"created":"x"}"#;
        assert_eq!(
            shown(group),
            r#"{"name":"g", "spec":{"username":"hidden","password":"hidden","tier":1},"created":"x"}"#
        );
        for same in [
            r#"{"name":"g","spec":{"username":"","password":""}}"#,
            r#"{"username":"no group","password":"x"}"#,
            r#"{"spec":{"tier":"1"},"other":{"password":"x"}}"#,
            r#"{"spec":"password"}"#,
            "plain text",
            "",
        ] {
            assert_eq!(shown(same), same);
        }
    }

    #[test]
    fn credentials_are_found_however_they_are_written() {
        for group in [
            r#" { "Spec" : { "PassWord" : "s3cret" } } "#,
            r#"{"spec":{"p\u0061ssword":"s3cret"}}"#,
            r#"{"spec":{"labels":{"a":"b"},"password":{"s3cret":["s3cret"]},"x":1}}"#,
            r#"{"spec":{"password":"x","password":"s3cret"}}"#,
            r#"{"name":"cut","spec":{"password":"s3cret"#,
            r#"{"spec":{"password":s3cret}}"#,
        ] {
            let shown = shown(group);
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains("hidden"), "{shown}");
        }
    }

    #[test]
    fn another_password_is_told_without_either() {
        let group = |user: &str, word: &str| {
            format!(r#"{{"spec":{{"username":"{user}","password":"{word}"}}}}"#).into_bytes()
        };
        let after = masked_after(&group("ada", "old"), &group("ada", "new"));
        assert_eq!(after, group("hidden", "hidden, and another"));
        assert_eq!(masked(&group("ada", "old")), group("hidden", "hidden"));
        let same = masked_after(&group("ada", "old"), &group("ada", "old"));
        assert_eq!(same, group("hidden", "hidden"));
    }
}
