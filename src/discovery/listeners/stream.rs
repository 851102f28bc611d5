//! Listeners that are streams.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use parking_lot::{Mutex, RwLock};

use super::merge::{Merge, SourceId};
use super::{EndpointEvent, EndpointFeed, Scope};
use crate::endpoint::EndpointDescription;
use crate::feed::{Change, Feed, Interest, Listener};
use crate::filter::Filter;
use crate::names::EndpointId;

type SourceListener = Listener<EndpointId, Arc<EndpointDescription>, Filter>;

/// The scope of a listener, and its ends in the sources.
struct Control {
    scope: RwLock<Scope>,
    /// Held while the scope changes and while a source is joined, so that no
    /// source is joined with a scope of before.
    interests: Mutex<Vec<Interest<EndpointId, Arc<EndpointDescription>>>>,
}

impl Control {
    fn join(self: &Arc<Self>, feed: &EndpointFeed) -> SourceListener {
        let mut interests = self.interests.lock();
        let topics = self.scope.read().topics();
        let control = Arc::clone(self);
        let select = move |endpoint: &Arc<EndpointDescription>| {
            let scope = control.scope.read().clone();
            scope.first_match(endpoint).cloned()
        };
        let listener = feed.listen_to(topics, select);
        interests.retain(|interest| !interest.is_over());
        interests.push(listener.interest());
        listener
    }

    fn change(&self, change: impl FnOnce(&Scope) -> Scope) {
        let interests = self.interests.lock();
        let scope = {
            let mut current = self.scope.write();
            *current = change(&current);
            current.clone()
        };
        for interest in &*interests {
            interest.change(scope.topics());
        }
    }
}

/// Changes the scope of a listener while it listens (rule E05).
///
/// What matches the new scope and did not match the one before is added; what
/// does not match any more ends its match. What matches both is no news.
#[derive(Clone)]
pub struct ScopeHandle(Arc<Control>);

impl ScopeHandle {
    /// The scope as it is now.
    pub fn get(&self) -> Scope {
        self.0.scope.read().clone()
    }

    /// Another scope.
    pub fn set(&self, scope: Scope) {
        super::warn_of_doubts(&scope);
        self.0.change(|_| scope);
    }

    /// One filter more, tried after the others.
    pub fn extend(&self, filter: Filter) {
        self.0.change(|scope| scope.with(filter));
    }

    /// One filter less.
    pub fn reduce(&self, filter: &Filter) {
        self.0.change(|scope| scope.without(filter));
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeHandle").field(&self.get()).finish()
    }
}

/// A listener to endpoints of all sources: a stream of events that ends with
/// [`EndpointListeners::close`](super::EndpointListeners::close). Dropping it
/// ends it; taking from it is cancellation safe.
pub struct EndpointListener {
    control: Arc<Control>,
    sources: Listener<SourceId, EndpointFeed>,
    joined: Vec<(SourceId, SourceListener)>,
    /// Which of them is asked first, so that none is starved by another.
    first: usize,
    merge: Merge,
    ready: VecDeque<EndpointEvent>,
    ended: bool,
}

impl EndpointListener {
    pub(super) fn new(sources: &Feed<SourceId, EndpointFeed>, scope: Scope) -> Self {
        Self {
            control: Arc::new(Control {
                scope: RwLock::new(scope),
                interests: Mutex::default(),
            }),
            sources: sources.listen(|_| true),
            joined: Vec::new(),
            first: 0,
            merge: Merge::default(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// A handle by which others change the scope.
    pub fn scope(&self) -> ScopeHandle {
        ScopeHandle(Arc::clone(&self.control))
    }

    /// The next event; `None` when there are no more. Cancellation safe.
    pub async fn next(&mut self) -> Option<EndpointEvent> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Follows what became of the sources.
    fn poll_sources(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            match Pin::new(&mut self.sources).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Change::Added(id, feed))) => {
                    self.joined.push((id, self.control.join(&feed)));
                }
                Poll::Ready(Some(Change::Modified { key, value, .. })) => {
                    self.leave(key);
                    self.joined.push((key, self.control.join(&value)));
                }
                Poll::Ready(Some(Change::Removed(id, _) | Change::EndMatch { key: id, .. })) => {
                    self.leave(id);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    while let Some((id, _)) = self.joined.first() {
                        self.leave(*id);
                    }
                }
            }
        }
    }

    fn leave(&mut self, source: SourceId) {
        let joined = &self.joined;
        let why = |of, id: &EndpointId| why(joined, of, id);
        self.ready.extend(self.merge.end(source, &why));
        self.joined.retain(|(id, _)| *id != source);
    }

    /// The next event of one of the sources, or none for now.
    fn poll_joined(&mut self, cx: &mut Context<'_>) -> Option<EndpointEvent> {
        let mut silent = 0;
        while silent < self.joined.len() {
            self.first = (self.first + 1) % self.joined.len();
            let (id, listener) = self.joined.get_mut(self.first)?;
            let id = *id;
            match listener.poll_matched(cx) {
                Poll::Pending => silent += 1,
                Poll::Ready(Some((change, filter))) => {
                    silent = 0;
                    let joined = &self.joined;
                    let why = |of, id: &EndpointId| why(joined, of, id);
                    if let Some(event) = self.merge.hear(id, change, filter, &why) {
                        return Some(event);
                    }
                }
                Poll::Ready(None) => {
                    silent = 0;
                    self.leave(id);
                    if let Some(event) = self.ready.pop_front() {
                        return Some(event);
                    }
                }
            }
        }
        None
    }
}

fn why(
    joined: &[(SourceId, SourceListener)],
    source: SourceId,
    endpoint: &EndpointId,
) -> Option<Filter> {
    let (_, listener) = joined.iter().find(|(id, _)| *id == source)?;
    listener.why(endpoint).cloned()
}

impl Stream for EndpointListener {
    type Item = EndpointEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EndpointEvent>> {
        let this = &mut *self;
        this.poll_sources(cx);
        if let Some(event) = this.ready.pop_front() {
            return Poll::Ready(Some(event));
        }
        match this.poll_joined(cx) {
            Some(event) => Poll::Ready(Some(event)),
            None if this.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for EndpointListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointListener")
            .field("scope", &self.scope().get())
            .finish_non_exhaustive()
    }
}
