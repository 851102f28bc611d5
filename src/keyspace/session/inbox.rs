//! What a session's handle has for its task.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Committed;
use crate::keyspace::Error;

pub(super) type Waiter = oneshot::Sender<Result<Committed, Error>>;

/// News of one key, from the handle to the task.
pub(super) struct News {
    pub(super) key: String,
    pub(super) value: Option<Bytes>,
    pub(super) waiter: Waiter,
}

/// What the handle has for the task. Not a queue: it holds one piece of news for each key, so that
/// it is bounded by the keys, however slow etcd is.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) news: HashMap<String, (Option<Bytes>, Vec<Waiter>)>,
    /// The keys of `news`, in the order of their first call.
    pub(super) order: Vec<String>,
    pub(super) audit: bool,
    pub(super) close: Option<Instant>,
    /// The task is over, and nobody will read any more.
    over: bool,
}

impl Inbox {
    pub(super) fn send(&self, news: News) {
        let mut content = self.content.lock();
        if content.over {
            // Dropping the waiter tells the caller.
            return;
        }
        let content = &mut *content;
        let (value, waiters) = content.news.entry(news.key.clone()).or_insert_with(|| {
            content.order.push(news.key);
            (None, Vec::new())
        });
        *value = news.value;
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(news.waiter);
        self.filled.notify_one();
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> Content {
        std::mem::take(&mut *self.content.lock())
    }

    pub(super) fn audit(&self) {
        self.content.lock().audit = true;
        self.filled.notify_one();
    }

    pub(super) fn close(&self, deadline: Instant) {
        self.content.lock().close = Some(deadline);
        self.filled.notify_one();
    }
}

/// Closes the inbox when the task ends in whatever way.
pub(super) struct Over(pub(super) Arc<Inbox>);

impl Drop for Over {
    fn drop(&mut self) {
        let mut content = self.0.content.lock();
        *content = Content {
            over: true,
            ..Content::default()
        };
    }
}
