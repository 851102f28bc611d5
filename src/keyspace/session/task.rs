//! The shell around a session's machine: one task that carries out what the machine says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, LeaseGrantOptions, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn,
    TxnOp,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::event::{Action, Answer, Batch, CallId, Event, Guard, Step, Trouble, Wish};
use super::inbox::{Inbox, Over, Waiter};
use super::machine::SessionMachine;
use super::wanted::WaiterId;
use super::{Committed, Registered, SessionConfig, SessionStatus};
use crate::ambient::Chance;
use crate::keyspace::connect::{Connection, Failure, FailureKind, call, dial};
use crate::keyspace::failure::Need;
use crate::keyspace::meter;
use crate::keyspace::range::read_page;
use crate::keyspace::{Cause, ConnectOptions, Endpoint, Error};

pub(super) fn spawn(
    options: ConnectOptions,
    config: SessionConfig,
    inbox: Arc<Inbox>,
) -> (
    watch::Receiver<SessionStatus>,
    AbortOnDropHandle<Result<(), Error>>,
) {
    let machine = SessionMachine::new(
        config.clone(),
        options.endpoints.len(),
        options.call_timeout,
        Chance.random(),
        Instant::now().into_std(),
    );
    let (status, receiver) = watch::channel(SessionStatus {
        phase: machine.phase(),
        lease: None,
        endpoint: options.endpoints[machine.endpoint()].clone(),
        registered_until: None,
        first: None,
        taken: None,
        last_error: None,
        wanted: 0,
        pending: 0,
        counts: machine.counts(),
    });
    let task = Task {
        options: Arc::new(options),
        config,
        machine,
        inbox,
        status,
        connection: None,
        renewals: None,
        calls: FuturesUnordered::new(),
        waiters: HashMap::new(),
        next_waiter: 0,
        last_error: None,
        result: None,
    };
    (receiver, AbortOnDropHandle::new(tokio::spawn(task.run())))
}

/// What a call brings back: its answer, and what it borrowed from the task.
enum Outcome {
    Answer(Answer),
    Dialled(Box<Connection>, crate::keyspace::connect::Header),
    Renewed(Box<Renewals>, Result<Duration, Failure>),
}

/// The open keep-alive stream of one lease.
struct Renewals {
    lease: i64,
    keeper: LeaseKeeper,
    stream: LeaseKeepAliveStream,
}

struct Task {
    options: Arc<ConnectOptions>,
    config: SessionConfig,
    machine: SessionMachine,
    inbox: Arc<Inbox>,
    status: watch::Sender<SessionStatus>,
    connection: Option<Connection>,
    renewals: Option<Box<Renewals>>,
    calls: FuturesUnordered<BoxFuture<'static, (CallId, Outcome)>>,
    waiters: HashMap<WaiterId, Waiter>,
    next_waiter: WaiterId,
    last_error: Option<Error>,
    result: Option<Result<(), Error>>,
}

impl Task {
    async fn run(mut self) -> Result<(), Error> {
        let _over = Over(Arc::clone(&self.inbox));
        let inbox = Arc::clone(&self.inbox);
        self.step(Event::Tick);
        loop {
            self.publish();
            if let Some(result) = self.result.take() {
                return result;
            }
            let wake = self.machine.next_wake().map(Instant::from_std);
            // In this order, so that a simulation repeats exactly.
            tokio::select! {
                biased;
                Some((call, outcome)) = self.calls.next(), if !self.calls.is_empty() => {
                    self.called(call, outcome);
                }
                () = inbox.filled.notified() => self.read_inbox(),
                () = sleep_until(wake) => self.step(Event::Tick),
            }
        }
    }

    fn read_inbox(&mut self) {
        let content = self.inbox.take();
        let mut news = content.news;
        let mut wishes = Vec::with_capacity(content.order.len());
        for key in content.order {
            let Some((value, waiters)) = news.remove(&key) else {
                continue;
            };
            let waiters = waiters
                .into_iter()
                .map(|waiter| {
                    self.next_waiter += 1;
                    self.waiters.insert(self.next_waiter, waiter);
                    self.next_waiter
                })
                .collect();
            wishes.push(Wish {
                key,
                value,
                waiters,
            });
        }
        if !wishes.is_empty() {
            self.step(Event::Want(wishes));
        }
        if content.audit {
            self.step(Event::Audit);
        }
        if let Some(deadline) = content.close {
            self.step(Event::Close {
                deadline: deadline.into_std(),
            });
        }
    }

    fn called(&mut self, call: CallId, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Dialled(connection, header) => {
                self.connection = Some(*connection);
                Answer::Dialled(Ok(header))
            }
            Outcome::Renewed(renewals, result) => {
                self.renewals = Some(renewals);
                Answer::Renewed(result)
            }
        };
        self.step(Event::Done { call, answer });
    }

    fn step(&mut self, event: Event) {
        for action in self.machine.step(event, Instant::now().into_std()) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        let limit = self.options.call_timeout;
        match action {
            Action::Dial { call, endpoint } => {
                let options = Arc::clone(&self.options);
                let probe = self.config.key.clone().into_bytes();
                self.calls.push(Box::pin(async move {
                    let result = dial(&options, &options.endpoints[endpoint], &probe).await;
                    let outcome = match result {
                        Ok((connection, header)) => Outcome::Dialled(Box::new(connection), header),
                        Err(failure) => Outcome::Answer(Answer::Dialled(Err(failure))),
                    };
                    (call, outcome)
                }));
            }
            Action::Disconnect => {
                self.calls.clear();
                self.renewals = None;
                self.connection = None;
            }
            Action::Renew { call, lease } => self.renew(call, lease),
            Action::Grant {
                call: id,
                lease,
                ttl,
            } => self.start(id, move |mut c| async move {
                let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
                let options = LeaseGrantOptions::new().with_id(lease);
                let result = call(limit, c.lease.grant(seconds, Some(options))).await;
                Answer::Granted(result.map(|answer| seconds_from(answer.ttl())))
            }),
            Action::ReadPage { call: id, request } => self.start(id, move |mut c| async move {
                Answer::Page(call(limit, read_page(&mut c.kv, request)).await)
            }),
            Action::AskTimeToLive { call: id, lease } => self.start(id, move |mut c| async move {
                let result = call(limit, c.lease.time_to_live(lease, None)).await;
                Answer::TimeToLive(result.map(|answer| seconds_from(answer.ttl())))
            }),
            Action::Write { call: id, batch } => {
                let txn = transaction(&self.config, batch);
                self.start(id, move |mut c| async move {
                    let result = call(limit, c.kv.txn(txn)).await;
                    Answer::Written(result.map(|answer| {
                        let revision = answer.header().map_or(0, |header| header.revision());
                        (answer.succeeded(), revision)
                    }))
                });
            }
            Action::Revoke { call: id, lease } => self.start(id, move |mut c| async move {
                Answer::Revoked(call(limit, c.lease.revoke(lease)).await.map(|_| ()))
            }),
            Action::Settle(settled) => {
                for (waiter, revision) in settled {
                    self.answer(waiter, Ok(Committed { revision }));
                }
            }
            Action::Reject {
                key,
                size,
                failure,
                waiters,
            } => {
                let error = self.rejection(key, size, failure);
                tracing::warn!(session = self.config.key, %error, "etcd refuses a key");
                for waiter in waiters {
                    self.answer(waiter, Err(error.clone()));
                }
                self.last_error = Some(error);
            }
            Action::Report(trouble) => {
                let error = self.explain(trouble);
                tracing::warn!(session = self.config.key, %error, "the session has trouble");
                self.last_error = Some(error);
            }
            Action::Finish(result) => self.result = Some(self.explain_finish(result)),
        }
    }

    /// Starts a call on the connection. The machine asks for none without one.
    fn start<F>(&mut self, id: CallId, work: impl FnOnce(Connection) -> F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        if let Some(connection) = self.connection.clone() {
            let work = work(connection);
            self.calls
                .push(Box::pin(async move { (id, Outcome::Answer(work.await)) }));
        }
    }

    /// Sends one renewal and awaits its answer. There is no time limit here: the machine gives the
    /// connection up when the lease's deadline comes near, and not before.
    fn renew(&mut self, id: CallId, lease: i64) {
        let open = self.renewals.take().filter(|open| open.lease == lease);
        let Some(mut client) = self.connection.as_ref().map(|c| c.lease.clone()) else {
            return;
        };
        self.calls.push(Box::pin(async move {
            let start = Instant::now();
            let fail = |error: &etcd_client::Error| {
                Outcome::Answer(Answer::Renewed(Err(Failure::of(error, start.elapsed()))))
            };
            let outcome = match open {
                // Opening the stream sends the first renewal and reads its answer, which the
                // library then keeps to itself: it is positive, or an error.
                None => match client.keep_alive(lease).await {
                    Ok((keeper, stream)) => {
                        let renewals = Renewals {
                            lease,
                            keeper,
                            stream,
                        };
                        renewal(Box::new(renewals), start).await
                    }
                    Err(error) => fail(&error),
                },
                Some(renewals) => renewal(renewals, start).await,
            };
            (id, outcome)
        }));
    }

    fn answer(&mut self, waiter: WaiterId, result: Result<Committed, Error>) {
        if let Some(waiter) = self.waiters.remove(&waiter) {
            // A caller who dropped its future does not want to know.
            let _ = waiter.send(result);
        }
    }

    /// The permission that a step needs. Nobody needs one for a lease, but for revoking it: etcd
    /// wants the right to write all keys under it.
    fn need(&self, step: Step) -> Need {
        let key = self.config.key.clone();
        let (permission, end) = match step {
            Step::Connect => ("read", None),
            Step::Reconcile | Step::Taken { .. } => ("read", Some(format!("{key}0"))),
            // Whether the session key or one below it is denied etcd does not say, and both are
            // needed.
            Step::Grant | Step::Renew { .. } | Step::Write => {
                ("readwrite", Some(format!("{key}0")))
            }
        };
        Need {
            permission,
            key,
            end,
        }
    }

    fn rejection(&self, key: String, size: usize, failure: Failure) -> Error {
        let endpoint = self.endpoint(self.machine.endpoint());
        let cause = failure.cause;
        match failure.kind {
            FailureKind::TooLarge => Error::RefusedSize {
                key,
                size,
                endpoint,
                cause,
            },
            _ => Error::Put {
                key,
                endpoint,
                cause,
            },
        }
    }

    fn endpoint(&self, index: usize) -> Endpoint {
        self.options.endpoints[index].clone()
    }

    fn explain(&self, trouble: Trouble) -> Error {
        let endpoint = self.endpoint(trouble.endpoint);
        let need = self.need(trouble.step);
        let access = trouble
            .failure
            .explain_access(&endpoint, &self.options, need);
        if let Some(error) = access {
            return error;
        }
        let key = self.config.key.clone();
        let Failure { cause, elapsed, .. } = trouble.failure;
        match trouble.step {
            Step::Connect => Error::Connect {
                endpoint,
                elapsed,
                cause,
            },
            Step::Grant => Error::Grant {
                endpoint,
                elapsed,
                cause,
            },
            Step::Renew { lease } => Error::Renew {
                lease,
                endpoint,
                cause,
            },
            Step::Reconcile => Error::Reconcile {
                key,
                endpoint,
                cause,
            },
            Step::Write => Error::Put {
                key,
                endpoint,
                cause,
            },
            Step::Taken { lease } => Error::SessionTaken { key, lease },
        }
    }

    fn explain_finish(&self, result: Result<(), Option<Failure>>) -> Result<(), Error> {
        result.map_err(|failure| Error::Revoke {
            key: self.config.key.clone(),
            lease: self.machine.lease().unwrap_or_default(),
            ttl: self.config.ttl,
            cause: failure.map_or_else(
                || Cause::new("etcd did not answer in time"),
                |failure| failure.cause,
            ),
        })
    }

    fn publish(&self) {
        let machine = &self.machine;
        let next = SessionStatus {
            phase: machine.phase(),
            lease: machine.lease(),
            endpoint: self.endpoint(machine.endpoint()),
            registered_until: machine.registered_until().map(Instant::from_std),
            first: machine
                .first()
                .map(|(lease, revision, endpoint)| Registered {
                    lease,
                    revision,
                    endpoint: self.endpoint(endpoint),
                }),
            taken: machine.taken_by().map(|lease| Error::SessionTaken {
                key: self.config.key.clone(),
                lease,
            }),
            last_error: self.last_error.clone(),
            wanted: machine.wanted().len(),
            pending: machine.pending(),
            counts: machine.counts(),
        };
        self.status.send_if_modified(|status| {
            if *status == next {
                return false;
            }
            trace_transition(&self.config.key, status, &next);
            meter::session(&status.counts, &next.counts);
            *status = next;
            true
        });
    }
}

fn trace_transition(session: &str, before: &SessionStatus, after: &SessionStatus) {
    let (lease, endpoint) = (after.lease.unwrap_or_default(), &after.endpoint);
    match (before.registered_until, after.registered_until) {
        (None, Some(_)) => tracing::info!(session, lease, %endpoint, "registered"),
        (Some(_), None) => {
            let lease = before.lease.unwrap_or_default();
            tracing::info!(session, lease, %endpoint, "no longer registered");
        }
        _ if before.phase != after.phase => {
            tracing::debug!(session, lease, %endpoint, phase = ?after.phase, "session");
        }
        _ => {}
    }
}

async fn renewal(mut open: Box<Renewals>, start: Instant) -> Outcome {
    let result = async {
        open.keeper.keep_alive().await?;
        open.stream.message().await
    }
    .await;
    match result {
        Ok(Some(answer)) => Outcome::Renewed(open, Ok(seconds_from(answer.ttl()))),
        Ok(None) => Outcome::Answer(Answer::Renewed(Err(Failure::new(
            FailureKind::Unavailable,
            "the server ended the keep-alive stream",
            start.elapsed(),
        )))),
        Err(error) => Outcome::Answer(Answer::Renewed(Err(Failure::of(&error, start.elapsed())))),
    }
}

fn transaction(config: &SessionConfig, batch: Batch) -> Txn {
    let key = config.key.as_str();
    let under_lease = || Some(PutOptions::new().with_lease(batch.lease));
    let mut compares = Vec::with_capacity(batch.ops.len() + 1);
    let mut ops = Vec::with_capacity(batch.ops.len() + 1);
    match batch.guard {
        Guard::Held => compares.push(Compare::lease(key, CompareOp::Equal, batch.lease)),
        Guard::Take {
            mod_revision,
            value,
        } => {
            compares.push(Compare::mod_revision(key, CompareOp::Equal, mod_revision));
            ops.push(TxnOp::put(key, value, under_lease()));
        }
    }
    for op in batch.ops {
        let key = op.key.as_str();
        compares.push(Compare::mod_revision(key, CompareOp::Equal, op.base));
        ops.push(match op.value {
            Some(value) => TxnOp::put(key, value, under_lease()),
            None => TxnOp::delete(key, None),
        });
    }
    Txn::new().when(compares).and_then(ops)
}

/// etcd says -1 for a lease that is gone.
fn seconds_from(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
