//! The settings of discovery through etcd, by iPOPO's and ECF's names.

mod access;
mod environment;
mod settings;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use self::environment::Environment;
use self::settings::Reader;
use super::guard::Guard;
use crate::keyspace::{self, ConnectOptions};
use crate::names::{NameError, SessionId, TopKey};
use crate::properties::Properties;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A property has a value that does not fit.
    #[error("{name} is '{value}': it must be {expected}")]
    Value {
        /// The property, as it was given.
        name: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The property `name` holds an identifier that breaks its rules.
    #[error("{name}: {source}")]
    Name {
        /// The property, as it was given.
        name: String,
        /// What is wrong.
        source: NameError,
    },
    /// Two names of one setting have different values.
    #[error("{first} and {second} are the same setting with different values: give one of them")]
    Conflict {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// A setting does not go together with another one, or lacks it. Its value, which may be a
    /// secret, is not shown.
    #[error("{name} {problem}")]
    Combination {
        /// The property or variable, as it was given.
        name: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The servers' addresses do not parse.
    #[error(transparent)]
    KeySpace(#[from] keyspace::Error),
}

/// The settings of discovery through etcd.
///
/// [`EtcdConfig::from_properties`] reads them from the names that users of
/// iPOPO and ECF know:
///
/// | iPOPO | ECF (`ecf.discovery.etcd3` +) | default |
/// |---|---|---|
/// | `etcd.hostname` | `.hostname` | `localhost`; a comma-separated list of `host[:port]` for several |
/// | `etcd.port` | `.port` | 2379 |
/// | `etcd.top_key` | `.keyPrefix` | [`TopKey::DEFAULT`] |
/// | `etcd.session_id` | `.sessionid` | a fresh UUID |
/// | `etcd.lease_ttl` | `.ttl` | 30 (seconds) |
/// | `etcd.keepalive_interval` | `.keepAliveUpdateTime` | a third of the TTL (seconds) |
/// | `etcd.call_timeout` | - | 3 (seconds, or as in `500ms`) |
/// | `etcd.disconnect_timeout` | - | 5 (seconds) |
/// | `etcd.hostip` | - | `127.0.0.1` |
/// | `etcd.guard` | - | `true` (see [`Guard`]) |
/// | `etcd.stale_limit` | - | none (seconds, or as in `5m`; see [`EtcdConfig::stale_limit`]) |
/// | `etcd.last_known` | - | none (a path, see [`EtcdConfig::last_known`]) |
/// | - | `.disabled` | `false` |
/// | `etcd.grpc_credentials`: the path of the CA's PEM | `.protocol`, `.usePlaintext` | `http` |
///
/// `https` and `.usePlaintext` = `false` mean TLS, with the system's roots unless a CA is given.
/// In Python `etcd.grpc_credentials` is an object of gRPC; here it is a path.
///
/// What neither has got is named in iPOPO's style, and what `etcdctl` has is read from its
/// variables, where that is asked for ([`EtcdConfig::from_env`]):
///
/// | property | variable | default |
/// |---|---|---|
/// | `etcd.hostname` | `ETCDCTL_ENDPOINTS` | `localhost`; `https://` means TLS |
/// | `etcd.cacert` (path) | `ETCDCTL_CACERT` | the system's roots |
/// | `etcd.cert`, `etcd.key` (paths) | `ETCDCTL_CERT`, `ETCDCTL_KEY` | no client certificate |
/// | `etcd.server_name` | - | the host of the address |
/// | `etcd.user`, `etcd.password` | `ETCDCTL_USER`, `ETCDCTL_PASSWORD` | no user; `name:password` is read too |
/// | `etcd.dial_timeout` | `ETCDCTL_DIAL_TIMEOUT` | `etcd.call_timeout`, 3 s |
/// | `etcd.call_timeout` | `ETCDCTL_COMMAND_TIMEOUT` | 3 s |
/// | `etcd.max_message_size` (bytes) | - | 64 MiB |
/// | - | `ETCDCTL_INSECURE_TRANSPORT` | `true`; `false` means TLS |
///
/// A property wins over a variable. What asks for TLS and what asks for plain text together are an
/// error, whatever won: nothing falls back to plain text in silence.
///
/// Names are read without regard to case, numbers also from text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EtcdConfig {
    /// Where etcd is, and how long calls may take.
    pub connect: ConnectOptions,
    /// The first segment of all keys.
    pub top_key: TopKey,
    /// The session, the second segment of own keys.
    pub session_id: SessionId,
    /// How long own endpoints outlive the process. Default: 30 s.
    pub lease_ttl: Duration,
    /// The pause between renewals of the lease; `None` for a third of the TTL.
    pub keepalive_interval: Option<Duration>,
    /// How long a shutdown waits for etcd. Default: 5 s.
    pub disconnect_timeout: Duration,
    /// The host written into `location`, which ECF shows.
    pub host_ip: String,
    /// When endpoints of sessions that vanished are kept for a while; `None`
    /// for never. Default: [`Guard::for_ttl`].
    pub guard: Option<Guard>,
    /// How long endpoints are shown that etcd cannot confirm. Once nothing was
    /// heard of it for this long, listeners are told that all are gone, until
    /// etcd was read again. Default: none, for ever: a consumer that may call
    /// what it knew is mostly better off than one that may call nothing.
    pub stale_limit: Option<Duration>,
    /// A file in which the endpoints of others are kept, so that a later run
    /// can begin with them while etcd is down. Default: none.
    pub last_known: Option<PathBuf>,
}

impl EtcdConfig {
    /// Defaults, for etcd at these endpoints (`host:port`, several separated
    /// by commas).
    ///
    /// # Errors
    ///
    /// If an address does not parse.
    pub fn new(endpoints: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            connect: ConnectOptions::parse(endpoints)?,
            top_key: TopKey::default(),
            session_id: SessionId::random(),
            lease_ttl: Duration::from_secs(30),
            keepalive_interval: None,
            disconnect_timeout: Duration::from_secs(5),
            host_ip: "127.0.0.1".to_owned(),
            guard: Some(Guard::for_ttl(Duration::from_secs(30))),
            stale_limit: None,
            last_known: None,
        })
    }

    /// Whether the properties hold a setting of this discovery.
    pub fn is_configured(properties: &Properties) -> bool {
        settings::names().any(|name| properties.contains(name))
    }

    /// The names of all settings of this discovery, as iPOPO and ECF write them.
    pub fn setting_names() -> impl Iterator<Item = &'static str> {
        settings::names()
    }

    /// Reads the settings; `None` if `.disabled` says so. Properties of other
    /// parts are left alone; one that looks like a setting and is none is
    /// logged.
    ///
    /// # Errors
    ///
    /// If a value does not fit its setting, or a setting has two values.
    pub fn from_properties(properties: &Properties) -> Result<Option<Self>, ConfigError> {
        Self::from_properties_and_env(properties, &Environment::default())
    }

    /// Reads etcdctl's variables of this process (see [`EtcdConfig`]), and defaults for the rest.
    /// Nothing else of this crate reads them unasked.
    ///
    /// # Errors
    ///
    /// As [`EtcdConfig::from_properties`].
    pub fn from_env() -> Result<Self, ConfigError> {
        let environment = Environment::of_process();
        Self::read(&Reader::new(&Properties::new(), &environment))
    }

    /// As [`EtcdConfig::from_properties`], with etcdctl's variables for what the properties leave
    /// open.
    ///
    /// # Errors
    ///
    /// As [`EtcdConfig::from_properties`].
    pub fn from_properties_and_env(
        properties: &Properties,
        environment: &Environment,
    ) -> Result<Option<Self>, ConfigError> {
        let reader = Reader::new(properties, environment);
        settings::warn_of_unknown(properties);
        if reader.flag(&settings::DISABLED)? == Some(true) {
            return Ok(None);
        }
        Self::read(&reader).map(Some)
    }

    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        let host = reader.get(&settings::HOSTNAME)?;
        let host = host.map_or_else(|| "localhost".to_owned(), |(_, value)| value.to_string());
        let port = reader.read(&settings::PORT, "a port from 1 to 65535", |value| {
            u16::try_from(value.to_i64()?)
                .ok()
                .filter(|port| *port != 0)
        })?;
        let mut config = Self::new(&with_port(&host, port))?;
        if let Some(top_key) = reader.name(&settings::TOP_KEY)? {
            config.top_key = top_key;
        }
        if let Some(session_id) = reader.name(&settings::SESSION)? {
            config.session_id = session_id;
        }
        if let Some(ttl) = reader.seconds(&settings::TTL)? {
            config.lease_ttl = ttl;
            config.guard = Some(Guard::for_ttl(ttl));
        }
        if reader.flag(&settings::GUARD)? == Some(false) {
            config.guard = None;
        }
        config.stale_limit = reader.duration(&settings::STALE_LIMIT)?;
        if let Some((_, path)) = reader.get(&settings::LAST_KNOWN)? {
            config.last_known = Some(path.to_string().into());
        }
        config.keepalive_interval = reader.seconds(&settings::KEEPALIVE)?;
        if let Some(timeout) = reader.seconds(&settings::DISCONNECT)? {
            config.disconnect_timeout = timeout;
        }
        if let Some((_, host)) = reader.get(&settings::HOST_IP)? {
            config.host_ip = host.to_string();
        }
        access::read(reader, &mut config.connect)?;
        Ok(config)
    }
}

/// Gives the port to every host of the list that has none.
fn with_port(hosts: &str, port: Option<u16>) -> String {
    let Some(port) = port else {
        return hosts.to_owned();
    };
    let hosts = hosts.split(',').map(|host| {
        let host = host.trim();
        let (scheme, rest) = host.split_once("://").map_or(("", host), |(s, r)| (s, r));
        let bare_v6 = rest.parse::<std::net::Ipv6Addr>().is_ok();
        let has_port = !bare_v6
            && rest
                .rsplit_once(':')
                .is_some_and(|(before, _)| !before.contains(':') || before.ends_with(']'));
        let joined = match (has_port, bare_v6) {
            (true, _) => rest.to_owned(),
            (false, true) => format!("[{rest}]:{port}"),
            (false, false) => format!("{rest}:{port}"),
        };
        if scheme.is_empty() {
            joined
        } else {
            format!("{scheme}://{joined}")
        }
    });
    hosts.collect::<Vec<_>>().join(",")
}
