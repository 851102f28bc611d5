//! How far the clock of a server is from ours, as far as HTTP tells.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::finding::Finding;

const CHECK: &str = "clock";
/// How to find out otherwise.
const COMPARE: &str = "compare what `date -u` says on both machines";
/// What is not worth a word.
const TOLERATED: f64 = 5.0;
/// The most that is read of an answer's head.
const HEAD: usize = 8 * 1024;

/// Asks a server for its time, over a connection to it: TCP, or TLS on it.
///
/// etcd tells its version by HTTP on the same port, and Go's server puts the time of day into the
/// head of each answer.
pub(crate) async fn look(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    limit: Duration,
) -> Finding {
    let before = SystemTime::now();
    let head = tokio::time::timeout(limit, ask(&mut stream, host)).await;
    let after = SystemTime::now();
    let date = match &head {
        Ok(Ok(head)) => date_of(head),
        _ => None,
    };
    match date {
        Some(date) => judge(difference(seconds(before), seconds(after), date)),
        None => unknown(),
    }
}

/// Of a server that gives no answer.
pub(crate) fn unknown() -> Finding {
    Finding::unknown(CHECK, "the server tells no time over HTTP", COMPARE)
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
) -> std::io::Result<String> {
    let request = format!("GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while head.len() < HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => break,
            read => head.extend_from_slice(&part[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The time in the head of an answer, in seconds since the epoch.
fn date_of(head: &str) -> Option<f64> {
    let mut lines = head.lines().take_while(|line| !line.is_empty());
    let date = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    let date = rfc2822::parse(date).ok()?;
    Some(date.timestamp().as_duration().as_secs_f64())
}

fn seconds(time: SystemTime) -> f64 {
    Timestamp::try_from(time).map_or(0.0, |time| time.as_duration().as_secs_f64())
}

/// By how much the server is certainly ahead of us, or behind if it is less than zero. Its time has
/// whole seconds, and was taken at some time between `before` and `after`.
fn difference(before: f64, after: f64, date: f64) -> f64 {
    let least = date - after;
    let most = date + 1.0 - before;
    if least > 0.0 {
        least
    } else if most < 0.0 {
        most
    } else {
        0.0
    }
}

fn judge(difference: f64) -> Finding {
    if difference.abs() <= TOLERATED {
        return Finding::ok(CHECK, "the server's clock agrees with ours");
    }
    let direction = if difference > 0.0 {
        "ahead of"
    } else {
        "behind"
    };
    let what = format!(
        "the server's clock is {:.0} s {direction} ours; leases do not depend on it, but \
         certificates, tokens and the times that others write do",
        difference.abs()
    );
    Finding::warning(CHECK, what, "let both machines set their clocks by NTP")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn the_date_is_read_from_the_head_of_an_answer_and_from_nowhere_else() {
        let head = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:01:40 GMT\r\nX: y\r\n\r\n";
        assert_eq!(date_of(head), Some(100.0));
        assert_eq!(date_of("HTTP/1.1 200 OK\r\n\r\nDate: x"), None);
        assert_eq!(date_of("HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n"), None);
        assert_eq!(date_of("\u{fffd}\u{fffd}"), None);
    }

    #[test]
    fn only_a_difference_that_is_certain_counts() {
        assert_eq!(difference(100.2, 100.4, 100.0), 0.0);
        // A slow answer says little.
        assert_eq!(difference(100.0, 120.0, 110.0), 0.0);
        assert_eq!(difference(100.0, 101.0, 111.0), 10.0);
        assert_eq!(difference(100.0, 101.0, 89.0), -10.0);
    }

    #[test]
    fn a_clock_that_is_far_off_is_a_warning_that_says_what_it_means() {
        assert_eq!(judge(-5.0).result, Grade::Ok);
        let far = judge(-61.0);
        assert_eq!(far.result, Grade::Warning);
        assert!(far.finding.contains("61 s behind ours; leases do not"));
        assert!(judge(61.0).finding.contains("ahead of"));
    }
}
