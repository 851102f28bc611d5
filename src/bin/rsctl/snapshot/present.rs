//! The keys that are there, beside those of a file, both in the order of their bytes.

use std::collections::VecDeque;

use osgi_remote::keyspace::{Client, Entry, Error, PageReader, Range};

/// The keys that are there, one after another.
#[derive(Debug)]
pub(crate) struct Present {
    pages: PageReader,
    ahead: VecDeque<Entry>,
}

impl Present {
    pub(crate) fn new(client: &Client, range: Range) -> Self {
        Self {
            pages: client.pages(range),
            ahead: VecDeque::new(),
        }
    }

    /// Reads at least one key ahead, if there is one.
    async fn fill(&mut self) -> Result<(), Error> {
        while self.ahead.is_empty() {
            match self.pages.next().await? {
                Some(page) => self.ahead.extend(page),
                None => break,
            }
        }
        Ok(())
    }

    /// The next key that comes before this one.
    pub(crate) async fn before(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.fill().await?;
        Ok(self.ahead.pop_front_if(|entry| entry.key.as_slice() < key))
    }

    /// This key, if it is there and those before it were taken.
    pub(crate) async fn at(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        self.fill().await?;
        Ok(self.ahead.pop_front_if(|entry| entry.key == key))
    }

    /// The next key, whatever it is.
    pub(crate) async fn any(&mut self) -> Result<Option<Entry>, Error> {
        self.fill().await?;
        Ok(self.ahead.pop_front())
    }
}
