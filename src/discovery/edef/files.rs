//! The file system: which files there are, whether they changed, and what is
//! in them. All of it blocks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::config::{EdefConfig, EdefSource};
use crate::endpoint::EndpointDescription;
use crate::endpoint::edef::{ReadError, Reader};
use crate::names::EndpointId;

/// What is wrong with a file or a folder.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there; it is looked for all the time.
    #[error("is not there")]
    Missing,
    /// The system refuses to show it. What was read of it before stays.
    #[error("cannot be read: {0}")]
    Read(Arc<io::Error>),
    /// It is neither a file nor a folder.
    #[error("is no regular file")]
    NoFile,
    /// It is larger than allowed.
    #[error("has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// What is in it is wrong.
    #[error(transparent)]
    Edef(#[from] ReadError),
    /// It describes one endpoint twice; the first description counts.
    #[error("describes endpoint {endpoint} twice; the first one counts")]
    Twice {
        /// The `endpoint.id`.
        endpoint: EndpointId,
    },
    /// There are more errors than are kept.
    #[error("has {more} more errors")]
    More {
        /// How many are not shown.
        more: usize,
    },
}

/// So many errors of one file are kept.
const MOST_ERRORS: usize = 20;

/// File systems note changes this coarsely, at worst (FAT: 2 s).
const COARSE: Duration = Duration::from_secs(2);

/// By what a change of a file is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) modified: SystemTime,
    size: u64,
    /// Device, inode, and change time: a file that was renamed over another
    /// may have its size and its time.
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            size: metadata.len(),
            identity: identity(metadata),
        })
    }

    /// Whether a change right after it might not change it.
    fn is_fresh(&self) -> bool {
        match SystemTime::now().duration_since(self.modified) {
            Ok(age) => age < COARSE,
            // A file server's clock may be ahead of ours.
            Err(_) => true,
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    let (device, inode) = (metadata.dev(), metadata.ino());
    (device, inode, metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

/// What one look found of a file.
#[derive(Debug)]
pub(super) enum Found {
    /// It is as it was.
    Same,
    /// It was read.
    Content(Content),
    /// It is there and cannot be read.
    Unreadable(FileError),
}

/// What is in a file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) stamp: Stamp,
    /// Whether it must be read again though its stamp stays.
    pub(super) fresh: bool,
    pub(super) endpoints: BTreeMap<EndpointId, Arc<EndpointDescription>>,
    pub(super) errors: Vec<FileError>,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) files: BTreeMap<PathBuf, Found>,
    /// Folders that the system refuses to list, and named paths that it refuses
    /// to show: what was read of them, or in them, counts as there.
    pub(super) unlisted: BTreeMap<PathBuf, FileError>,
    /// Files and folders that are named and not there.
    pub(super) missing: Vec<PathBuf>,
}

/// Looks at all files. `known` gives the stamps of those that need not be read
/// again while they have it.
pub(super) fn look(config: &EdefConfig, known: &BTreeMap<PathBuf, Stamp>) -> Look {
    let mut look = Look::default();
    for source in &config.sources {
        match source {
            EdefSource::Path(path) => match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => list(&mut look, path, "*.xml", config, known),
                // Nobody can tell whether it is a file or a folder.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = FileError::Read(Arc::new(error));
                    look.unlisted.insert(path.clone(), error);
                }
                _ => file(&mut look, path, true, config, known),
            },
            EdefSource::Matching { folder, pattern } => {
                list(&mut look, folder, pattern, config, known);
            }
        }
    }
    look
}

fn list(
    look: &mut Look,
    folder: &Path,
    pattern: &str,
    config: &EdefConfig,
    known: &BTreeMap<PathBuf, Stamp>,
) {
    let names = std::fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()
    });
    match names {
        Ok(names) => {
            for name in names {
                if name.to_str().is_some_and(|name| matches(pattern, name)) {
                    file(look, &folder.join(name), false, config, known);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            look.missing.push(folder.to_owned());
        }
        Err(error) => {
            let error = FileError::Read(Arc::new(error));
            look.unlisted.insert(folder.to_owned(), error);
        }
    }
}

/// `named` is whether the file is asked for by its name, and not by a pattern.
fn file(
    look: &mut Look,
    path: &Path,
    named: bool,
    config: &EdefConfig,
    known: &BTreeMap<PathBuf, Stamp>,
) {
    if look.files.contains_key(path) {
        return;
    }
    // It follows links: those of a ConfigMap point to what is swapped.
    let found = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() && !named => return,
        // Opening a pipe would wait for its other end.
        Ok(metadata) if !metadata.is_file() => Found::Unreadable(FileError::NoFile),
        Ok(metadata) => match Stamp::of(&metadata) {
            Ok(stamp) if known.get(path) == Some(&stamp) => Found::Same,
            Ok(_) => match read(path, config) {
                Ok(content) => Found::Content(content),
                Err(error) => Found::Unreadable(error),
            },
            Err(error) => Found::Unreadable(FileError::Read(Arc::new(error))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A name in a folder whose file is not there is a dangling link.
            look.missing.push(path.to_owned());
            return;
        }
        Err(error) => Found::Unreadable(FileError::Read(Arc::new(error))),
    };
    look.files.insert(path.to_owned(), found);
}

fn read(path: &Path, config: &EdefConfig) -> Result<Content, FileError> {
    let io = |error| FileError::Read(Arc::new(error));
    let file = File::open(path).map_err(io)?;
    let before = Stamp::of(&file.metadata().map_err(io)?).map_err(io)?;
    if before.size > config.file_size {
        return Err(FileError::TooLarge {
            size: before.size,
            limit: config.file_size,
        });
    }
    let mut endpoints = BTreeMap::new();
    let (mut errors, mut more) = (Vec::new(), 0);
    // A file that grows meanwhile is cut off, and so is no whole document.
    let source = BufReader::new((&file).take(config.file_size));
    for read in Reader::with_limits(source, config.limits.clone()) {
        let error = match read {
            Ok(description) => match endpoints.entry(description.id().clone()) {
                Entry::Vacant(free) => {
                    free.insert(Arc::new(description));
                    continue;
                }
                Entry::Occupied(taken) => FileError::Twice {
                    endpoint: taken.key().clone(),
                },
            },
            Err(error) => error.into(),
        };
        // The one that ends the document says the most.
        let ends = matches!(&error, FileError::Edef(error) if error.ends_the_document());
        if errors.len() < MOST_ERRORS || ends {
            errors.push(error);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        errors.push(FileError::More { more });
    }
    let after = Stamp::of(&file.metadata().map_err(io)?).map_err(io)?;
    Ok(Content {
        fresh: after != before || after.is_fresh(),
        stamp: after,
        endpoints,
        errors,
    })
}

/// Whether a name matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') {
        return false;
    }
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match name.find(part) {
            // The earliest place leaves the most for what follows.
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_but_hidden_files_match_nothing() {
        for (pattern, name, expected) in [
            ("*.xml", "a.xml", true),
            ("*.xml", ".xml", false),
            ("*.xml", ".#a.xml", false),
            ("*.xml", "a.xml~", false),
            ("*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "aXb", true),
            ("ab*ba", "aba", false),
            ("a*b*c*d", "a1b2b3c4d", true),
            ("a*b*c*d", "a1c2b3d", false),
            ("**x", "yx", true),
            ("a", "a", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
