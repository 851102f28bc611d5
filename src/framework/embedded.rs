//! The registry that a framework runs itself.

use std::fmt;
use std::io;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::embedded::Dialer;
use crate::network::{Listener, Network, Stream};

/// What stands for the registry's address in logs and errors.
pub(super) const ADDRESS: &str = "embedded:2379";

/// Every connection leads to the registry of this process, without a socket.
pub(super) struct InProcess(pub(super) Dialer);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl Network for InProcess {
    fn connect<'a>(
        &'a self,
        _: &'a str,
        _: u16,
        _: Duration,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let connected = self.0.connect();
        Box::pin(async move { connected.map(|stream| Box::new(stream) as Box<dyn Stream>) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        let problem = format!("nobody listens on {address} within a process");
        Box::pin(async move { Err(io::Error::new(io::ErrorKind::Unsupported, problem)) })
    }
}
