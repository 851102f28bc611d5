//! What a session decides: a pure state machine.
//!
//! It looks at its state and names the next thing to do, again and again, instead of following a
//! script: connect, then have a lease, then know what is in the store, then write what differs,
//! then hold. Whatever breaks takes one of these back, and the same rules lead on from there.

mod answers;
mod closing;
mod state;
mod value;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use self::state::{Asked, Lease, Link, Root, Survey, Work};
use self::value::Value;
use super::event::{Action, Answer, Batch, CallId, Event, Guard, Step, Trouble};
use super::wanted::{Wanted, request_size};
use super::{SessionConfig, SessionCounts, SessionPhase};
use crate::keyspace::backoff::Backoff;
use crate::keyspace::connect::{Failure, FailureKind, Header};
use crate::keyspace::range::{Entry, Page, Pages};

/// etcd takes 128 operations in a transaction by default.
const MAX_OPS: usize = 120;
const MAX_BATCH_BYTES: usize = 1 << 20;
const PAGE_SIZE: u32 = 1000;
/// The part of the renewal interval after which a lease is renewed for the first time.
const FIRST_RENEWAL: RangeInclusive<f64> = 0.0..=1.0;
/// And that after which it is renewed again.
const NEXT_RENEWAL: RangeInclusive<f64> = 0.8..=1.0;
/// A connection that held for this long was healthy, and the backoff starts over.
const HEALTHY: Duration = Duration::from_secs(5);
/// Leases to remember as ours. A process that lost more than this has other troubles.
const MAX_PAST: usize = 64;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct SessionMachine {
    config: SessionConfig,
    endpoints: usize,
    call_timeout: Duration,
    rng: StdRng,
    backoff: Backoff,
    next_call: CallId,
    endpoint: usize,
    link: Link,
    asked: Option<Asked>,
    lease: Option<Lease>,
    past: VecDeque<i64>,
    /// Whether a living lease may be robbed of the session key: only until we are registered, or
    /// two sessions that both take over would do so in turns for ever.
    may_take_over: bool,
    renewal: Option<(CallId, Instant)>,
    /// Registered, and two thirds of the lease's time have passed without an answer.
    suspect: bool,
    work: Option<(CallId, Work)>,
    survey: Survey,
    survey_at: Instant,
    pages: Option<Pages>,
    found: Vec<Entry>,
    root: Root,
    value: Value,
    wanted: Wanted,
    batch_ops: usize,
    /// Since when this connection has held the session in the wanted state.
    held_since: Option<Instant>,
    audit_at: Instant,
    taken_by: Option<i64>,
    /// The last reading found keys under our lease beside a session key that is another's.
    left_behind: bool,
    closing: Option<Instant>,
    closed: bool,
    last_failure: Option<Failure>,
    first: Option<(i64, i64, usize)>,
    counts: SessionCounts,
}

impl SessionMachine {
    /// `seed` determines lease ids and delays.
    pub(crate) fn new(
        config: SessionConfig,
        endpoints: usize,
        call_timeout: Duration,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            may_take_over: config.takeover,
            value: Value::new(config.value.clone()),
            config,
            endpoints,
            call_timeout,
            rng: StdRng::seed_from_u64(seed),
            // A second, and not less: whoever else lost etcd in this moment tries again in it, too.
            backoff: Backoff::new(
                Duration::from_secs(1),
                Duration::from_secs(1),
                Duration::from_secs(10),
            ),
            next_call: 0,
            endpoint: 0,
            link: Link::Down { retry_at: now },
            asked: None,
            lease: None,
            past: VecDeque::new(),
            renewal: None,
            suspect: false,
            work: None,
            survey: Survey::Full,
            survey_at: now,
            pages: None,
            found: Vec::new(),
            root: Root::Unknown,
            wanted: Wanted::default(),
            batch_ops: MAX_OPS,
            held_since: None,
            audit_at: now,
            taken_by: None,
            left_behind: false,
            closing: None,
            closed: false,
            last_failure: None,
            first: None,
            counts: SessionCounts::default(),
        }
    }

    /// Takes one event and says what to do.
    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Tick => {}
            Event::Want(wishes) => {
                for wish in wishes {
                    match wish.value {
                        Some(value) if wish.key == self.config.key => {
                            self.value.want(value, wish.waiters);
                        }
                        value => self.wanted.want(wish.key, value, wish.waiters),
                    }
                }
            }
            Event::Audit => self.audit_at = now,
            Event::Close { deadline } => self.close(deadline, now),
            Event::Done { call, answer } => self.done(call, answer, now, &mut out),
        }
        self.advance(now, &mut out);
        out
    }

    /// When to tick, unless something happens before.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let lease = self.lease.as_ref();
        let times = [
            match self.link {
                Link::Down { retry_at } => Some(retry_at),
                _ => None,
            },
            self.closing,
            lease.filter(|_| self.is_expiry_due()).map(Lease::expires),
            lease.and_then(|l| self.renew_or_give_up_at(l)),
            lease
                .filter(|_| self.is_registered() && !self.suspect)
                .map(Lease::suspect_at),
            self.may_work().then_some(match self.survey {
                Survey::None => self.audit_at,
                _ => self.survey_at,
            }),
        ];
        times.into_iter().flatten().min()
    }

    pub(crate) fn phase(&self) -> SessionPhase {
        match () {
            () if self.closed => SessionPhase::Closed,
            () if self.closing.is_some() => SessionPhase::Closing,
            () if self.taken_by.is_some() => SessionPhase::Taken,
            () if self.suspect => SessionPhase::Suspect,
            () if !self.is_up() => SessionPhase::Connecting,
            () if self.lease.is_none() => SessionPhase::Granting,
            () if self.held_since.is_none() => SessionPhase::Reconciling,
            () => SessionPhase::Held,
        }
    }

    /// Until when the session key is certainly in the store.
    pub(crate) fn registered_until(&self) -> Option<Instant> {
        let lease = self.lease.as_ref()?;
        self.is_registered().then(|| lease.expires())
    }

    pub(crate) const fn endpoint(&self) -> usize {
        self.endpoint
    }

    pub(crate) fn lease(&self) -> Option<i64> {
        self.lease.as_ref().map(|lease| lease.id)
    }

    pub(crate) const fn taken_by(&self) -> Option<i64> {
        self.taken_by
    }

    /// Lease, revision and endpoint of the first registration.
    pub(crate) const fn first(&self) -> Option<(i64, i64, usize)> {
        self.first
    }

    pub(crate) const fn counts(&self) -> SessionCounts {
        self.counts
    }

    pub(crate) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The number of keys that wait to be written, of those that the first registration did not
    /// bring along.
    pub(crate) fn pending(&self) -> usize {
        self.wanted.pending() + usize::from(self.is_registered() && !self.value.is_stored())
    }

    const fn is_registered(&self) -> bool {
        matches!(self.root, Root::Ours { .. })
    }

    const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// Whether the store may be read and written now.
    fn may_work(&self) -> bool {
        self.is_up()
            && self.work.is_none()
            && self.closing.is_none()
            && self.lease.as_ref().is_some_and(|lease| lease.fresh)
    }

    /// Whether something still rests on the lease's local deadline.
    fn is_expiry_due(&self) -> bool {
        self.is_registered() || self.lease.as_ref().is_some_and(|l| l.fresh)
    }

    const fn call(&mut self) -> CallId {
        self.next_call += 1;
        self.next_call
    }

    /// Names everything that is to be done now.
    fn advance(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.closed {
            return;
        }
        // First, because it is due also while a session that closes only waits.
        self.note_expiry(now);
        if let Some(deadline) = self.closing
            && self.advance_closing(deadline, now, out)
        {
            return;
        }
        match self.link {
            Link::Down { retry_at } if now >= retry_at => {
                let call = self.call();
                self.counts.dials += 1;
                self.link = Link::Dialling { call };
                let endpoint = self.endpoint;
                out.push(Action::Dial { call, endpoint });
                return;
            }
            Link::Down { .. } | Link::Dialling { .. } => return,
            Link::Up => {}
        }
        if self.renew(now, out) || self.work.is_some() {
            return;
        }
        let Some(lease) = self.lease.clone() else {
            return self.grant(now, out);
        };
        if !self.may_work() {
            return;
        }
        if self.survey != Survey::None {
            return self.read(now, out);
        }
        if let Some(batch) = self.next_batch(lease.id, out) {
            self.counts.transactions += 1;
            let call = self.call();
            self.work = Some((
                call,
                Work::Write {
                    batch: batch.clone(),
                },
            ));
            out.push(Action::Write { call, batch });
            return;
        }
        self.hold(now, out);
    }

    /// Past its local deadline the lease may be gone, and the process is not registered. Whether it
    /// is gone only etcd knows.
    fn note_expiry(&mut self, now: Instant) {
        if self.is_expiry_due()
            && let Some(lease) = &mut self.lease
            && now >= lease.expires()
        {
            lease.fresh = false;
            self.held_since = None;
            self.root = Root::Unknown;
            self.need(Survey::Full, now);
        }
        let late = |lease: &Lease| now >= lease.suspect_at();
        self.suspect = self.is_registered() && self.lease.as_ref().is_some_and(late);
    }

    /// When the lease's next renewal is due or, while one is unanswered, when to try another
    /// server.
    fn renew_or_give_up_at(&self, lease: &Lease) -> Option<Instant> {
        if !self.is_up() || self.closing.is_some() {
            return None;
        }
        Some(match self.renewal {
            Some((_, sent)) => {
                let patience = self.call_timeout.min(self.config.renew_interval);
                // At the latest at two thirds of the time to live, which leaves one third for
                // another server.
                (sent + patience).max(lease.suspect_at())
            }
            None if lease.fresh => lease.renew_at,
            None => lease.answered,
        })
    }

    /// When a lease is renewed of which an answer told at `answered`: within a part of the interval,
    /// by chance. The first renewal can be at any time in it and the others somewhat sooner than they
    /// have to be, so that sessions that began in one moment do not go on in step.
    fn renew_at(&mut self, answered: Instant, ttl: Duration, part: RangeInclusive<f64>) -> Instant {
        let interval = self.config.renew_interval.min(ttl / 2);
        answered + interval.mul_f64(self.rng.random_range(part))
    }

    /// Returns whether the connection was given up.
    fn renew(&mut self, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(lease) = self.lease.clone() else {
            return false;
        };
        if self.renew_or_give_up_at(&lease).is_none_or(|at| now < at) {
            return false;
        }
        if let Some((_, sent)) = self.renewal {
            let waited = now.saturating_duration_since(sent);
            let failure = Failure::new(
                FailureKind::Unavailable,
                format!("a renewal was not answered for {waited:.1?}"),
                waited,
            );
            self.fail(Step::Renew { lease: lease.id }, failure, now, out);
            return true;
        }
        let call = self.call();
        self.renewal = Some((call, now));
        let lease = lease.id;
        out.push(Action::Renew { call, lease });
        false
    }

    fn grant(&mut self, now: Instant, out: &mut Vec<Action>) {
        let call = self.call();
        self.counts.grants += 1;
        let rng = &mut self.rng;
        let asked = self.asked.get_or_insert_with(|| Asked {
            id: rng.random_range(1..=i64::MAX),
            first_sent: None,
        });
        asked.first_sent.get_or_insert(now);
        let lease = asked.id;
        self.work = Some((call, Work::Grant { sent: now }));
        let ttl = self.config.ttl;
        out.push(Action::Grant { call, lease, ttl });
    }

    fn read(&mut self, now: Instant, out: &mut Vec<Action>) {
        if now < self.survey_at {
            return;
        }
        let survey = self.survey;
        let key = self.config.key.as_bytes();
        let pages = self.pages.get_or_insert_with(|| {
            // From the session key to the end of `<key>/`. Keys such as `<key>-2` lie between
            // and are left out later; with ids as session keys there are none.
            let end: &[u8] = if self.config.alone { b"\0" } else { b"0" };
            let end = [key, end].concat();
            Pages::new(key.to_vec(), end, PAGE_SIZE, survey == Survey::Audit)
        });
        let request = pages.request().clone();
        let call = self.call();
        self.work = Some((call, Work::Read { survey }));
        out.push(Action::ReadPage { call, request });
    }

    fn next_batch(&mut self, lease: i64, out: &mut Vec<Action>) -> Option<Batch> {
        let guard = match self.root {
            Root::Ours { mod_revision } if self.value.is_stored() => {
                let settled = self.value.settle(mod_revision);
                if !settled.is_empty() {
                    out.push(Action::Settle(settled));
                }
                Guard::Held
            }
            Root::Ours { mod_revision } | Root::Free { mod_revision } => Guard::Take {
                mod_revision,
                value: self.value.send(),
            },
            Root::Unknown => return None,
        };
        let root_size = request_size(&self.config.key, self.value.len());
        let bytes = MAX_BATCH_BYTES.min(self.config.request_limit);
        let (count, bytes) = match guard {
            Guard::Held => (self.batch_ops, bytes),
            // A batch that was refused for its size shrinks until the session key goes alone.
            Guard::Take { .. } => (self.batch_ops - 1, bytes.saturating_sub(root_size)),
        };
        let (mut ops, settled) = self.wanted.take_ops(lease, count, bytes);
        if !settled.is_empty() {
            out.push(Action::Settle(settled));
        }
        if guard != Guard::Held && ops.first().is_some_and(|op| op.size() > bytes) {
            // It is too large to go together with the session key.
            self.wanted.put_back(std::mem::take(&mut ops));
        }
        (guard != Guard::Held || !ops.is_empty()).then_some(Batch { guard, lease, ops })
    }

    /// Everything wanted is in the store.
    fn hold(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.root == Root::Unknown {
            self.survey = Survey::Full;
            return self.read(now, out);
        }
        if self.held_since.is_none() {
            self.held_since = Some(now);
            self.audit_at = now + self.audit_pause();
        }
        if now >= self.audit_at {
            self.survey = Survey::Audit;
            self.survey_at = now;
            self.audit_at = now + self.audit_pause();
            self.read(now, out);
        }
    }

    /// With jitter, so that clients that came back together do not audit together.
    fn audit_pause(&mut self) -> Duration {
        jitter(self.config.audit_interval, &mut self.rng)
    }

    /// Gives the connection up, and tries the next endpoint after a pause.
    fn fail(&mut self, step: Step, failure: Failure, now: Instant, out: &mut Vec<Action>) {
        if self
            .held_since
            .take()
            .is_some_and(|since| now.saturating_duration_since(since) >= HEALTHY)
        {
            self.backoff.reset();
        }
        self.counts.failures += 1;
        let mut uncertain = Survey::Audit;
        if let Some((_, Work::Write { batch })) = self.work.take() {
            // It may have been carried out, or may yet be.
            uncertain = Survey::Full;
            self.value.put_back();
            self.wanted.put_back(batch.ops);
        }
        self.need(uncertain, now);
        self.renewal = None;
        if let Some(lease) = &mut self.lease {
            lease.fresh = false;
        }
        self.last_failure = Some(failure.clone());
        let endpoint = self.endpoint;
        self.endpoint = (self.endpoint + 1) % self.endpoints;
        // While the lease lives, there is a registration to lose: some more attempts fit in then.
        let left = self.lease.as_ref().map(|l| l.expires());
        let left = left.filter(|at| *at > now).map(|at| (at - now) / 3);
        let limit = left.unwrap_or(Duration::MAX);
        let retry_at = now + self.backoff.next_delay_below(limit, &mut self.rng);
        self.link = Link::Down { retry_at };
        out.push(Action::Disconnect);
        out.push(Action::Report(Trouble {
            step,
            endpoint,
            failure,
        }));
    }

    /// Asks for a reading, from its first page.
    fn need(&mut self, survey: Survey, at: Instant) {
        self.survey = self.survey.max(survey);
        self.survey_at = at;
        self.pages = None;
        self.found.clear();
    }

    /// The lease is gone: the next one is granted, and what it took along is put again.
    fn lose(&mut self, now: Instant) {
        if let Some(lease) = self.lease.take() {
            self.counts.losses += 1;
            self.remember(lease.id);
        }
        self.renewal = None;
        self.held_since = None;
        self.root = Root::Unknown;
        self.need(Survey::Full, now);
    }

    fn remember(&mut self, lease: i64) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(lease);
    }
}

/// Between two thirds and four thirds of `interval`.
fn jitter(interval: Duration, rng: &mut impl Rng) -> Duration {
    interval.mul_f64(rng.random_range(2.0 / 3.0..4.0 / 3.0))
}

#[cfg(test)]
mod tests;
