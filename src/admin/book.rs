//! The book: which registrations are open, and who is told of them.
//!
//! Both are under one lock. So a listener that comes while something is
//! exported is told of it exactly once, and events have one order, which is
//! that of the lists.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::event::{Queue, log};
use super::{
    AdminError, AdminEvent, AdminEventKind, AdminReference, ExportReference, ImportReference,
    export, import,
};
use crate::endpoint::EndpointDescription;
use crate::names::FrameworkId;

/// An endpoint that registrations share: an exported or an imported one.
pub(super) trait Endpoint: Sized {
    /// The kind of event for a registration that was opened.
    const OPENED: AdminEventKind;
    /// For one that was closed.
    const CLOSED: AdminEventKind;
    /// For one that failed.
    const FAILED: AdminEventKind;

    fn description(&self) -> Arc<EndpointDescription>;
    /// The numbers of its registrations; the book keeps them.
    fn numbers(&self) -> &Mutex<Vec<u64>>;
    /// Why it is beyond repair; the book says when.
    fn broken(&self) -> &OnceLock<Arc<AdminError>>;
    fn page(pages: &mut Pages) -> &mut Page<Self>;
    fn reference(slot: &Arc<Slot<Self>>) -> AdminReference;
}

pub(super) type Page<E> = BTreeMap<u64, Arc<Slot<E>>>;

/// A registration, as it and its references share it.
pub(super) struct Slot<E> {
    pub(super) number: u64,
    phase: Mutex<Phase<E>>,
    pub(super) update_error: Mutex<Option<Arc<AdminError>>>,
}

enum Phase<E> {
    Open(Arc<E>),
    Failed(Arc<AdminError>),
    Closed,
}

impl<E: Endpoint> Slot<E> {
    fn new(number: u64, phase: Phase<E>) -> Arc<Self> {
        Arc::new(Self {
            number,
            phase: Mutex::new(phase),
            update_error: Mutex::default(),
        })
    }

    /// The endpoint, while the registration is open.
    pub(super) fn endpoint(&self) -> Option<Arc<E>> {
        match &*self.phase.lock() {
            Phase::Open(endpoint) => Some(Arc::clone(endpoint)),
            Phase::Failed(_) | Phase::Closed => None,
        }
    }

    pub(super) fn description(&self) -> Option<Arc<EndpointDescription>> {
        Some(self.endpoint()?.description())
    }

    /// Why the registration is invalid, if it is.
    pub(super) fn error(&self) -> Option<Arc<AdminError>> {
        match &*self.phase.lock() {
            Phase::Failed(error) => Some(Arc::clone(error)),
            Phase::Open(_) | Phase::Closed => None,
        }
    }

    /// The endpoint of a registration that is to be updated (rule U04).
    pub(super) fn to_update(&self) -> Result<Arc<E>, AdminError> {
        match &*self.phase.lock() {
            Phase::Open(endpoint) => Ok(Arc::clone(endpoint)),
            Phase::Failed(error) => Err(AdminError::Invalid(Arc::clone(error))),
            Phase::Closed => Err(AdminError::Closed),
        }
    }
}

pub(super) struct Book {
    source: FrameworkId,
    pages: Mutex<Pages>,
}

#[derive(Default)]
pub(super) struct Pages {
    /// The number of the latest registration.
    last: u64,
    pub(super) exports: Page<export::State>,
    pub(super) imports: Page<import::State>,
    listeners: Vec<Weak<Mutex<Queue>>>,
}

impl Book {
    pub(super) fn new(source: FrameworkId) -> Self {
        Self {
            source,
            pages: Mutex::default(),
        }
    }

    pub(super) fn exports(&self) -> Vec<ExportReference> {
        let pages = self.pages.lock();
        let slots = pages.exports.values().cloned();
        slots.map(ExportReference).collect()
    }

    pub(super) fn imports(&self) -> Vec<ImportReference> {
        let pages = self.pages.lock();
        let slots = pages.imports.values().cloned();
        slots.map(ImportReference).collect()
    }

    /// Opens a registration of an endpoint that is there.
    pub(super) fn open<E: Endpoint>(&self, endpoint: &Arc<E>) -> Arc<Slot<E>> {
        let description = endpoint.description();
        log(E::OPENED, Some(&*description), None);
        let mut pages = self.pages.lock();
        let slot = Slot::new(pages.next(), Phase::Open(Arc::clone(endpoint)));
        E::page(&mut pages).insert(slot.number, Arc::clone(&slot));
        endpoint.numbers().lock().push(slot.number);
        self.tell(&mut pages, E::OPENED, &slot, Some(description), None);
        // Who began to share it before it broke is to know as well.
        if let Some(event) = self.broken(&slot) {
            pages.tell(&event);
        }
        slot
    }

    /// A registration that is invalid from the beginning. It is on no list.
    pub(super) fn fail<E: Endpoint>(
        &self,
        description: Option<&Arc<EndpointDescription>>,
        error: AdminError,
    ) -> Arc<Slot<E>> {
        let error = Arc::new(error);
        log(E::FAILED, description.map(|d| &**d), Some(&error));
        let mut pages = self.pages.lock();
        let slot = Slot::new(pages.next(), Phase::Failed(Arc::clone(&error)));
        self.tell(
            &mut pages,
            E::FAILED,
            &slot,
            description.cloned(),
            Some(error),
        );
        slot
    }

    /// Tells of each registration of an endpoint; with `cause` for trouble.
    pub(super) fn tell_all<E: Endpoint>(
        &self,
        endpoint: &E,
        kind: AdminEventKind,
        cause: Option<Arc<AdminError>>,
    ) {
        let description = endpoint.description();
        let mut pages = self.pages.lock();
        if kind == E::FAILED
            && let Some(cause) = &cause
        {
            // Of several, the first counts.
            endpoint.broken().get_or_init(|| Arc::clone(cause));
        }
        let slots = pages.of(endpoint);
        for slot in &slots {
            let description = Some(Arc::clone(&description));
            self.tell(&mut pages, kind, slot, description, cause.clone());
        }
        drop(pages);
        if !slots.is_empty() {
            log(kind, Some(&*description), cause.as_deref());
        }
    }

    /// Closes a registration; `None` if it was closed before or never valid,
    /// otherwise whether it was the endpoint's last.
    pub(super) fn close<E: Endpoint>(&self, slot: &Arc<Slot<E>>) -> Option<bool> {
        let mut pages = self.pages.lock();
        E::page(&mut pages).remove(&slot.number)?;
        // Before the event, so that the reference answers nothing then (V05).
        let phase = std::mem::replace(&mut *slot.phase.lock(), Phase::Closed);
        let Phase::Open(endpoint) = phase else {
            return None;
        };
        let description = endpoint.description();
        let last = {
            let mut numbers = endpoint.numbers().lock();
            numbers.retain(|number| *number != slot.number);
            numbers.is_empty()
        };
        self.tell(
            &mut pages,
            E::CLOSED,
            slot,
            Some(Arc::clone(&description)),
            None,
        );
        drop(pages);
        log(E::CLOSED, Some(&*description), None);
        Some(last)
    }

    /// Closes all registrations of an endpoint.
    pub(super) fn close_all<E: Endpoint>(&self, endpoint: &E) {
        let slots = self.pages.lock().of(endpoint);
        for slot in slots {
            self.close(&slot);
        }
    }

    /// The queue of a new listener (rule V02).
    pub(super) fn listen(&self) -> Arc<Mutex<Queue>> {
        let mut pages = self.pages.lock();
        let mut queue = Queue::default();
        queue.begin(self.open_now(&pages));
        let queue = Arc::new(Mutex::new(queue));
        // Those that are gone are noticed at events, of which there may be none.
        pages.listeners.retain(|gone| gone.strong_count() > 0);
        pages.listeners.push(Arc::downgrade(&queue));
        queue
    }

    /// Has a listener begin anew; gives the number of events that it lost.
    pub(super) fn listen_anew(&self, queue: &Mutex<Queue>) -> u64 {
        let pages = self.pages.lock();
        queue.lock().begin(self.open_now(&pages))
    }

    /// An event for each open registration, the oldest first, and one more
    /// where the endpoint is beyond repair: who lost events may have lost that.
    fn open_now(&self, pages: &Pages) -> VecDeque<AdminEvent> {
        let exports = pages.exports.values().flat_map(|slot| self.standing(slot));
        let imports = pages.imports.values().flat_map(|slot| self.standing(slot));
        let mut events: Vec<_> = exports.chain(imports).collect();
        events.sort_by_key(|event| event.reference.number());
        events.into()
    }

    fn standing<E: Endpoint>(&self, slot: &Arc<Slot<E>>) -> impl Iterator<Item = AdminEvent> {
        let opened = self.event(E::OPENED, slot, None);
        std::iter::once(opened).chain(self.broken(slot))
    }

    fn broken<E: Endpoint>(&self, slot: &Arc<Slot<E>>) -> Option<AdminEvent> {
        let cause = slot.endpoint()?.broken().get().cloned()?;
        Some(self.event(E::FAILED, slot, Some(cause)))
    }

    fn event<E: Endpoint>(
        &self,
        kind: AdminEventKind,
        slot: &Arc<Slot<E>>,
        error: Option<Arc<AdminError>>,
    ) -> AdminEvent {
        AdminEvent {
            kind,
            source: self.source.clone(),
            reference: E::reference(slot),
            endpoint: slot.description(),
            error,
        }
    }

    fn tell<E: Endpoint>(
        &self,
        pages: &mut Pages,
        kind: AdminEventKind,
        slot: &Arc<Slot<E>>,
        endpoint: Option<Arc<EndpointDescription>>,
        error: Option<Arc<AdminError>>,
    ) {
        if pages.listeners.is_empty() {
            return;
        }
        let event = AdminEvent {
            kind,
            source: self.source.clone(),
            reference: E::reference(slot),
            endpoint,
            error,
        };
        pages.tell(&event);
    }
}

impl Pages {
    fn tell(&mut self, event: &AdminEvent) {
        self.listeners.retain(|listener| {
            let Some(queue) = listener.upgrade() else {
                return false;
            };
            queue.lock().push(event);
            true
        });
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn of<E: Endpoint>(&mut self, endpoint: &E) -> Vec<Arc<Slot<E>>> {
        let page = E::page(self);
        let numbers = endpoint.numbers().lock();
        let slots = numbers.iter().filter_map(|number| page.get(number));
        slots.cloned().collect()
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        for listener in &self.pages.get_mut().listeners {
            if let Some(queue) = listener.upgrade() {
                queue.lock().close();
            }
        }
    }
}
