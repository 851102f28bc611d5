//! Imports that failed or broke, each of which is left alone for a while. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::exports::{BACKOFF, LASTING};
use crate::endpoint::EndpointDescription;
use crate::keyspace::Backoff;
use crate::names::EndpointId;

/// Which endpoints are not to be imported yet.
#[derive(Default)]
pub(super) struct Rests {
    of: BTreeMap<EndpointId, Rest>,
    due: BTreeSet<(Instant, EndpointId)>,
}

struct Rest {
    backoff: Backoff,
    until: Option<Instant>,
    /// What could not be imported: something else is worth an attempt at once.
    described: Arc<EndpointDescription>,
}

impl Rests {
    /// An endpoint failed that was imported since `since`, or never; how long
    /// it is left alone.
    pub(super) fn begin(
        &mut self,
        described: &Arc<EndpointDescription>,
        since: Option<Instant>,
        now: Instant,
        chance: &mut impl Rng,
    ) -> Duration {
        let id = described.id();
        self.end(id);
        let rest = self.of.entry(id.clone()).or_insert_with(|| Rest {
            backoff: BACKOFF,
            until: None,
            described: Arc::clone(described),
        });
        // One that breaks as soon as it is there is not to be imported in a
        // loop.
        if since.is_some_and(|since| now.duration_since(since) >= LASTING) {
            rest.backoff.reset();
        }
        let delay = rest.backoff.next_delay(chance);
        rest.described = Arc::clone(described);
        rest.until = Some(now + delay);
        self.due.insert((now + delay, id.clone()));
        delay
    }

    /// Whether an endpoint is not to be imported as it is described now.
    pub(super) fn holds(&self, described: &EndpointDescription) -> bool {
        let rest = self.of.get(described.id());
        rest.is_some_and(|rest| rest.until.is_some() && rest.described.same_content(described))
    }

    /// When the next one is to be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Those whose rest is over.
    pub(super) fn over(&mut self, now: Instant) -> Vec<EndpointId> {
        let over = self.due.iter().take_while(|(due, _)| *due <= now);
        let over: Vec<_> = over.map(|(_, id)| id.clone()).collect();
        for id in &over {
            self.end(id);
        }
        over
    }

    /// All may be tried again now.
    pub(super) fn end_all(&mut self) {
        self.due.clear();
        for rest in self.of.values_mut() {
            rest.until = None;
        }
    }

    /// The endpoint is gone.
    pub(super) fn forget(&mut self, id: &EndpointId) {
        self.end(id);
        self.of.remove(id);
    }

    fn end(&mut self, id: &EndpointId) {
        let rest = self.of.get_mut(id);
        if let Some(until) = rest.and_then(|rest| rest.until.take()) {
            self.due.remove(&(until, id.clone()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::props;

    fn endpoint(n: i32) -> Arc<EndpointDescription> {
        let properties = props! {
            "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
            "n" => n,
        };
        Arc::new(EndpointDescription::new(properties).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_breaks_again_and_again_rests_ever_longer_until_it_lasts() {
        let (mut rests, mut chance) = (Rests::default(), StdRng::seed_from_u64(1));
        let mut now = Instant::now();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let delay = rests.begin(&endpoint(1), Some(now), now, &mut chance);
            longest = longest.max(delay);
            assert!(rests.holds(&endpoint(1)));
            assert_eq!(rests.next_due(), Some(now + delay));
            now += delay;
            assert_eq!(rests.over(now), [endpoint(1).id().clone()]);
            assert!(!rests.holds(&endpoint(1)) && rests.next_due().is_none());
        }
        assert!(longest > LASTING / 2 && longest <= LASTING, "{longest:?}");
        let delay = rests.begin(&endpoint(1), Some(now), now + LASTING, &mut chance);
        assert!(delay <= Duration::from_millis(500), "{delay:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_of_one_description_and_ends_with_the_endpoint() {
        let (mut rests, mut chance) = (Rests::default(), StdRng::seed_from_u64(1));
        let now = Instant::now();
        rests.begin(&endpoint(1), None, now, &mut chance);
        assert!(rests.holds(&endpoint(1)) && !rests.holds(&endpoint(2)));
        rests.begin(&endpoint(2), None, now, &mut chance);
        assert!(rests.holds(&endpoint(2)) && !rests.holds(&endpoint(1)));
        assert_eq!(rests.due.len(), 1);
        rests.end_all();
        assert!(!rests.holds(&endpoint(2)) && rests.due.is_empty());
        rests.forget(endpoint(1).id());
        assert!(rests.of.is_empty());
    }
}
