//! What all commands share: the way to etcd, and the way to the user.

use osgi_remote::discovery::etcd::{Environment, EtcdConfig};
use osgi_remote::keyspace::ConnectOptions;
use osgi_remote::names::TopKey;
use osgi_remote::properties::Properties;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::options::Options;
use crate::output::Output;
use crate::settings;

/// Shared by all commands.
#[derive(Debug)]
pub(crate) struct Context {
    /// As given, with what the file of settings says.
    pub(crate) options: Options,
    /// Where results go.
    pub(crate) output: Output,
}

impl Context {
    /// Reads the file of settings and starts the log.
    pub(crate) fn new(mut options: Options) -> Result<Self, Failure> {
        options.drop_empty();
        settings::fill(&mut options)?;
        start_log(options.verbose);
        let output = Output::new(
            options.output.unwrap_or_default(),
            options.color.unwrap_or_default(),
        );
        Ok(Self { options, output })
    }

    /// The same with other options.
    pub(crate) fn with(&self, options: Options) -> Self {
        let output = self.output;
        Self { options, output }
    }

    /// The options under the names of discovery's settings.
    pub(crate) fn settings(&self) -> Properties {
        let options = &self.options;
        let given = [
            ("etcd.hostname", &options.endpoints),
            ("etcd.cacert", &options.cacert),
            ("etcd.cert", &options.cert),
            ("etcd.key", &options.key),
            ("etcd.user", &options.user),
            ("etcd.password", &options.password),
            ("etcd.top_key", &options.top_key),
            ("etcd.dial_timeout", &options.dial_timeout),
            ("etcd.call_timeout", &options.command_timeout),
        ];
        let mut properties = Properties::new();
        for (name, value) in given {
            if let Some(value) = value {
                properties.set(name, value.as_str());
            }
        }
        properties
    }

    /// The settings of discovery, for commands that run a framework or read endpoints.
    pub(crate) fn etcd(&self) -> Result<EtcdConfig, Failure> {
        let properties = self.settings();
        // clap has read etcdctl's variables already; this adds the one that is no option.
        let environment = Environment::of_process();
        let config = EtcdConfig::from_properties_and_env(&properties, &environment)?;
        Ok(match config {
            Some(config) => config,
            None => EtcdConfig::new("localhost")?,
        })
    }

    /// How etcd is reached.
    pub(crate) fn connect(&self) -> Result<ConnectOptions, Failure> {
        Ok(self.etcd()?.connect)
    }

    /// The first segment of the keys of endpoints.
    pub(crate) fn top_key(&self) -> Result<TopKey, Failure> {
        Ok(self.etcd()?.top_key)
    }
}

/// RUST_LOG wins over -v; without both only warnings are told.
fn start_log(verbose: u8) {
    let default = match verbose {
        // What becomes of connections the commands tell in their own words.
        0 => {
            "warn,osgi_remote::keyspace=error,osgi_remote::discovery::etcd=error,\
             osgi_remote::catalog=error,osgi_remote::framework=error"
        }
        1 => "warn,osgi_remote=info,rsctl=info",
        2 => "info,osgi_remote=debug,rsctl=debug",
        _ => "debug,osgi_remote=trace,rsctl=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .init();
}
