//! Connections: how they are accepted, served and ended.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use tower::util::MapResponseLayer;

use super::grpc::VERSION;

/// Flow control windows, in bytes: a largest request fits in.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Calls that a client may give up before the server has seen to them. Beyond it the connection is
/// ended. The library's 20 is too low for clients that end many watches at once.
const RESET_STREAMS: usize = 10_000;

/// The pause after a connection could not be accepted, as when there are too many open files: what
/// is wrong then is not over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection of any kind.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// A connection that can be cut from here. The libraries serve each on a task of its own, which
/// ends only with its connection.
pub(super) struct Cuttable {
    transport: Box<dyn Transport>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Cuttable {
    pub(super) fn new(transport: impl Transport, cut: &CancellationToken) -> Self {
        // A child each, so that the connections do not share the lock of one token.
        let cut = cut.child_token().cancelled_owned();
        Self {
            transport: Box::new(transport),
            cut: Box::pin(cut),
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut *self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is cut does not wait for the other side.
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

impl Connected for Cuttable {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// The connections that come in at an address, for ever.
pub(super) fn accepted(
    listener: TcpListener,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Cuttable>> {
    stream::unfold((listener, cut), async |(listener, cut)| {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    if let Err(error) = socket.set_nodelay(true) {
                        // It may be closed by now. If not, it works, and is slower.
                        tracing::debug!(%peer, %error, "cannot turn off Nagle's algorithm");
                    }
                    return Some((Ok(Cuttable::new(socket, &cut)), (listener, cut)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// The connections that are handed in, until no more can be.
pub(super) fn attached(
    connections: mpsc::Receiver<Cuttable>,
) -> impl Stream<Item = io::Result<Cuttable>> {
    stream::unfold(connections, async |mut connections| {
        let connection = connections.recv().await?;
        Some((Ok(connection), connections))
    })
}

/// The server of all connections, without TLS.
pub(super) fn server() -> Server {
    // Clients' keepalive pings are answered however many there are; etcd ends a connection that
    // has more than one in five seconds.
    Server::builder()
        .accept_http1(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(u32::MAX)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS))
}

/// Serves connections until told to close, and then waits for those that are open.
pub(super) async fn serve(
    mut server: Server,
    routes: Routes,
    connections: impl Stream<Item = io::Result<Cuttable>>,
    closing: CancellationToken,
) {
    let served = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, closing.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the embedded registry no longer serves");
    }
}

/// Lets each answer bear the same date.
pub(super) fn without_time(mut routes: Routes) -> Routes {
    const EPOCH: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
    let dated = MapResponseLayer::new(|mut response: http::Response<_>| {
        response.headers_mut().insert(http::header::DATE, EPOCH);
        response
    });
    let router = routes.axum_router_mut();
    *router = std::mem::take(router).layer(dated);
    routes
}

/// Adds what etcd answers over HTTP and scripts ask for.
pub(super) fn with_pages(mut routes: Routes) -> Routes {
    let version = format!(r#"{{"etcdserver":"{VERSION}","etcdcluster":"3.5.0"}}"#);
    let health = r#"{"health":"true","reason":""}"#.to_owned();
    let router = routes.axum_router_mut();
    *router = std::mem::take(router)
        .route_service("/version", Page(version))
        .route_service("/health", Page(health));
    routes
}

/// A page of JSON that is always the same.
#[derive(Clone)]
struct Page(String);

impl<B> Service<http::Request<B>> for Page {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut response = match *request.method() {
            http::Method::GET | http::Method::HEAD => http::Response::new(self.0.clone()),
            _ => {
                let mut response = http::Response::new(String::new());
                *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
                response
            }
        };
        let json = http::HeaderValue::from_static("application/json");
        (response.headers_mut()).insert(http::header::CONTENT_TYPE, json);
        ready(Ok(response))
    }
}
