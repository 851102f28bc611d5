//! The gRPC service Watch.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::proto::{PbWatchRequest, PbWatchRequestUnion, PbWatchResponse, PbWatchService};
use futures::Stream;
use tokio::time::{Instant, Sleep};
use tonic::{Request, Response, Status, Streaming};

use super::super::grpc::reworded;
use super::super::state::{Identity, Shared};
use super::answer::responses;
use super::hub::{Create, Next, StreamKey};
use super::range::Range;

/// etcd's numbers of the filters.
const NO_PUT: i32 = 0;
const NO_DELETE: i32 = 1;

/// Requests that one poll takes, before others of the runtime have their turn.
const REQUESTS_A_POLL: usize = 128;

/// Serves watches.
#[derive(Clone, Debug)]
pub(crate) struct WatchService {
    shared: Arc<Shared>,
    /// Where responses are split, for those who ask for it.
    fragment_bytes: usize,
    progress_interval: Duration,
}

impl WatchService {
    pub(crate) fn new(
        shared: Arc<Shared>,
        fragment_bytes: usize,
        progress_interval: Duration,
    ) -> Self {
        Self {
            shared,
            fragment_bytes,
            progress_interval,
        }
    }
}

#[tonic::async_trait]
impl PbWatchService for WatchService {
    type WatchStream = WatchStream;

    async fn watch(
        &self,
        request: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<WatchStream>, Status> {
        let (key, identity) = self
            .shared
            .with(|state, _| (state.hub.open(), state.identity));
        Ok(Response::new(WatchStream {
            shared: Arc::clone(&self.shared),
            key,
            identity,
            requests: Some(request.into_inner()),
            responses: VecDeque::new(),
            fragment_bytes: self.fragment_bytes,
            progress_interval: self.progress_interval,
            tick: None,
            over: false,
        }))
    }
}

/// One stream: it takes requests and gives responses as it is polled, with no task of its own. So a
/// client that does not read is not served further, and holds a bounded queue and its cursors.
pub(crate) struct WatchStream {
    shared: Arc<Shared>,
    key: StreamKey,
    identity: Identity,
    /// `None` when the client sends no more. Its watches go on, as in etcd.
    requests: Option<Streaming<PbWatchRequest>>,
    /// The parts of one message that are still to be sent.
    responses: VecDeque<PbWatchResponse>,
    fragment_bytes: usize,
    progress_interval: Duration,
    /// Runs from the first watch that wants to be told of progress.
    tick: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.shared.with(|state, _| state.hub.close(self.key));
    }
}

impl Stream for WatchStream {
    type Item = Result<PbWatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(response) = this.responses.pop_front() {
            return Poll::Ready(Some(Ok(response)));
        }
        if this.over {
            return Poll::Ready(None);
        }
        if let Err(status) = this.take_requests(cx) {
            this.over = true;
            return Poll::Ready(Some(Err(status)));
        }
        this.take_ticks(cx);
        let next = this
            .shared
            .with(|state, _| state.hub.next(this.key, &state.store, cx.waker()));
        match next {
            Next::Message(message) => {
                this.responses = responses(message, this.identity, this.fragment_bytes);
                Poll::Ready(this.responses.pop_front().map(Ok))
            }
            Next::Wait => Poll::Pending,
            Next::Again => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Next::End => {
                this.over = true;
                let status = Status::unavailable("etcdserver: server stopped");
                Poll::Ready(Some(Err(status)))
            }
        }
    }
}

impl WatchStream {
    /// Hands on the requests that have come, as long as their answers have room.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        for _ in 0..REQUESTS_A_POLL {
            let Some(requests) = &mut self.requests else {
                return Ok(());
            };
            // When there is no room this poll gives an answer, and so is not the last.
            if !self
                .shared
                .with(|state, _| state.hub.takes_requests(self.key))
            {
                return Ok(());
            }
            match Pin::new(requests).poll_next(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => self.requests = None,
                Poll::Ready(Some(Err(status))) => return Err(reworded(status)),
                Poll::Ready(Some(Ok(request))) => self.take(request),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn take(&mut self, request: PbWatchRequest) {
        let key = self.key;
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(request)) => {
                let create = Create {
                    id: request.watch_id,
                    range: Range::requested(request.key, request.range_end),
                    start: request.start_revision,
                    no_put: request.filters.contains(&NO_PUT),
                    no_delete: request.filters.contains(&NO_DELETE),
                    previous: request.prev_kv,
                    fragment: request.fragment,
                    progress: request.progress_notify,
                };
                if create.progress && self.tick.is_none() {
                    self.tick = Some(Box::pin(tokio::time::sleep(self.progress_interval)));
                }
                self.shared.with(|state, _| {
                    let revision = state.store.revision();
                    state.hub.create(key, create, revision);
                });
            }
            Some(PbWatchRequestUnion::CancelRequest(request)) => self.shared.with(|state, _| {
                let revision = state.store.revision();
                state.hub.cancel(key, request.watch_id, revision);
            }),
            Some(PbWatchRequestUnion::ProgressRequest(_)) => self.shared.with(|state, _| {
                let revision = state.store.revision();
                state.hub.ask_progress(key, revision);
            }),
            // etcd passes over it, too.
            None => {}
        }
    }

    fn take_ticks(&mut self, cx: &mut Context<'_>) {
        let Some(tick) = &mut self.tick else { return };
        while tick.as_mut().poll(cx).is_ready() {
            tick.as_mut().reset(Instant::now() + self.progress_interval);
            self.shared.with(|state, _| {
                let revision = state.store.revision();
                state.hub.tick(self.key, revision);
            });
        }
    }
}
