//! The HTTP server that services are called through.
//!
//! One task accepts; it owns one task for each connection, in which the calls
//! of that connection run. So a call whose connection breaks is dropped, and
//! closing the server means ending these tasks and waiting for them.

mod config;
mod http;
mod registry;
mod stream;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, warn};

pub use self::config::ServerConfig;
pub use self::registry::Registration;

use self::http::Handler;
use self::stream::WriteDeadline;
use crate::ambient::FAR;
use crate::interface::Dispatch;
use crate::network::{Listener, Network, Stream, default_network};

/// A server that cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A value of the configuration makes no sense.
    #[error("XML-RPC server: {setting} is {value}, but {rule}")]
    Config {
        /// The field of [`ServerConfig`].
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The address cannot be bound.
    #[error("XML-RPC server: cannot listen on {address}: {cause}; choose a free port, or port 0")]
    Bind {
        /// `host:port`, as configured.
        address: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another service has the number.
    #[error("XML-RPC server: {id} is already the number of a service ({interfaces})")]
    IdTaken {
        /// The number.
        id: u64,
        /// The interfaces of the service that has it.
        interfaces: String,
    },
    /// The task that accepts connections panicked.
    #[error("XML-RPC server: the accepting task failed: {0}")]
    Accepting(#[source] JoinError),
}

/// A running server.
///
/// [`Server::close`] ends it in order. Dropping it instead stops it at once:
/// connections break, and nobody waits for that.
pub struct Server {
    handler: Arc<Handler>,
    local_addr: SocketAddr,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    /// Without a close, the accepting task ends and drops its connections.
    abandon: DropGuard,
}

impl Server {
    /// Binds the address of TCP and begins to serve. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense, or the address cannot be bound.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        Self::bind_on(default_network().as_ref(), config).await
    }

    /// [`Server::bind`] on another network.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub async fn bind_on(network: &dyn Network, config: ServerConfig) -> Result<Self, ServerError> {
        config.check()?;
        let bind_error = |cause| ServerError::Bind {
            address: config.address.clone(),
            cause,
        };
        let listener = network.listen(&config.address).await.map_err(bind_error)?;
        let local_addr = listener.local_addr().map_err(bind_error)?;
        let handler = Arc::new(Handler::new(config));
        let stop = CancellationToken::new();
        let abandon = CancellationToken::new();
        let acceptor = Acceptor {
            slots: Arc::new(Semaphore::new(handler.config.max_connections)),
            handler: Arc::clone(&handler),
            stop: stop.clone(),
            connections: JoinSet::new(),
        };
        let abandoned = abandon.clone();
        let accepting = tokio::spawn(async move {
            // When abandoned, dropping the acceptor aborts its connections.
            abandoned
                .run_until_cancelled(acceptor.run(listener))
                .await
                .unwrap_or_default();
        });
        Ok(Self {
            handler,
            local_addr,
            stop,
            accepting,
            abandon: abandon.drop_guard(),
        })
    }

    /// The address that is bound, with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The path of the URL that is served.
    pub fn path(&self) -> &str {
        &self.handler.config.path
    }

    /// Offers a service under the number `id` (`ecf.rsvc.id`) until the
    /// registration is dropped. The names of its interfaces are for messages.
    ///
    /// Its calls may take as long as `timeout` says, the service's
    /// `osgi.basic.timeout`, where that is more than the server's
    /// `call_timeout`: clients wait so long for it.
    ///
    /// # Errors
    ///
    /// If another service has this number.
    pub fn add(
        &self,
        id: u64,
        interfaces: &[&str],
        service: Arc<dyn Dispatch>,
        timeout: Option<Duration>,
    ) -> Result<Registration, ServerError> {
        self.handler.services.add(id, interfaces, service, timeout)
    }

    /// Ends the server: the port is freed at once, calls under way may finish
    /// within `shutdown_timeout`, and what is left then is broken off. When
    /// this returns all tasks of the server have ended.
    ///
    /// Dropping the future instead breaks everything off.
    ///
    /// # Errors
    ///
    /// If the accepting task had panicked before.
    pub async fn close(self) -> Result<(), ServerError> {
        self.stop.cancel();
        // The guard must outlive the waiting, and end it if it is dropped.
        let Self {
            accepting, abandon, ..
        } = self;
        let ended = accepting.await.map_err(ServerError::Accepting);
        drop(abandon);
        ended
    }
}

struct Acceptor {
    handler: Arc<Handler>,
    /// One for each connection that may still be made.
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    connections: JoinSet<()>,
}

impl Acceptor {
    async fn run(mut self, listener: Box<dyn Listener>) {
        let mut pause = Pause::default();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(ended) = self.connections.join_next() => note_end(ended),
                accepted = accept(listener.as_ref(), &self.slots, &pause) => match accepted {
                    Ok((stream, slot)) => {
                        pause.reset();
                        self.serve(stream, slot);
                    }
                    Err(cause) => pause.after(&cause),
                },
            }
        }
        // The port is free from here on.
        drop(listener);
        self.finish().await;
    }

    fn serve(&mut self, stream: Box<dyn Stream>, slot: OwnedSemaphorePermit) {
        let handler = Arc::clone(&self.handler);
        let stop = self.stop.clone();
        self.connections.spawn(async move {
            serve_connection(stream, handler, stop).await;
            drop(slot);
        });
    }

    async fn finish(mut self) {
        let limit = self.handler.config.shutdown_timeout;
        let all_end = async {
            while let Some(ended) = self.connections.join_next().await {
                note_end(ended);
            }
        };
        if tokio::time::timeout(limit, all_end).await.is_err() {
            warn!(
                connections = self.connections.len(),
                "XML-RPC calls did not end within {} ms of closing and are broken off",
                limit.as_millis()
            );
            self.connections.shutdown().await;
        }
    }
}

/// Waits for a free slot first: what is over the limit waits in the system's
/// queue and is refused there.
async fn accept(
    listener: &dyn Listener,
    slots: &Arc<Semaphore>,
    pause: &Pause,
) -> io::Result<(Box<dyn Stream>, OwnedSemaphorePermit)> {
    if !pause.0.is_zero() {
        tokio::time::sleep(pause.0).await;
    }
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((listener.accept().await?, slot))
}

/// How long to wait before accepting again.
///
/// Without file descriptors an accept fails at once, again and again, and the
/// connection stays in the queue: it must neither end the server nor spin.
#[derive(Default)]
struct Pause(Duration);

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }

    fn after(&mut self, cause: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // These concern one connection only, which is gone.
        if let ConnectionAborted | ConnectionReset | Interrupted = cause.kind() {
            debug!(%cause, "an XML-RPC connection broke before it was accepted");
            return;
        }
        self.0 = (self.0 * 2).clamp(Self::FIRST, Self::LONGEST);
        warn!(%cause, "cannot accept XML-RPC connections, trying again in {:?}", self.0);
    }
}

fn note_end(ended: Result<(), JoinError>) {
    match ended {
        Ok(()) => {}
        Err(broken) if broken.is_panic() => {
            error!(cause = %broken, "a task of an XML-RPC connection panicked");
        }
        Err(broken) => debug!(cause = %broken, "an XML-RPC connection was broken off"),
    }
}

async fn serve_connection(stream: Box<dyn Stream>, handler: Arc<Handler>, stop: CancellationToken) {
    let config = handler.config.clone();
    let stream = WriteDeadline::new(stream, config.write_timeout);
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(handler.handle(request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout.min(FAR))
        .max_buf_size(http::MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = ended {
        debug!(%cause, "an XML-RPC connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_accept_backs_off_up_to_a_second_and_recovers() {
        let mut pause = Pause::default();
        let mut waited = Vec::new();
        for _ in 0..9 {
            pause.after(&io::Error::from_raw_os_error(24));
            waited.push(pause.0.as_millis());
        }
        assert_eq!(waited, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.reset();
        pause.after(&io::ErrorKind::ConnectionAborted.into());
        assert_eq!(pause.0, Duration::ZERO);
    }
}
