//! The registry as a whole: where it listens, who connects, and how it ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tonic::transport::Endpoint;

use super::addresses::bind;
use super::door::{self, Acceptor, Cuttable, Ending};
use super::grpc;
use super::settings::Settings;
use super::state::Shared;
use super::tasks::Tasks;
#[cfg(feature = "tls")]
use super::tls::Tls;

/// Connections handed in that wait to be served.
const BACKLOG: usize = 1024;
/// What a connection within the process holds in each direction, in bytes.
const PIPE: usize = 256 * 1024;
/// How long open calls and unread answers may hold a shutdown up.
const GRACE: Duration = Duration::from_secs(1);
/// How long connections may take to end after they were cut: they have nothing to wait for then, but
/// a processor.
const CUT_GRACE: Duration = Duration::from_secs(20);

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address to listen on is none, or its host is not known.
    #[error("`{address}` is no address to listen on: {source}; give HOST:PORT, as 127.0.0.1:2379")]
    Resolve {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {}", bind_advice(.source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS of the embedded registry, {what}: {problem}")]
    Tls {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn bind_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use; stop what listens there, or give \
                                     another port, or port 0 for any that is free"
            .to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; give a port from 1024 on, or port 0 for any that is free")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{error}; give an address that this host has, as 127.0.0.1")
        }
        _ => error.to_string(),
    }
}

/// Where a registry listens, and how it behaves.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
    addresses: Vec<String>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Builder {
    /// Listens here as well, `HOST:PORT`; port 0 is any that is free. Of a name, it listens on all
    /// addresses that this host has, and on one of them if the port is 0. Without an address the
    /// registry is reached only from within the process.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// How the registry behaves. Default: [`Settings::default`].
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Speaks TLS on its addresses, and nothing else. Default: plain text.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts the registry on this tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be had, or TLS that cannot be set up. Nothing runs then. Of a name, an
    /// address that is in use is an error, and one that this host does not have is only if the host
    /// has none of them.
    pub async fn start(self) -> Result<Registry, Error> {
        let shared = Shared::new(&self.settings);
        let (routes, mut health) = grpc::routes(&shared, &self.settings);
        let mut routes = door::with_pages(routes);
        if self.settings.seed.is_some() {
            routes = door::without_time(routes);
        }
        let routes = routes.prepare();
        let tls = self.acceptor().await?;
        let listeners = bind(&self.addresses).await?;
        let addresses: Vec<_> = listeners.iter().map(|(_, address)| *address).collect();
        let scheme = if tls.is_some() { "https" } else { "http" };
        if tls.is_none() {
            warn_of_strangers(&addresses);
        }
        shared.with(|state, _| {
            let urls = addresses.iter().map(|at| format!("{scheme}://{at}"));
            state.client_urls = urls.collect();
        });

        let ending = Ending {
            cut: CancellationToken::new(),
            stall: self.settings.stall_limit(),
        };
        let (attach, attached) = mpsc::channel(BACKLOG);
        let mut tasks = Tasks::new(&shared);
        let server = door::server(&self.settings);
        let mut serve = |what, connections| {
            let (routes, closing) = (Routes::clone(&routes), shared.closing().clone());
            let serving = door::serve(server.clone(), routes, connections, closing);
            tasks.spawn(what, serving);
        };
        for (listener, _) in listeners {
            let connections = door::accepted(listener, tls.clone(), ending.clone());
            serve("an address", Box::pin(connections) as Connections);
        }
        serve("this process", Box::pin(door::attached(attached)));
        let expiring = Arc::clone(&shared);
        tasks.spawn("leases", async move {
            let closing = expiring.closing();
            closing.run_until_cancelled(expiring.expire_leases()).await;
        });
        let closing = shared.closing().clone();
        tasks.spawn("health", async move {
            closing.cancelled().await;
            // Ends the streams of those who watch it.
            health.clear_service_status("").await;
        });
        Ok(Registry {
            shared,
            addresses,
            attach,
            ending,
            tasks,
        })
    }

    #[cfg(feature = "tls")]
    async fn acceptor(&self) -> Result<Option<Acceptor>, Error> {
        match &self.tls {
            Some(tls) => Ok(Some(tls.acceptor().await?)),
            None => Ok(None),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_async, reason = "as with TLS, which reads files")]
    async fn acceptor(&self) -> Result<Option<Acceptor>, Error> {
        Ok(None)
    }
}

type Connections = Pin<Box<dyn futures::Stream<Item = io::Result<Cuttable>> + Send>>;

fn warn_of_strangers(addresses: &[SocketAddr]) {
    for address in addresses.iter().filter(|at| !at.ip().is_loopback()) {
        tracing::warn!(
            %address,
            "the embedded registry lets in whoever reaches it: it listens beyond this host, \
             without TLS"
        );
    }
}

/// An etcd v3 API server in this process, in memory.
///
/// For development, tests and demonstrations: it is one member without a quorum, and what is in it
/// is gone with it. Dropping it ends all connections at once; [`Registry::shutdown`] does so in
/// order, and waits.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use osgi_remote::embedded::Registry;
///
/// let registry = Registry::start("127.0.0.1:0").await?;
/// let mut client = registry.client().await?;
/// client.put("hello", "world", None).await?;
/// registry.shutdown().await;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "the registry ends when it is dropped"]
pub struct Registry {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    attach: mpsc::Sender<Cuttable>,
    ending: Ending,
    tasks: Tasks,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.close();
        self.ending.cut.cancel();
    }
}

impl Registry {
    /// Addresses and settings are up to you.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a registry that listens at one address, `HOST:PORT`, with the default settings; port
    /// 0 is any that is free.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(address: impl Into<String>) -> Result<Self, Error> {
        Self::builder().listen(address).start().await
    }

    /// Where it listens, with the actual port; the first one if there are several.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// All addresses that it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A connection within the process: speak HTTP/2 on it, without TLS.
    ///
    /// # Errors
    /// As [`Registry::attach`].
    pub fn connect(&self) -> io::Result<DuplexStream> {
        self.dialer().connect()
    }

    /// Serves a connection that somebody else accepted, without TLS. A simulated network hands its
    /// streams in here.
    ///
    /// # Errors
    /// `WouldBlock` while 1,024 connections wait to be served, and `ConnectionRefused` when the
    /// registry no longer runs.
    pub fn attach<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.dialer().attach(stream)
    }

    /// A channel within the process, for an etcd client. It connects when it is used, and again
    /// when it must. Call it in a tokio runtime.
    #[must_use]
    pub fn channel(&self) -> etcd_client::Channel {
        let endpoint = Endpoint::from_static("http://embedded");
        etcd_client::Channel::Tonic(endpoint.connect_with_connector_lazy(self.dialer()))
    }

    /// A client within the process.
    ///
    /// # Errors
    /// The client library's own; there is none that a registry causes.
    pub async fn client(&self) -> Result<etcd_client::Client, etcd_client::Error> {
        etcd_client::Client::from_channel(self.channel(), None).await
    }

    /// Waits until it serves no more, which it does by itself only because of a defect of its own: then
    /// the log tells of an error. Cancellation safe.
    pub async fn closed(&self) {
        self.shared.closing().cancelled().await;
    }

    /// Ends it in order: no more connections come in, watches and keepalives are told, calls that
    /// are open end. What does not within a second is cut, also where a client does not read. Then
    /// no task is left, and the ports are free. If this is dropped before, the registry ends as if
    /// dropped. A task that panics is told of when it does, as an error in the log.
    pub async fn shutdown(mut self) {
        self.shared.close();
        if self.tasks.ended(GRACE).await {
            return;
        }
        tracing::debug!("connections of the embedded registry do not end: they are cut");
        self.ending.cut.cancel();
        if !self.tasks.ended(CUT_GRACE).await {
            tracing::error!(
                limit = ?CUT_GRACE,
                "connections of the embedded registry do not end although they were cut. This is a \
                 defect of it"
            );
        }
    }

    /// Makes connections within the process, also from elsewhere in it.
    pub(crate) fn dialer(&self) -> Dialer {
        Dialer {
            attach: self.attach.clone(),
            ending: self.ending.clone(),
        }
    }
}

/// Makes connections within the process.
#[derive(Clone)]
pub(crate) struct Dialer {
    attach: mpsc::Sender<Cuttable>,
    ending: Ending,
}

impl Dialer {
    fn attach<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let sent = self.attach.try_send(Cuttable::new(stream, &self.ending));
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{BACKLOG} connections wait for the embedded registry; try again"),
            ),
            mpsc::error::TrySendError::Closed(_) => io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the embedded registry was shut down",
            ),
        })
    }

    pub(crate) fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.attach(ours)?;
        Ok(theirs)
    }
}

impl Service<http::Uri> for Dialer {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        std::future::ready(self.connect().map(TokioIo::new))
    }
}

#[cfg(test)]
mod tests;
