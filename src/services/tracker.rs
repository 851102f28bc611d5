//! Trackers: the services of one interface as they come and go.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt as _};

use super::demand::Demanding;
use super::reference::sort_best_first;
use super::{ServiceEvent, ServiceEventKind, ServiceId, ServiceListener, ServiceReference};
use crate::interface::Interface;
use crate::properties::Properties;

/// What a tracker tells of a service.
#[non_exhaustive]
pub enum TrackedEvent<I: ?Sized> {
    /// A service came.
    Added(ServiceReference, Arc<I>),
    /// Its properties changed.
    Modified(ServiceReference, Arc<Properties>),
    /// It went, or does not match any more.
    Removed(ServiceReference),
}

/// Tracks the services of one Rust interface, like OSGi's `ServiceTracker`.
///
/// It moves when it is asked: [`Tracker::next`] takes the next event, and
/// [`Tracker::references`] is what the events so far add up to. It is also a
/// [`Stream`] of the same events.
pub struct Tracker<I: ?Sized> {
    listener: ServiceListener,
    /// Services that were gone again before their coming could be told.
    missed: BTreeSet<ServiceId>,
    /// Ends with the tracker.
    _demanding: Demanding,
    interface: PhantomData<fn() -> Arc<I>>,
}

impl<I: Interface + ?Sized> Tracker<I> {
    pub(super) fn new(listener: ServiceListener, demanding: Demanding) -> Self {
        Self {
            listener,
            missed: BTreeSet::new(),
            _demanding: demanding,
            interface: PhantomData,
        }
    }

    /// The next event; `None` when the registry is gone. Cancellation safe.
    ///
    /// A service that is gone again before its coming could be told is left
    /// out.
    pub async fn next(&mut self) -> Option<TrackedEvent<I>> {
        loop {
            let event = self.listener.next().await?;
            if let Some(event) = self.tracked(event) {
                return Some(event);
            }
        }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<TrackedEvent<I>> {
        loop {
            let event = self.listener.try_next()?;
            if let Some(event) = self.tracked(event) {
                return Some(event);
            }
        }
    }

    fn tracked(&mut self, event: ServiceEvent) -> Option<TrackedEvent<I>> {
        let reference = event.reference;
        match event.kind {
            ServiceEventKind::Registered => match reference.get::<I>() {
                Some(service) => Some(TrackedEvent::Added(reference, service)),
                None => {
                    self.missed.insert(reference.id());
                    None
                }
            },
            ServiceEventKind::Modified => {
                let known = !self.missed.contains(&reference.id());
                known.then_some(TrackedEvent::Modified(reference, event.properties))
            }
            ServiceEventKind::ModifiedEndMatch | ServiceEventKind::Unregistering => {
                let known = !self.missed.remove(&reference.id());
                known.then_some(TrackedEvent::Removed(reference))
            }
        }
    }

    /// The services told of so far and not lost again, the best first.
    pub fn references(&self) -> Vec<ServiceReference> {
        let mut references: Vec<_> = self.listener.told().cloned().collect();
        sort_best_first(&mut references);
        references
    }

    /// The best of the services told of so far that is there still.
    pub fn best(&self) -> Option<Arc<I>> {
        self.references()
            .iter()
            .find_map(ServiceReference::get::<I>)
    }
}

impl<I: Interface + ?Sized> Stream for Tracker<I> {
    type Item = TrackedEvent<I>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TrackedEvent<I>>> {
        let tracker = self.get_mut();
        loop {
            match ready!(tracker.listener.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(event) => {
                    if let Some(event) = tracker.tracked(event) {
                        return Poll::Ready(Some(event));
                    }
                }
            }
        }
    }
}

impl<I: ?Sized> fmt::Debug for TrackedEvent<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, reference) = match self {
            Self::Added(reference, _) => ("Added", reference),
            Self::Modified(reference, _) => ("Modified", reference),
            Self::Removed(reference) => ("Removed", reference),
        };
        f.debug_tuple(name).field(reference).finish()
    }
}

impl<I: ?Sized> fmt::Debug for Tracker<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracker").field(&self.listener).finish()
    }
}
