//! The HTTP server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answer::Pages;

/// A request's head, which is all of it.
const MOST_HEAD: usize = 16 * 1024;
/// For a head to arrive, also the next one of a connection that is kept open. Prometheus asks each
/// minute by default.
const HEAD_WITHIN: Duration = Duration::from_secs(150);
/// A connection is ended in order after this time, so that one who reads no answers does not keep
/// its slot. Clients make another without noticing.
const LIFE: Duration = Duration::from_secs(600);
/// For answers under way when the server or a connection ends.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Without file descriptors an accept fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Server {
    pages: Arc<Pages>,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    connections: JoinSet<()>,
}

impl Server {
    pub(super) fn new(pages: Arc<Pages>, most: usize, stop: CancellationToken) -> Self {
        Self {
            pages,
            slots: Arc::new(Semaphore::new(most)),
            stop,
            connections: JoinSet::new(),
        }
    }

    /// Serves until it is stopped, and then until what is under way is answered.
    pub(super) async fn run(mut self, listener: TcpListener) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(ended) = self.connections.join_next() => told(ended),
                accepted = accept(&listener, &self.slots) => match accepted {
                    Ok((stream, slot)) => self.serve(stream, slot),
                    Err(error) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let all_end = async {
            while let Some(ended) = self.connections.join_next().await {
                told(ended);
            }
        };
        if tokio::time::timeout(END_WITHIN, all_end).await.is_err() {
            self.connections.shutdown().await;
        }
    }

    fn serve(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let (pages, stop) = (Arc::clone(&self.pages), self.stop.clone());
        self.connections.spawn(async move {
            serve(stream, pages, stop).await;
            drop(slot);
        });
    }
}

/// Waits for a free slot first: what is over the limit waits in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn serve(stream: TcpStream, pages: Arc<Pages>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&pages, &request)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        result = connection.as_mut() => Ok(result),
        () = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LIFE) => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(END_WITHIN, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended"),
        Err(_) => tracing::debug!("a connection is broken off: its answer is not read"),
    }
}

fn answer(pages: &Pages, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let response = pages.answer(request.method(), request.uri().path(), request.headers());
    tracing::debug!(
        method = %request.method(), path = request.uri().path(), status = %response.status(),
        "answered"
    );
    response.map(Full::new)
}

fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
