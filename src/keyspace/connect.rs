//! One connection to one etcd server, and what its failures mean.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Channel, Client, ClusterClient, GetOptions, KvClient, LeaseClient, MaintenanceClient,
    WatchClient,
};
use tokio::time::Instant;

pub(crate) use super::failure::{Failure, FailureKind};
use super::{Credentials, Endpoint, Error, TlsOptions, failure};
use crate::network::{Connector, Network, default_network};

/// How etcd is reached.
///
/// Each session and each watcher keeps a connection of its own to one endpoint at a time, and
/// moves to the next one of the list when it fails.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The servers of one cluster, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// TLS. Default: none, which is plain text, except for `https` addresses: these then use the
    /// system's roots.
    pub tls: Option<TlsOptions>,
    /// User and password. Default: none; etcd may also take the common name of a client
    /// certificate for the user. A token of etcd that runs out is renewed without notice.
    pub user: Option<Credentials>,
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
    /// How connections are made. Default: [`Tcp`](crate::network::Tcp).
    pub network: Arc<dyn Network>,
}

impl ConnectOptions {
    /// Options with their defaults.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            tls: None,
            user: None,
            dial_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(3),
            keep_alive_interval: Duration::from_secs(5),
            keep_alive_timeout: Duration::from_secs(5),
            max_message_size: 64 << 20,
            network: default_network(),
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
        if self.max_message_size == 0 {
            return Err(Error::Config {
                setting: "max_message_size",
                problem: "it is zero; give a number of bytes".to_owned(),
            });
        }
        self.check_tls()
    }

    fn check_tls(&self) -> Result<(), Error> {
        let mut endpoints = self.endpoints.iter();
        if self.tls.is_some()
            && let Some(plain) = endpoints.find(|endpoint| endpoint.tls() == Some(false))
        {
            return Err(Error::Config {
                setting: "endpoints",
                problem: format!(
                    "{plain} is plain text, but TLS is asked for; write https://, or leave the \
                     options of TLS away"
                ),
            });
        }
        let tls = self
            .endpoints
            .iter()
            .find_map(|endpoint| self.tls(endpoint));
        tls.map_or(Ok(()), |tls| tls.check())
    }

    /// The options of TLS for this endpoint; `None` for plain text.
    pub(super) fn tls(&self, endpoint: &Endpoint) -> Option<TlsOptions> {
        match endpoint.tls() {
            Some(false) => None,
            Some(true) => Some(self.tls.clone().unwrap_or_default()),
            None => self.tls.clone(),
        }
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
    pub(crate) maintenance: MaintenanceClient,
    pub(crate) cluster: ClusterClient,
}

impl Connection {
    fn new(client: &Client, options: &ConnectOptions) -> Self {
        let size = options.max_message_size;
        Self {
            kv: client.kv_client().max_decoding_message_size(size),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(size),
            maintenance: client.maintenance_client(),
            cluster: client.cluster_client(),
        }
    }
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
    call(options.dial_timeout, async {
        let client = connect(options, endpoint).await?;
        let mut connection = Connection::new(&client, options);
        let read = GetOptions::new().with_count_only();
        let answer = connection.kv.get(probe, Some(read)).await?;
        Ok((connection, Header::from(answer.header())))
    })
    .await
    .map_err(|failure| failure.of_first_call(options.tls(endpoint).is_some()))
}

/// Connects, and reads nothing: whoever comes next finds out whether somebody answers.
pub(crate) async fn reach(
    options: &ConnectOptions,
    endpoint: &Endpoint,
) -> Result<Connection, Failure> {
    call(options.dial_timeout, async {
        let client = connect(options, endpoint).await?;
        Ok(Connection::new(&client, options))
    })
    .await
    .map_err(|failure| Failure {
        refused: true,
        ..failure.of_first_call(options.tls(endpoint).is_some())
    })
}

async fn connect(
    options: &ConnectOptions,
    endpoint: &Endpoint,
) -> Result<Client, etcd_client::Error> {
    let channel = Channel::Tonic(channel(options, endpoint).await?);
    let settings = etcd_client::ConnectOptions::new().with_require_leader(true);
    let Some(user) = &options.user else {
        return Client::from_channel(channel, Some(settings)).await;
    };
    let with_user = settings
        .clone()
        .with_user(user.name(), user.password())
        // A token runs out after some idle minutes, also that of a session which only renews its
        // lease. A refused call was not carried out, so that it is safe to make it again.
        .with_auto_token_refresh(true);
    match Client::from_channel(channel.clone(), Some(with_user)).await {
        // As etcdctl does, so that clients can be given their users before etcd asks for them.
        // Once it does, calls fail, and the next connection has a user.
        Err(error) if failure::is_auth_off(&error) => {
            tracing::warn!(%endpoint, user = user.name(), "etcd asks for no user: anybody may write");
            Client::from_channel(channel, Some(settings)).await
        }
        other => other,
    }
}

/// Connects. A client made from a channel ignores the settings of transport in its options, so
/// that they are given here.
async fn channel(
    options: &ConnectOptions,
    endpoint: &Endpoint,
) -> Result<tonic::transport::Channel, etcd_client::Error> {
    let tls = options.tls(endpoint);
    let transport = tonic::transport::Endpoint::from_shared(endpoint.url(tls.is_some()))?
        .http2_keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true);
    let transport = with_tls(transport, tls)?;
    // The limit of connecting is the connector's: then it knows how to divide it.
    let connector = Connector::new(Arc::clone(&options.network), options.dial_timeout);
    Ok(transport.connect_with_connector(connector).await?)
}

#[cfg(feature = "tls")]
fn with_tls(
    transport: tonic::transport::Endpoint,
    tls: Option<TlsOptions>,
) -> Result<tonic::transport::Endpoint, etcd_client::Error> {
    let Some(tls) = tls else { return Ok(transport) };
    let tls = tls
        .to_client()
        .map_err(|error| etcd_client::Error::InvalidArgs(error.to_string()))?;
    Ok(transport.tls_config(tls)?)
}

/// Without the feature, options that ask for TLS did not pass their check.
#[cfg(not(feature = "tls"))]
#[allow(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
fn with_tls(
    transport: tonic::transport::Endpoint,
    _: Option<TlsOptions>,
) -> Result<tonic::transport::Endpoint, etcd_client::Error> {
    Ok(transport)
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
    fn options_without_an_endpoint_are_refused() {
        let error = ConnectOptions::new(Vec::new()).check().unwrap_err();
        assert!(error.to_string().contains("at least one host:port"));
    }

    #[test]
    fn a_plain_address_among_tls_options_is_refused() {
        let mut options = ConnectOptions::parse("https://a,http://b").unwrap();
        options.tls = Some(TlsOptions::new());
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains("http://b:2379 is plain text"), "{error}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_refused_by_a_build_without_it() {
        let error = ConnectOptions::parse("a,https://b").unwrap().check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the cargo feature `tls`"), "{error}");
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
