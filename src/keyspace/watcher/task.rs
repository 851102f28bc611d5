//! The shell around a watcher's machine: one task that carries out what the machine says.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{
    EventType, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rand::RngExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::event::{Action, CallId, Event, Message, Step, Trouble};
use super::machine::WatcherMachine;
use super::{Change, Sink, WatchConfig, WatchStatus};
use crate::ambient::Chance;
use crate::keyspace::connect::{Connection, Failure, FailureKind, Header, call, dial};
use crate::keyspace::failure::Need;
use crate::keyspace::meter;
use crate::keyspace::range::read_page;
use crate::keyspace::{ConnectOptions, Endpoint, Error};

pub(super) fn spawn(
    options: ConnectOptions,
    config: WatchConfig,
    sink: Box<dyn Sink>,
    relist: Arc<Notify>,
) -> (watch::Receiver<WatchStatus>, AbortOnDropHandle<()>) {
    let machine = WatcherMachine::new(
        config.clone(),
        options.endpoints.len(),
        options.call_timeout,
        Chance.random(),
        Instant::now().into_std(),
    );
    let (status, receiver) = watch::channel(WatchStatus {
        phase: machine.phase(),
        endpoint: options.endpoints[machine.endpoint()].clone(),
        synced: None,
        listed_at: None,
        stale_since: machine.stale_since().map(Instant::from_std),
        keys: 0,
        last_error: None,
        counts: machine.counts(),
    });
    let task = Task {
        options: Arc::new(options),
        config,
        machine,
        sink,
        relist,
        status,
        connection: None,
        watch: None,
        calls: FuturesUnordered::new(),
        last_error: None,
    };
    (receiver, AbortOnDropHandle::new(tokio::spawn(task.run())))
}

/// An open watch. The sender is lent to a request for progress while that is on its way; without
/// it the server would end the stream.
struct Watch {
    call: CallId,
    sender: Option<WatchRequestSender>,
    stream: WatchResponseStream,
}

/// What a call brings back.
enum Outcome {
    Event(Event),
    Dialled(CallId, Box<Connection>, Header),
    Opened(Box<Watch>),
    Asked(CallId, WatchRequestSender),
}

struct Task {
    options: Arc<ConnectOptions>,
    config: WatchConfig,
    machine: WatcherMachine,
    sink: Box<dyn Sink>,
    relist: Arc<Notify>,
    status: watch::Sender<WatchStatus>,
    connection: Option<Connection>,
    watch: Option<Box<Watch>>,
    calls: FuturesUnordered<BoxFuture<'static, Outcome>>,
    last_error: Option<Error>,
}

impl Task {
    async fn run(mut self) {
        let relist = Arc::clone(&self.relist);
        self.step(Event::Tick);
        loop {
            self.publish();
            let wake = self.machine.next_wake().map(Instant::from_std);
            // In this order, so that a simulation repeats exactly.
            tokio::select! {
                biased;
                Some(outcome) = self.calls.next(), if !self.calls.is_empty() => {
                    self.called(outcome);
                }
                Some(event) = next_message(&mut self.watch) => self.step(event),
                () = relist.notified() => self.step(Event::Relist),
                () = sleep_until(wake) => self.step(Event::Tick),
            }
        }
    }

    fn called(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Event(event) => self.step(event),
            Outcome::Dialled(call, connection, header) => {
                self.connection = Some(*connection);
                let result = Ok(header);
                self.step(Event::Dialled { call, result });
            }
            // Its first message will tell.
            Outcome::Opened(watch) => self.watch = Some(watch),
            Outcome::Asked(call, sender) => {
                if let Some(watch) = self.watch.as_mut().filter(|watch| watch.call == call) {
                    watch.sender = Some(sender);
                }
            }
        }
    }

    fn step(&mut self, event: Event) {
        for action in self.machine.step(event, Instant::now().into_std()) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial { call, endpoint } => {
                let options = Arc::clone(&self.options);
                let probe = self.config.start.clone();
                self.calls.push(Box::pin(async move {
                    match dial(&options, &options.endpoints[endpoint], &probe).await {
                        Ok((connection, header)) => {
                            Outcome::Dialled(call, Box::new(connection), header)
                        }
                        Err(failure) => Outcome::Event(Event::Dialled {
                            call,
                            result: Err(failure),
                        }),
                    }
                }));
            }
            Action::Disconnect => {
                self.calls.clear();
                self.watch = None;
                self.connection = None;
            }
            Action::ReadPage { call, request } => self.read(call, request),
            Action::Open { call, revision } => self.open(call, revision),
            Action::AskProgress => self.ask_progress(),
            Action::Deliver(changes) => self.sink.apply(changes),
            Action::Synced(revision) => {
                tracing::info!(
                    endpoint = %self.endpoint(self.machine.endpoint()),
                    revision,
                    keys = self.machine.keys(),
                    "the watched range is synced"
                );
                self.sink.synced(revision);
            }
            Action::HistoryLost => {
                tracing::warn!(
                    endpoint = %self.endpoint(self.machine.endpoint()),
                    "etcd's history is another than before: it was wiped, restored or replaced"
                );
                self.sink.history_lost();
            }
            Action::Report(trouble) => {
                let error = self.explain(trouble);
                tracing::warn!(%error, "the watcher has trouble");
                self.last_error = Some(error);
            }
        }
    }

    fn read(&mut self, id: CallId, request: crate::keyspace::range::PageRequest) {
        self.watch = None;
        let Some(mut connection) = self.connection.clone() else {
            return;
        };
        let limit = self.options.call_timeout;
        // A task of its own, so that the next page is fetched and decoded while this one is
        // delivered. It ends with the handle.
        let read = AbortOnDropHandle::new(tokio::spawn(async move {
            call(limit, read_page(&mut connection.kv, request)).await
        }));
        self.calls.push(Box::pin(async move {
            let result = read.await.unwrap_or_else(|error| {
                let cause = format!("reading a page failed: {error}");
                let elapsed = std::time::Duration::ZERO;
                Err(Failure::new(FailureKind::Unavailable, cause, elapsed))
            });
            Outcome::Event(Event::Page { call: id, result })
        }));
    }

    fn open(&mut self, id: CallId, revision: i64) {
        self.watch = None;
        let Some(mut connection) = self.connection.clone() else {
            return;
        };
        let options = WatchOptions::new()
            .with_range(self.config.end.clone())
            .with_start_revision(revision)
            .with_progress_notify()
            .with_fragment();
        let start = self.config.start.clone();
        let limit = self.options.call_timeout;
        self.calls.push(Box::pin(async move {
            match call(limit, connection.watch.watch(start, Some(options))).await {
                Ok(watch) => {
                    let (sender, stream) = watch.split();
                    Outcome::Opened(Box::new(Watch {
                        call: id,
                        sender: Some(sender),
                        stream,
                    }))
                }
                Err(failure) => Outcome::Event(Event::Watch {
                    call: id,
                    result: Err(failure),
                }),
            }
        }));
    }

    fn ask_progress(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let (call, Some(mut sender)) = (watch.call, watch.sender.take()) else {
            return;
        };
        self.calls.push(Box::pin(async move {
            if let Err(error) = sender.request_progress().await {
                // The stream's end, or the silence after this, tells the machine.
                tracing::debug!(%error, "progress cannot be asked for");
            }
            Outcome::Asked(call, sender)
        }));
    }

    fn endpoint(&self, index: usize) -> Endpoint {
        self.options.endpoints[index].clone()
    }

    fn explain(&self, trouble: Trouble) -> Error {
        let endpoint = self.endpoint(trouble.endpoint);
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let need = Need {
            permission: "read",
            key: text(&self.config.start),
            end: Some(text(&self.config.end)),
        };
        let access = trouble
            .failure
            .explain_access(&endpoint, &self.options, need);
        if let Some(error) = access {
            return error;
        }
        let Failure { cause, elapsed, .. } = trouble.failure;
        match trouble.step {
            Step::Connect => Error::Connect {
                endpoint,
                elapsed,
                cause,
            },
            Step::List => Error::List { endpoint, cause },
            Step::Watch => Error::Watch { endpoint, cause },
        }
    }

    fn publish(&self) {
        let machine = &self.machine;
        let (phase, synced, keys, counts) = (
            machine.phase(),
            machine.synced(),
            machine.keys(),
            machine.counts(),
        );
        self.status.send_if_modified(|status| {
            let changed = status.phase != phase
                || status.synced != synced
                || status.counts != counts
                || status.keys != keys;
            if changed {
                if status.phase != phase {
                    tracing::debug!(?phase, revision = synced, "watcher");
                }
                status.phase = phase;
                status.endpoint = self.endpoint(machine.endpoint());
                status.synced = synced;
                status.listed_at = machine.listed_at().map(Instant::from_std);
                status.stale_since = machine.stale_since().map(Instant::from_std);
                status.keys = keys;
                meter::watcher(&status.counts, &counts);
                status.counts = counts;
                status.last_error.clone_from(&self.last_error);
            }
            changed
        });
    }
}

/// The next message of the open watch; none when there is no watch.
async fn next_message(watch: &mut Option<Box<Watch>>) -> Option<Event> {
    let watch = watch.as_mut()?;
    let result = match watch.stream.message().await {
        Ok(Some(response)) => Ok(message(&response)),
        // A server that leaves ends its streams in good order. The watch is not over for that.
        Ok(None) => Err(Failure::new(
            FailureKind::Unavailable,
            "the server ended the stream",
            std::time::Duration::ZERO,
        )),
        Err(error) => Err(Failure::of(&error, std::time::Duration::ZERO)),
    };
    Some(Event::Watch {
        call: watch.call,
        result,
    })
}

fn message(response: &WatchResponse) -> Message {
    /// The id in an answer to a request for progress, which is about all watches of a stream.
    const NO_WATCH: i64 = -1;
    Message {
        header: Header::from(response.header()),
        addressed: response.watch_id() != NO_WATCH,
        created: response.created(),
        canceled: response.canceled(),
        compact_revision: response.compact_revision(),
        reason: response.cancel_reason().to_owned(),
        changes: response.events().iter().filter_map(change).collect(),
    }
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    let kv = event.kv()?;
    Some(match event.event_type() {
        EventType::Put => Change::Put {
            key: kv.key().to_vec(),
            value: Bytes::copy_from_slice(kv.value()),
            mod_revision: kv.mod_revision(),
            lease: kv.lease(),
        },
        EventType::Delete => Change::Delete {
            key: kv.key().to_vec(),
            mod_revision: kv.mod_revision(),
        },
    })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
