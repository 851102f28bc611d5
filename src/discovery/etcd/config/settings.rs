//! The settings by all their names, and how they are read.

use std::time::Duration;

use super::ConfigError;
use super::environment::{self, Environment};
use crate::names::NameError;
use crate::properties::{self, Properties, Value};

/// One setting: the properties that name it, and etcdctl's variable.
pub(super) struct Setting {
    properties: &'static [&'static str],
    variable: Option<&'static str>,
}

const fn of(properties: &'static [&'static str]) -> Setting {
    Setting {
        properties,
        variable: None,
    }
}

const fn with(properties: &'static [&'static str], variable: &'static str) -> Setting {
    Setting {
        properties,
        variable: Some(variable),
    }
}

pub(super) const HOSTNAME: Setting = with(
    &["etcd.hostname", "ecf.discovery.etcd3.hostname"],
    environment::ENDPOINTS,
);
pub(super) const PORT: Setting = of(&["etcd.port", "ecf.discovery.etcd3.port"]);
pub(super) const PROTOCOL: Setting = of(&["ecf.discovery.etcd3.protocol"]);
pub(super) const PLAINTEXT: Setting = of(&["ecf.discovery.etcd3.usePlaintext"]);
/// Unlike `usePlaintext`, `true` is no wish but etcdctl's default.
pub(super) const INSECURE_TRANSPORT: Setting = with(&[], "ETCDCTL_INSECURE_TRANSPORT");
pub(super) const CA: Setting = with(&["etcd.cacert", "etcd.grpc_credentials"], "ETCDCTL_CACERT");
pub(super) const CERT: Setting = with(&["etcd.cert"], "ETCDCTL_CERT");
pub(super) const KEY: Setting = with(&["etcd.key"], "ETCDCTL_KEY");
pub(super) const SERVER_NAME: Setting = of(&["etcd.server_name"]);
pub(super) const USER: Setting = with(&["etcd.user"], "ETCDCTL_USER");
pub(super) const PASSWORD: Setting = with(&["etcd.password"], "ETCDCTL_PASSWORD");
pub(super) const TOP_KEY: Setting = of(&["etcd.top_key", "ecf.discovery.etcd3.keyPrefix"]);
pub(super) const SESSION: Setting = of(&["etcd.session_id", "ecf.discovery.etcd3.sessionid"]);
pub(super) const TTL: Setting = of(&["etcd.lease_ttl", "ecf.discovery.etcd3.ttl"]);
pub(super) const KEEPALIVE: Setting = of(&[
    "etcd.keepalive_interval",
    "ecf.discovery.etcd3.keepAliveUpdateTime",
]);
pub(super) const CALL_TIMEOUT: Setting = with(&["etcd.call_timeout"], "ETCDCTL_COMMAND_TIMEOUT");
pub(super) const DIAL_TIMEOUT: Setting = with(&["etcd.dial_timeout"], "ETCDCTL_DIAL_TIMEOUT");
pub(super) const MAX_MESSAGE: Setting = of(&["etcd.max_message_size"]);
pub(super) const DISCONNECT: Setting = of(&["etcd.disconnect_timeout"]);
pub(super) const HOST_IP: Setting = of(&["etcd.hostip"]);
pub(super) const GUARD: Setting = of(&["etcd.guard"]);
pub(super) const STALE_LIMIT: Setting = of(&["etcd.stale_limit"]);
pub(super) const LAST_KNOWN: Setting = of(&["etcd.last_known"]);
pub(super) const DISABLED: Setting = of(&["ecf.discovery.etcd3.disabled"]);

const ALL: [Setting; 24] = [
    HOSTNAME,
    PORT,
    PROTOCOL,
    PLAINTEXT,
    INSECURE_TRANSPORT,
    CA,
    CERT,
    KEY,
    SERVER_NAME,
    USER,
    PASSWORD,
    TOP_KEY,
    SESSION,
    TTL,
    KEEPALIVE,
    CALL_TIMEOUT,
    DIAL_TIMEOUT,
    MAX_MESSAGE,
    DISCONNECT,
    HOST_IP,
    GUARD,
    STALE_LIMIT,
    LAST_KNOWN,
    DISABLED,
];

const PREFIXES: [&str; 2] = ["etcd.", "ecf.discovery.etcd3."];

/// The names of all properties.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|setting| setting.properties).copied()
}

/// Reads settings under each of their names.
pub(super) struct Reader<'a> {
    properties: &'a Properties,
    environment: &'a Environment,
}

impl<'a> Reader<'a> {
    pub(super) fn new(properties: &'a Properties, environment: &'a Environment) -> Self {
        Self {
            properties,
            environment,
        }
    }

    /// The name under which a setting was given, and its value.
    pub(super) fn get(
        &self,
        setting: &Setting,
    ) -> Result<Option<(&'a str, &'a Value)>, ConfigError> {
        let mut found: Option<(&str, &Value)> = None;
        for name in setting.properties {
            let mut all = self.properties.iter();
            let Some((name, value)) = all.find(|(key, _)| properties::same_name(key, name)) else {
                continue;
            };
            match found {
                Some((first, other)) if other.to_string() != value.to_string() => {
                    return Err(ConfigError::Conflict {
                        first: first.to_owned(),
                        second: name.to_owned(),
                    });
                }
                Some(_) => {}
                None => found = Some((name, value)),
            }
        }
        let variable = || self.environment.get(setting.variable?);
        Ok(found.or_else(variable))
    }

    pub(super) fn read<T>(
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

    pub(super) fn name<T: std::str::FromStr<Err = NameError>>(
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

    pub(super) fn seconds(&self, setting: &Setting) -> Result<Option<Duration>, ConfigError> {
        self.read(
            setting,
            "a whole number of seconds, 1 or more",
            whole_seconds,
        )
    }

    /// Seconds, or a duration as Go writes it.
    pub(super) fn duration(&self, setting: &Setting) -> Result<Option<Duration>, ConfigError> {
        self.read(
            setting,
            "a whole number of seconds, 1 or more, or a duration such as 500ms or 1m30s",
            |value| {
                let duration =
                    whole_seconds(value).or_else(|| environment::duration(&value.to_string()))?;
                (!duration.is_zero()).then_some(duration)
            },
        )
    }

    pub(super) fn flag(&self, setting: &Setting) -> Result<Option<bool>, ConfigError> {
        self.read(setting, "true or false", |value| match value {
            Value::Boolean(flag) => Some(*flag),
            other => other.to_string().trim().to_lowercase().parse().ok(),
        })
    }
}

fn whole_seconds(value: &Value) -> Option<Duration> {
    let seconds = value.to_i64().filter(|s| *s >= 1)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

pub(super) fn warn_of_unknown(properties: &Properties) {
    for name in properties.keys() {
        let ours = PREFIXES
            .iter()
            .any(|p| properties::name_starts_with(name, p));
        let known = names().any(|known| properties::same_name(known, name));
        if ours && !known {
            tracing::warn!(
                name,
                "this setting of etcd discovery is not known and has no effect"
            );
        }
    }
}
