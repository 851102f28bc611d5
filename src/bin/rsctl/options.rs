//! The options that all commands share.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::output::{ColorChoice, Format};

/// Options of all commands. An option wins over a variable, and a variable over the file of
/// settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Options {
    /// Where etcd is; several servers of one cluster are separated by commas.
    ///
    /// `https://` means TLS. Default: localhost:2379.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT,…",
        env = "ETCDCTL_ENDPOINTS"
    )]
    pub(crate) endpoints: Option<String>,
    /// PEM file of the authorities that etcd's certificate may be of; asks for TLS.
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_CACERT")]
    pub(crate) cacert: Option<String>,
    /// PEM file of the own certificate.
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_CERT")]
    pub(crate) cert: Option<String>,
    /// PEM file of the own certificate's key.
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_KEY")]
    pub(crate) key: Option<String>,
    /// The user of etcd; better give the password by the variable or the file of settings.
    #[arg(
        long,
        global = true,
        value_name = "NAME[:PASSWORD]",
        env = "ETCDCTL_USER"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// The user's password.
    #[arg(long, global = true, value_name = "PASSWORD", env = "ETCDCTL_PASSWORD")]
    #[arg(hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// The first segment of all keys of endpoints.
    ///
    /// Default: the one of ECF and iPOPO.
    #[arg(long, global = true, value_name = "KEY", env = "RSCTL_TOP_KEY")]
    pub(crate) top_key: Option<String>,
    /// The time for a connection to be made, as in 500ms or 3s.
    #[arg(long, global = true, value_name = "TIME", env = "ETCDCTL_DIAL_TIMEOUT")]
    pub(crate) dial_timeout: Option<String>,
    /// The time for one call to etcd, as in 500ms or 3s.
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "ETCDCTL_COMMAND_TIMEOUT"
    )]
    pub(crate) command_timeout: Option<String>,
    /// The file of settings, TOML, with the long options' names.
    ///
    /// Default: rsctl/config.toml in the user's folder of configurations, if it is there.
    #[arg(long, global = true, value_name = "FILE", env = "RSCTL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The form of the output. Default: table.
    #[arg(long, short, global = true, value_name = "FORM", env = "RSCTL_OUTPUT")]
    pub(crate) output: Option<Format>,
    /// Whether to colour. Default: auto, on a terminal and if NO_COLOR is not set.
    #[arg(long, global = true, value_name = "WHEN")]
    pub(crate) color: Option<ColorChoice>,
    /// Tell on stderr what is done: -v the steps, -vv each call, -vvv everything.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(flatten)]
    pub(crate) empusa: Empusa,
}

/// empusa's own options, for its users and their scripts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "empusa's options, for the commands service and switch")]
pub(crate) struct Empusa {
    /// Where etcd is, in place of --endpoints; repeatable, or separated by commas.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "EMPUSA_ETCD_ENDPOINT"
    )]
    pub(crate) etcd_endpoint: Vec<String>,
    /// http or https.
    #[arg(
        long,
        global = true,
        value_name = "PROTOCOL",
        env = "EMPUSA_ETCD_PROTOCOL"
    )]
    pub(crate) etcd_protocol: Option<String>,
    /// The key below which services and switches are.
    #[arg(long, global = true, value_name = "KEY", env = "EMPUSA_TREE_ROOT")]
    pub(crate) tree_root: Option<String>,
    /// PEM file of the authorities that etcd's certificate may be of, in place of --cacert.
    #[arg(long, global = true, value_name = "FILE", env = "EMPUSA_CA_BUNDLE")]
    pub(crate) ca_bundle: Option<String>,
    /// Taken and not used: the only version here is 3.
    #[arg(
        long,
        global = true,
        value_name = "VERSION",
        env = "EMPUSA_ETCD_API_VERSION",
        hide = true
    )]
    pub(crate) etcd_api_version: Option<String>,
}
