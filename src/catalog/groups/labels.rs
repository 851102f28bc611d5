//! Labels: what is said of a group's nodes, as text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;

/// Labels by their keys. Those that are set here have neither an empty key, nor an empty value,
/// nor a `=` in the key; those that others wrote are taken as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// No labels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a label; gives back the value before.
    ///
    /// # Errors
    ///
    /// [`Error::Label`].
    pub fn set(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Option<String>, Error> {
        let (key, value) = (key.into(), value.into());
        let problem = if key.is_empty() {
            "its key is empty"
        } else if key.contains('=') {
            "its key has a `=`"
        } else if value.is_empty() {
            "its value is empty"
        } else {
            return Ok(self.0.insert(key, value));
        };
        let label = format!("{key}={value}");
        Err(Error::Label { label, problem })
    }

    /// Sets a label that is written `KEY=VALUE`; the value may have more of `=`.
    ///
    /// # Errors
    ///
    /// [`Error::Label`].
    pub fn parse(&mut self, label: &str) -> Result<Option<String>, Error> {
        let Some((key, value)) = label.split_once('=') else {
            return Err(Error::Label {
                label: label.to_owned(),
                problem: "write KEY=VALUE",
            });
        };
        self.set(key, value)
    }

    /// Takes a label away; gives back its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All labels, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels, and of the common ones those whose keys are not among them.
    #[must_use]
    pub fn with_common(&self, common: &Self) -> Self {
        let mut all = common.0.clone();
        all.extend(self.0.clone());
        Self(all)
    }

    /// As they were read.
    pub(super) fn read(labels: BTreeMap<String, String>) -> Self {
        Self(labels)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn labels(written: &[&str]) -> Labels {
        let mut labels = Labels::new();
        for label in written {
            labels.parse(label).unwrap();
        }
        labels
    }

    #[test]
    fn the_first_equals_sign_ends_the_key() {
        assert_eq!(labels(&["a=b=c"]).get("a"), Some("b=c"));
    }

    #[test]
    fn empty_keys_and_values_and_an_equals_sign_in_a_key_are_refused() {
        for label in ["a", "=b", "a=", "="] {
            assert!(Labels::new().parse(label).is_err(), "{label}");
        }
        assert!(Labels::new().set("a=b", "c").is_err());
    }

    #[test]
    fn own_labels_win_over_common_ones() {
        let merged = labels(&["a=own", "b=own"]).with_common(&labels(&["a=common", "c=common"]));
        assert_eq!(merged, labels(&["a=own", "b=own", "c=common"]));
    }

    #[test]
    fn an_error_names_the_label() {
        let error = Labels::new().parse("zone=").unwrap_err();
        assert_eq!(
            error.to_string(),
            "label `zone=` cannot be used: its value is empty"
        );
    }
}
