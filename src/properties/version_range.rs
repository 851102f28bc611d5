//! OSGi version ranges.

use std::fmt;
use std::str::FromStr;

use super::{Version, VersionError};

/// An OSGi version range (Core 3.2.6): an interval such as `[1.2,2.0)`, or a
/// lone version, which stands for itself and all that is higher.
///
/// ```
/// use osgi_remote::properties::VersionRange;
///
/// let range: VersionRange = "[1.2,2)".parse()?;
/// assert!(range.includes(&"1.9.5".parse()?));
/// assert!(!range.includes(&"2.0".parse()?));
/// let open: VersionRange = "1.2".parse()?;
/// assert!(open.includes(&"7".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    floor: Version,
    floor_included: bool,
    ceiling: Option<Ceiling>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ceiling {
    version: Version,
    included: bool,
}

/// Text that is no OSGi version range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionRangeError {
    /// It begins as an interval and is none.
    #[error("'{text}' is no OSGi version range: write an interval such as [1.2,2.0), or a version")]
    Interval {
        /// The text as it was given.
        text: String,
    },
    /// A version in it is none.
    #[error("'{text}' is no OSGi version range: {source}")]
    Version {
        /// The text as it was given.
        text: String,
        /// What is wrong with the version.
        source: VersionError,
    },
    /// No version is in it.
    #[error("no version is in the range '{text}': give the lower end first, as in [1.2,2.0)")]
    Empty {
        /// The text as it was given.
        text: String,
    },
}

impl VersionRange {
    /// This version and all that is higher.
    pub fn at_least(version: Version) -> Self {
        Self {
            floor: version,
            floor_included: true,
            ceiling: None,
        }
    }

    /// This version and no other.
    pub fn exactly(version: Version) -> Self {
        Self {
            ceiling: Some(Ceiling {
                version: version.clone(),
                included: true,
            }),
            floor: version,
            floor_included: true,
        }
    }

    /// The lower end.
    pub fn floor(&self) -> &Version {
        &self.floor
    }

    /// Whether the range was given as a lone version, without an upper end.
    pub fn is_open(&self) -> bool {
        self.ceiling.is_none()
    }

    /// Whether a version is in the range.
    pub fn includes(&self, version: &Version) -> bool {
        let above = if self.floor_included {
            *version >= self.floor
        } else {
            *version > self.floor
        };
        above
            && self.ceiling.as_ref().is_none_or(|ceiling| {
                *version < ceiling.version || (ceiling.included && *version == ceiling.version)
            })
    }

    fn is_empty(&self) -> bool {
        let Some(ceiling) = &self.ceiling else {
            return false;
        };
        ceiling.version < self.floor
            || (ceiling.version == self.floor && !(ceiling.included && self.floor_included))
    }
}

impl FromStr for VersionRange {
    type Err = VersionRangeError;

    fn from_str(text: &str) -> Result<Self, VersionRangeError> {
        let version = |part: &str| {
            part.parse().map_err(|source| VersionRangeError::Version {
                text: text.to_owned(),
                source,
            })
        };
        let trimmed = text.trim();
        let floor_included = match trimmed.chars().next() {
            Some('[') => true,
            Some('(') => false,
            _ => return Ok(Self::at_least(version(trimmed)?)),
        };
        let interval = || VersionRangeError::Interval {
            text: text.to_owned(),
        };
        let (inner, included) = match trimmed.strip_suffix(']') {
            Some(inner) => (inner, true),
            None => (trimmed.strip_suffix(')').ok_or_else(interval)?, false),
        };
        let (low, high) = inner[1..].split_once(',').ok_or_else(interval)?;
        let range = Self {
            floor: version(low)?,
            floor_included,
            ceiling: Some(Ceiling {
                version: version(high)?,
                included,
            }),
        };
        if range.is_empty() {
            return Err(VersionRangeError::Empty {
                text: text.to_owned(),
            });
        }
        Ok(range)
    }
}

impl From<Version> for VersionRange {
    fn from(version: Version) -> Self {
        Self::at_least(version)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ceiling) = &self.ceiling else {
            return self.floor.fmt(f);
        };
        let open = if self.floor_included { '[' } else { '(' };
        let close = if ceiling.included { ']' } else { ')' };
        write!(f, "{open}{},{}{close}", self.floor, ceiling.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_in_the_range_or_not_as_its_bracket_says() {
        let versions = ["1.1.9", "1.2", "1.5", "2.0", "2.0.0.a"];
        for (range, included) in [
            ("[1.2,2.0)", &["1.2", "1.5"][..]),
            ("[1.2,2.0]", &["1.2", "1.5", "2.0"]),
            ("(1.2,2.0)", &["1.5"]),
            (" ( 1.2 , 2.0 ] ", &["1.5", "2.0"]),
            ("[1.2,1.2]", &["1.2"]),
            ("1.2", &["1.2", "1.5", "2.0", "2.0.0.a"]),
        ] {
            let parsed: VersionRange = range.parse().unwrap();
            let found: Vec<_> = versions
                .into_iter()
                .filter(|version| parsed.includes(&version.parse().unwrap()))
                .collect();
            assert_eq!(found, included, "{range}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_text_and_the_reason() {
        for (text, reason) in [
            ("[1.2,2.0", "write an interval such as [1.2,2.0)"),
            ("[1.2;2.0]", "write an interval"),
            ("[", "write an interval"),
            ("[1.x,2.0]", "a part before the qualifier is no number"),
            ("", "is no OSGi version range"),
            ("[2.0,1.0]", "no version is in the range"),
            ("(1.0,1.0]", "no version is in the range"),
        ] {
            let error = text.parse::<VersionRange>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn one_version_exactly_is_an_interval_with_one_version_in_it() {
        let range = VersionRange::exactly(Version::new(1, 2, 0));
        assert_eq!(range.to_string(), "[1.2.0,1.2.0]");
        assert!(range.includes(&Version::new(1, 2, 0)));
        assert!(!range.includes(&Version::new(1, 2, 1)));
    }
}
