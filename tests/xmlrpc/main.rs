//! XML-RPC from end to end, over loopback.
#![cfg(feature = "xmlrpc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod calls;
mod client;
mod python;
mod server;
mod timeout;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use osgi_remote::distribution::xmlrpc::{
    Client, ClientConfig, Registration, Server, ServerConfig, XmlRpcInvoker,
};
use osgi_remote::interface::{Call, CallError, Data, Dispatch, Fault};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A loaded machine may take long to start Python.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not happen in time")
}

/// Lets time pass, in no time. For whatever else happens the clock goes on as
/// it does: what has begun by then needs as long as it needs.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A service that does what its methods are called.
#[derive(Default)]
struct Service {
    /// Tells of calls of `wait` that have begun.
    begun: Arc<Events>,
    /// Tells of calls of `wait` that were dropped.
    dropped: Arc<Events>,
    /// Lets calls of `wait` go on.
    go: CancellationToken,
}

/// Counts, and waits for a count.
struct Events(Semaphore);

impl Default for Events {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Events {
    fn note(&self) {
        self.0.add_permits(1);
    }

    async fn next(&self) {
        soon(self.0.acquire()).await.unwrap().forget();
    }
}

struct OnDrop(Arc<Events>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note();
    }
}

impl Dispatch for Service {
    fn has_method(&self, method: &str) -> bool {
        ["echo", "fail", "panic", "wait", "unfit", "control"].contains(&method)
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move {
            match call.method.as_ref() {
                "echo" => Ok(Data::Array(call.args)),
                "fail" => Err(CallError::Service(
                    Fault::new("it <failed>")
                        .with_class("ValueError")
                        .with_code(42),
                )),
                "panic" => panic!("as asked"),
                "wait" => {
                    let guard = OnDrop(Arc::clone(&self.dropped));
                    self.begun.note();
                    self.go.cancelled().await;
                    std::mem::forget(guard);
                    Ok(Data::from("waited"))
                }
                "control" => Ok(Data::from("\u{1}")),
                _ => Err(CallError::InvalidArguments {
                    method: call.method.clone().into_owned(),
                    detail: "'name': a string is wanted".into(),
                }),
            }
        })
    }
}

/// A server with a [`Service`] as number 7, and a client of it.
struct Pair {
    server: Server,
    service: Arc<Service>,
    registration: Registration,
    client: Client,
    invoker: Arc<XmlRpcInvoker>,
}

fn url(server: &Server) -> String {
    format!("http://{}{}", server.local_addr(), server.path())
}

async fn pair() -> Pair {
    pair_with(ServerConfig::default(), ClientConfig::default()).await
}

async fn pair_with(server: ServerConfig, client: ClientConfig) -> Pair {
    let server = Server::bind(server).await.unwrap();
    let service = Arc::new(Service::default());
    let registration = server
        .add(7, &["org.example.Test"], service.clone(), None)
        .unwrap();
    let client = Client::new(client);
    let invoker = client
        .invoker(&url(&server), 7, Some(PATIENCE), "e-7")
        .unwrap();
    Pair {
        server,
        service,
        registration,
        client,
        invoker: Arc::new(invoker),
    }
}

/// One value of each type, and nested ones.
fn all_types() -> Vec<Data> {
    let mut inner = BTreeMap::new();
    inner.insert(
        "a b <&>".to_owned(),
        Data::Array(vec![Data::Int(-1), Data::from("x")]),
    );
    inner.insert(String::new(), Data::Struct(BTreeMap::new()));
    vec![
        Data::Nil,
        Data::Bool(true),
        Data::Bool(false),
        Data::Int(i64::from(i32::MIN)),
        Data::Int(i64::MAX),
        Data::Double(-0.1),
        Data::Double(1e300),
        Data::Double(f64::INFINITY),
        Data::from(""),
        Data::from("  <a> & \"b\"\n\t]]> \u{e4}\u{1F600} "),
        Data::Bytes((0..=255).collect()),
        Data::DateTime("20261121T01:27:22".parse().unwrap()),
        Data::Array(vec![]),
        Data::Struct(inner),
    ]
}
