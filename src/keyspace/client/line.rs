//! The one connection of a client: which endpoint it goes to, and what a failed call does to it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use etcd_client::GetOptions;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

use super::trouble::Asked;
use crate::keyspace::connect::{Connection, Failure, FailureKind, call, reach};
use crate::keyspace::{Cause, ConnectOptions, Endpoint};

/// Whether a call may be made again when it is not known whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It reads, or doing it twice is as good as once.
    Freely,
    /// Only if it certainly was not carried out.
    IfRefused,
}

/// A call that failed on every endpoint that it could be made on.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The last one that was tried.
    pub(super) endpoint: Endpoint,
    /// Why it failed there, and before that elsewhere.
    pub(super) failure: Failure,
    /// An earlier attempt may have been carried out.
    pub(super) repeated: bool,
}

/// A connection is made by whoever needs it first, and the others wait for the same one.
type Dial = BoxFuture<'static, Result<Arc<Up>, Failure>>;

enum Link {
    Down,
    /// Weak, so that a connection that nobody waits for any more is not half made for ever.
    Dialling(u64, WeakShared<Dial>),
    Up(u64, Arc<Up>),
}

/// A connection, and whether anybody ever answered on it.
struct Up {
    connection: Connection,
    answered: AtomicBool,
}

struct State {
    endpoint: usize,
    /// The number of connections so far, which tells one from the next.
    made: u64,
    link: Link,
}

pub(super) struct Line {
    options: Arc<ConnectOptions>,
    state: Mutex<State>,
}

/// One connection, or why there is none.
struct Attached {
    endpoint: usize,
    id: u64,
    /// It was made for this call, and not for an earlier one.
    fresh: bool,
    result: Result<Arc<Up>, Failure>,
}

impl Line {
    pub(super) fn new(options: ConnectOptions) -> Self {
        Self {
            options: Arc::new(options),
            state: Mutex::new(State {
                endpoint: 0,
                made: 0,
                link: Link::Down,
            }),
        }
    }

    pub(super) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.options.endpoints[self.state.lock().endpoint].clone()
    }

    /// Makes a call on the pinned endpoint and, where another one may be better and `repeat`
    /// allows it, on the others of the list, each at most once. Says who answered.
    pub(super) async fn run<T, F>(
        &self,
        asked: Asked<'_>,
        repeat: Repeat,
        work: impl Fn(Connection) -> F,
    ) -> Result<(T, Endpoint), Trouble>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut attempts = Attempts::new(self.options.endpoints.len());
        loop {
            let begun = Instant::now();
            let line = self.attach(&attempts).await;
            let endpoint = self.options.endpoints[line.endpoint].clone();
            let was_there = line.result.is_ok() && !line.fresh;
            let result = match line.result {
                Ok(up) => {
                    let tls = self.options.tls(&endpoint).is_some();
                    let answer = self.call(&up, asked, repeat, &work).await;
                    let is_first = line.fresh && !up.answered.load(Ordering::Relaxed);
                    answer.map_err(|failure| match is_first {
                        true => failure.of_first_call(tls),
                        false => failure,
                    })
                }
                Err(failure) => Err(failure),
            };
            let elapsed = begun.elapsed();
            let failure = match result {
                Ok(value) => {
                    tracing::debug!(%endpoint, ?elapsed, result = "ok", "{asked}");
                    return Ok((value, endpoint));
                }
                Err(failure) => failure,
            };
            tracing::debug!(%endpoint, ?elapsed, result = %failure.cause, "{asked}");
            if is_answer(failure.kind) {
                return Err(attempts.over(endpoint, failure));
            }
            let silent = failure.elapsed >= self.options.call_timeout;
            let verdict = attempts.judge(line.endpoint, was_there && !silent, repeat, &failure);
            let next = self.give_up(line.id, verdict != Verdict::Redial);
            if let Some(next) = next {
                tracing::info!(from = %endpoint, to = %next, cause = %failure.cause, "moves on to the next etcd server");
            }
            match verdict {
                Verdict::Redial => {}
                Verdict::Next => attempts.note(endpoint, failure),
                Verdict::Over => return Err(attempts.over(endpoint, failure)),
            }
        }
    }

    /// Makes one call on a connection.
    ///
    /// A server that is frozen, or cut off from its cluster, takes connections. A write that it gets
    /// may be carried out later, so that nobody else may be asked for it: before the first one it has
    /// to answer a read.
    async fn call<T, F>(
        &self,
        up: &Up,
        asked: Asked<'_>,
        repeat: Repeat,
        work: impl Fn(Connection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let limit = self.options.call_timeout;
        if repeat == Repeat::IfRefused && !up.answered.load(Ordering::Relaxed) {
            let answer = call(limit, probe(up.connection.clone(), asked.key())).await;
            match answer {
                // Nothing was written so far.
                Err(failure) if !is_answer(failure.kind) => {
                    return Err(Failure {
                        refused: true,
                        ..failure
                    });
                }
                // Whoever may not read may write all the same.
                _ => up.answered.store(true, Ordering::Relaxed),
            }
        }
        let answer = call(limit, work(up.connection.clone())).await;
        if answer
            .as_ref()
            .map_or_else(|failure| is_answer(failure.kind), |_| true)
        {
            up.answered.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// The connection that there is, or a new one; to an endpoint that was not tried yet.
    async fn attach(&self, attempts: &Attempts) -> Attached {
        let (endpoint, id, dial) = {
            let mut state = self.state.lock();
            if attempts.tried[state.endpoint] {
                // Another call came back to it meanwhile.
                state.link = Link::Down;
                state.endpoint = attempts.next(state.endpoint);
            }
            let endpoint = state.endpoint;
            match &state.link {
                Link::Up(id, up) => {
                    return Attached {
                        endpoint,
                        id: *id,
                        fresh: false,
                        result: Ok(Arc::clone(up)),
                    };
                }
                Link::Dialling(id, dial) => match dial.upgrade() {
                    Some(dial) => (endpoint, *id, dial),
                    None => self.dial(&mut state),
                },
                Link::Down => self.dial(&mut state),
            }
        };
        let result = dial.await;
        let mut state = self.state.lock();
        if let (Link::Dialling(current, _), Ok(up)) = (&state.link, &result)
            && *current == id
        {
            state.link = Link::Up(id, Arc::clone(up));
            // Once for each connection, however many calls waited for it.
            tracing::info!(endpoint = %self.options.endpoints[endpoint], "connected to etcd");
        }
        Attached {
            endpoint,
            id,
            fresh: true,
            result,
        }
    }

    fn dial(&self, state: &mut State) -> (usize, u64, Shared<Dial>) {
        let (options, endpoint) = (Arc::clone(&self.options), state.endpoint);
        let dial = async move {
            let connection = reach(&options, &options.endpoints[endpoint]).await?;
            let answered = AtomicBool::new(false);
            Ok(Arc::new(Up {
                connection,
                answered,
            }))
        };
        let dial = dial.boxed().shared();
        state.made += 1;
        let id = state.made;
        if let Some(weak) = dial.downgrade() {
            state.link = Link::Dialling(id, weak);
        }
        (endpoint, id, dial)
    }

    /// Drops a connection, unless another call did so before, and goes on to the next endpoint if
    /// it is this endpoint that failed: says which it is, if there is another one.
    fn give_up(&self, id: u64, next: bool) -> Option<Endpoint> {
        let mut state = self.state.lock();
        let is_current = match &state.link {
            Link::Up(current, _) | Link::Dialling(current, _) => *current == id,
            Link::Down => false,
        };
        if !is_current {
            return None;
        }
        state.link = Link::Down;
        let count = self.options.endpoints.len();
        if !next || count == 1 {
            return None;
        }
        state.endpoint = (state.endpoint + 1) % count;
        Some(self.options.endpoints[state.endpoint].clone())
    }
}

/// A read that only shows that somebody answers, and has a leader.
async fn probe(mut connection: Connection, key: Vec<u8>) -> Result<(), etcd_client::Error> {
    let read = GetOptions::new().with_count_only();
    connection.kv.get(key, Some(read)).await.map(drop)
}

/// Whether this is what the whole cluster would say.
const fn is_answer(kind: FailureKind) -> bool {
    !matches!(kind, FailureKind::Unavailable | FailureKind::Tls(_))
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Only the connection was bad: another one to the same endpoint.
    Redial,
    /// Another endpoint.
    Next,
    /// The call has failed.
    Over,
}

/// What one call has tried so far.
#[derive(Debug)]
struct Attempts {
    tried: Vec<bool>,
    redialled: bool,
    /// An attempt failed of which nobody knows whether it was carried out.
    unknown: bool,
    failures: Vec<(Endpoint, Failure)>,
}

impl Attempts {
    fn new(endpoints: usize) -> Self {
        Self {
            tried: vec![false; endpoints],
            redialled: false,
            unknown: false,
            failures: Vec::new(),
        }
    }

    /// What a failure of this endpoint leads to. `stale` says that the connection had been there
    /// before the call and broke under it, as when the server was started anew: that says nothing
    /// against the endpoint.
    fn judge(
        &mut self,
        endpoint: usize,
        stale: bool,
        repeat: Repeat,
        failure: &Failure,
    ) -> Verdict {
        if !failure.refused && repeat == Repeat::IfRefused {
            return Verdict::Over;
        }
        self.unknown |= !failure.refused;
        if stale && !self.redialled {
            self.redialled = true;
            return Verdict::Redial;
        }
        self.tried[endpoint] = true;
        match self.tried.iter().all(|tried| *tried) {
            true => Verdict::Over,
            false => Verdict::Next,
        }
    }

    /// The first endpoint after this one that was not tried.
    fn next(&self, endpoint: usize) -> usize {
        let count = self.tried.len();
        let mut others = (1..count).map(|step| (endpoint + step) % count);
        others.find(|next| !self.tried[*next]).unwrap_or(endpoint)
    }

    fn note(&mut self, endpoint: Endpoint, failure: Failure) {
        self.failures.push((endpoint, failure));
    }

    fn over(self, endpoint: Endpoint, mut failure: Failure) -> Trouble {
        if !self.failures.is_empty() && !is_answer(failure.kind) {
            let before: Vec<String> = self
                .failures
                .iter()
                .map(|(endpoint, failure)| format!("{endpoint}: {}", failure.cause))
                .collect();
            failure.cause =
                Cause::new(format!("{} (before: {})", failure.cause, before.join("; ")));
        }
        Trouble {
            endpoint,
            failure,
            repeated: self.unknown,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failed(refused: bool) -> Failure {
        Failure {
            refused,
            ..Failure::new(FailureKind::Unavailable, "made up", Duration::ZERO)
        }
    }

    #[test]
    fn a_read_is_tried_once_on_each_endpoint() {
        let mut attempts = Attempts::new(3);
        let mut judge = |endpoint| attempts.judge(endpoint, false, Repeat::Freely, &failed(false));
        assert_eq!(judge(1), Verdict::Next);
        assert_eq!(judge(2), Verdict::Next);
        assert_eq!(judge(0), Verdict::Over);
    }

    #[test]
    fn a_write_that_may_have_been_carried_out_is_never_repeated() {
        for stale in [false, true] {
            let mut attempts = Attempts::new(3);
            let verdict = attempts.judge(0, stale, Repeat::IfRefused, &failed(false));
            assert_eq!(verdict, Verdict::Over);
        }
    }

    #[test]
    fn a_write_that_was_refused_moves_on_until_one_may_have_been_carried_out() {
        let mut attempts = Attempts::new(3);
        let mut judge = |endpoint, refused| {
            attempts.judge(endpoint, false, Repeat::IfRefused, &failed(refused))
        };
        assert_eq!(judge(0, true), Verdict::Next);
        assert_eq!(judge(1, false), Verdict::Over);
    }

    #[test]
    fn a_connection_that_broke_is_made_again_once_and_the_endpoint_is_then_tried() {
        let mut attempts = Attempts::new(2);
        let mut judge =
            |endpoint, stale| attempts.judge(endpoint, stale, Repeat::Freely, &failed(false));
        assert_eq!(judge(0, true), Verdict::Redial);
        assert_eq!(judge(0, true), Verdict::Next);
        assert_eq!(judge(1, false), Verdict::Over);
    }

    #[test]
    fn the_next_endpoint_is_one_that_was_not_tried() {
        let mut attempts = Attempts::new(4);
        attempts.tried = vec![true, true, false, true];
        assert_eq!(attempts.next(3), 2);
        attempts.tried = vec![true; 4];
        assert_eq!(attempts.next(3), 3);
    }

    #[test]
    fn the_last_failure_names_those_before_it() {
        let mut attempts = Attempts::new(2);
        attempts.note("a:1".parse().unwrap(), failed(true));
        let trouble = attempts.over("b:2".parse().unwrap(), failed(true));
        let cause = trouble.failure.cause.to_string();
        assert_eq!(cause, "made up (before: a:1: made up)");
    }
}
