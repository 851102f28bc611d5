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

impl Options {
    /// Takes options that are empty for none, as etcdctl does.
    pub(crate) fn drop_empty(&mut self) {
        let Self {
            endpoints,
            cacert,
            cert,
            key,
            user,
            password,
            top_key,
            dial_timeout,
            command_timeout,
            ..
        } = self;
        let texts = [
            endpoints,
            cacert,
            cert,
            key,
            user,
            password,
            top_key,
            dial_timeout,
            command_timeout,
        ];
        for text in texts {
            text.take_if(|text| text.is_empty());
        }
    }
}

/// empusa's own options, for its users and their scripts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "empusa's options, for the commands service and switch")]
pub(crate) struct Empusa {
    /// Where etcd is; repeatable, or separated by commas. All of them are used. Default: --endpoints.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "EMPUSA_ETCD_ENDPOINT"
    )]
    pub(crate) etcd_endpoint: Vec<String>,
    /// http or https, for addresses that do not say it. Default: https if an option asks for TLS.
    #[arg(
        long,
        global = true,
        value_name = "PROTOCOL",
        env = "EMPUSA_ETCD_PROTOCOL"
    )]
    pub(crate) etcd_protocol: Option<String>,
    /// The key below which services and switches are; a slash in front of it makes no difference.
    /// No default.
    ///
    /// Written as in `/production`, lists have the names below it; otherwise they have whole keys,
    /// as empusa's have.
    #[arg(long, global = true, value_name = "KEY", env = "EMPUSA_TREE_ROOT")]
    pub(crate) tree_root: Option<String>,
    /// PEM file of the authorities that etcd's certificate may be of, in place of --cacert; also in
    /// REQUESTS_CA_BUNDLE. Used with https only.
    #[arg(long, global = true, value_name = "FILE", env = "EMPUSA_CA_BUNDLE")]
    pub(crate) ca_bundle: Option<String>,
    /// 2 or 3, which makes no difference: etcd's API 3 is used.
    #[arg(
        long,
        global = true,
        value_name = "VERSION",
        env = "EMPUSA_ETCD_API_VERSION",
        hide = true
    )]
    #[arg(value_parser = api_version)]
    pub(crate) etcd_api_version: Option<String>,
}

/// An empty variable is one that is not set, as in empusa.
fn api_version(text: &str) -> Result<String, String> {
    match text {
        "" | "2" | "3" => Ok(text.to_owned()),
        _ => Err("2 and 3 are taken, and 3 is used".to_owned()),
    }
}
