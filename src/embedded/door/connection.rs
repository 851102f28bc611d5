//! A connection that can be ended from here, and that ends when its other side is dead.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// How long a client may take to say its first words, as with etcd's gRPC library. Only after them do
/// the libraries look after the connection.
const OPENING: Duration = Duration::from_secs(120);
/// How many bytes the first words of HTTP/2 have. The shortest useful ones of HTTP/1.1 are longer.
const FIRST_WORDS: usize = 24;

/// A connection of any kind.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// What ends connections.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Ends each, whatever it is at.
    pub(crate) cut: CancellationToken,
    /// How long one may take nothing of what is written to it.
    pub(crate) stall: Duration,
}

/// A connection that can be cut from here. The libraries serve each on a task of its own, which
/// ends only with its connection.
///
/// The cut is looked at wherever that task may wait. Looking at it in reads would not do: with an
/// answer that the other side does not take, HTTP/2 does not read before it has written.
pub(crate) struct Cuttable {
    transport: Box<dyn Transport>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Bytes that came, as far as they are counted.
    heard: usize,
    /// Runs while [`FIRST_WORDS`] are waited for.
    opening: Option<Pin<Box<Sleep>>>,
    stall: Duration,
    /// Runs out when nothing was taken for too long; counts only while `stalled`.
    patience: Option<Pin<Box<Sleep>>>,
    stalled: bool,
}

impl Cuttable {
    pub(crate) fn new(transport: impl Transport, ending: &Ending) -> Self {
        // A child each, so that the connections do not share the lock of one token.
        let cut = ending.cut.child_token().cancelled_owned();
        Self {
            transport: Box::new(transport),
            cut: Box::pin(cut),
            heard: 0,
            opening: None,
            stall: ending.stall,
            patience: None,
            stalled: false,
        }
    }

    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(cx).is_ready()
    }

    /// Ends a connection whose other side has not said enough in time to be served.
    fn wait_for_first_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heard >= FIRST_WORDS {
            return Poll::Pending;
        }
        // Made here and not with the connection, which may be made outside of a runtime.
        let opening = (self.opening).get_or_insert_with(|| Box::pin(sleep(OPENING)));
        ready!(opening.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Does a part of writing, unless the connection is cut, or has taken nothing for too long: HTTP/2's
    /// pings do not get through to find that out.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        part: impl FnOnce(Pin<&mut dyn Transport>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let done = part(Pin::new(&mut *self.transport), cx);
        if done.is_ready() {
            self.stalled = false;
            return done;
        }
        let (limit, begins) = (self.stall, !self.stalled);
        self.stalled = true;
        let patience = (self.patience).get_or_insert_with(|| Box::pin(sleep(limit)));
        if begins {
            patience.as_mut().reset(Instant::now() + limit);
        }
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut *this.transport).poll_read(cx, buffer) else {
            return this.wait_for_first_words(cx);
        };
        if this.heard < FIRST_WORDS {
            this.heard += buffer.filled().len() - before;
            if this.heard >= FIRST_WORDS {
                this.opening = None;
            }
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |transport, cx| transport.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |transport, cx| transport.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is cut does not wait for the other side.
        if self.is_cut(cx) {
            return Poll::Ready(Ok(()));
        }
        self.write(cx, |transport, cx| transport.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |transport, cx| {
            transport.poll_write_vectored(cx, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

impl Connected for Cuttable {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
