//! One end of a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::pipe::{Found, Kind};
use super::{Net, State};

/// One end of a connection, in the hands of a program.
#[derive(Debug)]
pub(super) struct End {
    net: Net,
    number: u64,
    side: usize,
    /// Runs until the next segment arrives.
    arrival: Option<Pin<Box<Sleep>>>,
    finished: bool,
}

impl End {
    pub(super) fn new(net: Net, number: u64, side: usize) -> Self {
        Self {
            net,
            number,
            side,
            arrival: None,
            finished: false,
        }
    }

    fn find(&mut self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Found>> {
        let mut state = self.net.0.lock();
        let Some(connection) = state.connections.get(&self.number) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if connection.dead[self.side] {
            // The host is off, and this program is about to end.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let writer = 1 - self.side;
        let [from, to] = [connection.hosts[writer], connection.hosts[self.side]];
        let cut_since = state.link(from, to).cut_since;
        let is_stalled = state.is_stalled(to);
        let Some(connection) = state.connections.get_mut(&self.number) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if is_stalled {
            connection.pipes[writer].keep_reader(cx);
            return Poll::Pending;
        }
        let found = connection.pipes[writer].read(cx, cut_since, buf)?;
        if let Found::Bytes(size) = found
            && size > 0
        {
            state.note_read(self.number, self.side);
        }
        Poll::Ready(Ok(found))
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match ready!(self.find(cx, buf))? {
                Found::Bytes(_) => return Poll::Ready(Ok(())),
                Found::Later(None) => return Poll::Pending,
                Found::Later(Some(at)) => {
                    let arrival = self
                        .arrival
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                    if arrival.deadline() != at {
                        arrival.as_mut().reset(at);
                    }
                    ready!(arrival.as_mut().poll(cx));
                    self.arrival = None;
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.0.lock();
        let (number, side) = (self.number, self.side);
        let Some(connection) = state.connections.get(&number) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if connection.dead[side] {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(state.poll_awake(number, side, cx));
        let Some(connection) = state.connections.get_mut(&number) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if self.finished || connection.pipes[1 - side].is_reset() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ready!(connection.pipes[side].poll_room(cx));
        let size = room.min(buf.len());
        for data in state.bent(number, side, Bytes::copy_from_slice(&buf[..size])) {
            state.send(number, side, Kind::Data(data));
        }
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            let mut state = self.net.0.lock();
            ready!(state.poll_awake(self.number, self.side, cx));
            state.send(self.number, self.side, Kind::Fin);
            drop(state);
            self.finished = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl State {
    /// Whether the host of a side that writes goes on.
    fn poll_awake(&mut self, number: u64, side: usize, cx: &Context<'_>) -> Poll<()> {
        let host = self.connections.get(&number).map(|c| c.hosts[side]);
        if !host.is_some_and(|host| self.is_stalled(host)) {
            return Poll::Ready(());
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.pipes[side].keep_writer(cx);
        }
        Poll::Pending
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.net.0.lock();
        state.drop_end(self.number, self.side);
    }
}
