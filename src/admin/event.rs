//! What Remote Service Admin tells its listeners (OSGi Compendium 122.7).

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{AdminError, AdminReference, Shared};
use crate::endpoint::EndpointDescription;
use crate::names::FrameworkId;

/// How many events a listener may lag behind before it loses them.
pub(super) const CAPACITY: usize = 1024;

/// Something that happened to a registration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminEvent {
    /// What happened.
    pub kind: AdminEventKind,
    /// The framework whose admin tells this.
    pub source: FrameworkId,
    /// Of which registration. When it is told that one is closed, its
    /// reference answers nothing any more (rule V05).
    pub reference: AdminReference,
    /// The endpoint, as it was then; none for an export that failed before it
    /// had a description.
    pub endpoint: Option<Arc<EndpointDescription>>,
    /// The error, of events of an error or a warning.
    pub error: Option<Arc<AdminError>>,
}

/// The kinds of event (rule V03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdminEventKind {
    /// An endpoint was imported.
    ImportRegistration,
    /// A service was exported.
    ExportRegistration,
    /// An export was closed.
    ExportUnregistration,
    /// An import was closed.
    ImportUnregistration,
    /// An import failed, or its endpoint is beyond repair. A registration
    /// that was valid stays open until its owner closes it, which it should
    /// (rule V06).
    ImportError,
    /// An export failed, or its endpoint is beyond repair. A registration
    /// that was valid stays open until it is closed (rules X13, V06).
    ExportError,
    /// An export has trouble, and works still.
    ExportWarning,
    /// An import has trouble, and works still.
    ImportWarning,
    /// An import follows a changed description.
    ImportUpdate,
    /// An export follows changed properties.
    ExportUpdate,
}

impl AdminEventKind {
    /// The number that OSGi's `RemoteServiceAdminEvent` gives to the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::ImportRegistration => 1,
            Self::ExportRegistration => 2,
            Self::ExportUnregistration => 3,
            Self::ImportUnregistration => 4,
            Self::ImportError => 5,
            Self::ExportError => 6,
            Self::ExportWarning => 7,
            Self::ImportWarning => 8,
            Self::ImportUpdate => 9,
            Self::ExportUpdate => 10,
        }
    }

    /// The last part of the topic under which OSGi's Event Admin tells of the
    /// kind; the log has it as `kind` (rule V07).
    pub fn topic(self) -> &'static str {
        match self {
            Self::ImportRegistration => "IMPORT_REGISTRATION",
            Self::ExportRegistration => "EXPORT_REGISTRATION",
            Self::ExportUnregistration => "EXPORT_UNREGISTRATION",
            Self::ImportUnregistration => "IMPORT_UNREGISTRATION",
            Self::ImportError => "IMPORT_ERROR",
            Self::ExportError => "EXPORT_ERROR",
            Self::ExportWarning => "EXPORT_WARNING",
            Self::ImportWarning => "IMPORT_WARNING",
            Self::ImportUpdate => "IMPORT_UPDATE",
            Self::ExportUpdate => "EXPORT_UPDATE",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ImportRegistration => "imported",
            Self::ExportRegistration => "exported",
            Self::ExportUnregistration => "unexported",
            Self::ImportUnregistration => "unimported",
            Self::ImportError => "import failed",
            Self::ExportError => "export failed",
            Self::ExportWarning => "export has trouble",
            Self::ImportWarning => "import has trouble",
            Self::ImportUpdate => "import updated",
            Self::ExportUpdate => "export updated",
        }
    }

    fn is_warning(self) -> bool {
        matches!(self, Self::ExportWarning | Self::ImportWarning)
    }
}

/// A listener to the admin's events. Dropping it stops them.
///
/// Each listener has a queue of its own, in which events stand in the order
/// in which things happened, those of different registrations too. An event
/// is in it before the call that caused it returns (rule V01). Nobody waits
/// for a listener, and one that is slow harms no other.
///
/// The queue is bounded. A listener that lags behind 1,024 events loses what
/// is queued: it is told how many those were, and then of the registrations
/// that are open, and which of these are beyond repair, as if it had just
/// come. So whoever forgets all that it knew when it is told of a loss knows
/// the truth again, and the events folded are what is open: each registration
/// is told of once, then updated any number of times, then closed.
pub struct AdminEvents {
    queue: Arc<Mutex<Queue>>,
    admin: Weak<Shared>,
}

/// A listener was too slow and lost events. Those that follow begin with what
/// is open now, as for a new listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} events were lost because the listener was too slow: forget what was told before, what \
     is open now is told anew"
)]
pub struct EventsLost(pub u64);

impl AdminEvents {
    pub(super) fn new(admin: &Arc<Shared>) -> Self {
        Self {
            queue: admin.book.listen(),
            admin: Arc::downgrade(admin),
        }
    }

    /// The next event; `None` when the admin is gone. Cancellation safe.
    ///
    /// # Errors
    ///
    /// If events were lost before the next one.
    pub async fn next(&mut self) -> Option<Result<AdminEvent, EventsLost>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    ///
    /// If events were lost before the next one.
    pub fn try_next(&mut self) -> Option<Result<AdminEvent, EventsLost>> {
        let mut queue = self.queue.lock();
        if let Some(event) = queue.events.pop_front() {
            return Some(Ok(event));
        }
        if queue.lost == 0 {
            return None;
        }
        drop(queue);
        Some(Err(EventsLost(self.begin_anew())))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<AdminEvent, EventsLost>>> {
        // Before the look, so that nothing comes unnoticed in between.
        self.queue.lock().waker = Some(cx.waker().clone());
        match self.try_next() {
            Some(next) => Poll::Ready(Some(next)),
            None if self.queue.lock().closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn begin_anew(&mut self) -> u64 {
        match self.admin.upgrade() {
            Some(admin) => admin.book.listen_anew(&self.queue),
            None => std::mem::take(&mut self.queue.lock().lost),
        }
    }
}

impl fmt::Debug for AdminEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminEvents").finish_non_exhaustive()
    }
}

/// What a listener was not told yet.
#[derive(Default)]
pub(super) struct Queue {
    events: VecDeque<AdminEvent>,
    /// How many events it may hold: the capacity, beside those of the
    /// registrations that were open at its beginning.
    limit: usize,
    /// While this is above 0 the queue is empty and stays so: the listener
    /// has to begin anew.
    lost: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl Queue {
    /// Begins with these events; gives the number of those lost before.
    pub(super) fn begin(&mut self, events: VecDeque<AdminEvent>) -> u64 {
        self.limit = events.len() + CAPACITY;
        self.events = events;
        std::mem::take(&mut self.lost)
    }

    pub(super) fn push(&mut self, event: &AdminEvent) {
        if self.lost > 0 {
            self.lost += 1;
        } else if self.events.len() < self.limit {
            self.events.push_back(event.clone());
        } else {
            self.lost = self.events.len() as u64 + 1;
            self.events = VecDeque::new();
        }
        self.wake();
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Writes an event to the log, with the names that OSGi's Event Admin has for
/// its properties (rule V07); the log's own time is the time stamp.
pub(super) fn log(
    kind: AdminEventKind,
    endpoint: Option<&EndpointDescription>,
    cause: Option<&AdminError>,
) {
    let (what, kind_name) = (kind.name(), kind.topic());
    let id = endpoint.map(EndpointDescription::id);
    let interfaces = endpoint.map(EndpointDescription::interfaces);
    let endpoint = endpoint.map(tracing::field::display);
    macro_rules! write_log {
        ($level:ident) => {
            $level!(
                kind = kind_name,
                endpoint,
                endpoint.id = id.map(tracing::field::display),
                objectClass = interfaces.as_ref().map(tracing::field::debug),
                cause = cause.map(tracing::field::display),
                "{what}"
            )
        };
    }
    match cause {
        None => write_log!(info),
        Some(_) if kind.is_warning() => write_log!(warn),
        Some(_) => write_log!(error),
    }
}
