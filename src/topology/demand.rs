//! Which endpoints are wanted by those who track services (rule T07). Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::filter::Filter;
use crate::names::EndpointId;
use crate::services::{Demand, DemandId};

/// What is demanded, and which endpoints can be imported on demand.
pub(super) struct Demands {
    /// How long an import stays that nobody wants any more.
    linger: Duration,
    wanted: HashMap<String, BTreeMap<DemandId, Option<Filter>>>,
    offered: HashMap<EndpointId, Arc<EndpointDescription>>,
    offered_by_interface: HashMap<String, BTreeSet<EndpointId>>,
    /// Until when imports stay that nobody wants any more.
    idle: HashMap<EndpointId, Instant>,
    due: BTreeSet<(Instant, EndpointId)>,
}

impl Demands {
    pub(super) fn new(linger: Duration) -> Self {
        Self {
            linger,
            wanted: HashMap::new(),
            offered: HashMap::new(),
            offered_by_interface: HashMap::new(),
            idle: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Follows a change of what is wanted; gives the endpoints for which that
    /// may make a difference.
    pub(super) fn change(&mut self, change: &Change<DemandId, Arc<Demand>>) -> Vec<EndpointId> {
        let demand = match change {
            Change::Added(id, demand)
            | Change::Modified {
                key: id,
                value: demand,
                ..
            } => {
                let wanted = self
                    .wanted
                    .entry(demand.interface().to_owned())
                    .or_default();
                wanted.insert(*id, demand.filter().cloned());
                demand
            }
            Change::Removed(id, demand)
            | Change::EndMatch {
                key: id,
                value: demand,
                ..
            } => {
                if let Some(wanted) = self.wanted.get_mut(demand.interface()) {
                    wanted.remove(id);
                    if wanted.is_empty() {
                        self.wanted.remove(demand.interface());
                    }
                }
                demand
            }
        };
        let concerned = self.offered_by_interface.get(demand.interface());
        let concerned = concerned.into_iter().flatten().filter(|id| {
            let filter = demand.filter();
            let endpoint = self.offered.get(*id);
            filter.is_none_or(|filter| endpoint.is_some_and(|e| e.matches(filter)))
        });
        concerned.cloned().collect()
    }

    /// Whether an endpoint is to be imported, now or still. It is taken note
    /// of, until it is [forgotten](Demands::forget).
    pub(super) fn wants(
        &mut self,
        endpoint: &Arc<EndpointDescription>,
        imported: bool,
        now: Instant,
    ) -> bool {
        self.offer(endpoint);
        let id = endpoint.id();
        if self.is_wanted(endpoint) || !imported {
            self.end_idle(id);
            return self.is_wanted(endpoint);
        }
        let until = match self.idle.get(id) {
            Some(until) => *until,
            None => {
                let until = later(now, self.linger);
                self.idle.insert(id.clone(), until);
                self.due.insert((until, id.clone()));
                until
            }
        };
        if until <= now {
            self.end_idle(id);
        }
        now < until
    }

    fn is_wanted(&self, endpoint: &EndpointDescription) -> bool {
        let interfaces = endpoint.interfaces();
        let filters = interfaces.iter().filter_map(|name| self.wanted.get(*name));
        filters.flat_map(BTreeMap::values).any(|filter| {
            let filter = filter.as_ref();
            filter.is_none_or(|filter| endpoint.matches(filter))
        })
    }

    fn offer(&mut self, endpoint: &Arc<EndpointDescription>) {
        let id = endpoint.id();
        if let Some(before) = self.offered.get(id) {
            if Arc::ptr_eq(before, endpoint) {
                return;
            }
            if before.interfaces() != endpoint.interfaces() {
                self.forget(&id.clone());
            }
        }
        for interface in endpoint.interfaces() {
            let offered = self.offered_by_interface.entry(interface.to_owned());
            offered.or_default().insert(id.clone());
        }
        self.offered.insert(id.clone(), Arc::clone(endpoint));
    }

    /// An endpoint is gone, or not to be imported on demand any more.
    pub(super) fn forget(&mut self, id: &EndpointId) {
        let Some(endpoint) = self.offered.remove(id) else {
            return;
        };
        self.end_idle(id);
        for interface in endpoint.interfaces() {
            if let Some(offered) = self.offered_by_interface.get_mut(interface) {
                offered.remove(id);
                if offered.is_empty() {
                    self.offered_by_interface.remove(interface);
                }
            }
        }
    }

    fn end_idle(&mut self, id: &EndpointId) {
        if let Some(until) = self.idle.remove(id) {
            self.due.remove(&(until, id.clone()));
        }
    }

    /// When the next import that nobody wants is to end.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Those whose time is over.
    pub(super) fn due(&self, now: Instant) -> Vec<EndpointId> {
        let over = self.due.iter().take_while(|(due, _)| *due <= now);
        over.map(|(_, id)| id.clone()).collect()
    }
}

/// A moment after a while, which may be as good as for ever.
fn later(now: Instant, after: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(after).unwrap_or_else(|| now + FOR_EVER)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]
mod tests {
    use super::*;
    use crate::interface::CallError;
    use crate::properties::Properties;
    use crate::services::Registry;
    use crate::{props, remote_service};

    #[remote_service("a.A")]
    trait A {
        async fn a(&self) -> Result<(), CallError>;
    }

    const LINGER: Duration = Duration::from_secs(10);

    fn endpoint(id: &str, interface: &str, more: Properties) -> Arc<EndpointDescription> {
        let mut properties = props! {
            "objectClass" => [interface], "endpoint.id" => id, "service.imported.configs" => ["c"],
        };
        properties.overlay(&more);
        Arc::new(EndpointDescription::new(properties).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_tracks_is_wanted_and_stays_for_a_while_after() {
        let registry = Registry::new();
        let mut news = registry.demands().listen(|_| true);
        let mut demands = Demands::new(LINGER);
        let blue = endpoint("blue", "a.A", props! { "color" => "blue" });
        let red = endpoint("red", "a.A", props! { "color" => "red" });
        let other = endpoint("other", "b.B", props! { "color" => "blue" });
        let start = Instant::now();
        for endpoint in [&blue, &red, &other] {
            assert!(!demands.wants(endpoint, false, start));
        }

        let tracker = registry.track::<dyn A>(Some(Filter::parse("(color=blue)").unwrap()));
        let concerned = demands.change(&news.try_next().unwrap());
        assert_eq!(concerned, [blue.id().clone()], "and nobody else");
        assert!(demands.wants(&blue, false, start));
        assert!(!demands.wants(&red, false, start));
        assert!(!demands.wants(&other, false, start));

        drop(tracker);
        assert_eq!(
            demands.change(&news.try_next().unwrap()),
            [blue.id().clone()]
        );
        assert!(demands.wants(&blue, true, start), "for a while");
        assert_eq!(demands.next_due(), Some(start + LINGER));
        assert!(demands.due(start).is_empty());
        let later = start + LINGER;
        assert_eq!(demands.due(later), [blue.id().clone()]);
        assert!(!demands.wants(&blue, true, later));
        assert_eq!(demands.next_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_in_time_finds_the_import_and_its_time_begins_anew() {
        let registry = Registry::new();
        let mut news = registry.demands().listen(|_| true);
        let mut demands = Demands::new(LINGER);
        let blue = endpoint("blue", "a.A", props! {});
        let start = Instant::now();
        let tracker = registry.track::<dyn A>(None);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, false, start));
        drop(tracker);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, true, start));
        let half = start + LINGER / 2;
        let tracker = registry.track::<dyn A>(None);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, true, half));
        assert_eq!(demands.next_due(), None);
        drop(tracker);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, true, half));
        assert_eq!(demands.next_due(), Some(half + LINGER));
    }

    #[tokio::test(start_paused = true)]
    async fn an_import_that_is_to_stay_for_ever_does() {
        let registry = Registry::new();
        let mut news = registry.demands().listen(|_| true);
        let mut demands = Demands::new(Duration::MAX);
        let blue = endpoint("blue", "a.A", props! {});
        let start = Instant::now();
        let tracker = registry.track::<dyn A>(None);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, false, start));
        drop(tracker);
        demands.change(&news.try_next().unwrap());
        assert!(demands.wants(&blue, true, start));
        let years = start + Duration::from_secs(20 * 365 * 24 * 60 * 60);
        assert!(demands.due(years).is_empty() && demands.wants(&blue, true, years));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_what_is_gone() {
        let registry = Registry::new();
        let mut news = registry.demands().listen(|_| true);
        let mut demands = Demands::new(LINGER);
        let now = Instant::now();
        let tracker = registry.track::<dyn A>(None);
        demands.change(&news.try_next().unwrap());
        let blue = endpoint("blue", "a.A", props! {});
        assert!(demands.wants(&blue, false, now));
        // The same endpoint under another interface is not the tracker's.
        let moved = endpoint("blue", "b.B", props! {});
        assert!(demands.wants(&moved, true, now), "for a while");
        drop(tracker);
        assert!(demands.change(&news.try_next().unwrap()).is_empty());
        demands.forget(blue.id());
        assert!(demands.offered.is_empty() && demands.offered_by_interface.is_empty());
        assert!(demands.idle.is_empty() && demands.due.is_empty() && demands.wanted.is_empty());
    }
}
