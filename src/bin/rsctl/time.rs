//! Times of the command line.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a time with its units, such as 500ms, 3s or 1m30s, for clap.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    with_units(text).ok_or_else(|| "it is no time such as 500ms, 3s or 1m30s".to_owned())
}

/// Reads a time that is not 0: one with its units, or a number alone, which is seconds as in other
/// tools for etcd. For clap.
pub(crate) fn duration_or_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    match seconds.or_else(|| with_units(text)) {
        Some(Duration::ZERO) => Err("it is no time at all: give more than 0".to_owned()),
        Some(time) => Ok(time),
        None => Err("it is no time such as 30s, 5m or 90 (seconds)".to_owned()),
    }
}

fn with_units(text: &str) -> Option<Duration> {
    let time: SignedDuration = text.parse().ok()?;
    Duration::try_from(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units_only() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "3", "-3s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_leases_have_units_or_are_seconds() {
        let millis = |text| duration_or_seconds(text).map(|time| time.as_millis()).ok();
        assert_eq!(millis("30"), Some(30_000));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("500ms"), Some(500));
        for wrong in ["", "0", "0s", "-1s", "x", "1 parsec"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
