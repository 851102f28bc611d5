//! etcdctl's variables.

use std::fmt;
use std::time::Duration;

use crate::properties::{Properties, Value};

pub(super) const ENDPOINTS: &str = "ETCDCTL_ENDPOINTS";
pub(super) const PREFIX: &str = "ETCDCTL_";

/// The variables `ETCDCTL_*` of some moment, as etcdctl reads them: one that is empty is none.
///
/// There may be a password among them, and `Debug` shows names only.
#[derive(Clone, Default, PartialEq)]
pub struct Environment(Properties);

impl Environment {
    /// Those of this process, now.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
                (text(name), text(value))
            })
            .collect()
    }

    /// Whether they say where etcd is.
    #[must_use]
    pub fn has_endpoints(&self) -> bool {
        self.0.contains(ENDPOINTS)
    }

    pub(super) fn get(&self, variable: &str) -> Option<(&str, &Value)> {
        self.0.iter().find(|(name, _)| *name == variable)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let ours = |(name, value): &(String, String)| name.starts_with(PREFIX) && !value.is_empty();
        Self(variables.into_iter().filter(ours).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads a duration as Go writes it: `5s`, `1m30s`, `1.5h`, `500ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let unit_end = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            (" 2s ", 2_000),
            ("1m0.5s", 60_500),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_as_a_duration_is_none() {
        for text in ["", "5", "s", "-5s", "5 s", "5d", "1.2.3s", "5s1", "1e9s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn other_variables_and_empty_ones_are_left_out() {
        let variables = [("ETCDCTL_USER", ""), ("HOME", "/"), ("ETCDCTL_KEY", "k")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::from_iter(variables);
        assert_eq!(format!("{environment:?}"), r#"{"ETCDCTL_KEY"}"#);
    }
}
