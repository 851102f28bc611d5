//! What an earlier run saw, on disk, so that a consumer that starts while
//! etcd is down has something to begin with.
//!
//! A text file: a first line that says what it is, then one line of JSON for
//! each endpoint. It is replaced as a whole, so that a reader sees either the
//! old one or the new one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use super::view::View;
use crate::endpoint::{EndpointDescription, service_info};
use crate::names::TopKey;

/// The first line, with the top key after it.
const HEAD: &str = "osgi-remote endpoints 1 ";

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_secs(2);

/// A file that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the last known view {path}: {problem}")]
pub(super) struct MemoryError {
    path: PathBuf,
    problem: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    properties: serde_json::Value,
}

/// The file of one discovery.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    path: PathBuf,
    top: TopKey,
    /// The number of the newest view that was written.
    written: Arc<Mutex<u64>>,
    next: Arc<AtomicU64>,
}

impl Memory {
    pub(super) fn new(path: PathBuf, top: TopKey) -> Self {
        Self {
            path,
            top,
            written: Arc::default(),
            next: Arc::default(),
        }
    }

    fn error(&self, problem: impl ToString) -> MemoryError {
        MemoryError {
            path: self.path.clone(),
            problem: problem.to_string(),
        }
    }

    /// What the file holds; nothing if there is none. A line that does not
    /// read is left out: better some endpoints than none.
    pub(super) fn load(&self) -> Result<Vec<(String, EndpointDescription)>, MemoryError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error(error)),
        };
        let mut lines = text.lines();
        let top = lines.next().and_then(|head| head.strip_prefix(HEAD));
        match top {
            Some(top) if top == self.top.as_str() => {}
            Some(top) => {
                return Err(self.error(format!("it is of top key '{top}', not '{}'", self.top)));
            }
            None => return Err(self.error("it is no such file: give another path")),
        }
        let known: Vec<_> = lines.filter_map(|line| self.read(line)).collect();
        info!(path = %self.path.display(), endpoints = known.len(),
            "beginning with what an earlier run saw");
        Ok(known)
    }

    fn read(&self, line: &str) -> Option<(String, EndpointDescription)> {
        let read = || {
            let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let properties = service_info::exact::from_json(&line.properties)
                .ok_or("its properties do not read")?;
            let description =
                EndpointDescription::new(properties).map_err(|error| error.to_string())?;
            Ok::<_, String>((line.key, description))
        };
        match read() {
            Ok(known) => Some(known),
            Err(reason) => {
                let path = self.path.display();
                warn!(%path, reason, "an endpoint of the last known view is left out");
                None
            }
        }
    }

    fn save(&self, known: &[(String, Arc<EndpointDescription>)]) -> Result<(), MemoryError> {
        let mut text = format!("{HEAD}{}\n", self.top);
        for (key, description) in known {
            let line = Line {
                key: key.clone(),
                properties: service_info::exact::to_json(description.properties()),
            };
            let line = serde_json::to_string(&line).map_err(|error| self.error(error))?;
            text.push_str(&line);
            text.push('\n');
        }
        write_whole(&self.path, &text).map_err(|error| self.error(error))
    }

    /// Writes what the view knows, as it changes, until it is dropped.
    pub(super) async fn keep(self, view: View) {
        let mut status = view.status();
        while status.changed().await.is_ok() {
            tokio::time::sleep(GATHER).await;
            status.mark_unchanged();
            self.write(&view).await;
        }
    }

    /// Writes what the view knows now.
    pub(super) async fn write(&self, view: &View) {
        // Before the first reading of etcd the file knows as much.
        if !view.is_synced() {
            return;
        }
        let (memory, known) = (self.clone(), view.known());
        // A write whose task was ended goes on in its thread. Numbered, it can
        // neither meet a later one nor undo it.
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let written = tokio::task::spawn_blocking(move || {
            let mut newest = memory.written.lock();
            if number <= *newest {
                return Ok(());
            }
            *newest = number;
            memory.save(&known)
        });
        let written = written.await;
        match written {
            Ok(Ok(())) => debug!(path = %self.path.display(), "last known view written"),
            Ok(Err(error)) => warn!(%error, "the last known view is not kept"),
            Err(error) => warn!(%error, "the last known view is not kept"),
        }
    }
}

/// Writes beside the file and then puts the new one in its place.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // Nothing is lost but the copy that could not be finished.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Value;
    use crate::props;

    fn memory(folder: &Path) -> Memory {
        Memory::new(folder.join("view"), "top".parse().unwrap())
    }

    fn endpoint() -> (String, Arc<EndpointDescription>) {
        let properties = props! {
            "objectClass" => ["a.A"], "endpoint.id" => "e", "service.imported.configs" => ["c"],
            "short" => 3_i16, "nothing" => Value::Set(vec![]), "nan" => f64::NAN,
        };
        let description = EndpointDescription::new(properties).unwrap();
        ("top/s/e".to_owned(), Arc::new(description))
    }

    #[test]
    fn what_is_saved_is_loaded_again_with_its_types() {
        let folder = tempfile::tempdir().unwrap();
        let memory = memory(folder.path());
        assert!(memory.load().unwrap().is_empty());
        memory.save(&[endpoint()]).unwrap();
        let loaded = memory.load().unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].0, "top/s/e");
        assert!(loaded[0].1.same_content(&endpoint().1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_line_that_does_not_read_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let memory = memory(folder.path());
        memory.save(&[endpoint()]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("view")).unwrap();
        std::fs::write(folder.path().join("view"), text + "{\"key\": 1}\nrubbish\n").unwrap();
        assert_eq!(memory.load().unwrap().len(), 1);
    }

    #[test]
    fn another_file_is_an_error_and_is_not_taken_for_a_view() {
        let folder = tempfile::tempdir().unwrap();
        let memory = memory(folder.path());
        for (text, part) in [
            ("my diary\n", "no such file"),
            ("osgi-remote endpoints 1 other\n", "of top key 'other'"),
        ] {
            std::fs::write(folder.path().join("view"), text).unwrap();
            let error = memory.load().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let nowhere = Memory::new(folder.path().join("no/view"), "top".parse().unwrap());
        assert!(nowhere.save(&[]).is_err());
    }
}
