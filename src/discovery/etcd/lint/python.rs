//! What Python makes of text, where iPOPO leaves it to Python.

/// White space to `str.strip()`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// What `int()` strips: less than `str.strip()`.
fn strip_int(text: &str) -> &str {
    text.trim_matches(char::is_whitespace)
}

/// The zeros of the scripts whose digits Python reads (Unicode 14, as in Python 3.11); the nine
/// digits follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The digit of a character.
fn digit(c: char, radix: u32) -> Option<u32> {
    if let Some(digit) = c.to_digit(radix) {
        return Some(digit);
    }
    let code = u32::from(c);
    let zero = ZEROS.iter().rev().find(|zero| **zero <= code)?;
    Some(code - zero).filter(|digit| *digit < 10)
}

/// The longest text of digits that `int()` reads in base 10.
const MOST_DIGITS: usize = 4300;

/// Whether `int(text)` gives a number.
pub(super) fn is_int(text: &str) -> bool {
    let digits = strip_int(text);
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let count = digits.chars().filter(|c| *c != '_').count();
    count <= MOST_DIGITS && are_digits(digits, 10)
}

/// Digits, with single underscores between them.
fn are_digits(text: &str, radix: u32) -> bool {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| digit(c, radix).is_some());
    text.split('_').all(part)
}

/// Whether `uuid.UUID("urn:uuid:" + text, version=4)` gives an id.
pub(super) fn is_uuid(text: &str) -> bool {
    let text = format!("urn:uuid:{text}");
    let text = text.replace("urn:", "").replace("uuid:", "");
    let hex = text.trim_matches(['{', '}']).replace('-', "");
    if hex.chars().count() != 32 {
        return false;
    }
    let digits = strip_int(&hex);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let prefixed = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    // An underscore may stand behind the prefix.
    let digits = prefixed.map_or(digits, |rest| rest.strip_prefix('_').unwrap_or(rest));
    are_digits(digits, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as Python 3.11 answers.
    #[test]
    fn whole_numbers_are_what_python_takes_for_them() {
        for good in [
            "1", "-1", "+1", " 1\n", "1_000", "007", "١٢", "１", "\u{a0}5",
        ] {
            assert!(is_int(good), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "-",
            "1.0",
            "1e3",
            "_1",
            "1_",
            "1__0",
            "0x1",
            "+-1",
            "\u{1f}1",
            "\u{1f}１",
            "- 1",
            "²",
            "1 2",
        ] {
            assert!(!is_int(bad), "{bad:?}");
        }
        assert!(is_int(&"9".repeat(4300)) && !is_int(&"9".repeat(4301)));
    }

    /// Each as Python 3.11 answers.
    #[test]
    fn session_ids_are_what_python_takes_for_them() {
        for good in [
            "4469111c-91c2-4dba-b64f-750d14243fda",
            "4469111C91C24DBAB64F750D14243FDA",
            "{4469111c-91c2-4dba-b64f-750d14243fda}",
            "urn:uuid:4469111c-91c2-4dba-b64f-750d14243fda",
            "4-469111c91c24dbab64f750d14243fda",
            "4_69111c91c24dbab64f750d14243fda",
            " 469111c91c24dbab64f750d14243fda",
            "+469111c91c24dbab64f750d14243fda",
            "0x69111c91c24dbab64f750d14243fda",
            "0x_9111c91c24dbab64f750d14243fda",
            "４469111c91c24dbab64f750d14243fda",
        ] {
            assert_eq!(
                good.replace("urn:uuid:", "")
                    .replace(['-', '{', '}'], "")
                    .chars()
                    .count(),
                32
            );
            assert!(is_uuid(good), "{good:?}");
        }
        for bad in [
            "1-1-1-1-1",
            "4469111c-91c2-4dba-b64f-750d14243fda ",
            "_469111c91c24dbab64f750d14243fda",
            "g469111c91c24dbab64f750d14243fda",
            "0__9111c91c24dbab64f750d14243fda",
        ] {
            assert!(!is_uuid(bad), "{bad:?}");
        }
    }
}
