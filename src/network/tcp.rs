//! TCP of the operating system.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;
use tower_service::Service as _;

use super::{Listener, Network, Stream};

/// TCP of the operating system, with the system's names.
///
/// Of a name with several addresses each is tried, IPv6 and IPv4 side by side
/// (RFC 6555). Nagle's algorithm is off: what is sent here is small, and
/// somebody waits for it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Tcp {}

impl Network for Tcp {
    fn connect<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        limit: Duration,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            };
            let uri = format!("http://{host}:{port}").parse();
            let uri = uri.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            // It gives each of several addresses its share of the time.
            connector.set_connect_timeout(Some(limit));
            match connector.call(uri).await {
                Ok(stream) => Ok(Box::new(stream.into_inner()) as Box<dyn Stream>),
                Err(error) => Err(io::Error::new(kind(&error), error)),
            }
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(Listening(listener)) as Box<dyn Listener>)
        })
    }
}

/// The kind of the error below it, if it is the system's.
fn kind(error: &(dyn StdError + 'static)) -> io::ErrorKind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind();
        }
        cause = error.source();
    }
    io::ErrorKind::Other
}

#[derive(Debug)]
struct Listening(TcpListener);

impl Listener for Listening {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (stream, _) = self.0.accept().await?;
            // It fails only on a connection that broke in the meantime.
            stream
                .set_nodelay(true)
                .map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_is_written_at_one_end_is_read_at_the_other() {
        let tcp = Tcp::default();
        let listener = tcp.listen("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (near, far) = tokio::join!(tcp.connect("127.0.0.1", port, LIMIT), listener.accept());
        near.unwrap().write_all(b"hello").await.unwrap();
        let mut read = Vec::new();
        far.unwrap().read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"hello");
    }

    #[tokio::test]
    async fn an_address_of_ipv6_needs_no_brackets() {
        let tcp = Tcp::default();
        // A machine without IPv6 says so in another way than by a parse.
        let error = match tcp.connect("::1", 1, LIMIT).await {
            Ok(_) => return,
            Err(error) => error,
        };
        assert_ne!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_says_what_failed_and_why() {
        let tcp = Tcp::default();
        // The port was free a moment ago, and nobody listens there now.
        let listener = tcp.listen("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = tcp.connect("127.0.0.1", port, LIMIT).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let cause = error.source().map(ToString::to_string).unwrap();
        assert!(error.to_string().contains("tcp connect error"), "{error}");
        assert!(cause.contains("refused"), "{cause}");
    }
}
