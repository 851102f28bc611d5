//! What the answers to a session's calls change.

use std::time::{Duration, Instant};

use super::*;

impl SessionMachine {
    pub(super) fn done(
        &mut self,
        call: CallId,
        answer: Answer,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        match (&self.link, answer) {
            (Link::Dialling { call: dial }, Answer::Dialled(result)) if *dial == call => {
                self.dialled(result, now, out);
            }
            (_, Answer::Renewed(result)) => {
                if let Some((_, sent)) = self.renewal.take_if(|(renewal, _)| *renewal == call) {
                    self.renewed(sent, result, now, out);
                }
            }
            (_, answer) => {
                if let Some((_, work)) = self.work.take_if(|(work, _)| *work == call) {
                    self.worked(work, answer, now, out);
                }
            }
        }
    }

    fn dialled(&mut self, result: Result<Header, Failure>, now: Instant, out: &mut Vec<Action>) {
        match result {
            Ok(_) => {
                self.link = Link::Up;
                self.survey_at = now;
            }
            Err(failure) => self.fail(Step::Connect, failure, now, out),
        }
    }

    fn renewed(
        &mut self,
        sent: Instant,
        result: Result<Duration, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(lease) = self.lease() else { return };
        match result {
            Ok(Duration::ZERO) => self.lose(now),
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => self.lose(now),
            Ok(ttl) => {
                self.counts.renewals += 1;
                self.lease = Some(Lease {
                    id: lease,
                    ttl,
                    answered: sent,
                    renew_at: self.renew_at(sent, ttl, NEXT_RENEWAL),
                    fresh: true,
                });
            }
            Err(failure) => {
                self.fail(Step::Renew { lease }, failure, now, out);
            }
        }
    }

    fn worked(&mut self, work: Work, answer: Answer, now: Instant, out: &mut Vec<Action>) {
        match (work, answer) {
            (Work::Grant { sent }, Answer::Granted(result)) => self.granted(sent, result, now, out),
            (Work::Read { survey }, Answer::Page(result)) => self.page(survey, result, now, out),
            (Work::Ask { lease }, Answer::TimeToLive(result)) => {
                self.asked_time_to_live(lease, result, now, out);
            }
            (Work::Write { batch }, Answer::Written(result)) => {
                self.written(batch, result, now, out);
            }
            (Work::Revoke, Answer::Revoked(result)) => match result {
                Err(failure) if failure.kind != FailureKind::LeaseNotFound => {
                    let lease = self.lease().unwrap_or_default();
                    self.fail(Step::Renew { lease }, failure, now, out);
                    // The caller waits: its timeout is the limit, not the backoff.
                }
                _ => self.finish(Ok(()), out),
            },
            (Work::Withdraw, Answer::Revoked(result)) => match result {
                Err(failure) if failure.kind != FailureKind::LeaseNotFound => {
                    let lease = self.lease().unwrap_or_default();
                    self.fail(Step::Renew { lease }, failure, now, out);
                }
                _ => self.lose(now),
            },
            // An answer of another kind than its call is a fault of the shell. Doing the work again
            // is right in any case.
            (Work::Write { batch }, _) => {
                self.value.put_back();
                self.wanted.put_back(batch.ops);
                self.need(Survey::Full, now);
            }
            _ => {}
        }
    }

    fn granted(
        &mut self,
        sent: Instant,
        result: Result<Duration, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(asked) = self.asked else { return };
        let (ttl, answered, fresh) = match result {
            Ok(ttl) => (ttl, sent, true),
            // It is ours when an earlier attempt was carried out without our hearing of it.
            Err(failure)
                if failure.kind == FailureKind::LeaseExists && asked.first_sent != Some(sent) =>
            {
                (self.config.ttl, asked.first_sent.unwrap_or(sent), false)
            }
            Err(failure) if failure.kind == FailureKind::LeaseExists => {
                // Somebody else drew the same number; draw another.
                self.asked = None;
                return;
            }
            Err(failure) => return self.fail(Step::Grant, failure, now, out),
        };
        self.asked = None;
        self.lease = Some(Lease {
            id: asked.id,
            ttl,
            answered,
            renew_at: self.renew_at(answered, ttl, FIRST_RENEWAL),
            fresh,
        });
        self.root = Root::Unknown;
        self.need(Survey::Full, now);
    }

    fn page(
        &mut self,
        survey: Survey,
        result: Result<Page, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let page = match result {
            Ok(page) => page,
            Err(failure) if failure.kind == FailureKind::TooLarge => {
                if !self.pages.as_mut().is_some_and(Pages::halve) {
                    self.fail(Step::Reconcile, failure, now, out);
                }
                return;
            }
            Err(failure) if failure.kind == FailureKind::Compacted => {
                let at = now + self.backoff.next_delay(&mut self.rng);
                return self.need(survey, at);
            }
            Err(failure) => return self.fail(Step::Reconcile, failure, now, out),
        };
        // A reading that was asked for meanwhile starts over.
        let Some(pages) = &mut self.pages else { return };
        let more = pages.advance(&page);
        self.found.extend(page.entries);
        if more {
            return;
        }
        let revision = pages.revision();
        self.pages = None;
        let found = std::mem::take(&mut self.found);
        if survey >= self.survey {
            self.survey = Survey::None;
        }
        match survey {
            Survey::Full => self.reconcile(found, revision, now, out),
            Survey::Audit | Survey::None => self.audit(found, now),
        }
    }

    /// Splits a reading into the session key and the keys below it.
    fn split(&self, found: Vec<Entry>) -> (Option<Entry>, Vec<Entry>) {
        let key = self.config.key.as_bytes();
        let mut root = None;
        let below = found
            .into_iter()
            .filter_map(|entry| match entry.key.strip_prefix(key) {
                Some([]) => {
                    root = Some(entry);
                    None
                }
                Some([b'/', ..]) => Some(entry),
                _ => None,
            })
            .collect();
        (root, below)
    }

    fn reconcile(&mut self, found: Vec<Entry>, revision: i64, now: Instant, out: &mut Vec<Action>) {
        self.counts.reconciles += 1;
        let Some(lease) = self.lease() else { return };
        let (root, below) = self.split(found);
        self.root = match root {
            None => Root::Free { mod_revision: 0 },
            Some(entry) if entry.lease == lease => {
                self.value.found(entry.value);
                Root::Ours {
                    mod_revision: entry.mod_revision,
                }
            }
            Some(entry) if self.may_have(entry.lease) => {
                if entry.lease != 0 && !self.past.contains(&entry.lease) {
                    tracing::warn!(
                        session = self.config.key,
                        lease = entry.lease,
                        "taking the session key over"
                    );
                    self.remember(entry.lease);
                }
                Root::Free {
                    mod_revision: entry.mod_revision,
                }
            }
            Some(entry) => {
                self.root = Root::Unknown;
                self.need(Survey::Full, now);
                self.left_behind = below.iter().any(|entry| entry.lease == lease);
                let (call, lease) = (self.call(), entry.lease);
                self.work = Some((call, Work::Ask { lease }));
                out.push(Action::AskTimeToLive { call, lease });
                return;
            }
        };
        self.taken_by = None;
        self.note_registered(lease, revision);
        let past = &self.past;
        let is_ours = |other| other == 0 || other == lease || past.contains(&other);
        let settled = self.wanted.survey(below, revision, lease, is_ours);
        if !settled.is_empty() {
            out.push(Action::Settle(settled));
        }
    }

    /// Whether the session key may be taken from this lease without asking whether it lives.
    fn may_have(&self, lease: i64) -> bool {
        lease == 0 || self.past.contains(&lease) || self.may_take_over
    }

    fn note_registered(&mut self, lease: i64, revision: i64) {
        if matches!(self.root, Root::Ours { .. }) {
            self.may_take_over = false;
            if self.first.is_none() {
                self.first = Some((lease, revision, self.endpoint));
            }
        }
    }

    fn audit(&mut self, found: Vec<Entry>, now: Instant) {
        self.counts.audits += 1;
        let Some(lease) = self.lease() else { return };
        let (root, below) = self.split(found);
        let root_intact = root.is_some_and(|entry| {
            entry.lease == lease
                && self.root
                    == Root::Ours {
                        mod_revision: entry.mod_revision,
                    }
        });
        let past = &self.past;
        let is_ours = |other| other == 0 || other == lease || past.contains(&other);
        if !root_intact || !self.wanted.is_intact(&below, is_ours) {
            self.held_since = None;
            self.need(Survey::Full, now);
        }
    }

    fn asked_time_to_live(
        &mut self,
        lease: i64,
        result: Result<Duration, Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let pause = self.backoff.next_delay(&mut self.rng);
        self.survey_at = now + pause;
        match result {
            // The lease is about to take its keys along; look again.
            Ok(Duration::ZERO) => {}
            Ok(ttl) => {
                // Its holder may renew it for ever, or may be dead: then it ends with its time.
                self.survey_at = self.survey_at.min(now + ttl);
                self.taken_by = Some(lease);
                out.push(Action::Report(Trouble {
                    step: Step::Taken { lease },
                    endpoint: self.endpoint,
                    failure: Failure::new(
                        FailureKind::Unavailable,
                        "the session key is taken",
                        Duration::ZERO,
                    ),
                }));
                self.withdraw(out);
            }
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => {}
            Err(failure) => self.fail(Step::Reconcile, failure, now, out),
        }
    }

    /// Takes our keys away from beside a session key that is another's: the new holder may not
    /// delete them, and our lease would keep them for as long as we wait.
    fn withdraw(&mut self, out: &mut Vec<Action>) {
        if let Some(lease) = self.lease().filter(|_| self.left_behind) {
            self.left_behind = false;
            let call = self.call();
            self.work = Some((call, Work::Withdraw));
            out.push(Action::Revoke { call, lease });
        }
    }

    fn written(
        &mut self,
        batch: Batch,
        result: Result<(bool, i64), Failure>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        match result {
            Ok((true, revision)) => self.committed(batch, revision, out),
            Ok((false, _)) => {
                // Somebody else wrote. Not at once: two who correct each other must not spin.
                self.value.put_back();
                self.wanted.put_back(batch.ops);
                self.held_since = None;
                let at = now + self.backoff.next_delay(&mut self.rng);
                self.need(Survey::Full, at);
            }
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => {
                self.value.put_back();
                self.wanted.put_back(batch.ops);
                // It may be an earlier lease that is gone.
                if self.lease() == Some(batch.lease) {
                    self.lose(now);
                }
            }
            Err(failure)
                if matches!(failure.kind, FailureKind::TooLarge | FailureKind::Invalid) =>
            {
                self.refused(batch, failure, now, out);
            }
            Err(failure) => {
                self.work = Some((0, Work::Write { batch }));
                self.fail(Step::Write, failure, now, out);
            }
        }
    }

    fn committed(&mut self, batch: Batch, revision: i64, out: &mut Vec<Action>) {
        self.batch_ops = (self.batch_ops * 2).min(MAX_OPS);
        for op in &batch.ops {
            match op.value {
                Some(_) => self.counts.puts += 1,
                None => self.counts.deletes += 1,
            }
        }
        let mut settled = Vec::new();
        if let Guard::Take { value, .. } = batch.guard {
            self.counts.puts += 1;
            settled = self.value.commit(value, revision);
            if self.lease() == Some(batch.lease) && self.survey != Survey::Full {
                self.root = Root::Ours {
                    mod_revision: revision,
                };
                self.note_registered(batch.lease, revision);
            }
        }
        settled.extend(self.wanted.commit(batch.ops, batch.lease, revision));
        if !settled.is_empty() {
            out.push(Action::Settle(settled));
        }
    }

    /// etcd refuses the request itself. Halves the next transactions until the culprit goes alone,
    /// so that it does not block the others.
    fn refused(&mut self, mut batch: Batch, failure: Failure, now: Instant, out: &mut Vec<Action>) {
        let takes_root = batch.guard != Guard::Held;
        let size = batch.ops.len() + usize::from(takes_root);
        if size > 1 {
            self.value.put_back();
            self.wanted.put_back(batch.ops);
            self.batch_ops = size.div_ceil(2);
            return;
        }
        match (batch.ops.pop(), batch.guard) {
            (Some(op), _) => {
                let (key, size) = (op.key.clone(), op.size());
                let waiters = self.wanted.reject(op);
                out.push(Action::Reject {
                    key,
                    size,
                    failure,
                    waiters,
                });
            }
            // Another value for it, where the one before was taken.
            (None, Guard::Take { value, .. }) if self.is_registered() => {
                let key = self.config.key.clone();
                let size = request_size(&key, value.len());
                let waiters = self.value.reject(&value);
                out.push(Action::Reject {
                    key,
                    size,
                    failure,
                    waiters,
                });
            }
            // The session key itself; nothing can be done without it.
            (None, _) => {
                self.value.put_back();
                self.fail(Step::Write, failure, now, out);
            }
        }
    }
}
