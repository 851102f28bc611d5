//! One proxy over several endpoints, and interceptors: frameworks that find
//! each other through the embedded registry or a real etcd, and call each
//! other by real XML-RPC.
#![cfg(feature = "xmlrpc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod choosing;
mod failing;
mod intercepted;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osgi_remote::calls::Balance;
use osgi_remote::interface::CallError;
use osgi_remote::properties::Properties;
use osgi_remote::{Export, Framework, FrameworkBuilder, async_trait, props, remote_service};
use support::{Server, Store, eventually, on_each_server};

/// Generous, since all tests share few cores.
const SOON: Duration = Duration::from_secs(30);

/// What the tests export.
#[remote_service("org.example.counted.Counted", version = "1.2.0")]
pub(crate) trait Counted {
    /// Says which service answers. It may be called again.
    #[remote(idempotent)]
    async fn read(&self, call: u64) -> Result<String, CallError>;
    /// The same, and it may not.
    async fn write(&self, call: u64) -> Result<String, CallError>;
}

/// Which call reached a service how often, over all services of a test.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<HashMap<u64, usize>>>);

impl Book {
    fn note(&self, call: u64) {
        *self.0.lock().unwrap().entry(call).or_default() += 1;
    }

    /// The calls that reached a service more than once.
    fn repeated(&self) -> Vec<u64> {
        let book = self.0.lock().unwrap();
        let more = book.iter().filter(|(_, times)| **times > 1);
        more.map(|(call, _)| *call).collect()
    }
}

/// A number that no other call has.
fn next_call() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A service that can be made to stall, after it has done its work.
struct CountedImpl {
    name: &'static str,
    book: Book,
    calls: Arc<AtomicUsize>,
    stalls: Arc<AtomicBool>,
}

impl CountedImpl {
    async fn serve(&self, call: u64) -> Result<String, CallError> {
        self.book.note(call);
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.stalls.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(self.name.to_owned())
    }
}

#[async_trait]
impl Counted for CountedImpl {
    async fn read(&self, call: u64) -> Result<String, CallError> {
        self.serve(call).await
    }

    async fn write(&self, call: u64) -> Result<String, CallError> {
        self.serve(call).await
    }
}

/// A framework that exports one service.
struct Host {
    framework: Framework,
    export: Export,
    calls: Arc<AtomicUsize>,
    stalls: Arc<AtomicBool>,
}

impl Host {
    async fn start(etcd: &Store, name: &'static str, book: &Book, properties: Properties) -> Self {
        let framework = builder(etcd).start().await.unwrap();
        let (calls, stalls) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let service = CountedImpl {
            name,
            book: book.clone(),
            calls: Arc::clone(&calls),
            stalls: Arc::clone(&stalls),
        };
        let export = framework
            .export::<dyn Counted>(Arc::new(service), properties.with("name", name))
            .unwrap();
        export.announced().await.unwrap();
        Self {
            framework,
            export,
            calls,
            stalls,
        }
    }

    /// Ends without a goodbye: its endpoint stays announced, connections
    /// break, and nobody listens any more.
    fn kill(self) {
        drop(self.framework);
    }

    async fn shutdown(self) {
        self.framework.shutdown().await.unwrap();
    }
}

fn builder(etcd: &Store) -> FrameworkBuilder {
    Framework::builder()
        .etcd(etcd.endpoint())
        .xmlrpc("127.0.0.1:0")
}

/// A framework that has so many proxies.
async fn guest(etcd: &Store, proxies: usize) -> Framework {
    let guest = builder(etcd).start().await.unwrap();
    knows(&guest, proxies).await;
    guest
}

/// Waits until a framework has so many proxies.
async fn knows(guest: &Framework, proxies: usize) {
    eventually(SOON, "all proxies are there", async || {
        match guest.admin().imported().len() {
            there if there == proxies => Ok(()),
            there => Err(there),
        }
    })
    .await;
}

/// Of several endpoints that may stall: each attempt is short.
fn quick() -> Balance {
    Balance::round_robin()
        .attempt_timeout(Duration::from_millis(700))
        .timeout(Duration::from_secs(20))
}
