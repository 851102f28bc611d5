//! OSGi versions.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An OSGi version: `major.minor.micro.qualifier` (Core 3.2.5).
///
/// Parts left out count as 0 and as the empty qualifier, so `1` equals
/// `1.0.0`. The qualifier compares as text.
///
/// ```
/// use osgi_remote::properties::Version;
///
/// let version: Version = "1.2".parse()?;
/// assert_eq!(version.to_string(), "1.2.0");
/// assert!(version < "1.2.0.beta".parse()?);
/// # Ok::<(), osgi_remote::properties::VersionError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    micro: u32,
    qualifier: String,
}

/// Text that is no OSGi version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no OSGi version: {reason}; write up to three numbers and a qualifier, such as 1.2.3.beta"
)]
pub struct VersionError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Version {
    /// A version without a qualifier.
    pub fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self {
            major,
            minor,
            micro,
            qualifier: String::new(),
        }
    }

    /// The first number.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The second number.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// The third number.
    pub fn micro(&self) -> u32 {
        self.micro
    }

    /// The qualifier, empty if there is none.
    pub fn qualifier(&self) -> &str {
        &self.qualifier
    }

    /// Whether this is 0.0.0, which stands for "no version given".
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fail = |reason| VersionError {
            text: text.to_owned(),
            reason,
        };
        let number = |part: Option<&str>| match part {
            None => Ok(0),
            Some(part) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => part
                .parse()
                // Java's int is the range that the specification has in mind.
                .ok()
                .filter(|n: &u32| i32::try_from(*n).is_ok())
                .ok_or_else(|| fail("a number is too large")),
            Some(_) => Err(fail("a part before the qualifier is no number")),
        };
        let mut parts = text.trim().splitn(4, '.');
        let version = Self {
            major: number(parts.next())?,
            minor: number(parts.next())?,
            micro: number(parts.next())?,
            qualifier: parts.next().map(str::to_owned).unwrap_or_default(),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.trim().split('.').count() >= 4 && version.qualifier.is_empty() {
            return Err(fail("the qualifier is empty"));
        }
        if !version.qualifier.chars().all(allowed) {
            return Err(fail(
                "the qualifier has a character that is no letter, digit, '_' or '-'",
            ));
        }
        Ok(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        if !self.qualifier.is_empty() {
            write!(f, ".{}", self.qualifier)?;
        }
        Ok(())
    }
}

/// As text, which is how it crosses calls (rule N05).
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_with_parts_left_out() {
        for (text, shown) in [
            ("1", "1.0.0"),
            ("1.2", "1.2.0"),
            ("1.2.3", "1.2.3"),
            (" 1.2.3.q-1_x ", "1.2.3.q-1_x"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn bad_versions_are_refused_with_a_reason() {
        for text in [
            "",
            "a",
            "1.",
            "1..2",
            "1.2.x",
            "1.2.3.",
            "1.2.3.a b",
            "-1",
            "1.2.3.4.5",
            "4294967295",
        ] {
            let error = text.parse::<Version>().unwrap_err();
            assert_eq!(error.text, text);
        }
    }

    #[test]
    fn numbers_order_as_numbers_and_qualifiers_as_text() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.10") > version("1.9"));
        assert!(version("1.0.0.b") > version("1.0.0.a"));
        assert!(version("1.0.0") < version("1.0.0.a"));
    }
}
