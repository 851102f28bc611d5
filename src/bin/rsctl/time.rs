//! Times of the command line.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a time, for clap: one with its units, such as 500ms, 3s or 1m30s, or a number alone, which
/// is seconds as in other tools for etcd.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = seconds.or_else(|| with_units(text));
    time.ok_or_else(|| "it is no time such as 500ms, 3s, 1m30s or 90 (seconds)".to_owned())
}

/// The same, for a time that must not be 0.
pub(crate) fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it is no time at all: give more than 0".to_owned()),
        time => Ok(time),
    }
}

/// The same, for a lease.
pub(crate) fn lease_time(text: &str) -> Result<Duration, String> {
    match duration_above_zero(text)? {
        time if time.subsec_nanos() != 0 => {
            Err("etcd counts leases in whole seconds, from one up".to_owned())
        }
        time => Ok(time),
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
    fn times_have_units_or_are_seconds() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("40"), Ok(Duration::from_secs(40)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for text in ["", "-3", "-3s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_of_leases_are_whole_seconds_above_zero() {
        let millis = |text| duration_above_zero(text).map(|time| time.as_millis()).ok();
        assert_eq!(millis("30"), Some(30_000));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("500ms"), Some(500));
        for wrong in ["", "0", "0s", "-1s", "x", "1 parsec"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        assert_eq!(lease_time("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["0", "500ms", "1500ms"] {
            assert!(lease_time(wrong).is_err(), "{wrong}");
        }
    }
}
