//! A range, page by page.

use super::Client;
use super::entry::{Entry, Range};
use super::line::{Repeat, Trouble};
use super::trouble::Asked;
use crate::keyspace::Error;
use crate::keyspace::connect::{Connection, FailureKind};
use crate::keyspace::range::{Pages, read_page};

/// Reads the keys of a range page by page, all as they stood at one revision.
///
/// Made by [`Client::pages`]. Nothing is asked of etcd but by [`PageReader::next`].
#[derive(Debug)]
pub struct PageReader {
    client: Client,
    range: Range,
    pages: Pages,
    cluster: Option<u64>,
    over: bool,
}

impl PageReader {
    pub(super) fn new(client: Client, range: Range, keys_only: bool, page_size: u32) -> Self {
        let (start, end) = (range.start().to_vec(), range.end().to_vec());
        let pages = Pages::new(start, end, page_size, keys_only);
        Self {
            client,
            range,
            pages,
            cluster: None,
            over: false,
        }
    }

    /// The next keys, in order; `None` after the last one. A page may be empty.
    ///
    /// Dropping the future asks for nothing more; calling again asks for the same page.
    ///
    /// # Errors
    ///
    /// As [`Client::get`]; and [`Error::Read`] if etcd compacted its history beyond the revision
    /// of the first page, or another cluster answers. A new reader then begins anew.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        let page = self.read().await;
        page.map_err(|trouble| trouble.explain(&self.client, Asked::Read(&self.range)))
    }

    /// The store's revision at which the keys stand; 0 before the first page.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.pages.revision()
    }

    /// The id of the cluster; 0 before the first page.
    #[must_use]
    pub fn cluster(&self) -> u64 {
        self.cluster.unwrap_or_default()
    }

    /// How many keys the next page asks for. It shrinks where answers are too large.
    pub(super) fn page_size(&self) -> u32 {
        self.pages.request().limit
    }

    pub(super) async fn read(&mut self) -> Result<Option<Vec<Entry>>, Trouble> {
        if self.over {
            return Ok(None);
        }
        let (page, endpoint) = loop {
            let request = self.pages.request();
            let read = |mut connection: Connection| {
                let request = request.clone();
                async move { read_page(&mut connection.kv, request).await }
            };
            let asked = Asked::Read(&self.range);
            match self.client.line.run(asked, Repeat::Freely, read).await {
                Ok(answer) => break answer,
                Err(trouble)
                    if trouble.failure.kind == FailureKind::TooLarge && self.pages.halve() => {}
                Err(trouble) => return Err(trouble),
            }
        };
        if *self.cluster.get_or_insert(page.header.cluster) != page.header.cluster {
            return Err(Trouble::of_another_store(endpoint));
        }
        self.over = !self.pages.advance(&page);
        Ok(Some(page.entries.into_iter().map(Entry::from).collect()))
    }
}
