//! The HTTP server that services are called through.
//!
//! One task accepts; it owns one task for each connection, in which the calls
//! of that connection run. So a call whose connection breaks is dropped, and
//! closing the server means ending these tasks and waiting for them.

mod acceptor;
mod config;
mod http;
mod registry;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::acceptor::{Accepting, Tell};
pub use self::config::ServerConfig;
pub use self::registry::Registration;

use self::acceptor::{Acceptor, Alarm};
use self::http::Handler;
use crate::interface::Dispatch;
use crate::network::{Network, default_network};

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
        Self::bind_telling(network, config, Arc::new(|_| {})).await
    }

    /// [`Server::bind_on`] that tells how accepting stands, when that changes.
    pub(super) async fn bind_telling(
        network: &dyn Network,
        config: ServerConfig,
        tell: Tell,
    ) -> Result<Self, ServerError> {
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
        let alarm = Alarm(Arc::clone(&tell));
        let acceptor = Acceptor::new(Arc::clone(&handler), stop.clone(), tell);
        let abandoned = abandon.clone();
        let accepting = tokio::spawn(async move {
            let _alarm = alarm;
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
