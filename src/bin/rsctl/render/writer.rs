//! Whether a new text takes the place of the old one.

use super::command::Line;
use super::file::Target;
use crate::failure::Failure;

/// What became of a text that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The file has it already.
    Unchanged,
    /// The file has it now.
    Written,
    /// It was made of a source that is empty and should not be.
    Held(String),
    /// The check says no.
    Refused(String),
}

/// A file and the rules for replacing it.
#[derive(Debug)]
pub(super) struct Writer {
    target: Target,
    check: Option<Line>,
    reload: Option<Line>,
    /// Whether the file is known to be of these sources: it was written, or found to be the same.
    accepted: bool,
}

impl Writer {
    pub(super) fn new(target: Target, check: Option<Line>, reload: Option<Line>) -> Self {
        Self {
            target,
            check,
            reload,
            accepted: false,
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Offers a text, which was made without anything of the sources that are `empty`.
    ///
    /// A file that was there before is not replaced if a source is empty: it may have been written
    /// before etcd lost what it had. Once it was accepted, the view of the sources keeps them from
    /// becoming empty.
    ///
    /// Dropping the future leaves the old file, or the new one.
    pub(super) async fn offer(&mut self, text: &str, empty: &[&str]) -> Result<Offer, Failure> {
        let target = self.target.clone();
        let old = blocking(move || target.read()).await?;
        if old.as_deref() == Some(text.as_bytes()) {
            self.accepted = true;
            return Ok(Offer::Unchanged);
        }
        let has_content = old.is_some_and(|old| !old.is_empty());
        if has_content && !self.accepted && !empty.is_empty() {
            return Ok(Offer::Held(held(&self.target, empty)));
        }
        let (target, new) = (self.target.clone(), text.to_owned());
        let prepared = blocking(move || target.prepare(&new)).await?;
        if let Some(check) = &self.check
            && let Err(error) = check.run(prepared.path()).await
        {
            let file = self.target.shown();
            return Ok(Offer::Refused(format!(
                "{file} is not replaced: --check `{}`: {error}",
                check.text
            )));
        }
        let marks = self.reload.is_some().then(|| self.target.clone());
        blocking(move || {
            // Before the text: a process that ends in between reloads once too often, and not once
            // too seldom.
            marks.map_or(Ok(()), |target| target.mark_reload())?;
            prepared.replace()
        })
        .await?;
        self.accepted = true;
        Ok(Offer::Written)
    }

    /// Whether the file was replaced, by this process or by one before, and its reader does not know
    /// yet.
    pub(super) async fn is_reload_due(&self) -> Result<bool, Failure> {
        if self.reload.is_none() {
            return Ok(false);
        }
        let target = self.target.clone();
        blocking(move || target.is_reload_due()).await
    }

    /// Tells whoever reads the file.
    ///
    /// # Errors
    ///
    /// Why that did not come about. It stays due then, also if the future is dropped.
    pub(super) async fn reload(&self) -> Result<(), String> {
        let Some(reload) = &self.reload else {
            return Ok(());
        };
        reload.run(self.target.path()).await?;
        let target = self.target.clone();
        let unmarked = blocking(move || target.unmark_reload()).await;
        unmarked.map_err(|failure| failure.to_string())
    }
}

/// Why a file is not replaced.
pub(super) fn held(target: &Target, empty: &[&str]) -> String {
    let (file, empty) = (target.shown(), empty.join(","));
    format!(
        "HELD: {file} is not replaced: there are no {empty} in etcd, and they may have been lost; \
         if that is right, say --allow-empty={empty}"
    )
}

/// Files may be on slow disks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::failed(format!("writing failed: {error}")))?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn writer(path: &Path, check: Option<&str>) -> Writer {
        let check = check.map(|text| Line {
            text: text.to_owned(),
            limit: Duration::from_secs(60),
        });
        Writer::new(Target::new(path).unwrap(), check, None)
    }

    #[tokio::test]
    async fn a_text_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut writer = writer(&path, None);
        // Nothing can be lost where nothing is.
        assert_eq!(
            writer.offer("x", &["groups"]).await.unwrap(),
            Offer::Written
        );
        assert_eq!(writer.offer("x", &[]).await.unwrap(), Offer::Unchanged);
        assert_eq!(writer.offer("y", &[]).await.unwrap(), Offer::Written);
        assert_eq!(fs::read_to_string(&path).unwrap(), "y");
    }

    #[tokio::test]
    async fn a_failing_check_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut writer = writer(&path, Some("grep -q good {}"));
        assert_eq!(writer.offer("good 1", &[]).await.unwrap(), Offer::Written);
        let Offer::Refused(reason) = writer.offer("bad", &[]).await.unwrap() else {
            panic!("a bad file was taken");
        };
        assert!(
            reason.contains("--check `grep -q good {}`: it ended with exit status: 1"),
            "{reason}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "good 1");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_file_from_before_is_not_replaced_by_one_of_empty_sources() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "much").unwrap();
        let mut writer = writer(&path, None);
        let offer = writer.offer("", &["services", "groups"]).await.unwrap();
        let Offer::Held(reason) = offer else {
            panic!("{offer:?}")
        };
        assert!(reason.contains("--allow-empty=services,groups"), "{reason}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "much");
        // It says what they say, so nothing was lost.
        assert_eq!(
            writer.offer("much", &["groups"]).await.unwrap(),
            Offer::Unchanged
        );
        assert_eq!(
            writer.offer("more", &["groups"]).await.unwrap(),
            Offer::Written
        );
    }
}
