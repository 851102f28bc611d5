//! Filters: conditions on properties in the syntax of LDAP (OSGi Core 8,
//! section 3.2.7, "Filter Syntax").
//!
//! ```
//! use osgi_remote::filter::Filter;
//! use osgi_remote::props;
//!
//! let filter = Filter::parse("(&(objectClass=org.example.*)(!(port<=1024)))")?;
//! assert!(filter.matches(&props! { "objectclass" => "org.example.Hello", "port" => 8080_i32 }));
//! assert!(!filter.matches(&props! { "objectclass" => "org.example.Hello", "port" => 80_i32 }));
//! # Ok::<(), osgi_remote::filter::FilterError>(())
//! ```
//!
//! # Syntax
//!
//! | Text | Matches if |
//! |---|---|
//! | `(&(..)(..))` | all operands match |
//! | <code>(\|(..)(..))</code> | at least one operand matches |
//! | `(!(..))` | the operand does not match |
//! | `(name=value)` | the property equals the value |
//! | `(name~=value)` | likewise, without regard to case and white space |
//! | `(name>=value)`, `(name<=value)` | the property is at least, or at most, the value |
//! | `(name=a*b*c)` | a string begins with `a`, has `b` further on, and ends with `c` |
//! | `(name=*)` | there is such a property, whatever its type; also an empty list |
//!
//! White space may stand around parentheses, operators and names. After the
//! comparison operator it belongs to the value. Names ignore case, may have
//! spaces inside, and have none of `= > < ~ ( )`. Within a value `\`, `(` and
//! `)` are escaped by a `\` before them, and so is `*` after `=`. An operator
//! that no `(` follows begins a name: `(!a=b)` asks for a property `!a`.
//!
//! # Comparison
//!
//! The property's type says how. Where the value cannot be read as that type
//! the comparison is false; it is never an error.
//!
//! | Property | Value |
//! |---|---|
//! | `String` | as it is; case and white space count, order is by code point |
//! | `Byte`, `Short`, `Integer`, `Long` | a whole number of 64 bits, spaces around it ignored |
//! | `Float`, `Double` | a number, spaces around it ignored; NaN equals itself only |
//! | `Boolean` | `true` or `false` without case, spaces ignored; `>=` and `<=` are false |
//! | `Character` | one character, as it is; with `~=` without case |
//! | arrays, lists, sets | one item that matches is enough, each by its own type |
//!
//! Substrings are found in strings, and strings in collections, only:
//! `(n=1*)` is false for a number, and so is `(n=**)`.

mod compare;
mod error;
mod parse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_random;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::properties::{Properties, same_name};
use compare::{Operand, Operator, Pattern, write_escaped};

pub use error::{FilterError, SyntaxError};

/// The most bytes that a filter may have, as text and in its normal form.
pub const MAX_LENGTH: usize = 65_536;

/// The most levels of parentheses that a filter may have.
///
/// Parsing, matching, printing and dropping go down level by level, and none
/// of them may exhaust a stack because of what a stranger wrote.
pub const MAX_DEPTH: usize = 128;

/// A condition on properties.
///
/// A filter never changes, and cloning one copies a pointer. Two filters are
/// equal if they have the same form: `(a=1)` equals `( A =1)`, but not
/// `(&(a=1))`. [`Display`](fmt::Display) prints the normal form, which has no
/// white space to spare and parses to an equal filter.
///
/// Matching neither blocks nor allocates.
///
/// ```
/// use osgi_remote::filter::Filter;
///
/// let filter: Filter = " ( & ( a = b) (c=\\*) ) ".parse()?;
/// assert_eq!(filter.to_string(), r"(&(a= b)(c=\*))");
/// # Ok::<(), osgi_remote::filter::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Filter(Arc<Inner>);

struct Inner {
    node: Node,
    /// Levels of parentheses, this one included.
    depth: usize,
    /// Bytes of the normal form. A filter that shares an operand many times
    /// over counts it each time, which bounds the work of matching.
    length: usize,
}

#[derive(PartialEq, Eq, Hash)]
enum Node {
    And(Box<[Filter]>),
    Or(Box<[Filter]>),
    Not(Filter),
    Present(Name),
    Compare(Name, Operand),
    Substring(Name, Pattern),
}

/// An attribute's name; two that differ in case only are equal.
struct Name(Box<str>);

/// Whether a character cannot stand in an attribute's name.
fn is_reserved(c: char) -> bool {
    matches!(c, '=' | '>' | '<' | '~' | '(' | ')')
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// If the text does not follow the grammar, or exceeds [`MAX_LENGTH`] or
    /// [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text)
    }

    /// `(name=value)`, where the value needs no escaping.
    ///
    /// ```
    /// use osgi_remote::filter::Filter;
    ///
    /// assert_eq!(Filter::equals("title", "2 * (3)")?.to_string(), r"(title=2 \* \(3\))");
    /// assert_eq!(Filter::equals("port", 80)?, Filter::parse("(port=80)")?);
    /// # Ok::<(), osgi_remote::filter::FilterError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the name is empty, has one of `= > < ~ ( )`, or begins or ends with
    /// white space; if the filter would exceed [`MAX_LENGTH`].
    pub fn equals(name: &str, value: impl fmt::Display) -> Result<Self, FilterError> {
        Self::compare(name, Operator::Equal, &value)
    }

    /// `(name~=value)`; see [`Filter::equals`].
    ///
    /// # Errors
    ///
    /// As for [`Filter::equals`].
    pub fn approx(name: &str, value: impl fmt::Display) -> Result<Self, FilterError> {
        Self::compare(name, Operator::Approx, &value)
    }

    /// `(name>=value)`; see [`Filter::equals`].
    ///
    /// # Errors
    ///
    /// As for [`Filter::equals`].
    pub fn at_least(name: &str, value: impl fmt::Display) -> Result<Self, FilterError> {
        Self::compare(name, Operator::AtLeast, &value)
    }

    /// `(name<=value)`; see [`Filter::equals`].
    ///
    /// # Errors
    ///
    /// As for [`Filter::equals`].
    pub fn at_most(name: &str, value: impl fmt::Display) -> Result<Self, FilterError> {
        Self::compare(name, Operator::AtMost, &value)
    }

    /// `(name=first*middle*..*last)`, where no piece needs escaping. Pieces
    /// may be empty; with all of them empty it matches any string.
    ///
    /// # Errors
    ///
    /// As for [`Filter::equals`].
    pub fn substring<S: AsRef<str>>(
        name: &str,
        first: &str,
        middle: impl IntoIterator<Item = S>,
        last: &str,
    ) -> Result<Self, FilterError> {
        let pattern = Pattern::new(first, middle, last);
        Self::of(Node::Substring(Name::new(name)?, pattern))
    }

    /// `(name=*)`: there is such a property.
    ///
    /// # Errors
    ///
    /// As for [`Filter::equals`].
    pub fn present(name: &str) -> Result<Self, FilterError> {
        Self::of(Node::Present(Name::new(name)?))
    }

    /// `(&(..)(..))`: all of these match.
    ///
    /// # Errors
    ///
    /// If there are none, or the filter would exceed [`MAX_LENGTH`] or
    /// [`MAX_DEPTH`].
    pub fn and(operands: impl IntoIterator<Item = Self>) -> Result<Self, FilterError> {
        Self::of(Node::And(some_of(operands, '&')?))
    }

    /// `(|(..)(..))`: at least one of these matches.
    ///
    /// # Errors
    ///
    /// If there are none, or the filter would exceed [`MAX_LENGTH`] or
    /// [`MAX_DEPTH`].
    pub fn or(operands: impl IntoIterator<Item = Self>) -> Result<Self, FilterError> {
        Self::of(Node::Or(some_of(operands, '|')?))
    }

    /// `(!(..))`: this one does not match.
    ///
    /// ```
    /// use osgi_remote::filter::Filter;
    ///
    /// let local = Filter::not(Filter::present("service.imported")?)?;
    /// assert_eq!(local.to_string(), "(!(service.imported=*))");
    /// # Ok::<(), osgi_remote::filter::FilterError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the filter would exceed [`MAX_LENGTH`] or [`MAX_DEPTH`].
    #[allow(
        clippy::should_implement_trait,
        reason = "an operator could not report that the filter exceeds a limit"
    )]
    pub fn not(operand: Self) -> Result<Self, FilterError> {
        Self::of(Node::Not(operand))
    }

    fn compare(
        name: &str,
        operator: Operator,
        value: &dyn fmt::Display,
    ) -> Result<Self, FilterError> {
        let operand = Operand::new(operator, value.to_string());
        Self::of(Node::Compare(Name::new(name)?, operand))
    }

    /// The one door to a filter, which holds the limits.
    fn of(node: Node) -> Result<Self, FilterError> {
        let (depth, length) = match &node {
            Node::And(operands) | Node::Or(operands) => {
                operands
                    .iter()
                    .fold((1, "(&)".len()), |(depth, length), operand| {
                        (depth.max(operand.0.depth + 1), length + operand.0.length)
                    })
            }
            Node::Not(operand) => (operand.0.depth + 1, "(!)".len() + operand.0.length),
            leaf => (1, leaf.to_string().len()),
        };
        if length > MAX_LENGTH {
            return Err(FilterError::TooLong {
                length,
                limit: MAX_LENGTH,
            });
        }
        if depth > MAX_DEPTH {
            return Err(FilterError::TooDeep { limit: MAX_DEPTH });
        }
        Ok(Self(Arc::new(Inner {
            node,
            depth,
            length,
        })))
    }

    /// Whether the properties meet the condition. Names ignore case.
    pub fn matches(&self, properties: &Properties) -> bool {
        let value = |name: &Name| properties.get(&name.0);
        match &self.0.node {
            Node::And(operands) => operands.iter().all(|f| f.matches(properties)),
            Node::Or(operands) => operands.iter().any(|f| f.matches(properties)),
            Node::Not(operand) => !operand.matches(properties),
            Node::Present(name) => value(name).is_some(),
            Node::Compare(name, operand) => value(name).is_some_and(|v| operand.matches(v)),
            Node::Substring(name, pattern) => value(name).is_some_and(|v| pattern.matches(v)),
        }
    }

    /// The values of which a match needs at least one under this name, in
    /// order and each once; `None` if the filter does not ask for particular
    /// values.
    ///
    /// This is what an index is built on: with `Some(values)`, properties
    /// that have none of them (nor an item equal to one, in a collection)
    /// cannot match. Only `(name=value)` counts, through `&`, and through `|`
    /// if every operand has some. The values are the filter's texts, so an
    /// index must hold its entries as strings, as `objectClass` does: the
    /// text ` 80` matches the number 80.
    ///
    /// ```
    /// use osgi_remote::filter::Filter;
    ///
    /// let filter = Filter::parse("(&(|(objectClass=b)(objectClass=a))(port>=80))")?;
    /// assert_eq!(filter.required("objectclass"), Some(vec!["a", "b"]));
    /// assert_eq!(filter.required("port"), None);
    /// # Ok::<(), osgi_remote::filter::FilterError>(())
    /// ```
    pub fn required(&self, name: &str) -> Option<Vec<&str>> {
        match &self.0.node {
            // Any operand's values are necessary; the fewest select the most.
            Node::And(operands) => operands
                .iter()
                .filter_map(|operand| operand.required(name))
                .min_by_key(Vec::len),
            Node::Or(operands) => {
                let mut values = Vec::new();
                for operand in operands {
                    values.extend(operand.required(name)?);
                }
                values.sort_unstable();
                values.dedup();
                Some(values)
            }
            Node::Compare(n, operand)
                if operand.operator() == Operator::Equal && same_name(&n.0, name) =>
            {
                Some(vec![operand.text()])
            }
            Node::Compare(..) | Node::Not(_) | Node::Present(_) | Node::Substring(..) => None,
        }
    }

    /// The attribute names that the filter looks at, in the order of its text
    /// and as often as they stand there.
    ///
    /// A change of other properties cannot change whether it matches.
    ///
    /// ```
    /// use osgi_remote::filter::Filter;
    ///
    /// let filter = Filter::parse("(|(!(a=1))(b=*))")?;
    /// assert_eq!(filter.names(), ["a", "b"]);
    /// # Ok::<(), osgi_remote::filter::FilterError>(())
    /// ```
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_names(&mut names);
        names
    }

    fn collect_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match &self.0.node {
            Node::And(operands) | Node::Or(operands) => {
                operands.iter().for_each(|f| f.collect_names(names));
            }
            Node::Not(operand) => operand.collect_names(names),
            Node::Present(name) | Node::Compare(name, _) | Node::Substring(name, _) => {
                names.push(&name.0);
            }
        }
    }
}

fn some_of(
    operands: impl IntoIterator<Item = Filter>,
    operator: char,
) -> Result<Box<[Filter]>, FilterError> {
    let operands: Box<[Filter]> = operands.into_iter().collect();
    if operands.is_empty() {
        return Err(FilterError::NoOperands { operator });
    }
    Ok(operands)
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        // Depth and length follow from the node.
        self.node == other.node
    }
}

impl Eq for Inner {}

impl Hash for Inner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.node.hash(state);
    }
}

impl Name {
    fn new(name: &str) -> Result<Self, FilterError> {
        let fail = |reason| {
            Err(FilterError::Name {
                name: name.to_owned(),
                reason,
            })
        };
        if name.is_empty() {
            return fail("it is empty");
        }
        if name.contains(is_reserved) {
            return fail("it has one of = > < ~ ( )");
        }
        if name.trim().len() != name.len() {
            return fail("it begins or ends with white space, which filters ignore");
        }
        Ok(Self(name.into()))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        same_name(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `same_name` compares: lower case, character by character.
        for c in self.0.chars().flat_map(char::to_lowercase) {
            c.hash(state);
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, operator: char, operands: &[Filter]| {
            write!(f, "({operator}")?;
            operands
                .iter()
                .try_for_each(|operand| write!(f, "{operand}"))?;
            f.write_str(")")
        };
        match self {
            Self::And(operands) => join(f, '&', operands),
            Self::Or(operands) => join(f, '|', operands),
            Self::Not(operand) => write!(f, "(!{operand})"),
            Self::Present(name) => write!(f, "({}=*)", name.0),
            Self::Substring(name, pattern) => write!(f, "({}={pattern})", name.0),
            Self::Compare(name, operand) => {
                write!(f, "({}{}", name.0, operand.operator().symbol())?;
                write_escaped(f, operand.text())?;
                f.write_str(")")
            }
        }
    }
}

/// Prints the normal form, with names in the case in which they were given.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.node.fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}
