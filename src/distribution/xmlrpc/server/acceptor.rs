//! Accepting connections, and what is told of that.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::http::{self, Handler};
use super::stream::WriteDeadline;
use crate::ambient::FAR;
use crate::interface::Cause;
use crate::network::{Listener, Stream};

/// How accepting stands.
#[derive(Clone, Debug)]
pub(in super::super) enum Accepting {
    /// It works again.
    Works,
    /// It has failed for a while, and is tried on.
    Fails(Cause),
    /// There will be no connection any more; the address is free. Those that
    /// there are go on.
    Ended(Cause),
}

/// Where the acceptor tells how it stands. It must return soon.
pub(in super::super) type Tell = Arc<dyn Fn(Accepting) + Send + Sync>;

/// Tells of the end if the accepting task panics.
pub(super) struct Alarm(pub(super) Tell);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)(Accepting::Ended(Cause::new("the accepting task panicked")));
        }
    }
}

/// Accepts connections and owns them.
pub(super) struct Acceptor {
    handler: Arc<Handler>,
    /// One for each connection that may still be made.
    slots: Arc<Semaphore>,
    stop: CancellationToken,
    connections: JoinSet<()>,
    tell: Tell,
}

impl Acceptor {
    pub(super) fn new(handler: Arc<Handler>, stop: CancellationToken, tell: Tell) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(handler.config.max_connections)),
            handler,
            stop,
            connections: JoinSet::new(),
            tell,
        }
    }

    pub(super) async fn run(mut self, listener: Box<dyn Listener>) {
        let mut listener = Some(listener);
        let mut pause = Pause::default();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(ended) = self.connections.join_next() => note_end(ended),
                accepted = accept(listener.as_deref(), &self.slots, &pause) => match accepted {
                    Ok((stream, slot)) => {
                        if pause.reset() {
                            (self.tell)(Accepting::Works);
                        }
                        self.serve(stream, slot);
                    }
                    Err(cause) if is_end(&cause) => {
                        error!(%cause, "no XML-RPC connections are accepted any more");
                        // Before anybody hears of it, so that whoever listens
                        // anew finds the address free.
                        listener = None;
                        (self.tell)(Accepting::Ended(Cause::new(cause)));
                    }
                    Err(cause) => {
                        if pause.after(&cause) {
                            (self.tell)(Accepting::Fails(Cause::new(cause)));
                        }
                    }
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

/// Whether the listener itself is at its end, as [`Listener::accept`] says it.
fn is_end(cause: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, InvalidInput, NotConnected};
    matches!(cause.kind(), BrokenPipe | InvalidInput | NotConnected)
}

/// Waits for a free slot first: what is over the limit waits in the system's
/// queue and is refused there. Waits for ever without a listener.
async fn accept(
    listener: Option<&dyn Listener>,
    slots: &Arc<Semaphore>,
    pause: &Pause,
) -> io::Result<(Box<dyn Stream>, OwnedSemaphorePermit)> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    if !pause.length.is_zero() {
        tokio::time::sleep(pause.length).await;
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
struct Pause {
    length: Duration,
    /// Since when every accept failed.
    failing: Option<Instant>,
    /// Whether that was told.
    told: bool,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    /// How long accepting has to fail before others are told of it.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Accepting works; whether others were told that it does not.
    fn reset(&mut self) -> bool {
        std::mem::take(self).told
    }

    /// Accepting failed; whether others are to be told of it now.
    fn after(&mut self, cause: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        // These concern one connection only, which is gone.
        if let ConnectionAborted | ConnectionReset | Interrupted = cause.kind() {
            debug!(%cause, "an XML-RPC connection broke before it was accepted");
            return false;
        }
        self.length = (self.length * 2).clamp(Self::FIRST, Self::LONGEST);
        warn!(%cause, "cannot accept XML-RPC connections, trying again in {:?}", self.length);
        let since = *self.failing.get_or_insert_with(Instant::now);
        let is_news = !self.told && since.elapsed() >= Self::PATIENCE;
        self.told |= is_news;
        is_news
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
            waited.push(pause.length.as_millis());
        }
        assert_eq!(waited, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.reset();
        pause.after(&io::ErrorKind::ConnectionAborted.into());
        assert_eq!(pause.length, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_fails_for_a_while_is_news_once() {
        let mut pause = Pause::default();
        let full = io::Error::from_raw_os_error(24);
        for _ in 0..2 {
            let news = [pause.after(&full), pause.after(&full)];
            assert_eq!(news, [false, false]);
            tokio::time::advance(Pause::PATIENCE).await;
            assert_eq!([pause.after(&full), pause.after(&full)], [true, false]);
            assert!(pause.reset() && !pause.reset());
        }
    }
}
