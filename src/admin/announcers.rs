//! Who announces which endpoint through which discovery (rules T03, C04).
//!
//! Several topology managers of one admin may share an endpoint, and a
//! discovery. An announcement is taken back by the last one who made it:
//! whoever else has a share in the endpoint, such as a user of the admin,
//! announces nothing, and would never take it back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::discovery::{Advertiser, DiscoveryError, Receipt};
use crate::endpoint::EndpointDescription;
use crate::names::EndpointId;

/// An endpoint in one discovery, which is told by its address: it is kept
/// alive by who announces there.
type Place = (usize, EndpointId);

#[derive(Default)]
pub(super) struct Announcers(Mutex<Ledger>);

#[derive(Default)]
struct Ledger {
    /// The number of the latest announcer.
    last: u64,
    by: HashMap<Place, BTreeSet<u64>>,
}

/// One who announces endpoints of an admin. Dropping it says no goodbye, but
/// leaves what others announce to them.
pub(crate) struct Announcer {
    shared: Arc<Announcers>,
    number: u64,
    discoveries: Vec<Arc<dyn Advertiser>>,
}

impl Announcers {
    pub(super) fn enter(self: &Arc<Self>, discoveries: Vec<Arc<dyn Advertiser>>) -> Announcer {
        let mut ledger = self.0.lock();
        ledger.last += 1;
        Announcer {
            shared: Arc::clone(self),
            number: ledger.last,
            discoveries,
        }
    }
}

impl Announcer {
    /// Whether there is no discovery to announce anything.
    pub(crate) fn is_mute(&self) -> bool {
        self.discoveries.is_empty()
    }

    /// Has an endpoint announced by each discovery.
    pub(crate) fn advertise(
        &self,
        endpoint: &EndpointDescription,
    ) -> Vec<Result<Receipt, DiscoveryError>> {
        let announce = |discovery: &Arc<dyn Advertiser>| {
            // The ledger is held over the call: else another's withdrawal,
            // decided before this, could come after it.
            let mut ledger = self.shared.0.lock();
            let receipt = discovery.advertise(endpoint)?;
            let place = (address(discovery), endpoint.id().clone());
            ledger.by.entry(place).or_default().insert(self.number);
            Ok(receipt)
        };
        self.discoveries.iter().map(announce).collect()
    }

    /// Takes the announcements of an endpoint back, save those that others
    /// made too.
    pub(crate) fn withdraw(&self, endpoint: &EndpointId) -> Vec<Receipt> {
        let withdraw = |discovery: &Arc<dyn Advertiser>| {
            let mut ledger = self.shared.0.lock();
            let place = (address(discovery), endpoint.clone());
            let is_last = ledger.leave(&place, self.number);
            is_last.then(|| discovery.withdraw(endpoint))
        };
        self.discoveries.iter().filter_map(withdraw).collect()
    }
}

impl Ledger {
    /// Whether nobody else is left.
    fn leave(&mut self, place: &Place, number: u64) -> bool {
        let Some(announcers) = self.by.get_mut(place) else {
            return false;
        };
        let is_last = announcers.remove(&number) && announcers.is_empty();
        if is_last {
            self.by.remove(place);
        }
        is_last
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let mut ledger = self.shared.0.lock();
        ledger.by.retain(|_, announcers| {
            announcers.remove(&self.number);
            !announcers.is_empty()
        });
    }
}

fn address(discovery: &Arc<dyn Advertiser>) -> usize {
    Arc::as_ptr(discovery).cast::<()>().addr()
}
