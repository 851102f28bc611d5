//! All sources, read once.

use osgi_remote::keyspace::{Client, Entry, Range};

use super::snapshot::{Data, Seen};
use super::{Snapshot, Source};
use crate::failure::Failure;
use crate::output;

/// Attempts at a moment in which all sources are known.
const ATTEMPTS: usize = 5;

/// Reads sources as they are at one moment.
///
/// A listing is of one revision, and two listings are of two, unless nothing is written in between.
/// So all are read again until twice in a row they are the same: then all of them were so at any
/// moment between. Where they change too fast for that, the last reading is taken, and stderr says so.
pub(crate) async fn read(client: &Client, sources: &[Source]) -> Result<Snapshot, Failure> {
    let mut listings = list_all(client, sources).await?;
    let mut attempts = 1;
    while !listings.at_one_revision() {
        let again = list_all(client, sources).await?;
        let same = again.is_same(&listings);
        listings = again;
        if same {
            break;
        }
        attempts += 1;
        if attempts == ATTEMPTS {
            output::note(
                "the registry changes faster than it can be read: the sources are of different \
                 moments",
            );
            break;
        }
    }
    let data = sources.iter().zip(listings.entries);
    Ok(Snapshot(
        data.map(|(source, entries)| (source.name().to_owned(), parse(source, &entries)))
            .collect(),
    ))
}

struct Listings {
    entries: Vec<Vec<Entry>>,
    revisions: Vec<i64>,
}

impl Listings {
    fn at_one_revision(&self) -> bool {
        self.revisions.windows(2).all(|pair| pair[0] == pair[1])
    }

    fn is_same(&self, other: &Self) -> bool {
        let stamps = |listings: &Self| -> Vec<Vec<(Vec<u8>, i64)>> {
            let stamp = |entry: &Entry| (entry.key.clone(), entry.mod_revision);
            let lists = listings.entries.iter();
            lists.map(|list| list.iter().map(stamp).collect()).collect()
        };
        stamps(self) == stamps(other)
    }
}

async fn list_all(client: &Client, sources: &[Source]) -> Result<Listings, Failure> {
    let mut listings = Listings {
        entries: Vec::new(),
        revisions: Vec::new(),
    };
    for source in sources {
        let listing = client.list(Range::prefix(source.prefix())).await;
        let listing = listing.map_err(|error| Failure::from(error).of(source.name()))?;
        listings.entries.push(listing.entries);
        listings.revisions.push(listing.revision);
    }
    Ok(listings)
}

fn parse(source: &Source, entries: &[Entry]) -> Data {
    let mut items = Vec::new();
    for entry in entries {
        match source.parse(&entry.key, &entry.value) {
            Ok(item) => items.extend(item.map(|item| (item, entry.mod_revision))),
            Err(reason) => {
                let key = String::from_utf8_lossy(&entry.key);
                let name = source.name();
                let text = format!("{name}: key `{key}` is left out: {reason}");
                output::note(&output::printable(&text));
            }
        }
    }
    Data::of(
        source,
        items.iter().map(|(item, mod_revision)| Seen {
            item,
            mod_revision: *mod_revision,
            there: true,
        }),
    )
}
