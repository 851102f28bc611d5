//! What can be wrong with a filter, told so that its author finds the place.

use std::fmt;

/// A text that is no filter, or parts that make none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The text does not follow the grammar. The alternate form (`{:#}`) adds
    /// the text and a caret on lines of their own.
    #[error(transparent)]
    Syntax(Box<SyntaxError>),
    /// The filter is longer than [`MAX_LENGTH`](super::MAX_LENGTH), as given
    /// or in its normal form.
    #[error("the filter has {length} bytes, more than {limit}: split it into several filters")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most bytes allowed.
        limit: usize,
    },
    /// Filters are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error(
        "the filter is nested more than {limit} levels deep: give '&' and '|' several operands instead"
    )]
    TooDeep {
        /// The most levels allowed.
        limit: usize,
    },
    /// The name given to a constructor cannot stand in a filter.
    #[error("'{name}' is no attribute name: {reason}")]
    Name {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// [`Filter::and`](super::Filter::and) or [`Filter::or`](super::Filter::or)
    /// was given nothing to join.
    #[error("'{operator}' joins no filters: give it at least one")]
    NoOperands {
        /// `&` or `|`.
        operator: char,
    },
}

/// The place at which a text stops being a filter.
///
/// On one line it reads well in a log, with the text cut to the
/// neighbourhood of the mistake; the alternate form puts a caret under it:
///
/// ```
/// use osgi_remote::filter::Filter;
///
/// let error = Filter::parse("(&(a=1)(b>2))").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "bad filter at column 11: found '2', expected '=' after '>' in: (&(a=1)(b>2))",
/// );
/// assert_eq!(
///     format!("{error:#}"),
///     "bad filter at column 11: found '2', expected '=' after '>'\n\
///      \x20 (&(a=1)(b>2))\n\
///      \x20           ^",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyntaxError {
    /// The whole text.
    pub text: String,
    /// Where the mistake is: bytes before it.
    pub offset: usize,
    /// Where the mistake is: its character, counted from 1.
    pub column: usize,
    /// The character found there; `None` at the end of the text.
    pub found: Option<char>,
    /// What could have stood there.
    pub expected: &'static str,
}

impl std::error::Error for SyntaxError {}

/// Characters shown on each side of the mistake.
const CONTEXT: usize = 40;

impl SyntaxError {
    /// The text around the mistake, and the mistake's index in it.
    ///
    /// Control characters are replaced, so that a hostile text can neither
    /// break a log's lines nor shift the caret.
    fn excerpt(&self) -> (String, usize) {
        let at = self.column - 1;
        let start = at.saturating_sub(CONTEXT);
        let mut rest = self.text.chars().skip(start);
        let mut excerpt = String::new();
        if start > 0 {
            excerpt.push('…');
        }
        let caret = at - start + usize::from(start > 0);
        excerpt.extend(rest.by_ref().take(at - start + CONTEXT).map(printable));
        if rest.next().is_some() {
            excerpt.push('…');
        }
        (excerpt, caret)
    }
}

fn printable(c: char) -> char {
    if c.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad filter at column {}: found ", self.column)?;
        match self.found {
            Some(c) if c.is_control() => write!(f, "U+{:04X}", u32::from(c))?,
            Some(c) => write!(f, "'{c}'")?,
            None => f.write_str("the end of the text")?,
        }
        write!(f, ", expected {}", self.expected)?;
        let (excerpt, caret) = self.excerpt();
        if f.alternate() {
            write!(f, "\n  {excerpt}\n  {:caret$}^", "")
        } else {
            write!(f, " in: {excerpt}")
        }
    }
}
