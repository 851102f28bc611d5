//! How a session ends.

use std::time::Instant;

use super::*;

impl SessionMachine {
    pub(super) fn close(&mut self, deadline: Instant, now: Instant) {
        self.closing = Some(deadline);
        if let Link::Down { retry_at } = &mut self.link {
            *retry_at = now;
        }
        // Whatever is on its way ends with the lease. Only a grant is waited for: revoked before it
        // is granted, the lease would stay.
        self.work
            .take_if(|(_, work)| !matches!(work, Work::Grant { .. }));
        self.pages = None;
        self.held_since = None;
    }

    /// Returns whether nothing else is to be done.
    pub(super) fn advance_closing(
        &mut self,
        deadline: Instant,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        let granted = self.lease().or_else(|| {
            self.asked
                .and_then(|asked| asked.first_sent.map(|_| asked.id))
        });
        let Some(lease) = granted else {
            self.finish(Ok(()), out);
            return true;
        };
        if now >= deadline {
            let failure = self.last_failure.clone();
            self.finish(Err(failure), out);
            return true;
        }
        if self.is_up() {
            if self.work.is_none() {
                let call = self.call();
                self.work = Some((call, Work::Revoke));
                out.push(Action::Revoke { call, lease });
            }
            return true;
        }
        false
    }

    pub(super) fn finish(&mut self, result: Result<(), Option<Failure>>, out: &mut Vec<Action>) {
        self.closed = true;
        self.lease = self.lease.take().filter(|_| result.is_err());
        out.push(Action::Disconnect);
        out.push(Action::Finish(result));
    }
}
