//! The services that a server offers, by number.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::ServerError;
use crate::interface::Dispatch;

pub(super) struct Service {
    /// For messages.
    pub(super) interfaces: String,
    pub(super) dispatch: Arc<dyn Dispatch>,
    /// How long a call may take, where that is more than the server allows.
    pub(super) timeout: Option<Duration>,
    /// Ends the calls under way when the service is removed.
    pub(super) removed: CancellationToken,
}

#[derive(Default)]
pub(super) struct Services(RwLock<HashMap<u64, Arc<Service>>>);

impl Services {
    pub(super) fn add(
        self: &Arc<Self>,
        id: u64,
        interfaces: &[&str],
        dispatch: Arc<dyn Dispatch>,
        timeout: Option<Duration>,
    ) -> Result<Registration, ServerError> {
        let service = Service {
            interfaces: interfaces.join(", "),
            dispatch,
            timeout,
            removed: CancellationToken::new(),
        };
        match self.0.write().entry(id) {
            Entry::Occupied(taken) => Err(ServerError::IdTaken {
                id,
                interfaces: taken.get().interfaces.clone(),
            }),
            Entry::Vacant(place) => {
                place.insert(Arc::new(service));
                Ok(Registration {
                    services: Arc::clone(self),
                    id,
                })
            }
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Service>> {
        self.0.read().get(&id).cloned()
    }

    fn remove(&self, id: u64) {
        // The lock is released first: the calls that end now run code of the
        // service's, which may come back here.
        let removed = self.0.write().remove(&id);
        if let Some(service) = removed {
            service.removed.cancel();
        }
    }
}

/// A service on a [`Server`](super::Server); dropping it removes the service.
///
/// Calls under way end then with the fault that the endpoint was removed, and
/// their futures are dropped.
#[must_use = "dropping it removes the service"]
pub struct Registration {
    services: Arc<Services>,
    id: u64,
}

impl Registration {
    /// The service's number, `ecf.rsvc.id`.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.services.remove(self.id);
    }
}
