//! Reading a range in pages, all at one revision.

use bytes::Bytes;
use etcd_client::{GetOptions, KvClient};

use super::connect::Header;

/// One key as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    /// Empty when only keys were asked for.
    pub(crate) value: Bytes,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

impl From<etcd_client::KeyValue> for Entry {
    fn from(kv: etcd_client::KeyValue) -> Self {
        let (create_revision, mod_revision) = (kv.create_revision(), kv.mod_revision());
        let (version, lease) = (kv.version(), kv.lease());
        let (key, value) = kv.into_key_value();
        Self {
            key,
            value: Bytes::from(value),
            create_revision,
            mod_revision,
            version,
            lease,
        }
    }
}

/// What one page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
    pub(crate) limit: u32,
    /// Zero for the first page, whose answer fixes the revision.
    pub(crate) revision: i64,
    pub(crate) keys_only: bool,
}

/// One page's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
    pub(crate) more: bool,
}

/// The position in a listing. The first page's header fixes the revision at which all others are
/// read, so that the whole is one state of the store.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    next: PageRequest,
}

impl Pages {
    pub(crate) const fn new(start: Vec<u8>, end: Vec<u8>, limit: u32, keys_only: bool) -> Self {
        Self {
            next: PageRequest {
                start,
                end,
                limit,
                revision: 0,
                keys_only,
            },
        }
    }

    pub(crate) const fn request(&self) -> &PageRequest {
        &self.next
    }

    /// The revision of the listing; zero before the first page.
    pub(crate) const fn revision(&self) -> i64 {
        self.next.revision
    }

    /// Moves behind `page`. Returns whether another page is to be asked for.
    pub(crate) fn advance(&mut self, page: &Page) -> bool {
        if self.next.revision == 0 {
            self.next.revision = page.header.revision;
        }
        match page.entries.last() {
            Some(last) if page.more => {
                self.next.start.clone_from(&last.key);
                // The smallest key that is greater.
                self.next.start.push(0);
                true
            }
            _ => false,
        }
    }

    /// Asks for half as many keys, because a page was too large to be read. Returns false when a
    /// page is a single key already.
    pub(crate) const fn halve(&mut self) -> bool {
        let can = self.next.limit > 1;
        if can {
            self.next.limit /= 2;
        }
        can
    }
}

/// Reads one page.
pub(crate) async fn read_page(
    kv: &mut KvClient,
    request: PageRequest,
) -> Result<Page, etcd_client::Error> {
    let mut options = GetOptions::new()
        .with_range(request.end)
        .with_limit(i64::from(request.limit))
        .with_revision(request.revision);
    if request.keys_only {
        options = options.with_keys_only();
    }
    let mut answer = kv.get(request.start, Some(options)).await?;
    Ok(Page {
        header: Header::from(answer.header()),
        more: answer.more(),
        entries: answer.take_kvs().into_iter().map(Entry::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], revision: i64, more: bool) -> Page {
        Page {
            header: Header {
                revision,
                ..Header::default()
            },
            entries: keys
                .iter()
                .map(|key| Entry {
                    key: key.as_bytes().to_vec(),
                    value: Bytes::new(),
                    create_revision: 1,
                    mod_revision: 1,
                    version: 1,
                    lease: 0,
                })
                .collect(),
            more,
        }
    }

    #[test]
    fn later_pages_are_read_at_the_first_pages_revision() {
        let mut pages = Pages::new(b"a".to_vec(), b"b".to_vec(), 2, false);
        assert_eq!(pages.request().revision, 0);
        assert!(pages.advance(&page(&["a", "a1"], 7, true)));
        assert_eq!(pages.request().revision, 7);
        assert_eq!(pages.request().start, b"a1\0");
        assert!(pages.advance(&page(&["a2", "a3"], 9, true)));
        assert_eq!(pages.request().revision, 7);
        assert!(!pages.advance(&page(&["a4"], 9, false)));
    }

    #[test]
    fn a_page_of_one_key_cannot_be_halved() {
        let mut pages = Pages::new(b"a".to_vec(), b"b".to_vec(), 5, false);
        assert!(pages.halve());
        assert_eq!(pages.request().limit, 2);
        assert!(pages.halve());
        assert!(!pages.halve());
        assert_eq!(pages.request().limit, 1);
    }

    #[test]
    fn an_empty_page_that_claims_more_ends_the_listing() {
        let mut pages = Pages::new(b"a".to_vec(), b"b".to_vec(), 5, false);
        assert!(!pages.advance(&page(&[], 3, true)));
    }
}
