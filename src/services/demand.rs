//! What is waited for: which services somebody tracks.

use std::sync::Arc;

use crate::feed::Feed;
use crate::filter::Filter;

/// The number of a demand: growing, and never used again.
pub type DemandId = u64;

/// Somebody tracks the services of an interface, or waits for one (what
/// OSGi's `ListenerHook` tells).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    interface: String,
    filter: Option<Filter>,
}

impl Demand {
    pub(super) fn new(interface: &str, filter: Option<Filter>) -> Self {
        Self {
            interface: interface.to_owned(),
            filter,
        }
    }

    /// The interface asked for.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What the services are to match, if anything.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }
}

/// What is waited for now, and news of it.
pub type DemandFeed = Feed<DemandId, Arc<Demand>>;

/// A demand that lasts as long as this.
pub(crate) struct Demanding {
    pub(super) feed: DemandFeed,
    pub(super) id: DemandId,
}

impl Drop for Demanding {
    fn drop(&mut self) {
        self.feed.remove(&self.id);
    }
}
