//! All watches of the registry, and what each stream is to be told next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use etcd_client::proto::PbKeyValue;

use super::super::store::Store;
use super::super::store::event::{Commit, Kind};
use super::index::{Index, WatchKey};
use super::range::Range;

/// Messages that wait for one stream. As many as etcd keeps for one; past it, watches read from the
/// history.
const QUEUE: usize = 128;
/// The same in bytes: 128 of the largest commits would be 200 MB for each client that does not read.
const QUEUE_BYTES: usize = 1024 * 1024;
/// The most revisions in one answer from the history, as etcd's.
const BATCH_REVISIONS: usize = 1000;
/// The most bytes in one answer from the history, if it tells of more than one revision. etcd has no
/// such limit, and many clients refuse answers over 4 MiB.
const BATCH_BYTES: usize = 1024 * 1024;
/// The most revisions that are looked at in one go, since all others wait for the lock.
const SCAN: usize = 4096;

/// A stream, among all of the registry.
pub(super) type StreamKey = u64;

/// The id in an answer that concerns no watch, or one that was refused.
const NO_WATCH: i64 = -1;

/// What a watch was asked to be.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) range: Range,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    pub(super) previous: bool,
    pub(super) fragment: bool,
}

impl Spec {
    pub(super) fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Put => !self.no_put,
            Kind::Delete => !self.no_delete,
        }
    }

    fn wants_any_of(&self, commit: &Commit) -> bool {
        let mut events = commit.events.iter();
        events.any(|change| self.wants(change.kind) && self.range.contains(&change.kv.key))
    }
}

/// A request for a watch.
#[derive(Debug)]
pub(super) struct Create {
    /// 0 for the hub's choice.
    pub(super) id: i64,
    /// `None` if the range asked for holds no key.
    pub(super) range: Option<Range>,
    /// The first revision; 0 for the next one.
    pub(super) start: i64,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    pub(super) previous: bool,
    pub(super) fragment: bool,
    /// Whether it is told now and then how far it is.
    pub(super) progress: bool,
}

/// Why a watch was not created; the texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Duplicate,
    EmptyRange,
}

impl Refusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "mvcc: duplicate watch ID provided on the WatchStream",
            Self::EmptyRange => "mvcc: watcher range is empty",
        }
    }
}

/// What a stream is told.
#[derive(Debug)]
pub(super) enum Message {
    Created {
        id: i64,
        revision: i64,
    },
    Refused {
        refusal: Refusal,
        revision: i64,
    },
    Canceled {
        id: i64,
        revision: i64,
    },
    /// The watch ended, for what it was to be told next is forgotten.
    Compacted {
        id: i64,
        compacted: i64,
    },
    /// All up to the revision was told, to one watch or (id -1) to all of the stream.
    Progress {
        id: i64,
        revision: i64,
    },
    Events(Events),
}

/// What one watch is told of one or more commits.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) id: i64,
    pub(super) spec: Arc<Spec>,
    pub(super) commits: Vec<Arc<Commit>>,
    /// The store's when this was put together.
    pub(super) revision: i64,
}

impl Events {
    /// About what it holds in memory: what was before is held, whether it is told or not.
    fn size(&self) -> usize {
        self.commits.iter().map(|commit| size(commit, true)).sum()
    }
}

/// What [`Hub::next`] has for a stream.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    /// Nothing now; the waker is kept.
    Wait,
    /// There is more to look through, after others had their turn at the lock.
    Again,
    /// The registry ends.
    End,
}

#[derive(Debug)]
struct Watch {
    stream: StreamKey,
    id: i64,
    spec: Arc<Spec>,
    /// The first revision that was not yet put in the queue.
    next: i64,
    behind: bool,
    progress: bool,
    /// No event was told since the last tick.
    quiet: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// A watch that compaction ended keeps its id, as in etcd, until it is canceled.
    ids: BTreeMap<i64, Option<WatchKey>>,
    next_id: i64,
    queue: VecDeque<Message>,
    /// What the events in the queue hold.
    queued_bytes: usize,
    /// Watches that read from the history, each once, in turn.
    behind: VecDeque<WatchKey>,
    /// Progress asked for while watches were behind.
    progress_asked: u64,
    waker: Option<Waker>,
}

impl Stream {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether a commit may pass by the history. While any watch is behind none may: the queue then
    /// runs dry, which is when the history is read.
    fn has_room(&self) -> bool {
        self.behind.is_empty() && self.queue.len() < QUEUE && self.queued_bytes < QUEUE_BYTES
    }

    fn push_events(&mut self, events: Events) {
        self.queued_bytes += events.size();
        self.queue.push_back(Message::Events(events));
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        if let Message::Events(events) = &message {
            self.queued_bytes -= events.size();
        }
        Some(message)
    }
}

/// The watchers.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    streams: BTreeMap<StreamKey, Stream>,
    watches: HashMap<WatchKey, Watch>,
    index: Index,
    /// Of streams and watches.
    last_key: u64,
    ended: bool,
}

impl Hub {
    /// Tells the watchers of a commit, in the critical section that made it.
    pub(crate) fn publish(&mut self, commit: &Arc<Commit>) {
        let (watches, streams) = (&mut self.watches, &mut self.streams);
        for change in &commit.events {
            self.index.find(&change.kv.key, |key| {
                let Some(watch) = watches.get_mut(&key) else {
                    return;
                };
                // One that is behind reads it from the history. One whose next revision is higher
                // begins later, or has this commit already for another of its keys.
                if watch.behind || commit.revision < watch.next || !watch.spec.wants(change.kind) {
                    return;
                }
                let Some(stream) = streams.get_mut(&watch.stream) else {
                    return;
                };
                if stream.has_room() {
                    watch.next = commit.revision + 1;
                    stream.push_events(Events {
                        id: watch.id,
                        spec: Arc::clone(&watch.spec),
                        commits: vec![Arc::clone(commit)],
                        revision: commit.revision,
                    });
                } else {
                    watch.next = commit.revision;
                    watch.behind = true;
                    stream.behind.push_back(key);
                }
                stream.wake();
            });
        }
    }

    /// Ends all streams, and those that come.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.streams.values_mut().for_each(Stream::wake);
    }

    /// A new stream. It must be closed.
    pub(super) fn open(&mut self) -> StreamKey {
        self.last_key += 1;
        self.streams.insert(self.last_key, Stream::default());
        self.last_key
    }

    #[cfg(test)]
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Forgets a stream and its watches.
    pub(super) fn close(&mut self, stream: StreamKey) {
        let Some(stream) = self.streams.remove(&stream) else {
            return;
        };
        for key in stream.ids.into_values().flatten() {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: WatchKey) {
        if let Some(watch) = self.watches.remove(&key) {
            self.index.remove(&watch.spec.range, key);
        }
    }

    /// Whether a request can be taken: its answer would wait in the queue.
    pub(super) fn takes_requests(&self, stream: StreamKey) -> bool {
        let stream = self.streams.get(&stream);
        stream.is_some_and(|stream| stream.queue.len() < QUEUE)
    }

    /// Adds a watch, or refuses it; the stream is told which.
    pub(super) fn create(&mut self, key: StreamKey, create: Create, revision: i64) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let refuse = |refusal| Message::Refused { refusal, revision };
        let Some(range) = create.range else {
            stream.queue.push_back(refuse(Refusal::EmptyRange));
            return;
        };
        if stream.ids.contains_key(&create.id) && create.id != 0 {
            stream.queue.push_back(refuse(Refusal::Duplicate));
            return;
        }
        let id = match create.id {
            0 => {
                while stream.ids.contains_key(&stream.next_id) {
                    stream.next_id += 1;
                }
                stream.next_id += 1;
                stream.next_id - 1
            }
            chosen => chosen,
        };
        self.last_key += 1;
        let watch_key = self.last_key;
        let next = match create.start {
            0 => revision + 1,
            start => start,
        };
        let behind = next <= revision;
        stream.ids.insert(id, Some(watch_key));
        stream.queue.push_back(Message::Created { id, revision });
        if behind {
            stream.behind.push_back(watch_key);
        }
        self.index.insert(&range, watch_key);
        let spec = Arc::new(Spec {
            range,
            no_put: create.no_put,
            no_delete: create.no_delete,
            previous: create.previous,
            fragment: create.fragment,
        });
        let watch = Watch {
            stream: key,
            id,
            spec,
            next,
            behind,
            progress: create.progress,
            quiet: true,
        };
        self.watches.insert(watch_key, watch);
    }

    /// Ends a watch; an unknown one is passed over in silence, as in etcd.
    pub(super) fn cancel(&mut self, stream: StreamKey, id: i64, revision: i64) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(watch) = stream.ids.remove(&id) else {
            return;
        };
        // The answer is the last that is heard of a watch.
        let queued_bytes = &mut stream.queued_bytes;
        stream.queue.retain(|message| match message {
            Message::Events(events) if events.id == id => {
                *queued_bytes -= events.size();
                false
            }
            _ => true,
        });
        stream.behind.retain(|key| Some(*key) != watch);
        stream.queue.push_back(Message::Canceled { id, revision });
        if let Some(key) = watch {
            self.forget(key);
        }
    }

    /// Answers how far the stream's watches are: at once, or when all have caught up. etcd before
    /// 3.5.9 answers at once in any case, so that a client may lose what was still to come.
    pub(super) fn ask_progress(&mut self, stream: StreamKey, revision: i64) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        if stream.behind.is_empty() {
            let id = NO_WATCH;
            stream.queue.push_back(Message::Progress { id, revision });
        } else {
            stream.progress_asked += 1;
        }
    }

    /// Tells the watches that asked for it how far they are, if no event did since the last time.
    pub(super) fn tick(&mut self, stream: StreamKey, revision: i64) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        for (id, key) in &stream.ids {
            let watch = key.and_then(|key| self.watches.get_mut(&key));
            let Some(watch) = watch.filter(|watch| watch.progress) else {
                continue;
            };
            if watch.quiet && !watch.behind && stream.queue.len() < QUEUE {
                let id = *id;
                stream.queue.push_back(Message::Progress { id, revision });
            }
            watch.quiet = true;
        }
    }

    /// What the stream is told next.
    pub(super) fn next(&mut self, key: StreamKey, store: &Store, waker: &Waker) -> Next {
        let Some(stream) = self.streams.get_mut(&key).filter(|_| !self.ended) else {
            return Next::End;
        };
        if let Some(message) = stream.pop() {
            self.note_told(key, &message);
            return Next::Message(message);
        }
        if let Some(watch) = stream.behind.pop_front() {
            return match self.catch_up(watch, store) {
                Some(message) => {
                    self.note_told(key, &message);
                    Next::Message(message)
                }
                None => Next::Again,
            };
        }
        if stream.progress_asked > 0 {
            stream.progress_asked -= 1;
            return Next::Message(Message::Progress {
                id: NO_WATCH,
                revision: store.revision(),
            });
        }
        stream.waker = Some(waker.clone());
        Next::Wait
    }

    fn note_told(&mut self, stream: StreamKey, message: &Message) {
        if let Message::Events(events) = message
            && let Some(stream) = self.streams.get(&stream)
            && let Some(Some(key)) = stream.ids.get(&events.id)
            && let Some(watch) = self.watches.get_mut(key)
        {
            watch.quiet = false;
        }
    }

    /// Reads on from the history for a watch that was taken off its stream's list of those behind,
    /// and puts it back unless it reached the end.
    fn catch_up(&mut self, key: WatchKey, store: &Store) -> Option<Message> {
        let watch = self.watches.get_mut(&key)?;
        let stream = self.streams.get_mut(&watch.stream)?;
        let (id, compacted) = (watch.id, store.compacted());
        // What the compacted revision itself changed is still told.
        if watch.next < compacted {
            stream.ids.insert(id, None);
            self.forget(key);
            return Some(Message::Compacted { id, compacted });
        }
        let (mut commits, mut bytes, mut at_end) = (Vec::new(), 0, true);
        for (seen, commit) in store.commits_from(watch.next).enumerate() {
            let size = match watch.spec.wants_any_of(commit) {
                true => Some(size(commit, watch.spec.previous)),
                false => None,
            };
            let too_large = bytes > 0 && size.is_some_and(|size| bytes + size > BATCH_BYTES);
            if seen == SCAN || commits.len() == BATCH_REVISIONS || too_large {
                at_end = false;
                break;
            }
            watch.next = commit.revision + 1;
            if let Some(size) = size {
                bytes += size;
                commits.push(Arc::clone(commit));
            }
        }
        watch.behind = !at_end;
        if at_end {
            watch.next = watch.next.max(store.revision() + 1);
        } else {
            stream.behind.push_back(key);
        }
        let events = Events {
            id,
            spec: Arc::clone(&watch.spec),
            commits,
            revision: store.revision(),
        };
        (!events.commits.is_empty()).then_some(Message::Events(events))
    }
}

/// About what a commit takes in an answer, with or without what was before each event.
fn size(commit: &Commit, previous: bool) -> usize {
    let of = |kv: &PbKeyValue| kv.key.len() + kv.value.len();
    let sizes = commit.events.iter().map(|event| {
        let before = event.previous.as_deref().filter(|_| previous);
        64 + of(&event.kv) + before.map_or(0, of)
    });
    sizes.sum()
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
