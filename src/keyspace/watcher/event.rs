//! What a watcher's machine is told, and what it asks for.

use super::Change;
use crate::keyspace::connect::{Failure, Header};
use crate::keyspace::range::{Page, PageRequest};

/// Names a call or a stream, so that news of one that was given up is known as such.
pub(crate) type CallId = u64;

/// What happens to a watcher.
#[derive(Debug)]
pub(crate) enum Event {
    /// Time has passed.
    Tick,
    /// Somebody asks for a listing.
    Relist,
    Dialled {
        call: CallId,
        result: Result<Header, Failure>,
    },
    Page {
        call: CallId,
        result: Result<Page, Failure>,
    },
    /// The watch's stream has news, or its end as a failure.
    Watch {
        call: CallId,
        result: Result<Message, Failure>,
    },
}

/// One message of a watch.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) header: Header,
    /// Whether it is about our watch. The answer to a request for progress is about none.
    pub(crate) addressed: bool,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    pub(crate) compact_revision: i64,
    pub(crate) reason: String,
    pub(crate) changes: Vec<Change>,
}

/// What the shell is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Connect to the endpoint of this index. There is no connection.
    Dial {
        call: CallId,
        endpoint: usize,
    },
    /// Drop the connection, its calls and its watch.
    Disconnect,
    /// Read a page. A watch that is open is dropped.
    ReadPage {
        call: CallId,
        request: PageRequest,
    },
    /// Open a watch from this revision on. One that is open is dropped.
    Open {
        call: CallId,
        revision: i64,
    },
    /// Ask the server for a sign of life on the open watch.
    AskProgress,
    Deliver(Vec<Change>),
    Synced(i64),
    HistoryLost,
    /// Remember and report trouble.
    Report(Trouble),
}

/// Trouble to be remembered as the last error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) step: Step,
    /// The endpoint in use when it happened.
    pub(crate) endpoint: usize,
    pub(crate) failure: Failure,
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Connect,
    List,
    Watch,
}
