//! A network in the form in which tonic and hyper ask for connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Network, Stream};

/// Connects to where a URL says, within a limit.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    network: Arc<dyn Network>,
    limit: Duration,
}

impl Connector {
    pub(crate) fn new(network: Arc<dyn Network>, limit: Duration) -> Self {
        Self { network, limit }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (network, limit) = (Arc::clone(&self.network), self.limit);
        Box::pin(async move {
            let Some(host) = uri.host() else {
                let problem = format!("{uri} names no host");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            };
            let host = host.trim_matches(['[', ']']);
            let https = uri.scheme() == Some(&Scheme::HTTPS);
            let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
            match tokio::time::timeout(limit, network.connect(host, port, limit)).await {
                Ok(stream) => Ok(TokioIo::new(Link(stream?))),
                Err(_) => {
                    let problem = format!("no connection within {limit:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, problem))
                }
            }
        })
    }
}

/// A stream that hyper's client can pool.
pub(crate) struct Link(Box<dyn Stream>);

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use parking_lot::Mutex;
    use tower_service::Service as _;

    use super::*;
    use crate::network::Listener;

    /// Notes where somebody wants to go, and never gets there.
    #[derive(Debug, Default)]
    struct Nowhere(Mutex<Vec<(String, u16)>>);

    impl Network for Nowhere {
        fn connect<'a>(
            &'a self,
            host: &'a str,
            port: u16,
            _limit: Duration,
        ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
            self.0.lock().push((host.to_owned(), port));
            Box::pin(std::future::pending())
        }

        fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn host_and_port_come_from_the_url_and_the_limit_holds_for_any_network() {
        let nowhere = Arc::new(Nowhere::default());
        let limit = Duration::from_secs(3);
        let network: Arc<dyn Network> = nowhere.clone();
        let mut connector = Connector::new(network, limit);
        let start = tokio::time::Instant::now();
        for uri in ["http://a:7/x", "http://[::1]:8", "https://b", "http://c"] {
            let error = connector.call(uri.parse().unwrap()).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(start.elapsed(), limit * 4);
        let asked = std::mem::take(&mut *nowhere.0.lock());
        let asked: Vec<(&str, u16)> = asked.iter().map(|(h, p)| (h.as_str(), *p)).collect();
        assert_eq!(asked, [("a", 7), ("::1", 8), ("b", 443), ("c", 80)]);
    }
}
