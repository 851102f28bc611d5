//! What the files say, as endpoints. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use super::files::{Content, FileError, Found, Look, Stamp};
use crate::discovery::EndpointFeed;
use crate::endpoint::EndpointDescription;
use crate::meters;
use crate::names::EndpointId;

/// What is wrong, by file or folder.
pub type Problems = BTreeMap<PathBuf, Vec<FileError>>;

/// Turns what is found in files into changes of endpoints.
///
/// It keeps what each file says. If several describe the same endpoint, the
/// one that was modified last counts (of two alike, the later by name), and
/// only when the last one goes is the endpoint gone.
pub(super) struct View {
    feed: EndpointFeed,
    files: BTreeMap<PathBuf, Known>,
    folders: BTreeMap<PathBuf, FileError>,
    missing: BTreeSet<PathBuf>,
    /// Whether something is to be looked at again soon.
    unsettled: bool,
}

#[derive(Default)]
struct Known {
    /// What it was read at; `None` to read it whatever its stamp.
    stamp: Option<Stamp>,
    modified: Option<SystemTime>,
    fresh: bool,
    endpoints: BTreeMap<EndpointId, Arc<EndpointDescription>>,
    errors: Vec<FileError>,
    /// It was not there at the last look.
    absent: bool,
}

impl View {
    pub(super) fn new(feed: EndpointFeed) -> Self {
        Self {
            feed,
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            missing: BTreeSet::new(),
            unsettled: false,
        }
    }

    /// The stamps of the files that need not be read while they have them.
    pub(super) fn settled(&self) -> BTreeMap<PathBuf, Stamp> {
        let settled = self.files.iter().filter(|(_, known)| !known.fresh);
        settled
            .filter_map(|(path, known)| Some((path.clone(), known.stamp.clone()?)))
            .collect()
    }

    /// Whether to look again soon: a file was written just now, or is gone
    /// and that is not believed yet.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn problems(&self) -> Problems {
        let mut problems: Problems = self
            .files
            .iter()
            .filter(|(_, known)| !known.errors.is_empty())
            .map(|(path, known)| (path.clone(), known.errors.clone()))
            .collect();
        let folders = self.folders.iter();
        problems.extend(folders.map(|(path, error)| (path.clone(), vec![error.clone()])));
        let missing = self.missing.iter();
        problems.extend(missing.map(|path| (path.clone(), vec![FileError::Missing])));
        problems
    }

    pub(super) fn apply(&mut self, look: Look) {
        let mut touched = BTreeSet::new();
        self.unsettled = false;
        for path in &look.missing {
            if !self.missing.contains(path) {
                warn!(path = %path.display(), "there are no endpoint descriptions: it is not there");
            }
        }
        self.missing = look.missing.into_iter().collect();
        for (folder, error) in &look.unlisted {
            if !self.folders.contains_key(folder) {
                warn!(path = %folder.display(), %error, "what was read of it stays");
            }
        }
        self.folders = look.unlisted;
        self.absent(&look.files, &mut touched);
        for (path, found) in look.files {
            let known = self.files.entry(path.clone()).or_default();
            known.absent = false;
            match found {
                Found::Same => {}
                Found::Unreadable(error) => {
                    if shown(&known.errors) != shown(std::slice::from_ref(&error)) {
                        warn!(path = %path.display(), %error, "what it said before stays");
                    }
                    (known.stamp, known.errors) = (None, vec![error]);
                }
                Found::Content(content) => take(known, &path, content, &mut touched),
            }
            self.unsettled |= known.fresh;
        }
        for id in touched {
            self.publish(&id);
        }
    }

    /// A file that is not there is gone when it is missing for a second time:
    /// some editors, and `mv`, leave a moment without one.
    fn absent(&mut self, there: &BTreeMap<PathBuf, Found>, touched: &mut BTreeSet<EndpointId>) {
        let folders = &self.folders;
        let mut unsettled = false;
        self.files.retain(|path, known| {
            let unlisted = folders.contains_key(path)
                || path
                    .parent()
                    .is_some_and(|folder| folders.contains_key(folder));
            if there.contains_key(path) || unlisted {
                return true;
            }
            if !std::mem::replace(&mut known.absent, true) {
                unsettled = true;
                return true;
            }
            info!(path = %path.display(), "the file is gone");
            touched.extend(known.endpoints.keys().cloned());
            false
        });
        self.unsettled |= unsettled;
    }

    /// Tells the listeners what counts of an endpoint now, if it is news.
    fn publish(&self, id: &EndpointId) {
        let describe = |(path, known): (_, &Known)| {
            let description = Arc::clone(known.endpoints.get(id)?);
            Some((known.modified, path, description))
        };
        let all = self.files.iter().filter_map(describe);
        let newest = all.max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        match (newest, self.feed.get(id)) {
            (None, None) => {}
            (None, Some(gone)) => {
                self.feed.remove(id);
                meters::event("removed");
                info!(endpoint = %gone, "endpoint removed");
            }
            (Some((.., new)), Some(known)) if known.same_content(&new) => {}
            (Some((_, path, new)), known) => {
                let kind = if known.is_some() { "modified" } else { "added" };
                meters::event(kind);
                info!(endpoint = %new, path = %path.display(), "endpoint {kind}");
                self.feed.set(id.clone(), new);
            }
        }
    }
}

/// Takes what was read. What a file with errors does not say stays as it was:
/// nobody can tell which endpoint the wrong description was to be.
fn take(known: &mut Known, path: &Path, content: Content, touched: &mut BTreeSet<EndpointId>) {
    let Content {
        stamp,
        fresh,
        mut endpoints,
        errors,
    } = content;
    if shown(&known.errors) != shown(&errors) {
        for error in &errors {
            warn!(path = %path.display(), %error, "what it said before stays, as far as it is wrong");
        }
        if errors.is_empty() {
            info!(path = %path.display(), "the file is good again");
        }
    }
    let ended = |error: &FileError| match error {
        FileError::Edef(error) => error.ends_the_document(),
        _ => false,
    };
    if errors.iter().any(ended) {
        // What is half written says nothing yet.
        endpoints = std::mem::take(&mut known.endpoints);
    } else if !errors.is_empty() {
        for (id, before) in &known.endpoints {
            let missing = || Arc::clone(before);
            endpoints.entry(id.clone()).or_insert_with(missing);
        }
    }
    touched.extend(known.endpoints.keys().cloned());
    touched.extend(endpoints.keys().cloned());
    known.endpoints = endpoints;
    known.modified = Some(stamp.modified);
    (known.stamp, known.fresh, known.errors) = (Some(stamp), fresh, errors);
}

fn shown(errors: &[FileError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
