//! What the endpoints of a server are told of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::super::server::Accepting;
use crate::distribution::{DistributionError, Trouble, Troubles};

/// How a server accepts, and who hears of that.
#[derive(Default)]
pub(super) struct Watched(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is wrong now.
    trouble: Option<Trouble>,
    /// By the number of the service.
    listeners: BTreeMap<u64, Troubles>,
}

impl Watched {
    /// Tells all endpoints what happened to the server at `address`.
    pub(super) fn tell(&self, address: &str, accepting: Accepting) {
        let error = |cause| DistributionError::Accept {
            address: address.to_owned(),
            cause,
        };
        let trouble = match accepting {
            Accepting::Works => None,
            Accepting::Fails(cause) => Some(Trouble::Warning(error(cause))),
            Accepting::Ended(cause) => Some(Trouble::Error(error(cause))),
        };
        // Who hears of it may come back here.
        let listeners: Vec<_> = {
            let mut state = self.0.lock();
            state.trouble.clone_from(&trouble);
            state.listeners.values().cloned().collect()
        };
        let Some(trouble) = trouble else {
            return;
        };
        for listener in listeners {
            listener.tell(trouble.clone());
        }
    }

    /// Tells an endpoint from now on, and of what is wrong already.
    pub(super) fn watch(&self, service: u64, troubles: Troubles) {
        let trouble = {
            let mut state = self.0.lock();
            state.listeners.insert(service, troubles.clone());
            state.trouble.clone()
        };
        if let Some(trouble) = trouble {
            troubles.tell(trouble);
        }
    }

    pub(super) fn forget(&self, service: u64) {
        self.0.lock().listeners.remove(&service);
    }

    /// Whether the server accepts nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.0.lock().trouble, Some(Trouble::Error(_)))
    }
}
