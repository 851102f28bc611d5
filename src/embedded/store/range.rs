//! Which keys a range has, and what is answered of them.

use std::cmp::Ordering;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::proto::{PbKeyValue, PbRangeRequest, PbRangeResponse, PbResponseHeader};

use super::{Store, Superseded};
use crate::embedded::error::Error;

/// The numbers of `SortOrder` and `SortTarget`, which the stubs do not export.
const NONE: i32 = 0;
const DESCEND: i32 = 2;
const BY_KEY: i32 = 0;
const BY_VERSION: i32 = 1;
const BY_CREATE: i32 = 2;
const BY_MOD: i32 = 3;
const BY_VALUE: i32 = 4;

/// When a page of a streamed range is full, in bytes of keys and values.
const PAGE: usize = 1024 * 1024;

/// The keys that a request means by `key` and `range_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRange<'a> {
    /// No `range_end`: the key itself.
    One(&'a [u8]),
    /// From the first, and before the second.
    Between(&'a [u8], &'a [u8]),
    /// A `range_end` of one zero byte: the key and all after it.
    From(&'a [u8]),
    /// A `range_end` that is not after the key.
    Nothing,
}

impl<'a> KeyRange<'a> {
    /// Reads etcd's rules for range ends.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            end if end <= key => Self::Nothing,
            end => Self::Between(key, end),
        }
    }

    /// As bounds for an ordered map, which does not take an inverted range.
    pub(super) fn bounds(self) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        match self {
            Self::One(key) => (Bound::Included(key), Bound::Included(key)),
            Self::Between(key, end) => (Bound::Included(key), Bound::Excluded(end)),
            Self::From(key) => (Bound::Included(key), Bound::Unbounded),
            Self::Nothing => (Bound::Included(&[]), Bound::Excluded(&[])),
        }
    }
}

/// What a range has, before bytes are copied for the wire.
#[derive(Debug)]
pub(crate) struct Found {
    kvs: Vec<Arc<PbKeyValue>>,
    more: bool,
    count: usize,
    keys_only: bool,
}

impl Found {
    /// The answer. Copies the bytes: do it outside of the lock.
    pub(crate) fn into_response(self, header: PbResponseHeader) -> PbRangeResponse {
        let (more, count) = (self.more, self.count());
        PbRangeResponse {
            header: Some(header),
            kvs: self.kvs.iter().map(|kv| copy(kv, self.keys_only)).collect(),
            more,
            count,
        }
    }

    /// The same answer in pages: the kvs are spread over all, and the last has
    /// the rest. Copies page by page.
    pub(crate) fn into_pages(
        self,
        header: PbResponseHeader,
    ) -> impl Iterator<Item = PbRangeResponse> + Send {
        let (more, count, keys_only) = (self.more, self.count(), self.keys_only);
        let mut kvs = self.kvs.into_iter().peekable();
        let mut done = false;
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            let (mut page, mut bytes) = (Vec::new(), 0);
            while let Some(kv) = kvs.next_if(|_| bytes < PAGE) {
                let kv = copy(&kv, keys_only);
                bytes += kv.key.len() + kv.value.len();
                page.push(kv);
            }
            done = kvs.peek().is_none();
            Some(match done {
                false => PbRangeResponse {
                    kvs: page,
                    ..PbRangeResponse::default()
                },
                true => PbRangeResponse {
                    header: Some(header),
                    kvs: page,
                    more,
                    count,
                },
            })
        })
    }

    fn count(&self) -> i64 {
        i64::try_from(self.count).unwrap_or(i64::MAX)
    }
}

fn copy(kv: &PbKeyValue, keys_only: bool) -> PbKeyValue {
    if !keys_only {
        return kv.clone();
    }
    PbKeyValue {
        key: kv.key.clone(),
        value: Vec::new(),
        ..*kv
    }
}

/// What can be said of a request without looking at the store.
pub(crate) fn check(request: &PbRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    // etcd 3.4 and 3.5.1 crash on an unknown target; later ones refuse both.
    if !(NONE..=DESCEND).contains(&request.sort_order)
        || !(BY_KEY..=BY_VALUE).contains(&request.sort_target)
    {
        return Err(Error::InvalidSort);
    }
    Ok(())
}

impl Store {
    /// Whether the store as it was at a revision can be read; 0 and below mean
    /// now, at the revision `now`.
    pub(super) fn check_readable(&self, revision: i64, now: i64) -> Result<(), Error> {
        if revision > now {
            return Err(Error::FutureRevision);
        }
        if revision > 0 && revision < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(())
    }

    /// Finds what a request asks for.
    pub(crate) fn range(&self, request: &PbRangeRequest) -> Result<Found, Error> {
        self.check_readable(request.revision, self.revision)?;
        Ok(self.read(request, self.revision))
    }

    /// The same inside of a transaction that was checked; it may have changed
    /// something, and then `now` is the revision to be.
    pub(super) fn read(&self, request: &PbRangeRequest, now: i64) -> Found {
        let range = KeyRange::new(&request.key, &request.range_end);
        if request.revision <= 0 || request.revision >= now {
            let live = self.current.range::<[u8], _>(range.bounds());
            select(live.map(|(_, kv)| kv), request)
        } else {
            select(self.as_of(range, request.revision), request)
        }
    }

    /// The keys of a range as they were at a revision, ascending.
    pub(super) fn as_of<'a>(
        &'a self,
        range: KeyRange<'a>,
        revision: i64,
    ) -> impl Iterator<Item = &'a Arc<PbKeyValue>> {
        AsOf {
            current: self.current.range::<[u8], _>(range.bounds()).peekable(),
            past: self.past.range::<[u8], _>(range.bounds()).peekable(),
            revision,
        }
    }
}

/// Merges what is there now with what was there before.
struct AsOf<'a> {
    current: Peekable<btree_map::Range<'a, Bytes, Arc<PbKeyValue>>>,
    past: Peekable<btree_map::Range<'a, Bytes, Superseded>>,
    revision: i64,
}

impl<'a> Iterator for AsOf<'a> {
    type Item = &'a Arc<PbKeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.current.peek(), self.past.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((current, _)), Some((past, _))) => current.cmp(past),
            };
            let current = (order.is_le()).then(|| self.current.next()).flatten();
            let past = (order.is_ge()).then(|| self.past.next()).flatten();
            let found = current
                .map(|(_, kv)| kv)
                .filter(|kv| kv.mod_revision <= self.revision)
                .or_else(|| past.and_then(|(_, versions)| versions.at(self.revision)));
            if found.is_some() {
                return found;
            }
        }
    }
}

/// Filters, sorts and cuts as etcd does.
fn select<'a>(
    mut live: impl Iterator<Item = &'a Arc<PbKeyValue>>,
    request: &PbRangeRequest,
) -> Found {
    let empty = Found {
        kvs: Vec::new(),
        more: false,
        count: 0,
        keys_only: request.keys_only,
    };
    if request.count_only {
        let count = live.count();
        return Found { count, ..empty };
    }
    let limit = usize::try_from(request.limit).ok().filter(|l| *l > 0);
    let filters = is_filtered(request);
    // etcd reads one more than the limit before it sorts by a target alone,
    // and all when an order or a filter is given.
    let read = match limit {
        Some(limit) if request.sort_order == NONE && !filters => limit.saturating_add(1),
        _ => usize::MAX,
    };
    let mut kvs: Vec<&Arc<PbKeyValue>> = live.by_ref().take(read).collect();
    let count = kvs.len() + live.count();
    if filters {
        kvs.retain(|kv| passes(kv, request));
    }
    sort(&mut kvs, request);
    let more = limit.is_some_and(|limit| kvs.len() > limit);
    kvs.truncate(limit.unwrap_or(usize::MAX));
    Found {
        kvs: kvs.into_iter().map(Arc::clone).collect(),
        more,
        count,
        ..empty
    }
}

fn is_filtered(request: &PbRangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(kv: &PbKeyValue, request: &PbRangeRequest) -> bool {
    let within =
        |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    within(
        kv.mod_revision,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && within(
        kv.create_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
}

/// A target without an order sorts ascending. What is equal stays in the order
/// of keys, in either direction.
fn sort(kvs: &mut [&Arc<PbKeyValue>], request: &PbRangeRequest) {
    if request.sort_order == NONE && request.sort_target == BY_KEY {
        return;
    }
    let compare = |a: &PbKeyValue, b: &PbKeyValue| match request.sort_target {
        BY_VERSION => a.version.cmp(&b.version),
        BY_CREATE => a.create_revision.cmp(&b.create_revision),
        BY_MOD => a.mod_revision.cmp(&b.mod_revision),
        BY_VALUE => a.value.cmp(&b.value),
        _ => a.key.cmp(&b.key),
    };
    if request.sort_order == DESCEND {
        kvs.sort_by(|a, b| compare(b, a));
    } else {
        kvs.sort_by(|a, b| compare(a, b));
    }
}
