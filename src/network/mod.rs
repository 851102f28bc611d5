//! The network: how connections are made, and waited for.
//!
//! All that this crate sends goes over a [`Network`]: the client of etcd, and
//! the client and the server of XML-RPC. [`Tcp`] is the one that is used
//! unless told otherwise. Another one can be given to a framework
//! (`FrameworkBuilder::network`): one that goes through SOCKS or over vsock,
//! one that counts or slows down, or one that is simulated.
//!
//! TLS is not the network's affair: it is laid over a [`Stream`] by who
//! speaks it.

mod connector;
mod tcp;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::connector::Connector;
pub use self::tcp::Tcp;

/// One connection: bytes in order, both ways.
///
/// Dropping it closes it. All types that can do this are streams.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Makes connections, and waits for them.
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::Duration;
///
/// use futures::future::BoxFuture;
/// use osgi_remote::network::{Listener, Network, Stream, Tcp};
///
/// /// TCP that counts the connections made.
/// #[derive(Debug, Default)]
/// struct Counted {
///     tcp: Tcp,
///     made: AtomicU64,
/// }
///
/// impl Network for Counted {
///     fn connect<'a>(
///         &'a self,
///         host: &'a str,
///         port: u16,
///         limit: Duration,
///     ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
///         self.made.fetch_add(1, Ordering::Relaxed);
///         self.tcp.connect(host, port, limit)
///     }
///
///     fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
///         self.tcp.listen(address)
///     }
/// }
/// ```
pub trait Network: Debug + Send + Sync + 'static {
    /// Makes a connection to `port` of `host`: a name, or an IP address (IPv6
    /// without brackets).
    ///
    /// `limit` is the time for all of it. Where a name has several addresses,
    /// it is to be divided among them, so that one that does not answer does
    /// not keep the others from being tried. The caller gives up at the limit
    /// in any case, by dropping the future, which must leave nothing behind.
    ///
    /// # Errors
    ///
    /// Why there is no connection. The text reaches users: it should say what
    /// failed, as "tcp connect error: Connection refused".
    fn connect<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        limit: Duration,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;

    /// Listens on `host:port`; port 0 chooses a free one.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
}

/// Where connections arrive. Dropping it frees the address.
pub trait Listener: Debug + Send + Sync + 'static {
    /// Waits for the next connection. Cancellation safe: a connection is not
    /// lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Of the kinds `ConnectionAborted`, `ConnectionReset` and `Interrupted`
    /// for one connection that broke before it was taken; of the kinds
    /// `BrokenPipe`, `InvalidInput` (as systems say of a socket that was shut
    /// down) and `NotConnected` if there will be none any more. Any other kind
    /// concerns the listener, and is tried again after a pause.
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// The address that is listened on, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// If it cannot be told.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The network that is used unless told otherwise: [`Tcp`].
#[must_use]
pub fn default_network() -> Arc<dyn Network> {
    Arc::new(Tcp::default())
}
