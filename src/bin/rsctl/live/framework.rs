//! The framework behind a command, and how its connection stands.

use clap::Args;
use osgi_remote::discovery::etcd::{Environment, EtcdConfig, HealthUpdates};
use osgi_remote::properties::Properties;
use osgi_remote::topology::TopologyPolicy;
use osgi_remote::{Framework, FrameworkBuilder, FrameworkError};
use std::time::Duration;

use super::property::name_and_value;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::printable;
use crate::time::duration;

/// Options of commands that run a framework.
#[derive(Clone, Debug, Args)]
pub(crate) struct FrameworkOptions {
    /// Where exported services are called; port 0 for any that is free.
    ///
    /// Default: 127.0.0.1:0, which only this machine can reach.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// A setting by iPOPO's or ECF's name, such as etcd.lease_ttl=5; repeatable.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    settings: Vec<(String, String)>,
    /// How long to wait for etcd at the start.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    connect_timeout: Duration,
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
            address: addresses.unwrap_or_default(),
        }
    }

    /// The next news; never without discovery. Cancellation safe.
    pub(crate) async fn news(&mut self) -> String {
        let Some(updates) = &mut self.updates else {
            return std::future::pending().await;
        };
        while let Some(health) = updates.changed().await {
            let now = health.is_connected();
            let before = match self.connected {
                Some(before) => before,
                None if now => true,
                None => continue,
            };
            self.connected = Some(now);
            if now == before {
                continue;
            }
            if now {
                return format!("the connection to etcd at {} is back", self.address);
            }
            let cause = health.session_error.or(health.watch_error);
            let cause = cause.map(|cause| printable(&format!(": {cause}")));
            let cause = cause.unwrap_or_default();
            let address = &self.address;
            return format!("the connection to etcd at {address} is lost, trying goes on{cause}");
        }
        // Discovery has ended, which its owner knows.
        std::future::pending().await
    }
}
