//! Whole frameworks on the embedded registry and on real etcd servers: the pair, its life, and bad input.
#![cfg(feature = "xmlrpc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod calls;
#[cfg(feature = "embedded")]
mod embedded;
mod exports;
mod life;
mod pair;
mod rubbish;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use osgi_remote::interface::{CallError, Fault, ServiceError};
use osgi_remote::names::ecf;
use osgi_remote::properties::Properties;
use osgi_remote::services::{TrackedEvent, Tracker};
use osgi_remote::{Export, Framework, FrameworkBuilder, async_trait, props, remote_service};
use support::{Etcd, EtcdVersion, Server, Store, eventually, on_each_server};
use tokio::sync::Semaphore;
use tracing_subscriber::fmt::MakeWriter;

/// Generous, since all tests share few cores.
const SOON: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it did not happen in time")
}

/// What the tests export.
#[remote_service("org.example.Bench")]
pub(crate) trait Bench {
    /// Gives the text back.
    async fn echo(&self, text: String) -> Result<String, CallError>;
    /// Fails with an error of its own if there is not enough.
    async fn withdraw(&self, amount: i32) -> Result<i32, AccountError>;
    /// Waits for ever, and tells that it does.
    async fn wait(&self) -> Result<(), CallError>;
}

#[derive(Debug, PartialEq)]
pub(crate) enum AccountError {
    Overdrawn,
    Call(String),
}

const OVERDRAWN: i64 = 7;

impl ServiceError for AccountError {
    fn into_call_error(self) -> CallError {
        match self {
            Self::Overdrawn => CallError::Service(Fault::new("overdrawn").with_code(OVERDRAWN)),
            Self::Call(text) => CallError::service(text),
        }
    }

    fn from_call_error(error: CallError) -> Self {
        match error.fault() {
            Some(fault) if fault.code == OVERDRAWN => Self::Overdrawn,
            _ => Self::Call(error.to_string()),
        }
    }
}

struct BenchImpl {
    waiting: Arc<Semaphore>,
}

impl Default for BenchImpl {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(0)),
        }
    }
}

#[async_trait]
impl Bench for BenchImpl {
    async fn echo(&self, text: String) -> Result<String, CallError> {
        Ok(text)
    }

    async fn withdraw(&self, amount: i32) -> Result<i32, AccountError> {
        match 100 - amount {
            left if left < 0 => Err(AccountError::Overdrawn),
            left => Ok(left),
        }
    }

    async fn wait(&self) -> Result<(), CallError> {
        self.waiting.add_permits(1);
        std::future::pending().await
    }
}

async fn etcd() -> Etcd {
    Etcd::start(EtcdVersion::V3_5).await
}

fn builder(etcd: &Store) -> FrameworkBuilder {
    Framework::builder()
        .etcd(etcd.endpoint())
        .connect_timeout(SOON)
}

async fn start(etcd: &Store) -> Framework {
    builder(etcd).start().await.unwrap()
}

fn export(framework: &Framework, properties: Properties) -> Export {
    framework
        .export::<dyn Bench>(Arc::new(BenchImpl::default()), properties)
        .unwrap()
}

/// The URL under which the framework serves.
async fn url(export: &Export) -> String {
    let endpoints = soon(export.announced()).await.unwrap();
    let url = endpoints[0].properties().get_str(ecf::ENDPOINT_ID);
    url.unwrap().to_owned()
}

/// All keys that are in etcd.
async fn keys(etcd: &Store) -> Vec<String> {
    let all = etcd.get_prefix("").await;
    all.iter().map(support::Kv::key_text).collect()
}

/// The keys of endpoints.
async fn endpoint_keys(etcd: &Store) -> Vec<String> {
    let mut keys = keys(etcd).await;
    keys.retain(|key| key.matches('/').count() == 2);
    keys
}

async fn next<I>(tracker: &mut Tracker<I>) -> TrackedEvent<I>
where
    I: osgi_remote::interface::Interface + ?Sized,
{
    soon(tracker.next()).await.unwrap()
}

/// Waits until the framework has no proxy left.
async fn no_proxies(framework: &Framework) {
    eventually(SOON, "no proxy is left", async || {
        match framework.admin().imported() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await;
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of all tests of this process: what each of them looks for must
    /// name something of its own.
    ///
    /// A subscriber for one test alone may miss lines, because `tracing`
    /// remembers of each place in the code whether somebody listens.
    fn of_all_tests() -> Self {
        static LOG: LazyLock<Log> = LazyLock::new(|| {
            let log = Log::default();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(log.clone())
                .init();
            log
        });
        LOG.clone()
    }

    /// The lines with this text in them.
    fn lines(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let with = all.lines().filter(|line| line.contains(text));
        with.map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A pair that must not be disturbed by what goes on beside it.
struct Healthy {
    host: Framework,
    guest: Framework,
    export: Export,
    proxy: Arc<dyn Bench>,
}

impl Healthy {
    async fn start(etcd: &Store) -> Self {
        let host = start(etcd).await;
        let export = export(&host, props! { "healthy" => true });
        let guest = start(etcd).await;
        let filter = "(&(service.imported=*)(healthy=*))";
        let proxy = guest.wait_for::<dyn Bench>(filter, SOON).await.unwrap();
        Self {
            host,
            guest,
            export,
            proxy,
        }
    }

    /// Calls go through, and there is one proxy and one endpoint, no less and
    /// no more.
    async fn check(&self, etcd: &Store) {
        let answer = soon(self.proxy.echo("all is well".to_owned())).await;
        assert_eq!(answer.unwrap(), "all is well");
        assert_eq!(self.guest.admin().imported().len(), 1);
        assert_eq!(self.host.admin().exported().len(), 1);
        let endpoints = soon(self.export.announced()).await.unwrap();
        let keys = endpoint_keys(etcd).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert!(keys[0].ends_with(endpoints[0].id().as_str()), "{keys:?}");
    }
}
