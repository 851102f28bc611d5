//! `rsctl render`.

mod once;
mod programs;
mod watching;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Store, eventually};
use crate::tool::{SOON, Tool};

/// A folder for templates and files, in which the tool runs.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The files, also those that begin with a dot.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn tool(&self, server: &Store, args: &[&str]) -> Tool {
        Tool::new(server)
            .folder(self.folder.path())
            .args(["render", "--tree-root", "/r"])
            .args(args.iter().copied())
    }

    async fn becomes(&self, name: &str, expected: &str) {
        let path = self.folder.path().join(name);
        holds(&path, expected).await;
    }
}

async fn holds(path: &Path, expected: &str) {
    let what = format!("{} to hold {expected:?}", path.display());
    eventually(SOON, &what, async || {
        let text = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
        if text == expected { Ok(()) } else { Err(text) }
    })
    .await;
}

async fn register(server: &Store, name: &str, location: &str) {
    server
        .etcdctl(&["put", &format!("/r/service/web/{name}"), location])
        .await;
}

async fn unregister(server: &Store, name: &str) {
    server
        .etcdctl(&["del", &format!("/r/service/web/{name}")])
        .await;
}

/// One line for each service.
const LINES: &str = "{% for s in services %}\n{{ s.name }} {{ s.address }}\n{% endfor %}\n";
