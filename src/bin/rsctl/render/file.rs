//! Files that are replaced whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{Code, Failure};

/// The file that is to hold a text.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As the user named it.
    shown: PathBuf,
    /// Links are followed, so that they stay links.
    path: PathBuf,
    folder: PathBuf,
    /// Of a file that is not there yet, before the umask.
    mode: u32,
}

/// A new text on disk beside the file, which it is to replace.
#[derive(Debug)]
pub(super) struct Prepared {
    target: Target,
    new: NamedTempFile,
}

impl Target {
    /// Checks that a file can be there. Nothing is written.
    pub(super) fn new(shown: &Path) -> Result<Self, Failure> {
        let wrong = |text: String| Failure::usage(format!("--out {}: {text}", shown.display()));
        let path = match fs::canonicalize(shown) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(shown).is_ok() {
                    return Err(wrong("it is a link that leads nowhere".to_owned()));
                }
                std::path::absolute(shown).map_err(|error| wrong(error.to_string()))?
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        if let Ok(found) = fs::metadata(&path)
            && !found.is_file()
        {
            return Err(wrong("it is no regular file".to_owned()));
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(wrong(format!(
                "there is no folder {folder}; create it first"
            )));
        }
        Ok(Self {
            shown: shown.to_owned(),
            path,
            folder,
            mode: 0o666,
        })
    }

    /// Only its owner shall read it, if it is not there yet.
    pub(super) fn private(self) -> Self {
        Self {
            mode: 0o600,
            ..self
        }
    }

    /// As the user named it.
    pub(super) fn shown(&self) -> String {
        self.shown.display().to_string()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds; none if there is none.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failure("cannot be read", &error)),
        }
    }

    /// The file that is there while the reader of this one is to be told of a new text. It outlives
    /// this process, which may end before it told.
    fn mark(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        // Not the file's own ending, for the same reason as that of new texts.
        name.push(".reload-due");
        self.folder.join(name)
    }

    /// From now on the reader is to be told.
    pub(super) fn mark_reload(&self) -> Result<(), Failure> {
        // What was there is not cut short: somebody else may have put a link there.
        let mut options = OpenOptions::new();
        let marked = options.write(true).create_new(true).open(self.mark());
        match marked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.failure("cannot be marked for --reload", &error))
            }
            _ => Ok(()),
        }
    }

    /// Whether the reader is still to be told.
    pub(super) fn is_reload_due(&self) -> Result<bool, Failure> {
        match fs::symlink_metadata(self.mark()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failure("cannot be asked for its mark of --reload", &error)),
        }
    }

    /// The reader was told.
    pub(super) fn unmark_reload(&self) -> Result<(), Failure> {
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failure("is reloaded, but its mark of --reload stays", &error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the text beside the file, with its mode and owner, and down to the disk.
    pub(super) fn prepare(&self, text: &str) -> Result<Prepared, Failure> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.");
        let mut builder = tempfile::Builder::new();
        // Not the file's own ending: Prometheus' file_sd and others would take it for one of
        // theirs.
        builder.prefix(&prefix).suffix(".tmp");
        // As any new file, by the process' umask.
        builder.permissions(Permissions::from_mode(self.mode));
        let mut new = builder.tempfile_in(&self.folder).map_err(|error| {
            let folder = self.folder.display();
            self.failure(&format!("nothing can be written in {folder}"), &error)
        })?;
        let write = |new: &mut NamedTempFile| {
            new.write_all(text.as_bytes())?;
            new.flush()
        };
        write(&mut new).map_err(|error| self.failure("cannot be written", &error))?;
        self.take_over(new.as_file())?;
        let synced = new.as_file().sync_all();
        synced.map_err(|error| self.failure("cannot be written down to the disk", &error))?;
        Ok(Prepared {
            target: self.clone(),
            new,
        })
    }

    /// Gives a new file the mode and owner of the one that it replaces.
    fn take_over(&self, new: &File) -> Result<(), Failure> {
        let old = match fs::metadata(&self.path) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failure("cannot be looked at", &error)),
        };
        let own = new
            .metadata()
            .map_err(|error| self.failure("cannot be looked at", &error))?;
        if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
            let owner = format!("cannot keep its owner {}:{}", old.uid(), old.gid());
            fchown(new, Some(old.uid()), Some(old.gid()))
                .map_err(|error| self.failure(&owner, &error))?;
        }
        // After the owner: changing that takes bits away.
        let mode = Permissions::from_mode(old.mode() & 0o7777);
        let kept = new.set_permissions(mode);
        kept.map_err(|error| self.failure("cannot keep its mode", &error))
    }

    fn failure(&self, what: &str, error: &io::Error) -> Failure {
        let code = if error.kind() == io::ErrorKind::PermissionDenied {
            Code::Denied
        } else {
            Code::Failed
        };
        Failure::new(code, format!("{}: {what}: {error}", self.shown.display()))
    }
}

impl Prepared {
    /// Where the new text is, for a check of it.
    pub(super) fn path(&self) -> &Path {
        self.new.path()
    }

    /// Puts the new text in the place of the old one. Readers see one of the two.
    pub(super) fn replace(self) -> Result<(), Failure> {
        let Self { target, new } = self;
        new.persist(&target.path)
            .map_err(|error| target.failure("cannot be replaced", &error.error))?;
        // The new name survives a crash of the machine only with its folder.
        let folder = File::open(&target.folder).and_then(|folder| folder.sync_all());
        folder.map_err(|error| target.failure("is replaced, but its folder is not synced", &error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cfg");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let target = Target::new(&path).unwrap();
        let prepared = target.prepare("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_to_string(prepared.path()).unwrap(), "new");
        let mode = fs::metadata(prepared.path()).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o640, "a secret is not readable for a moment either");
        let (inode, other) = (
            fs::metadata(&path).unwrap().ino(),
            fs::metadata(prepared.path()).unwrap().ino(),
        );
        prepared.replace().unwrap();
        assert_eq!(target.read().unwrap().unwrap(), b"new");
        let now = fs::metadata(&path).unwrap();
        assert_eq!((now.mode() & 0o777, now.ino()), (0o640, other));
        assert_ne!(inode, other);
        assert_eq!(names(folder.path()), ["a.cfg"]);
    }

    #[test]
    fn what_is_prepared_and_not_used_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("a.json")).unwrap();
        let prepared = target.prepare("new").unwrap();
        let name = names(folder.path()).remove(0);
        assert!(
            name.starts_with(".a.json.") && name.ends_with(".tmp"),
            "{name}"
        );
        drop(prepared);
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(target.read().unwrap(), None);
    }

    #[test]
    fn a_reload_is_due_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("a.json")).unwrap();
        assert!(!target.is_reload_due().unwrap());
        target.mark_reload().unwrap();
        target.mark_reload().unwrap();
        assert_eq!(names(folder.path()), [".a.json.reload-due"]);
        assert!(target.is_reload_due().unwrap());
        target.unmark_reload().unwrap();
        target.unmark_reload().unwrap();
        assert!(!target.is_reload_due().unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        Target::new(&link)
            .unwrap()
            .prepare("new")
            .unwrap()
            .replace()
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn places_where_no_file_can_be_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: PathBuf| Target::new(&path).unwrap_err().to_string();
        assert!(error(folder.path().to_owned()).ends_with("it is no regular file"));
        assert!(error(folder.path().join("x/y")).contains("create it first"));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(error(folder.path().join("link")).ends_with("leads nowhere"));
    }
}
