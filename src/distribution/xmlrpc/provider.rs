//! The provider: endpoints on one server, and callers of others' endpoints.

mod watched;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use rand::RngExt as _;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use self::watched::Watched;
use super::address::{self, LocalAddress, Reason};
use super::probe;
use super::server::Tell;
use super::{Client, Registration, Server, ServerError, XmlRpcConfig, XmlRpcInvoker};
use crate::ambient::Chance;
use crate::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
    Trouble, Troubles, basic_timeout,
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
/// end of the last one. Services that are to be private (`osgi.private`) are
/// served at a private address only (rule N11): if the server listens at all
/// addresses they have one of their own, at a private address and a free port.
///
/// Requests and answers are plain text: a service that is to be confidential
/// (`osgi.confidential`) is not exported (rule N10).
pub struct XmlRpcProvider {
    exports: Arc<Exports>,
    client: Client,
}

struct Exports {
    config: XmlRpcConfig,
    /// An async mutex: it is held while the server binds or ends, so that an
    /// export that follows at once finds the port free.
    server: Mutex<State>,
    /// The server for private services, where they need one of their own.
    private: Mutex<State>,
    next_id: AtomicU64,
    addresses: Addresses,
}

/// Lists this machine's addresses.
type Addresses = fn() -> io::Result<Vec<LocalAddress>>;

/// Which server a service is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Ordinary,
    Private(IpAddr),
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
    door: Door,
    /// What keeps others from reaching it, if something does.
    reach: Option<DistributionError>,
    /// How it accepts, for its endpoints to hear of.
    watched: Arc<Watched>,
    /// Set once the server was asked whether it answers, and did.
    answers: Arc<OnceLock<()>>,
}

impl XmlRpcProvider {
    /// A provider; nothing listens before the first export.
    pub fn new(config: XmlRpcConfig) -> Self {
        Self::with_addresses(config, address::local_addresses)
    }

    fn with_addresses(config: XmlRpcConfig, addresses: Addresses) -> Self {
        let client = Client::over(Arc::clone(&config.network), config.client.clone());
        Self {
            exports: Arc::new(Exports {
                config,
                server: Mutex::default(),
                private: Mutex::default(),
                addresses,
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
    fn cell(&self, door: Door) -> &Mutex<State> {
        match door {
            Door::Ordinary => &self.server,
            Door::Private(_) => &self.private,
        }
    }

    async fn running(&self, door: Door) -> Result<Arc<Running>, DistributionError> {
        let mut state = self.cell(door).lock().await;
        if state.closed {
            return Err(DistributionError::Closed);
        }
        // One that has ended stays for what shares it, until that is closed.
        if let Some(running) = state.running.upgrade()
            && !running.watched.has_ended()
        {
            return Ok(running);
        }
        let mut config = self.config.server.clone();
        if let Door::Private(ip) = door {
            config.address = SocketAddr::new(ip, 0).to_string();
        }
        let address = config.address.clone();
        let watched = Arc::new(Watched::default());
        let tell: Tell = {
            let (watched, address) = (Arc::clone(&watched), address.clone());
            Arc::new(move |accepting| watched.tell(&address, accepting))
        };
        let server = Server::bind_telling(self.config.network.as_ref(), config, tell).await;
        let server = server.map_err(|error| bind_error(address, error))?;
        let (url, reach) = self.url(door, server.local_addr(), server.path())?;
        let running = Arc::new(Running {
            server,
            url,
            door,
            reach,
            watched,
            answers: Arc::default(),
        });
        state.running = Arc::downgrade(&running);
        Ok(running)
    }

    /// The URL of a server, and what keeps others from reaching it.
    fn url(
        &self,
        door: Door,
        local: SocketAddr,
        path: &str,
    ) -> Result<(String, Option<DistributionError>), DistributionError> {
        let hostname = match door {
            Door::Ordinary => self.config.hostname.as_deref(),
            // It may name a public address.
            Door::Private(_) => None,
        };
        let advertised = address::advertised(hostname, local, self.addresses).map_err(|error| {
            DistributionError::Property {
                name: "ecf.xmlrpc.server.hostname".to_owned(),
                value: error.hostname.clone(),
                problem: error.to_string(),
            }
        })?;
        let url = advertised.url(local.port(), path);
        let reach = match &advertised.why {
            Reason::OnlyLoopback | Reason::ListingFailed(_) => {
                warn!(%local, url, why = %advertised.why, "XML-RPC server listens");
                Some(DistributionError::Reach {
                    url: url.clone(),
                    problem: advertised.why.to_string(),
                })
            }
            why => {
                info!(%local, url, %why, "XML-RPC server listens");
                None
            }
        };
        Ok((url, reach))
    }

    /// The server for private services; none if they cannot be served.
    fn private_door(&self) -> Option<Door> {
        let host = self.config.server.address.rsplit_once(':')?.0;
        let host = host.trim_matches(['[', ']']);
        let bound: IpAddr = match host {
            "localhost" => return Some(Door::Ordinary),
            // What another name stands for is not known before it is bound,
            // and may change.
            _ => host.parse().ok()?,
        };
        let private = address::private(bound, self.addresses)?;
        Some(if bound.to_canonical().is_unspecified() {
            Door::Private(private)
        } else {
            Door::Ordinary
        })
    }

    fn door(&self, properties: &Properties) -> Result<Door, DistributionError> {
        if !wants_private(properties) {
            return Ok(Door::Ordinary);
        }
        self.private_door()
            .ok_or_else(|| DistributionError::Property {
                name: osgi::SERVICE_INTENTS.to_owned(),
                value: osgi::INTENT_PRIVATE.to_owned(),
                problem: "the server has no private address: listen on one, or on all".to_owned(),
            })
    }

    /// Gives an endpoint's share of the server back; the last one ends it.
    async fn release(&self, running: Arc<Running>) {
        let mut state = self.cell(running.door).lock().await;
        // Another may have taken the place of one that had ended.
        let is_current = std::ptr::eq(state.running.as_ptr(), Arc::as_ptr(&running));
        let Some(running) = Arc::into_inner(running) else {
            return;
        };
        if is_current {
            state.running = Weak::new();
        }
        let local = running.server.local_addr();
        match running.server.close().await {
            Ok(()) => info!(%local, "XML-RPC server ended: nothing is exported any more"),
            Err(error) => error!(%local, %error, "XML-RPC server ended badly"),
        }
    }
}

fn bind_error(address: String, error: ServerError) -> DistributionError {
    DistributionError::Bind {
        address,
        cause: Cause::new(error),
    }
}

/// Whether a service is to be served at a private address only.
fn wants_private(properties: &Properties) -> bool {
    [
        osgi::SERVICE_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS,
        osgi::SERVICE_EXPORTED_INTENTS_EXTRA,
    ]
    .into_iter()
    .any(|name| properties.string_plus(name).contains(&osgi::INTENT_PRIVATE))
}

impl Provider for XmlRpcProvider {
    fn config_types(&self) -> &'static [&'static str] {
        &[CONFIG_TYPE]
    }

    fn intents(&self) -> &'static [&'static str] {
        &[osgi::INTENT_BASIC, osgi::INTENT_ASYNC, osgi::INTENT_PRIVATE]
    }

    fn unmet(&self, intents: &[String]) -> Vec<String> {
        let unmet = |intent: &&String| match intent.as_str() {
            osgi::INTENT_PRIVATE => self.exports.private_door().is_none(),
            other => !self.intents().contains(&other),
        };
        intents.iter().filter(unmet).cloned().collect()
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async move {
            let door = self.exports.door(&request.properties)?;
            let running = self.exports.running(door).await?;
            let id = self.exports.next_id.fetch_add(1, Ordering::Relaxed);
            let interfaces: Vec<&str> = request.interfaces.iter().map(String::as_str).collect();
            let registration = running
                .server
                .add(id, &interfaces, request.service, asked(&request.properties))
                .map_err(|error| bind_error(running.url.clone(), error))?;
            let mut properties = Properties::new();
            properties.set(ecf::ENDPOINT_ID, running.url.as_str());
            properties.set(ecf::ENDPOINT_ID_NS, NAMESPACE);
            properties.set(ecf::RSVC_ID, i64::try_from(id).unwrap_or(i64::MAX));
            let endpoint = Endpoint {
                exports: Arc::clone(&self.exports),
                client: self.client.clone(),
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
        let (timeout, trouble) = timeout(endpoint);
        let targets = Targets {
            place: place(endpoint),
            invoker: invoker(&self.client, endpoint, timeout)?,
            earlier: Vec::new(),
        };
        Ok(Box::new(Imported {
            client: self.client.clone(),
            current: Arc::new(Current(RwLock::new(targets))),
            trouble: parking_lot::Mutex::new(trouble),
            troubles: OnceLock::new(),
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.client.close().await;
            // Endpoints that are open still keep the server until they go.
            self.exports.server.lock().await.closed = true;
            self.exports.private.lock().await.closed = true;
        })
    }
}

fn invoker(
    client: &Client,
    endpoint: &EndpointDescription,
    timeout: Option<Duration>,
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
        .invoker(url, id, timeout, endpoint.id().as_str())
        .map(Arc::new)
        .map_err(|error| unfit(error.to_string()))
}

/// The endpoint's timeout; one that does not read counts as not given, and is
/// told.
fn timeout(endpoint: &EndpointDescription) -> (Option<Duration>, Option<DistributionError>) {
    match basic_timeout(endpoint) {
        Ok(timeout) => (timeout, None),
        Err(trouble) => (None, Some(trouble)),
    }
}

/// The timeout that a service asks its clients for. One that does not read was
/// refused before there was anything to export.
fn asked(properties: &Properties) -> Option<Duration> {
    let millis = properties.get(osgi::BASIC_TIMEOUT)?.to_i64()?;
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

/// One exported service.
struct Endpoint {
    exports: Arc<Exports>,
    client: Client,
    registration: Registration,
    running: Arc<Running>,
}

impl ExportedEndpoint for Endpoint {
    fn watch(&self, troubles: Troubles) {
        if let Some(reach) = &self.running.reach {
            troubles.tell(Trouble::Warning(reach.clone()));
        }
        self.running.watched.watch(self.registration.id(), troubles);
    }

    /// A service is there as soon as it was added: what has to be asked is the
    /// server, and once.
    fn ready(&self) -> BoxFuture<'static, Result<(), DistributionError>> {
        if self.running.answers.get().is_some() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let server = &self.running.server;
        let url = probe::url(server.local_addr(), server.path());
        // Not the server itself: this may outlive it.
        let (client, answers) = (self.client.clone(), Arc::clone(&self.running.answers));
        Box::pin(async move {
            probe::ask(&client, &url).await?;
            answers.get_or_init(|| ());
            Ok(())
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self {
            exports,
            registration,
            running,
            ..
        } = *self;
        running.watched.forget(registration.id());
        // At once, not when somebody polls: calls under way end now.
        drop(registration);
        Box::pin(async move { exports.release(running).await })
    }
}

/// One service elsewhere.
struct Imported {
    client: Client,
    current: Arc<Current>,
    /// What is wrong with the description, until somebody hears of it.
    trouble: parking_lot::Mutex<Option<DistributionError>>,
    troubles: OnceLock<Troubles>,
}

impl Imported {
    fn tell(&self, trouble: Option<DistributionError>) {
        match (trouble, self.troubles.get()) {
            (Some(trouble), Some(troubles)) => troubles.tell(Trouble::Warning(trouble)),
            (trouble, _) => *self.trouble.lock() = trouble,
        }
    }
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

    fn watch(&self, troubles: Troubles) {
        // Called once: a second one would be for the same registrations.
        let _ = self.troubles.set(troubles);
        let trouble = self.trouble.lock().take();
        self.tell(trouble);
    }

    fn keeps_timeout(&self) -> bool {
        true
    }

    fn update(&self, endpoint: &EndpointDescription) -> Result<(), DistributionError> {
        let place = place(endpoint);
        let (timeout, trouble) = timeout(endpoint);
        let mut targets = self.current.0.write();
        if targets.place == place {
            targets.invoker.set_timeout(timeout);
            self.tell(trouble);
            return Ok(());
        }
        let next = invoker(&self.client, endpoint, timeout)?;
        let before = std::mem::replace(&mut targets.invoker, next);
        targets.place = place;
        // An invoker that only this list holds carries no call any more.
        targets
            .earlier
            .retain(|invoker| Arc::strong_count(invoker) > 1);
        targets.earlier.push(before);
        self.tell(trouble);
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

#[cfg(test)]
mod tests;
