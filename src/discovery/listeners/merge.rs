//! What several sources say of one endpoint, as one story. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{EndpointEvent, EndpointEventKind};
use crate::endpoint::EndpointDescription;
use crate::feed::Change;
use crate::filter::Filter;
use crate::names::EndpointId;

/// The number of a source, in the order of precedence.
pub(super) type SourceId = usize;

pub(super) type EndpointChange = Change<EndpointId, Arc<EndpointDescription>>;

/// Merges the changes of several sources (rules E06, E07): an endpoint is
/// there while one source says so, only a source itself takes back what it
/// said, and of several that speak of an endpoint the first one counts.
#[derive(Default)]
pub(super) struct Merge(HashMap<EndpointId, BTreeMap<SourceId, Said>>);

#[derive(Clone)]
struct Said {
    endpoint: Arc<EndpointDescription>,
    filter: Filter,
}

/// By which filter what a source said concerns the listener now: a scope that
/// changes may change it, which is no news but goes with the next.
pub(super) type Why<'a> = &'a dyn Fn(SourceId, &EndpointId) -> Option<Filter>;

impl Merge {
    /// What a source's change, which concerns the listener by this filter, or
    /// did until now, means for the listener.
    pub(super) fn hear(
        &mut self,
        source: SourceId,
        change: EndpointChange,
        filter: Filter,
        why: Why<'_>,
    ) -> Option<EndpointEvent> {
        let id = change.key().clone();
        let said = self.0.entry(id.clone()).or_default();
        // At the end the source has no filter any more but the one given.
        if let Change::EndMatch { .. } | Change::Removed(..) = change
            && let Some(known) = said.get_mut(&source)
        {
            known.filter = filter.clone();
        }
        let before = counting(said, &id, why);
        let leaving = match change {
            Change::Added(_, endpoint)
            | Change::Modified {
                value: endpoint, ..
            } => {
                said.insert(source, Said { endpoint, filter });
                None
            }
            Change::EndMatch { value, .. } => {
                said.remove(&source);
                Some((EndpointEventKind::ModifiedEndMatch, value))
            }
            Change::Removed(_, value) => {
                said.remove(&source);
                Some((EndpointEventKind::Removed, value))
            }
        };
        let after = counting(said, &id, why);
        if said.is_empty() {
            self.0.remove(&id);
        }
        told(before, after, leaving)
    }

    /// A source stopped: all that it said is taken back (rule E08).
    pub(super) fn end(&mut self, source: SourceId, why: Why<'_>) -> Vec<EndpointEvent> {
        let mut events = Vec::new();
        self.0.retain(|id, said| {
            let before = counting(said, id, why);
            if let Some(gone) = said.remove(&source) {
                let after = counting(said, id, why);
                let leaving = (EndpointEventKind::Removed, gone.endpoint);
                events.extend(told(before, after, Some(leaving)));
            }
            !said.is_empty()
        });
        events
    }
}

/// The word that counts.
fn counting(said: &BTreeMap<SourceId, Said>, id: &EndpointId, why: Why<'_>) -> Option<Said> {
    let (source, said) = said.first_key_value()?;
    Some(Said {
        endpoint: Arc::clone(&said.endpoint),
        filter: why(*source, id).unwrap_or_else(|| said.filter.clone()),
    })
}

/// What is told when the word that counts was `before` and is `after`.
fn told(
    before: Option<Said>,
    after: Option<Said>,
    leaving: Option<(EndpointEventKind, Arc<EndpointDescription>)>,
) -> Option<EndpointEvent> {
    let (kind, endpoint, before, filter) = match (before, after) {
        (None, None) => return None,
        (None, Some(after)) => (EndpointEventKind::Added, after.endpoint, None, after.filter),
        (Some(before), Some(after)) => {
            if before.endpoint.same_content(&after.endpoint) {
                return None;
            }
            let kind = EndpointEventKind::Modified;
            (kind, after.endpoint, Some(before.endpoint), after.filter)
        }
        (Some(before), None) => {
            let (kind, endpoint) = leaving?;
            (kind, endpoint, Some(before.endpoint), before.filter)
        }
    };
    Some(EndpointEvent {
        kind,
        endpoint,
        before,
        filter,
    })
}
