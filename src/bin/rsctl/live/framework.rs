//! The framework behind a command, and how its connection stands.

use clap::Args;
use osgi_remote::discovery::etcd::{Environment, EtcdConfig, EtcdDiscovery, Health, HealthUpdates};
use osgi_remote::distribution::DistributionError;
use osgi_remote::distribution::xmlrpc::XmlRpcConfig;
use osgi_remote::keyspace::{ConnectOptions, Endpoint, Error, SessionPhase};
use osgi_remote::properties::{Properties, name_starts_with, same_name};
use osgi_remote::topology::TopologyPolicy;
use osgi_remote::{Framework, FrameworkBuilder, FrameworkError};
use similar::TextDiff;
use std::time::Duration;

use super::property::name_and_value;
use crate::advice::in_options;
use crate::context::Context;
use crate::denial::{Since, is_denial};
use crate::failure::Failure;
use crate::output::printable;
use crate::time::duration;

/// Options of commands that run a framework.
#[derive(Clone, Debug, Args)]
pub(crate) struct FrameworkOptions {
    /// Where exported services are called; port 0 for any that is free.
    ///
    /// Default: 127.0.0.1:0, which only this machine can reach.
    #[arg(long, value_name = "HOST:PORT", value_parser = listen)]
    listen: Option<String>,
    /// A setting by iPOPO's or ECF's name, such as etcd.lease_ttl=5; repeatable.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// How long to wait for etcd at the start.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    connect_timeout: Duration,
}

/// Reads where to listen, for clap.
fn listen(text: &str) -> Result<String, String> {
    match XmlRpcConfig::default().listen(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(DistributionError::Property { problem, .. }) => Err(problem),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a setting, for clap. Those of discovery are all known, so that another one is a slip.
fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = name_and_value(text)?;
    let known = || EtcdConfig::setting_names();
    let of_discovery = ["etcd.", "ecf.discovery.etcd3."]
        .iter()
        .any(|prefix| name_starts_with(&name, prefix));
    if !of_discovery || known().any(|other| same_name(other, &name)) {
        return Ok((name, value));
    }
    let likeness = |other: &str| TextDiff::from_chars(name.as_str(), other).ratio();
    let nearest = known().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let nearest = nearest.map(|nearest| format!(": the nearest one is {nearest}"));
    let nearest = nearest.unwrap_or_default();
    Err(format!("discovery has no setting {name}{nearest}"))
}

impl FrameworkOptions {
    /// The settings of discovery; `None` if they say that there is none.
    pub(crate) fn etcd(&self, context: &Context) -> Result<Option<EtcdConfig>, Failure> {
        // What is said with --set is nearer than the variables and the file.
        let mut settings = context.settings();
        settings.overlay(&self.settings());
        let environment = Environment::of_process();
        Ok(EtcdConfig::from_properties_and_env(
            &settings,
            &environment,
        )?)
    }

    /// Whether a session's id is given, so that the next run has the same one.
    pub(crate) fn names_a_session(&self) -> bool {
        let names = ["etcd.session_id", "ecf.discovery.etcd3.sessionid"];
        let mut settings = self.settings.iter();
        settings.any(|(name, _)| names.iter().any(|known| same_name(known, name)))
    }

    /// How long to wait for etcd at the start.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    fn settings(&self) -> Properties {
        self.settings.iter().cloned().collect()
    }

    /// A framework by these options, that discovers through `etcd`, if at all.
    pub(crate) fn builder(
        &self,
        etcd: Option<EtcdConfig>,
        policy: impl TopologyPolicy,
    ) -> FrameworkBuilder {
        // Those of discovery are in `etcd` already.
        let mut settings = self.settings();
        settings.retain(|name, _| {
            let name = name.to_lowercase();
            !name.starts_with("etcd.") && !name.starts_with("ecf.discovery.")
        });
        let mut builder = Framework::builder()
            .properties(&settings)
            .policy(policy)
            .connect_timeout(self.connect_timeout);
        if let Some(listen) = &self.listen {
            builder = builder.xmlrpc(listen);
        }
        match etcd {
            Some(config) => builder
                .etcd("localhost")
                .etcd_with(move |all| *all = config),
            None => builder,
        }
    }
}

impl FrameworkOptions {
    /// Starts a framework that discovers through `etcd`, if at all, and waits for its connection.
    ///
    /// # Errors
    ///
    /// As of the framework; and at once where etcd denies what discovery reads and writes.
    pub(crate) async fn start(
        &self,
        builder: FrameworkBuilder,
        etcd: Option<&EtcdConfig>,
    ) -> Result<Framework, Failure> {
        let Some(config) = etcd else {
            return builder.start().await.map_err(failure);
        };
        let started = builder.start_disconnected().start().await;
        let framework = started.map_err(failure)?;
        let Some(discovery) = framework.etcd() else {
            return Ok(framework);
        };
        let servers = servers_of_tls(&config.connect);
        let connected = tokio::select! {
            biased;
            connected = discovery.connected(self.connect_timeout) => {
                connected.map_err(Failure::from)
            }
            denial = denied_at_start(discovery, servers) => Err(denial),
        };
        let Err(refused) = connected else {
            return Ok(framework);
        };
        // A lease may be granted already, and keys may be under it.
        if let Err(error) = framework.shutdown().await {
            tracing::warn!(%error, "ended badly after a start that failed");
        }
        Err(refused)
    }
}

/// How many servers there are, if they are asked for TLS. In plain text, one that hangs up may be a
/// proxy whose server is not there yet, and is waited for.
fn servers_of_tls(options: &ConnectOptions) -> usize {
    let of_tls = |endpoint: &Endpoint| endpoint.tls().unwrap_or(options.tls.is_some());
    match options.endpoints.iter().any(of_tls) {
        true => options.endpoints.len(),
        false => usize::MAX,
    }
}

/// Ends when etcd denies reading or writing.
async fn denied_at_start(discovery: &EtcdDiscovery, servers: usize) -> Failure {
    let since = Since::start(servers);
    let denial = |health: &Health| {
        let (session, watch) = (&health.counts.session, &health.counts.watch);
        let of_session = since.denial(session.failures, health.session_error.as_ref());
        let of_watch = since.denial(watch.failures, health.watch_error.as_ref());
        of_session.or(of_watch).cloned()
    };
    first(discovery.health_updates(), denial).await
}

/// Hears of what etcd denies a session that was let in already.
#[derive(Debug)]
pub(crate) struct Denials {
    updates: Option<HealthUpdates>,
    since: Since,
}

impl Denials {
    /// From now on: what is to be written is to be written after this.
    pub(crate) fn from_now(framework: &Framework) -> Self {
        let failures = framework
            .health()
            .map_or(0, |health| health.counts.session.failures);
        Self {
            updates: framework.health_updates(),
            since: Since::now(failures),
        }
    }

    /// Ends when writing is denied; never without discovery.
    pub(crate) async fn first(self) -> Failure {
        let Some(updates) = self.updates else {
            return std::future::pending().await;
        };
        let denial = |health: &Health| {
            let failures = health.counts.session.failures;
            let error = health.session_error.as_ref();
            self.since.denial(failures, error).cloned()
        };
        first(updates, denial).await
    }
}

async fn first(mut updates: HealthUpdates, denial: impl Fn(&Health) -> Option<Error>) -> Failure {
    let health = updates.wait_for(|health| denial(health).is_some()).await;
    match health.as_ref().and_then(denial) {
        Some(error) => error.into(),
        None => Failure::failed("discovery has ended by itself"),
    }
}

/// What keeps the session from writing, if etcd says no. On the way to the next attempt it is still
/// so.
pub(crate) fn denied_now(health: &Health) -> Option<&Error> {
    let error = health.session_error.as_ref();
    error.filter(|error| health.session != SessionPhase::Held && is_denial(error))
}

/// What an error of the framework means for the exit code.
pub(crate) fn failure(error: FrameworkError) -> Failure {
    match error {
        FrameworkError::Discovery(error) => error.into(),
        FrameworkError::Config(error) => error.into(),
        error @ (FrameworkError::Distribution(_)
        | FrameworkError::Export(_)
        | FrameworkError::Edef(_)
        | FrameworkError::Filter(_)
        | FrameworkError::TwoRegistries { .. }) => Failure::usage(error.to_string()),
        error => Failure::failed(error.to_string()),
    }
}

/// Tells when the connection to etcd is lost, and when it is back.
#[derive(Debug)]
pub(crate) struct Connection {
    updates: Option<HealthUpdates>,
    address: String,
    /// Whether it was there at the last look; none before it was whole for the first time, for a
    /// framework has started before its watch is open.
    connected: Option<bool>,
    /// Whether it is not, as was told, because etcd says no.
    denied: bool,
}

impl Connection {
    pub(crate) fn of(framework: &Framework, etcd: Option<&EtcdConfig>) -> Self {
        let updates = framework.health_updates();
        let addresses = etcd.map(|config| {
            let endpoints = config.connect.endpoints.iter().map(ToString::to_string);
            endpoints.collect::<Vec<_>>().join(",")
        });
        let connected = updates
            .as_ref()
            .map(|updates| updates.current().is_connected());
        Self {
            updates,
            connected: connected.filter(|now| *now),
            denied: false,
            address: addresses.unwrap_or_default(),
        }
    }

    /// The next news; never without discovery. Cancellation safe.
    pub(crate) async fn news(&mut self) -> String {
        let Some(updates) = &mut self.updates else {
            return std::future::pending().await;
        };
        while let Some(health) = updates.changed().await {
            // A session that is on its way, as after somebody deleted a key of it, has lost nothing;
            // where it comes to is told.
            let on_its_way = matches!(
                health.session,
                SessionPhase::Granting | SessionPhase::Reconciling
            );
            if on_its_way && health.stale_since.is_none() {
                continue;
            }
            let now = health.is_connected();
            let before = match self.connected {
                Some(before) => before,
                None if now => true,
                None => continue,
            };
            self.connected = Some(now);
            let denied = !now && denied_now(&health).is_some();
            // A denial after a lost connection is news, and so is the other way round.
            if (now, denied) == (before, self.denied) {
                continue;
            }
            let was_denied = std::mem::replace(&mut self.denied, denied);
            let address = &self.address;
            if now {
                return match was_denied {
                    true => format!("etcd at {address} denies it no more"),
                    false => format!("the connection to etcd at {address} is back"),
                };
            }
            let cause = match health.session {
                SessionPhase::Held => health.watch_error.or(health.session_error),
                _ => health.session_error.or(health.watch_error),
            };
            let cause = cause.map(|cause| printable(&in_options(&format!(": {cause}"))));
            let cause = cause.unwrap_or_default();
            if denied {
                return format!("denied, trying goes on{cause}");
            }
            return format!("the connection to etcd at {address} is lost, trying goes on{cause}");
        }
        // Discovery has ended, which its owner knows.
        std::future::pending().await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_discovery_that_there_is_not_is_told_with_the_nearest_one() {
        for (text, nearest) in [
            ("etcd.lese_ttl=5", "etcd.lease_ttl"),
            ("ecf.discovery.etcd3.tll=5", "ecf.discovery.etcd3.ttl"),
        ] {
            let error = setting(text).unwrap_err();
            assert!(error.ends_with(&format!("is {nearest}")), "{error}");
        }
        for good in ["etcd.lease_ttl=5", "ETCD.Lease_TTL=5", "ecf.other=1", "a=b"] {
            assert!(setting(good).is_ok(), "{good}");
        }
    }
}
