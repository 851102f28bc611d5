//! The provider: endpoints on one server, and callers of others' endpoints.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use rand::RngExt as _;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::address::{self, Reason};
use super::{Client, Registration, Server, ServerError, XmlRpcConfig, XmlRpcInvoker};
use crate::ambient::Chance;
use crate::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
};
use crate::endpoint::EndpointDescription;
use crate::interface::{Call, CallError, Cause, Data, Invoker};
use crate::names::{ecf, osgi};
use crate::properties::Properties;

/// The config type of ECF's and iPOPO's XML-RPC provider.
pub const CONFIG_TYPE: &str = "ecf.xmlrpc.server";

/// The namespace of its containers' ids, which are URLs.
pub const NAMESPACE: &str = "ecf.namespace.xmlrpc";

/// XML-RPC, compatible with iPOPO's provider of the same config type.
///
/// All services share one server, which listens from the first export to the
/// end of the last one.
pub struct XmlRpcProvider {
    exports: Arc<Exports>,
    client: Client,
}

struct Exports {
    config: XmlRpcConfig,
    /// An async mutex: it is held while the server binds or ends, so that an
    /// export that follows at once finds the port free.
    server: Mutex<State>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Owned by its endpoints; `None` in effect when there are none.
    running: Weak<Running>,
    closed: bool,
}

struct Running {
    server: Server,
    url: String,
}

impl XmlRpcProvider {
    /// A provider; nothing listens before the first export.
    pub fn new(config: XmlRpcConfig) -> Self {
        let client = Client::over(Arc::clone(&config.network), config.client.clone());
        Self {
            exports: Arc::new(Exports {
                config,
                server: Mutex::default(),
                // From a random number on: who still holds a proxy of this
                // process's predecessor, on the same port, must not reach
                // another service by chance.
                next_id: AtomicU64::new(Chance.random_range(1..1 << 30)),
            }),
            client,
        }
    }
}

impl Exports {
    async fn running(&self) -> Result<Arc<Running>, DistributionError> {
        let mut state = self.server.lock().await;
        if state.closed {
            return Err(DistributionError::Closed);
        }
        if let Some(running) = state.running.upgrade() {
            return Ok(running);
        }
        let config = &self.config;
        let server = Server::bind_on(config.network.as_ref(), config.server.clone()).await;
        let server = server.map_err(|error| self.bind_error(error))?;
        let url = self.url(server.local_addr(), server.path())?;
        let running = Arc::new(Running { server, url });
        state.running = Arc::downgrade(&running);
        Ok(running)
    }

    fn url(&self, local: SocketAddr, path: &str) -> Result<String, DistributionError> {
        let hostname = self.config.hostname.as_deref();
        let advertised =
            address::advertised(hostname, local, address::local_addresses).map_err(|error| {
                DistributionError::Property {
                    name: "ecf.xmlrpc.server.hostname".to_owned(),
                    value: error.hostname.clone(),
                    problem: error.to_string(),
                }
            })?;
        let url = advertised.url(local.port(), path);
        match &advertised.why {
            Reason::OnlyLoopback | Reason::ListingFailed(_) => {
                warn!(%local, url, why = %advertised.why, "XML-RPC server listens");
            }
            why => info!(%local, url, %why, "XML-RPC server listens"),
        }
        Ok(url)
    }

    fn bind_error(&self, error: ServerError) -> DistributionError {
        DistributionError::Bind {
            address: self.config.server.address.clone(),
            cause: Cause::new(error),
        }
    }

    /// Gives an endpoint's share of the server back; the last one ends it.
    async fn release(&self, running: Arc<Running>) {
        let mut state = self.server.lock().await;
        let Some(running) = Arc::into_inner(running) else {
            return;
        };
        state.running = Weak::new();
        let local = running.server.local_addr();
        match running.server.close().await {
            Ok(()) => info!(%local, "XML-RPC server ended: nothing is exported any more"),
            Err(error) => error!(%local, %error, "XML-RPC server ended badly"),
        }
    }
}

impl Provider for XmlRpcProvider {
    fn config_types(&self) -> &'static [&'static str] {
        &[CONFIG_TYPE]
    }

    fn intents(&self) -> &'static [&'static str] {
        &[osgi::INTENT_BASIC, osgi::INTENT_ASYNC]
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async move {
            let running = self.exports.running().await?;
            let id = self.exports.next_id.fetch_add(1, Ordering::Relaxed);
            let interfaces: Vec<&str> = request.interfaces.iter().map(String::as_str).collect();
            let registration = running
                .server
                .add(id, &interfaces, request.service)
                .map_err(|error| self.exports.bind_error(error))?;
            let mut properties = Properties::new();
            properties.set(ecf::ENDPOINT_ID, running.url.as_str());
            properties.set(ecf::ENDPOINT_ID_NS, NAMESPACE);
            properties.set(ecf::RSVC_ID, i64::try_from(id).unwrap_or(i64::MAX));
            let endpoint = Endpoint {
                exports: Arc::clone(&self.exports),
                registration,
                running,
            };
            Ok(Exported::new(properties, Box::new(endpoint)))
        })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        let targets = Targets {
            place: place(endpoint),
            invoker: invoker(&self.client, endpoint)?,
            earlier: Vec::new(),
        };
        Ok(Box::new(Imported {
            client: self.client.clone(),
            current: Arc::new(Current(RwLock::new(targets))),
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.client.close().await;
            // Endpoints that are open still keep the server until they go.
            self.exports.server.lock().await.closed = true;
        })
    }
}

fn invoker(
    client: &Client,
    endpoint: &EndpointDescription,
) -> Result<Arc<XmlRpcInvoker>, DistributionError> {
    let unfit = |problem: String| DistributionError::Endpoint {
        endpoint: endpoint.id().to_string(),
        problem,
    };
    let url = endpoint
        .container_id()
        .ok_or_else(|| unfit("ecf.endpoint.id, the URL to call, is missing".to_owned()))?;
    let id = u64::try_from(endpoint.remote_service_id())
        .map_err(|_| unfit(format!("ecf.rsvc.id is {}", endpoint.remote_service_id())))?;
    client
        .invoker(url, id, timeout(endpoint), endpoint.id().as_str())
        .map(Arc::new)
        .map_err(|error| unfit(error.to_string()))
}

/// `osgi.basic.timeout`, in milliseconds, as text or any number (rule N06);
/// one that does not read counts as not given.
fn timeout(endpoint: &EndpointDescription) -> Option<Duration> {
    let value = endpoint.properties().get(osgi::BASIC_TIMEOUT)?;
    let millis = value.to_i64().and_then(|ms| u64::try_from(ms).ok());
    match millis {
        Some(millis) if millis > 0 => Some(Duration::from_millis(millis)),
        _ => {
            warn!(%endpoint, %value, "osgi.basic.timeout is no number of milliseconds");
            None
        }
    }
}

/// One exported service.
struct Endpoint {
    exports: Arc<Exports>,
    registration: Registration,
    running: Arc<Running>,
}

impl ExportedEndpoint for Endpoint {
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self {
            exports,
            registration,
            running,
        } = *self;
        // At once, not when somebody polls: calls under way end now.
        drop(registration);
        Box::pin(async move { exports.release(running).await })
    }
}

/// One service elsewhere.
struct Imported {
    client: Client,
    current: Arc<Current>,
}

/// Where calls go now: an update may move the endpoint to another URL.
struct Current(RwLock<Targets>);

struct Targets {
    place: Place,
    invoker: Arc<XmlRpcInvoker>,
    /// Those of earlier URLs that calls are under way with.
    earlier: Vec<Arc<XmlRpcInvoker>>,
}

/// The URL and the number of a service.
type Place = (Option<String>, i64);

fn place(endpoint: &EndpointDescription) -> Place {
    let url = endpoint.container_id().map(str::to_owned);
    (url, endpoint.remote_service_id())
}

impl Invoker for Current {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        let invoker = Arc::clone(&self.0.read().invoker);
        Box::pin(async move { invoker.invoke(call).await })
    }
}

impl ImportedEndpoint for Imported {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::clone(&self.current) as Arc<dyn Invoker>
    }

    fn update(&self, endpoint: &EndpointDescription) -> Result<(), DistributionError> {
        let place = place(endpoint);
        let mut targets = self.current.0.write();
        if targets.place == place {
            targets.invoker.set_timeout(timeout(endpoint));
            return Ok(());
        }
        let next = invoker(&self.client, endpoint)?;
        let before = std::mem::replace(&mut targets.invoker, next);
        targets.place = place;
        // An invoker that only this list holds carries no call any more.
        targets
            .earlier
            .retain(|invoker| Arc::strong_count(invoker) > 1);
        targets.earlier.push(before);
        Ok(())
    }

    fn close(&self) {
        let targets = self.current.0.read();
        targets.invoker.close();
        for invoker in &targets.earlier {
            invoker.close();
        }
    }
}

impl fmt::Debug for XmlRpcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlRpcProvider")
            .field("config", &self.exports.config)
            .finish_non_exhaustive()
    }
}
