//! Comparing the value in a filter with the value of a property.
//!
//! The property's type says how (OSGi Core 8, section 3.2.7, "Filter
//! Syntax"; our rules F02 and F03).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::properties::Value;

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Equal,
    Approx,
    AtLeast,
    AtMost,
}

impl Operator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Approx => "~=",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
        }
    }

    /// Whether a property that stands in this order to the filter's value
    /// matches. Without an order the two cannot be compared.
    fn accepts(self, ordering: Option<Ordering>) -> bool {
        ordering.is_some_and(|ordering| match self {
            Self::Equal | Self::Approx => ordering.is_eq(),
            Self::AtLeast => ordering.is_ge(),
            Self::AtMost => ordering.is_le(),
        })
    }
}

/// The value in a filter, read once in each way in which matching needs it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    operator: Operator,
    text: Box<str>,
    integer: Option<i64>,
    // A Float is compared with the nearest Float and not with the nearest
    // Double: 1.1 is another number in each of the two.
    float: Option<f32>,
    double: Option<f64>,
    boolean: Option<bool>,
    character: Option<char>,
    /// The text without case and white space; empty unless `~=` needs it.
    folded: Box<str>,
}

impl Operand {
    pub(super) fn new(operator: Operator, text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let trimmed = text.trim();
        let mut chars = text.chars();
        let is = |word: &str| trimmed.eq_ignore_ascii_case(word);
        Self {
            operator,
            integer: trimmed.parse().ok(),
            float: trimmed.parse().ok(),
            double: trimmed.parse().ok(),
            boolean: is("true").then_some(true).or(is("false").then_some(false)),
            character: chars.next().filter(|_| chars.next().is_none()),
            folded: match operator {
                Operator::Approx => fold(&text).collect::<String>().into(),
                _ => Box::default(),
            },
            text,
        }
    }

    pub(super) fn operator(&self) -> Operator {
        self.operator
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the value, or one of its items, compares as asked for.
    pub(super) fn matches(&self, value: &Value) -> bool {
        match value {
            Value::String(s) if self.operator == Operator::Approx => {
                fold(s).eq(self.folded.chars())
            }
            Value::String(s) => self.accepts(Some(str::cmp(s, &self.text))),
            Value::Boolean(b) => self.matches_boolean(*b),
            Value::Byte(n) => self.matches_integer(i64::from(*n)),
            Value::Short(n) => self.matches_integer(i64::from(*n)),
            Value::Integer(n) => self.matches_integer(i64::from(*n)),
            Value::Long(n) => self.matches_integer(*n),
            Value::Float(n) => self.accepts(self.float.and_then(|f| {
                // Widening is exact, so one comparison serves both types.
                compare_floats(f64::from(*n), f64::from(f))
            })),
            Value::Double(n) => self.accepts(self.double.and_then(|f| compare_floats(*n, f))),
            Value::Character(c) => self.matches_character(*c),
            Value::Bytes(bytes) => bytes
                .iter()
                .any(|b| self.matches_integer(i64::from(b.cast_signed()))),
            Value::Array(array) => array.items().iter().any(|item| self.matches(item)),
            Value::List(items) | Value::Set(items) => items.iter().any(|item| self.matches(item)),
        }
    }

    fn accepts(&self, ordering: Option<Ordering>) -> bool {
        self.operator.accepts(ordering)
    }

    fn matches_integer(&self, n: i64) -> bool {
        self.accepts(self.integer.map(|wanted| n.cmp(&wanted)))
    }

    /// The truth values have no order: they are equal or they are not.
    fn matches_boolean(&self, b: bool) -> bool {
        matches!(self.operator, Operator::Equal | Operator::Approx) && self.boolean == Some(b)
    }

    fn matches_character(&self, c: char) -> bool {
        if self.operator == Operator::Approx {
            let mut buffer = [0; 4];
            return fold(c.encode_utf8(&mut buffer)).eq(self.folded.chars());
        }
        self.accepts(self.character.map(|wanted| c.cmp(&wanted)))
    }
}

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.operator == other.operator && self.text == other.text
    }
}

impl Eq for Operand {}

impl Hash for Operand {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operator.hash(state);
        self.text.hash(state);
    }
}

/// Floating point numbers in their order; NaN equals itself and has no order
/// to any other number.
fn compare_floats(a: f64, b: f64) -> Option<Ordering> {
    if a.is_nan() && b.is_nan() {
        return Some(Ordering::Equal);
    }
    a.partial_cmp(&b)
}

/// What `~=` compares: the text without white space and case.
///
/// Upper case first, because several small letters can share one capital
/// (`σ` and `ς`).
fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

/// A text with gaps: how it begins, what follows somewhere, how it ends.
///
/// The pieces in the middle are never empty, since `**` says no more than `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    first: Box<str>,
    middle: Box<[Box<str>]>,
    last: Box<str>,
}

impl Pattern {
    pub(super) fn new<S: AsRef<str>>(
        first: &str,
        middle: impl IntoIterator<Item = S>,
        last: &str,
    ) -> Self {
        Self {
            first: first.into(),
            middle: middle
                .into_iter()
                .filter(|piece| !piece.as_ref().is_empty())
                .map(|piece| piece.as_ref().into())
                .collect(),
            last: last.into(),
        }
    }

    /// Whether a string, or a string among the items, has this form. Other
    /// types have no substrings and do not match.
    pub(super) fn matches(&self, value: &Value) -> bool {
        match value {
            Value::String(s) => self.matches_text(s),
            Value::Array(array) => array.items().iter().any(|item| self.matches(item)),
            Value::List(items) | Value::Set(items) => items.iter().any(|item| self.matches(item)),
            _ => false,
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        let ends = text
            .strip_prefix(&*self.first)
            .and_then(|rest| rest.strip_suffix(&*self.last));
        let Some(mut rest) = ends else {
            return false;
        };
        // The leftmost place for each piece leaves the most for the next one,
        // so there is nothing to try again.
        self.middle.iter().all(|piece| match rest.find(&**piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.first)?;
        f.write_str("*")?;
        for piece in &self.middle {
            write_escaped(f, piece)?;
            f.write_str("*")?;
        }
        // A single star would mean presence, which matches other types too.
        if self.first.is_empty() && self.middle.is_empty() && self.last.is_empty() {
            f.write_str("*")?;
        }
        write_escaped(f, &self.last)
    }
}

/// Writes a value so that none of its characters has a meaning of its own.
pub(super) fn write_escaped(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '*', '(', ')']) {
        let (plain, special) = rest.split_at(at);
        let (special, after) = special.split_at(1);
        write!(f, "{plain}\\{special}")?;
        rest = after;
    }
    f.write_str(rest)
}
