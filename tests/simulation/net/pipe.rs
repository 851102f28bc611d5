//! One direction of a connection.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// How many bytes may be on their way or unread, before a writer has to wait.
const WINDOW: usize = 256 * 1024;

#[derive(Debug)]
pub(super) enum Kind {
    Data(Bytes),
    Fin,
    Reset,
}

impl Kind {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Fin | Self::Reset => 0,
        }
    }
}

#[derive(Debug)]
struct Segment {
    at: Instant,
    kind: Kind,
}

/// What was written and is not read yet, each with the time at which it arrives.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// Nothing overtakes what was sent before.
    last: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a reader finds.
pub(super) enum Found {
    /// So many bytes; none at the end.
    Bytes(usize),
    /// Nothing before then; none for nothing at all.
    Later(Option<Instant>),
}

impl Pipe {
    pub(super) fn push(&mut self, at: Instant, kind: Kind, cut_since: Option<Instant>) {
        let mut at = self.last.map_or(at, |last| at.max(last));
        if cut_since.is_some() {
            // It waits for the healing, which gives it a time.
            at = at.max(Instant::now() + std::time::Duration::from_millis(1));
        }
        self.last = Some(at);
        if let Kind::Reset = kind {
            // Who is told that there is no connection has no use for what came before.
            self.segments.clear();
            self.bytes = 0;
        }
        self.bytes += kind.size();
        self.segments.push_back(Segment { at, kind });
        self.wake();
    }

    /// Moves everything that was to arrive after `since` to `again`.
    pub(super) fn hold_up(&mut self, since: Instant, again: Instant) {
        for segment in &mut self.segments {
            if segment.at > since {
                segment.at = segment.at.max(again);
                self.last = self.last.max(Some(segment.at));
            }
        }
        self.wake();
    }

    /// The writer is no more: what has not arrived is sent by nobody again.
    pub(super) fn lose_what_is_sent(&mut self, cut_since: Option<Instant>) {
        let now = cut_since.unwrap_or_else(Instant::now);
        let arrived = |s: &Segment| s.at <= now || matches!(s.kind, Kind::Reset);
        self.segments.retain(arrived);
        self.bytes = self.segments.iter().map(|s| s.kind.size()).sum();
        self.last = self.segments.back().map(|s| s.at);
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    /// When the last bytes arrive that nobody has read yet.
    pub(super) fn last_data(&self) -> Option<Instant> {
        let data = |s: &&Segment| matches!(s.kind, Kind::Data(_));
        self.segments.iter().rfind(data).map(|s| s.at)
    }

    /// Tells the reader when something has changed.
    pub(super) fn keep_reader(&mut self, cx: &Context<'_>) {
        self.reader = Some(cx.waker().clone());
    }

    /// Tells the writer when something has changed.
    pub(super) fn keep_writer(&mut self, cx: &Context<'_>) {
        self.writer = Some(cx.waker().clone());
    }

    /// How many bytes may be written, at least one.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<usize> {
        if self.bytes < WINDOW {
            return Poll::Ready(WINDOW - self.bytes);
        }
        self.keep_writer(cx);
        Poll::Pending
    }

    /// Takes what has arrived.
    pub(super) fn read(
        &mut self,
        cx: &Context<'_>,
        cut_since: Option<Instant>,
        buf: &mut ReadBuf<'_>,
    ) -> io::Result<Found> {
        let now = Instant::now();
        let before = buf.filled().len();
        while let Some(segment) = self.segments.front_mut() {
            let held_up = cut_since.is_some_and(|since| segment.at > since);
            if held_up || segment.at > now || buf.remaining() == 0 {
                break;
            }
            match &mut segment.kind {
                Kind::Reset => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "connection reset by peer",
                    ));
                }
                // It stays, for whoever reads again.
                Kind::Fin => return Ok(Found::Bytes(buf.filled().len() - before)),
                Kind::Data(data) => {
                    let size = data.len().min(buf.remaining());
                    buf.put_slice(&data[..size]);
                    data.advance(size);
                    self.bytes -= size;
                    if data.is_empty() {
                        self.segments.pop_front();
                    }
                }
            }
        }
        let read = buf.filled().len() - before;
        if read > 0 {
            if let Some(waker) = self.writer.take() {
                waker.wake();
            }
            return Ok(Found::Bytes(read));
        }
        self.keep_reader(cx);
        let next = self.segments.front().map(|segment| segment.at);
        let held_up = |at: &Instant| cut_since.is_some_and(|since| *at > since);
        Ok(Found::Later(next.filter(|at| !held_up(at))))
    }

    /// Whether a reset is on its way or here.
    pub(super) fn is_reset(&self) -> bool {
        let now = Instant::now();
        let mut segments = self.segments.iter();
        segments.any(|s| matches!(s.kind, Kind::Reset) && s.at <= now)
    }
}
