//! An etcd v3 server as its clients see it, whatever serves it: its address, and what etcdctl finds there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::etcd::EtcdVersion;
use super::process::without_settings;
use super::tools;

const ETCDCTL_WITHIN: Duration = Duration::from_secs(30);

/// A key with what etcd says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kv {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// 0 for none.
    pub lease: i64,
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
}

impl Kv {
    /// The key as text; what is no UTF-8 is replaced.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }

    /// The value as text; what is no UTF-8 is replaced.
    pub fn value_text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// Where a server listens, and the etcdctl that asks it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) address: SocketAddr,
    etcdctl: PathBuf,
    pub(super) etcdctl_args: Vec<String>,
}

impl Store {
    /// A server that this version's etcdctl asks.
    pub fn new(address: SocketAddr, etcdctl: EtcdVersion) -> Self {
        Self {
            address,
            etcdctl: tools::etcdctl(etcdctl),
            etcdctl_args: Vec::new(),
        }
    }

    /// The same server, asked by another etcdctl.
    pub fn asked_by(&self, etcdctl: EtcdVersion) -> Self {
        Self {
            etcdctl: tools::etcdctl(etcdctl),
            ..self.clone()
        }
    }

    /// `127.0.0.1:PORT`, as clients want it.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs `etcdctl` and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn etcdctl(&self, args: &[&str]) -> String {
        self.try_etcdctl(args)
            .await
            .unwrap_or_else(|error| panic!("etcdctl {args:?}: {error}"))
    }

    /// As [`etcdctl`](Self::etcdctl), with what it wrote to stderr as the error.
    pub async fn try_etcdctl(&self, args: &[&str]) -> Result<String, String> {
        self.try_etcdctl_with_input(args, "").await
    }

    /// As [`try_etcdctl`](Self::try_etcdctl), with something to read from stdin.
    pub async fn try_etcdctl_with_input(
        &self,
        args: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let mut child = self
            .etcdctl_command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut stdin = child.stdin.take().ok_or("etcdctl has no stdin")?;
        let run = async {
            // A command that reads nothing may be over before.
            let written = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            let output = child.wait_with_output().await?;
            written
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::BrokenPipe => Ok(()),
                    _ => Err(error),
                })
                .map(|()| output)
        };
        let output = tokio::time::timeout(ETCDCTL_WITHIN, run)
            .await
            .map_err(|_| format!("no answer in {ETCDCTL_WITHIN:?}"))?
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            String::from_utf8(output.stdout).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// etcdctl with these arguments, to be started by the caller; it is killed when it is dropped.
    pub fn etcdctl_command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.etcdctl);
        without_settings(command.as_std_mut());
        command
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(self.endpoint())
            .args(&self.etcdctl_args)
            .args(args)
            .kill_on_drop(true);
        command
    }

    /// All keys that begin with `prefix`, in the order of their bytes.
    pub async fn get_prefix(&self, prefix: &str) -> Vec<Kv> {
        let text = self
            .etcdctl(&["get", "--prefix", prefix, "--write-out", "json"])
            .await;
        parse_range(&text).unwrap_or_else(|error| panic!("etcdctl get {prefix}: {error}"))
    }

    /// One key, if it is there.
    pub async fn get(&self, key: &str) -> Option<Kv> {
        let text = self.etcdctl(&["get", key, "--write-out", "json"]).await;
        let mut found =
            parse_range(&text).unwrap_or_else(|error| panic!("etcdctl get {key}: {error}"));
        found.pop()
    }

    /// The ids of all leases that are alive.
    pub async fn leases(&self) -> Vec<i64> {
        let text = self
            .etcdctl(&["lease", "list", "--write-out", "json"])
            .await;
        let list: LeaseList = serde_json::from_str(&text).expect("etcdctl lease list prints JSON");
        list.leases.into_iter().map(|lease| lease.id).collect()
    }
}

#[derive(Deserialize)]
struct RangeAnswer {
    #[serde(default)]
    kvs: Vec<WireKv>,
}

/// Numbers that are zero and bytes that are empty are left out by etcdctl.
#[derive(Deserialize)]
struct WireKv {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    lease: i64,
    #[serde(default)]
    create_revision: i64,
    #[serde(default)]
    mod_revision: i64,
    #[serde(default)]
    version: i64,
}

#[derive(Deserialize)]
struct LeaseList {
    #[serde(default)]
    leases: Vec<LeaseEntry>,
}

#[derive(Deserialize)]
struct LeaseEntry {
    #[serde(alias = "ID")]
    id: i64,
}

fn parse_range(text: &str) -> Result<Vec<Kv>, String> {
    let answer: RangeAnswer =
        serde_json::from_str(text).map_err(|error| format!("{error} in: {text}"))?;
    let decode = |text: &str| {
        BASE64
            .decode(text)
            .map_err(|error| format!("{error} in: {text}"))
    };
    answer
        .kvs
        .into_iter()
        .map(|kv| {
            Ok(Kv {
                key: decode(&kv.key)?,
                value: decode(&kv.value)?,
                lease: kv.lease,
                create_revision: kv.create_revision,
                mod_revision: kv.mod_revision,
                version: kv.version,
            })
        })
        .collect()
}
