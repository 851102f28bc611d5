//! The settings of discovery through etcd, by iPOPO's and ECF's names.

use std::path::PathBuf;
use std::time::Duration;

use super::guard::Guard;
use crate::keyspace::{self, ConnectOptions};
use crate::names::{NameError, SessionId, TopKey};
use crate::properties::{self, Properties, Value};

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
    /// What is asked for is not there yet.
    #[error("{name}: {what}")]
    Unsupported {
        /// The property, as it was given.
        name: String,
        /// What it asks for, and what to do.
        what: &'static str,
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
/// | `etcd.call_timeout` | - | 3 (seconds) |
/// | `etcd.disconnect_timeout` | - | 5 (seconds) |
/// | `etcd.hostip` | - | `127.0.0.1` |
/// | `etcd.guard` | - | `true` (see [`Guard`]) |
/// | `etcd.last_known` | - | none (a path, see [`EtcdConfig::last_known`]) |
/// | - | `.disabled` | `false` |
/// | `etcd.grpc_credentials` | `.protocol`, `.usePlaintext` | plaintext; TLS is refused as yet |
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
    /// A file in which the endpoints of others are kept, so that a later run
    /// can begin with them while etcd is down. Default: none.
    pub last_known: Option<PathBuf>,
}

/// One setting: iPOPO's name for it, and ECF's.
struct Setting(Option<&'static str>, Option<&'static str>);

const HOSTNAME: Setting = Setting(Some("etcd.hostname"), Some("ecf.discovery.etcd3.hostname"));
const PORT: Setting = Setting(Some("etcd.port"), Some("ecf.discovery.etcd3.port"));
const PROTOCOL: Setting = Setting(None, Some("ecf.discovery.etcd3.protocol"));
const PLAINTEXT: Setting = Setting(None, Some("ecf.discovery.etcd3.usePlaintext"));
const CREDENTIALS: Setting = Setting(Some("etcd.grpc_credentials"), None);
const TOP_KEY: Setting = Setting(Some("etcd.top_key"), Some("ecf.discovery.etcd3.keyPrefix"));
const SESSION: Setting = Setting(
    Some("etcd.session_id"),
    Some("ecf.discovery.etcd3.sessionid"),
);
const TTL: Setting = Setting(Some("etcd.lease_ttl"), Some("ecf.discovery.etcd3.ttl"));
const KEEPALIVE: Setting = Setting(
    Some("etcd.keepalive_interval"),
    Some("ecf.discovery.etcd3.keepAliveUpdateTime"),
);
const CALL_TIMEOUT: Setting = Setting(Some("etcd.call_timeout"), None);
const DISCONNECT: Setting = Setting(Some("etcd.disconnect_timeout"), None);
const HOST_IP: Setting = Setting(Some("etcd.hostip"), None);
const GUARD: Setting = Setting(Some("etcd.guard"), None);
const LAST_KNOWN: Setting = Setting(Some("etcd.last_known"), None);
const DISABLED: Setting = Setting(None, Some("ecf.discovery.etcd3.disabled"));

const ALL: [Setting; 15] = [
    HOSTNAME,
    PORT,
    PROTOCOL,
    PLAINTEXT,
    CREDENTIALS,
    TOP_KEY,
    SESSION,
    TTL,
    KEEPALIVE,
    CALL_TIMEOUT,
    DISCONNECT,
    HOST_IP,
    DISABLED,
    GUARD,
    LAST_KNOWN,
];

const PREFIXES: [&str; 2] = ["etcd.", "ecf.discovery.etcd3."];

/// Reads settings under either of their names.
struct Reader<'a>(&'a Properties);

impl<'a> Reader<'a> {
    /// The name under which a setting was given, and its value.
    fn get(&self, setting: &Setting) -> Result<Option<(&'a str, &'a Value)>, ConfigError> {
        let find = |name: Option<&str>| {
            let name = name?;
            self.0
                .iter()
                .find(|(key, _)| properties::same_name(key, name))
        };
        match (find(setting.0), find(setting.1)) {
            (Some((first, a)), Some((second, b))) if a.to_string() != b.to_string() => {
                Err(ConfigError::Conflict {
                    first: first.to_owned(),
                    second: second.to_owned(),
                })
            }
            (found, other) => Ok(found.or(other)),
        }
    }

    fn read<T>(
        &self,
        setting: &Setting,
        expected: &'static str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((name, value)) = self.get(setting)? else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| ConfigError::Value {
            name: name.to_owned(),
            value: value.to_string(),
            expected,
        })
    }

    fn name<T: std::str::FromStr<Err = NameError>>(
        &self,
        setting: &Setting,
    ) -> Result<Option<T>, ConfigError> {
        let Some((name, value)) = self.get(setting)? else {
            return Ok(None);
        };
        let parsed = value
            .to_string()
            .parse()
            .map_err(|source| ConfigError::Name {
                name: name.to_owned(),
                source,
            });
        parsed.map(Some)
    }

    fn seconds(&self, setting: &Setting) -> Result<Option<Duration>, ConfigError> {
        self.read(setting, "a whole number of seconds, 1 or more", |value| {
            let seconds = value.to_i64().filter(|s| *s >= 1)?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        })
    }

    fn flag(&self, setting: &Setting) -> Result<Option<bool>, ConfigError> {
        self.read(setting, "true or false", |value| match value {
            Value::Boolean(flag) => Some(*flag),
            other => other.to_string().trim().to_lowercase().parse().ok(),
        })
    }
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
            last_known: None,
        })
    }

    /// Whether the properties hold a setting of this discovery.
    pub fn is_configured(properties: &Properties) -> bool {
        ALL.iter().any(|setting| {
            let names = [setting.0, setting.1];
            names.iter().flatten().any(|name| properties.contains(name))
        })
    }

    /// Reads the settings; `None` if `.disabled` says so. Properties of other
    /// parts are left alone; one that looks like a setting and is none is
    /// logged.
    ///
    /// # Errors
    ///
    /// If a value does not fit its setting, or a setting has two values.
    pub fn from_properties(properties: &Properties) -> Result<Option<Self>, ConfigError> {
        let reader = Reader(properties);
        warn_of_unknown(properties);
        if reader.flag(&DISABLED)? == Some(true) {
            return Ok(None);
        }
        reader.refuse_tls()?;
        let host = reader.get(&HOSTNAME)?;
        let host = host.map_or_else(|| "localhost".to_owned(), |(_, value)| value.to_string());
        let port = reader.read(&PORT, "a port from 1 to 65535", |value| {
            u16::try_from(value.to_i64()?)
                .ok()
                .filter(|port| *port != 0)
        })?;
        let mut config = Self::new(&with_port(&host, port))?;
        if let Some(top_key) = reader.name(&TOP_KEY)? {
            config.top_key = top_key;
        }
        if let Some(session_id) = reader.name(&SESSION)? {
            config.session_id = session_id;
        }
        if let Some(ttl) = reader.seconds(&TTL)? {
            config.lease_ttl = ttl;
            config.guard = Some(Guard::for_ttl(ttl));
        }
        if reader.flag(&GUARD)? == Some(false) {
            config.guard = None;
        }
        if let Some((_, path)) = reader.get(&LAST_KNOWN)? {
            config.last_known = Some(path.to_string().into());
        }
        config.keepalive_interval = reader.seconds(&KEEPALIVE)?;
        if let Some(timeout) = reader.seconds(&CALL_TIMEOUT)? {
            config.connect.call_timeout = timeout;
            config.connect.dial_timeout = timeout;
        }
        if let Some(timeout) = reader.seconds(&DISCONNECT)? {
            config.disconnect_timeout = timeout;
        }
        if let Some((_, host)) = reader.get(&HOST_IP)? {
            config.host_ip = host.to_string();
        }
        Ok(Some(config))
    }
}

impl Reader<'_> {
    /// Never plaintext where TLS was asked for.
    fn refuse_tls(&self) -> Result<(), ConfigError> {
        let refuse = |name: &str| {
            Err(ConfigError::Unsupported {
                name: name.to_owned(),
                what: "asks for TLS, which this version does not have: use plaintext on a \
                       trusted network, or a later version",
            })
        };
        if let Some((name, _)) = self.get(&CREDENTIALS)? {
            return refuse(name);
        }
        if self.flag(&PLAINTEXT)? == Some(false) {
            return refuse("ecf.discovery.etcd3.usePlaintext");
        }
        match self.get(&PROTOCOL)? {
            None => Ok(()),
            Some((name, value)) => match value.to_string().to_lowercase().as_str() {
                "http" => Ok(()),
                "https" => refuse(name),
                _ => Err(ConfigError::Value {
                    name: name.to_owned(),
                    value: value.to_string(),
                    expected: "http",
                }),
            },
        }
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

fn warn_of_unknown(properties: &Properties) {
    for name in properties.keys() {
        let ours = PREFIXES
            .iter()
            .any(|p| properties::name_starts_with(name, p));
        let known = ALL.iter().any(|setting| {
            let names = [setting.0, setting.1];
            names
                .iter()
                .flatten()
                .any(|known| properties::same_name(known, name))
        });
        if ours && !known {
            tracing::warn!(
                name,
                "this setting of etcd discovery is not known and has no effect"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    fn read(properties: Properties) -> EtcdConfig {
        EtcdConfig::from_properties(&properties).unwrap().unwrap()
    }

    fn refused(properties: Properties) -> String {
        EtcdConfig::from_properties(&properties)
            .unwrap_err()
            .to_string()
    }

    fn addresses(config: &EtcdConfig) -> Vec<String> {
        config
            .connect
            .endpoints
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn defaults_are_those_of_both_peers() {
        let config = read(props! {});
        assert_eq!(
            addresses(&config),
            addresses(&EtcdConfig::new("localhost:2379").unwrap())
        );
        assert_eq!(config.top_key, TopKey::default());
        assert_eq!(config.lease_ttl, Duration::from_secs(30));
        assert_eq!(config.connect.call_timeout, Duration::from_secs(3));
        assert_eq!(config.disconnect_timeout, Duration::from_secs(5));
        assert_ne!(config.session_id, read(props! {}).session_id);
    }

    #[test]
    fn names_of_ipopo_are_read() {
        let config = read(props! {
            "etcd.hostname" => "127.0.0.1", "etcd.port" => 4001_i32, "etcd.top_key" => "top",
            "etcd.session_id" => "4469111c-91c2-4dba-b64f-750d14243fda", "etcd.lease_ttl" => 7_i32,
            "etcd.keepalive_interval" => "2", "etcd.call_timeout" => 4_i64,
            "etcd.disconnect_timeout" => 6_i32, "etcd.hostip" => "10.0.0.1",
        });
        assert_eq!(
            addresses(&config),
            addresses(&EtcdConfig::new("127.0.0.1:4001").unwrap())
        );
        assert_eq!(config.top_key.as_str(), "top");
        assert_eq!(
            config.session_id.as_str(),
            "4469111c-91c2-4dba-b64f-750d14243fda"
        );
        assert_eq!(config.lease_ttl, Duration::from_secs(7));
        assert_eq!(config.keepalive_interval, Some(Duration::from_secs(2)));
        assert_eq!(config.connect.call_timeout, Duration::from_secs(4));
        assert_eq!(config.disconnect_timeout, Duration::from_secs(6));
        assert_eq!(config.host_ip, "10.0.0.1");
    }

    #[test]
    fn names_of_ecf_are_read() {
        let config = read(props! {
            "ecf.discovery.etcd3.hostname" => "h1, h2:5000,[::1]",
            "ecf.discovery.etcd3.port" => "4001",
            "ECF.discovery.etcd3.keyprefix" => "top",
            "ecf.discovery.etcd3.sessionid" => "4469111c-91c2-4dba-b64f-750d14243fda",
            "ecf.discovery.etcd3.ttl" => 7_i32,
            "ecf.discovery.etcd3.keepAliveUpdateTime" => 2_i32,
            "ecf.discovery.etcd3.protocol" => "http",
            "ecf.discovery.etcd3.usePlaintext" => true,
        });
        let expected = EtcdConfig::new("h1:4001,h2:5000,[::1]:4001").unwrap();
        assert_eq!(addresses(&config), addresses(&expected));
        assert_eq!(config.top_key.as_str(), "top");
        assert_eq!(config.lease_ttl, Duration::from_secs(7));
    }

    #[test]
    fn discovery_can_be_disabled() {
        let disabled = props! { "ecf.discovery.etcd3.disabled" => "true" };
        assert!(EtcdConfig::from_properties(&disabled).unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() {
        for (properties, part) in [
            (
                props! { "etcd.port" => "abc" },
                "etcd.port is 'abc': it must be a port",
            ),
            (props! { "etcd.port" => 0_i32 }, "etcd.port is '0'"),
            (props! { "etcd.port" => 70_000_i32 }, "etcd.port is '70000'"),
            (props! { "etcd.port" => true }, "etcd.port is 'true'"),
            (
                props! { "etcd.top_key" => "a/b" },
                "etcd.top_key: top key 'a/b' holds a '/'",
            ),
            (
                props! { "etcd.session_id" => "me" },
                "session id 'me' is no UUID",
            ),
            (
                props! { "etcd.lease_ttl" => 0_i32 },
                "etcd.lease_ttl is '0'",
            ),
            (props! { "etcd.hostname" => "a b" }, "a b"),
            (props! { "etcd.grpc_credentials" => "x" }, "asks for TLS"),
            (
                props! { "ecf.discovery.etcd3.usePlaintext" => false },
                "asks for TLS",
            ),
            (
                props! { "ecf.discovery.etcd3.protocol" => "https" },
                "asks for TLS",
            ),
            (
                props! { "ecf.discovery.etcd3.disabled" => "maybe" },
                "true or false",
            ),
        ] {
            let error = refused(properties);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn two_values_for_one_setting_are_refused() {
        let error = refused(props! { "etcd.port" => 1_i32, "ecf.discovery.etcd3.port" => 2_i32 });
        assert!(
            error.starts_with("etcd.port and ecf.discovery.etcd3.port"),
            "{error}"
        );
        read(props! { "etcd.port" => 1_i32, "ecf.discovery.etcd3.port" => "1" });
    }
}
