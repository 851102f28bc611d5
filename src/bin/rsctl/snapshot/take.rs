//! rsctl snapshot

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use osgi_remote::keyspace::{Client, Error, Range};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::SnapshotArgs;
use super::file::{Header, Writer};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{counted, note, printable};
use crate::signals;

/// How often a snapshot begins again because etcd compacted its history meanwhile.
const ATTEMPTS: usize = 3;

/// What was taken.
#[derive(Debug, Serialize)]
struct Taken {
    prefix: String,
    keys: u64,
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl Taken {
    fn text(&self) -> String {
        let Self {
            prefix,
            keys,
            revision,
            file,
        } = self;
        let prefix = printable(prefix);
        let into = file
            .as_ref()
            .map(|file| format!(" into {file}"))
            .unwrap_or_default();
        let keys = counted(*keys, "key");
        format!("{keys} below '{prefix}' at revision {revision} written{into}")
    }
}

pub(crate) async fn snapshot(args: SnapshotArgs, context: &Context) -> Result<(), Failure> {
    let prefix = match args.prefix {
        Some(prefix) => prefix,
        None => format!("{}/", context.top_key()?),
    };
    let client = Client::new(context.connect()?)?;
    let mut leases = Leases::new(client.clone());
    let Some(path) = args.out else {
        let taken = take(&client, &mut leases, &prefix, std::io::stdout().lock()).await?;
        note(&taken.text());
        return Ok(());
    };
    // A signal must not leave a half-written file behind, so that it is waited for here.
    let stopped = signals::stopped()?;
    let taken = tokio::select! {
        taken = into_file(&client, &mut leases, &prefix, &path) => taken?,
        () = stopped => {
            let path = path.display();
            return Err(Failure::failed(format!("interrupted: {path} is as it was")));
        }
    };
    context.output.show_text(&taken, || taken.text())
}

async fn into_file(
    client: &Client,
    leases: &mut Leases,
    prefix: &str,
    path: &Path,
) -> Result<Taken, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be written: {error}", path.display()))
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut attempt = 1;
    loop {
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(wrong)?;
        let mut taken = match take(client, leases, prefix, BufWriter::new(file.as_file())).await {
            Ok(taken) => taken,
            Err(Ended::Etcd(Error::Read { cause, .. })) if attempt < ATTEMPTS => {
                note(&format!("beginning again: {cause}"));
                attempt += 1;
                continue;
            }
            Err(ended) => return Err(ended.into()),
        };
        file.as_file().sync_all().map_err(wrong)?;
        file.persist(path).map_err(|error| wrong(error.error))?;
        taken.file = Some(path.display().to_string());
        return Ok(taken);
    }
}

/// Why a snapshot did not come to its end.
enum Ended {
    Etcd(Error),
    Other(Failure),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Etcd(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Etcd(error) => error.into(),
            Ended::Other(failure) => failure,
        }
    }
}

async fn take(
    client: &Client,
    leases: &mut Leases,
    prefix: &str,
    out: impl Write,
) -> Result<Taken, Ended> {
    let progress = progress("keys read");
    let mut pages = client.pages(Range::prefix(prefix));
    let first = pages.next().await?.unwrap_or_default();
    let header = Header::new(pages.cluster(), pages.revision(), prefix);
    let mut writer = Writer::new(out, &header)?;
    let mut page = Some(first);
    while let Some(entries) = page {
        for entry in &entries {
            let ttl = match entry.lease {
                Some(lease) => leases.left(lease).await?,
                None => None,
            };
            writer.key(entry, ttl)?;
            progress.inc(1);
        }
        page = pages.next().await?;
    }
    let keys = writer.end()?;
    progress.finish_and_clear();
    Ok(Taken {
        prefix: prefix.to_owned(),
        keys,
        revision: header.revision,
        file: None,
    })
}

/// A count on stderr, if that is a terminal.
pub(super) fn progress(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {what}")) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The seconds left of leases, each of which is asked once.
struct Leases {
    client: Client,
    left: HashMap<i64, Option<u64>>,
    /// Whether it was told that they cannot be read.
    told: bool,
}

impl Leases {
    fn new(client: Client) -> Self {
        Self {
            client,
            left: HashMap::new(),
            told: false,
        }
    }

    async fn left(&mut self, lease: i64) -> Result<Option<u64>, Error> {
        if let Some(left) = self.left.get(&lease) {
            return Ok(*left);
        }
        let left = match self.client.lease(lease).await {
            Ok(info) => Some(info.map_or(0, |info| info.left.as_secs())),
            // The keys are worth having without it.
            Err(error @ Error::NotPermitted { .. }) => {
                if !self.told {
                    note(&format!("the time left of leases is not written: {error}"));
                    self.told = true;
                }
                None
            }
            Err(error) => return Err(error),
        };
        self.left.insert(lease, left);
        Ok(left)
    }
}
