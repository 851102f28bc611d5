//! One connection to one etcd server, and what its failures mean.

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, GetOptions, KvClient, LeaseClient, WatchClient};
use tokio::time::Instant;

use super::{Cause, Endpoint, Error};

/// How etcd is reached.
///
/// Each session and each watcher keeps a connection of its own to one endpoint at a time, and
/// moves to the next one of the list when it fails.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The servers of one cluster, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// The time for a connection to be made and to answer a first read. Default: 3 s.
    pub dial_timeout: Duration,
    /// The time for each later call. Default: 3 s, as in iPOPO.
    pub call_timeout: Duration,
    /// The pause between HTTP/2 pings. Default: 5 s. Without pings a server that was stopped goes
    /// unnoticed.
    pub keep_alive_interval: Duration,
    /// The time for an HTTP/2 ping to be answered. Default: 5 s.
    pub keep_alive_timeout: Duration,
    /// The largest answer that is read, in bytes. Default: 64 MiB. gRPC's own default of 4 MiB is
    /// less than one page of large values.
    pub max_message_size: usize,
}

impl ConnectOptions {
    /// Options with their defaults.
    #[must_use]
    pub const fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            dial_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(3),
            keep_alive_interval: Duration::from_secs(5),
            keep_alive_timeout: Duration::from_secs(5),
            max_message_size: 64 << 20,
        }
    }

    /// Options with their defaults, for a comma-separated list of addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] for an address that is wrong.
    pub fn parse(endpoints: &str) -> Result<Self, Error> {
        Endpoint::parse_list(endpoints).map(Self::new)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.endpoints.is_empty() {
            return Err(Error::Config {
                setting: "endpoints",
                problem: "the list is empty; give at least one host:port".to_owned(),
            });
        }
        for (setting, value) in [
            ("dial_timeout", self.dial_timeout),
            ("call_timeout", self.call_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("keep_alive_timeout", self.keep_alive_timeout),
        ] {
            if value.is_zero() {
                return Err(Error::Config {
                    setting,
                    problem: "it is zero; give a positive duration".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// What a failed call means to a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The server cannot be reached, does not answer or refuses for now. Also everything that is
    /// unknown: another server or a later time may be better.
    Unavailable,
    /// The lease does not exist.
    LeaseNotFound,
    /// A lease of this id exists already.
    LeaseExists,
    /// The request or the answer is larger than somebody on the way allows.
    TooLarge,
    /// The request itself is wrong, and will be at any time.
    Invalid,
    /// The revision asked for is compacted.
    Compacted,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) cause: Cause,
    pub(crate) elapsed: Duration,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<String>, elapsed: Duration) -> Self {
        Self {
            kind,
            cause: Cause::new(cause),
            elapsed,
        }
    }

    pub(crate) fn of(error: &etcd_client::Error, elapsed: Duration) -> Self {
        // The library's error prints its source but does not return it.
        let cause = match error {
            etcd_client::Error::GRpcStatus(status) => {
                Cause::chain(status.message(), std::error::Error::source(status))
            }
            etcd_client::Error::TransportError(error) => Cause::of(error),
            other => Cause::of(other),
        };
        Self {
            kind: classify(error),
            cause,
            elapsed,
        }
    }
}

/// etcd tells errors apart by text; a gRPC code alone is ambiguous (a full disk and an oversized
/// message are both "resource exhausted").
fn classify(error: &etcd_client::Error) -> FailureKind {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            classify_status(i32::from(status.code()), status.message())
        }
        etcd_client::Error::LeaseKeepAliveError(text) if text.contains("lease not found") => {
            FailureKind::LeaseNotFound
        }
        etcd_client::Error::InvalidArgs(_) => FailureKind::Invalid,
        _ => FailureKind::Unavailable,
    }
}

fn classify_status(code: i32, message: &str) -> FailureKind {
    const INVALID_ARGUMENT: i32 = 3;
    let has = |part: &str| message.contains(part);
    if has("requested lease not found") {
        FailureKind::LeaseNotFound
    } else if has("lease already exists") {
        FailureKind::LeaseExists
    } else if has("request is too large")
        || has("larger than max")
        || has("message length too large")
        || has("too many operations")
    {
        FailureKind::TooLarge
    } else if has("required revision has been compacted") {
        FailureKind::Compacted
    } else if code == INVALID_ARGUMENT {
        FailureKind::Invalid
    } else {
        FailureKind::Unavailable
    }
}

/// What every answer's header says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) cluster: u64,
    pub(crate) term: u64,
    pub(crate) revision: i64,
}

impl From<Option<&etcd_client::ResponseHeader>> for Header {
    fn from(header: Option<&etcd_client::ResponseHeader>) -> Self {
        header.map_or_else(Self::default, |header| Self {
            cluster: header.cluster_id(),
            term: header.raft_term(),
            revision: header.revision(),
        })
    }
}

/// The clients of one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
}

/// Connects and reads `probe`, a key that need not exist.
///
/// The client library connects only when it is first used, and a server that is cut off from its
/// cluster accepts connections: a linearizable read shows that somebody answers and has a leader.
pub(crate) async fn dial(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    probe: &[u8],
) -> Result<(Connection, Header), Failure> {
    let settings = etcd_client::ConnectOptions::new()
        .with_connect_timeout(options.dial_timeout)
        .with_keep_alive(options.keep_alive_interval, options.keep_alive_timeout)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    call(options.dial_timeout, async {
        let client = Client::connect([endpoint.url()], Some(settings)).await?;
        let size = options.max_message_size;
        let mut kv = client.kv_client().max_decoding_message_size(size);
        let read = GetOptions::new().with_count_only();
        let answer = kv.get(probe, Some(read)).await?;
        let connection = Connection {
            kv,
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(size),
        };
        Ok((connection, Header::from(answer.header())))
    })
    .await
}

/// Runs a call with a time limit and turns its error into a [`Failure`].
pub(crate) async fn call<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Failure> {
    let start = Instant::now();
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::of(&error, start.elapsed())),
        Err(_) => Err(Failure::new(
            FailureKind::Unavailable,
            format!("no answer within {limit:?}"),
            start.elapsed(),
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_not_taken_for_an_oversized_request() {
        const RESOURCE_EXHAUSTED: i32 = 8;
        assert_eq!(
            classify_status(
                RESOURCE_EXHAUSTED,
                "etcdserver: mvcc: database space exceeded"
            ),
            FailureKind::Unavailable
        );
        assert_eq!(
            classify_status(
                RESOURCE_EXHAUSTED,
                "grpc: received message larger than max (2000000 vs. 1572864)"
            ),
            FailureKind::TooLarge
        );
        assert_eq!(
            classify_status(3, "etcdserver: request is too large"),
            FailureKind::TooLarge
        );
    }

    #[test]
    fn options_without_an_endpoint_are_refused() {
        let error = ConnectOptions::new(Vec::new()).check().unwrap_err();
        assert!(error.to_string().contains("at least one host:port"));
    }

    #[test]
    fn a_timeout_of_zero_is_refused_by_its_name() {
        let mut options = ConnectOptions::parse("localhost").unwrap();
        options.call_timeout = Duration::ZERO;
        let error = options.check().unwrap_err();
        assert!(error.to_string().contains("call_timeout"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends_at_its_limit() {
        let limit = Duration::from_secs(3);
        let failure = call::<()>(limit, std::future::pending()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(failure.elapsed, limit);
    }
}
