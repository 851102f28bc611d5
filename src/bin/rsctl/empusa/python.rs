//! How Python reads numbers, and how it writes numbers and JSON.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::failure::Failure;

/// More digits are no number to Python's `int`.
const MOST_DIGITS: usize = 4300;

/// White space at the ends of a text. Python counts four separators of ASCII to it.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f'))
}

/// Without the underscores that stand between digits; `None` if others do.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let fits = |at: usize| digit(at.checked_sub(1)) && digit(at.checked_add(1));
    let mut underscores = text.match_indices('_');
    underscores
        .all(|(at, _)| fits(at))
        .then(|| text.replace('_', ""))
}

/// What `int` reads, as sign and digits. Digits of other scripts than ASCII, which it reads too,
/// are no numbers here.
pub(super) fn int(text: &str) -> Option<String> {
    let text = without_underscores(strip(text))?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (number && digits.len() <= MOST_DIGITS).then_some(text)
}

/// What `float` reads.
pub(super) fn float(text: &str) -> Option<f64> {
    without_underscores(strip(text))?.parse().ok()
}

/// `format(number, "g")`: six digits, and an exponent where it is short.
pub(super) fn general(number: f64) -> String {
    const DIGITS: i32 = 6;
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or_default();
        return without_zeros(&format!("{number:.places$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let (mantissa, exponent) = (without_zeros(mantissa), exponent.abs());
    format!("{mantissa}e{sign}{exponent:02}")
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `json.dumps(value)`.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Spaced);
    value
        .serialize(&mut serializer)
        .map_err(|error| Failure::failed(format!("the list cannot be written as JSON: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A space behind commas and colons, and ASCII only.
struct Spaced;

impl Spaced {
    fn separate<W: io::Write + ?Sized>(writer: &mut W, first: bool) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }
}

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        Self::separate(writer, first)
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        Self::separate(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                write!(writer, "{c}")?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_as_python_reads_them() {
        for (text, read) in [
            ("12", "12"),
            (" +1_0\n", "+10"),
            ("-0", "-0"),
            ("007", "007"),
        ] {
            assert_eq!(int(text).unwrap(), read);
        }
        for text in ["", "+", "1_", "_1", "1__0", "1.0", "0x1", "1 2", "٣"] {
            assert_eq!(int(text), None, "{text:?}");
        }
        assert!(int(&"9".repeat(4300)).is_some());
        assert!(int(&"9".repeat(4301)).is_none());
    }

    #[test]
    fn other_numbers_are_read_as_python_reads_them() {
        for (text, read) in [
            ("1.5", 1.5),
            (" 1_0.2_5 ", 10.25),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e-2", 0.01),
            ("+Infinity", f64::INFINITY),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(float(text), Some(read), "{text:?}");
        }
        assert!(float("NaN").unwrap().is_nan());
        for text in ["", ".", "e5", "1_.5", "1e", "1,5", "infinit"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    /// The texts are those of Python 3.11.
    #[test]
    fn numbers_are_written_with_six_digits() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (12.5, "12.5"),
            (100_000.0, "100000"),
            (999_999.5, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (0.0001, "0.0001"),
            (0.000_012_3, "1.23e-05"),
            (1e23, "1e+23"),
            (1e-300, "1e-300"),
            (2.5e100, "2.5e+100"),
            (0.1 + 0.2, "0.3"),
            (123_456.5, "123456"),
            (100_001.5, "100002"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(general(number), text);
        }
    }

    #[test]
    fn json_has_spaces_and_ascii_only() {
        let value = serde_json::json!([{"a": "ü😀\u{7f}\u{1}\"\\/\n"}, [1, null], []]);
        assert_eq!(
            json(&value).unwrap(),
            r#"[{"a": "\u00fc\ud83d\ude00\u007f\u0001\"\\/\n"}, [1, null], []]"#
        );
    }
}
