//! rsctl endpoint lint

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use clap::{Args as ClapArgs, ValueEnum};
use osgi_remote::discovery::etcd::keys;
use osgi_remote::discovery::etcd::lint::{self, Item, Peer, Registry, Severity, Verdict};
use osgi_remote::keyspace::{Client, Entry, Error, Range};
use osgi_remote::names::TopKey;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{counted, note, printable};
use crate::snapshot::file::Source;

/// Tell what ECF, iPOPO and osgi-remote would make of keys and their values.
///
/// For each finding: the peer and what it will do, the key and the place in its value, the cause
/// and the cure. iPOPO and ECF also read keys of registries whose top key begins with this one's;
/// those are checked too. Exit code 1 if there are findings as bad as --fail-on.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// A key, an endpoint's id, or a file with an endpoint's JSON or a snapshot; '-' for stdin.
    ///
    /// Default: all keys below the top key.
    #[arg(value_name = "KEY|ID|FILE|-")]
    what: Option<String>,
    /// What ends with exit code 1: findings so bad, and worse ones. Default: error.
    #[arg(long, value_enum, default_value = "error", hide_default_value = true)]
    fail_on: Bad,
    /// Only what concerns this peer; repeatable. Default: all peers.
    #[arg(long, value_enum, value_name = "PEER")]
    peer: Vec<Reader>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bad {
    /// The peer stops watching, or has no endpoint of it.
    Error,
    /// The endpoint works, and something around it does not.
    Warning,
    /// Good to know.
    Note,
}

/// Who reads the keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reader {
    /// Eclipse ECF.
    Ecf,
    /// iPOPO.
    Ipopo,
    /// This tool's library.
    OsgiRemote,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Keys that were looked at.
    checked: u64,
    errors: u64,
    warnings: u64,
    notes: u64,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    key: String,
    peer: &'static str,
    severity: &'static str,
    /// What the peer will do, as a word.
    effect: &'static str,
    /// The property, or the place in the value's JSON.
    path: Option<String>,
    cause: String,
    cure: String,
    /// What the peer will do, with its name.
    #[serde(skip)]
    headline: String,
}

impl From<Verdict> for Finding {
    fn from(verdict: Verdict) -> Self {
        Self {
            headline: format!("{} {}", verdict.peer, verdict.effect),
            key: verdict.key,
            peer: verdict.peer.as_str(),
            severity: verdict.severity.as_str(),
            effect: verdict.effect.as_str(),
            path: verdict.path,
            cause: verdict.cause,
            cure: verdict.cure,
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let top = context.top_key()?;
    let mut checked = Checked::new(&top);
    match args.what.as_deref() {
        None => checked.range(context, None).await?,
        Some(path) if path == "-" || is_file(path, &top) => checked.file(Path::new(path))?,
        Some(key) => checked.range(context, Some(key)).await?,
    }
    let verdicts = checked.finish(&args.peer);
    let fails = verdicts
        .1
        .iter()
        .any(|verdict| verdict.severity >= args.fail_on.into());
    let report = Report::new(verdicts.0, verdicts.1);
    context.output.show_text(&report, || report.text())?;
    match fails {
        true => Err(Failure::silent(Code::No)),
        false => Ok(()),
    }
}

/// A key of the registry is never taken for a file.
fn is_file(text: &str, top: &TopKey) -> bool {
    !text.starts_with(&format!("{top}/")) && Path::new(text).is_file()
}

/// What was looked at, and what was found.
struct Checked {
    top: TopKey,
    registry: Registry,
    count: u64,
    verdicts: Vec<Verdict>,
    /// Whether all keys of the registry were looked at, so that what is between them is known.
    whole: bool,
}

impl Checked {
    fn new(top: &TopKey) -> Self {
        Self {
            top: top.clone(),
            registry: Registry::new(top.clone()),
            count: 0,
            verdicts: Vec::new(),
            whole: true,
        }
    }

    fn add(&mut self, item: Item<'_>) {
        self.count += 1;
        self.verdicts.extend(self.registry.add(item));
    }

    fn entry(&mut self, entry: &Entry) {
        self.add(Item {
            key: &entry.key,
            value: &entry.value,
            lease: entry.lease,
        });
    }

    /// The keys in etcd: all, the one, or those of the endpoint with this id.
    async fn range(&mut self, context: &Context, what: Option<&str>) -> Result<(), Failure> {
        let client = Client::new(context.connect()?)?;
        let range = lint::range(&self.top);
        if let Some(key) = what.filter(|what| what.contains('/')) {
            self.whole = false;
            let entry = client.get(key).await?;
            let entry = entry.ok_or_else(|| {
                no_such(&client, &format!("no file and no key {}", printable(key)))
            })?;
            if !range.contains(&entry.key) {
                let (key, top) = (printable(key), &self.top);
                return Err(Failure::usage(format!(
                    "key {key} is not in the range that peers read, below {top}: --top-key names another"
                )));
            }
            self.entry(&entry);
            return Ok(());
        }
        let mut pages = client.pages(Range::new(range.start, range.end));
        let mut page = pages.next().await;
        // Who keeps to the rights that this library asks for may not read what iPOPO watches.
        if let Err(Error::Denied { .. } | Error::NotPermitted { .. }) = &page {
            let own = keys::range(&self.top);
            pages = client.pages(Range::new(own.start, own.end));
            page = pages.next().await;
            if page.is_ok() {
                note(&format!(
                    "keys beside {top}/ that begin with {top}, which ECF and iPOPO read too, were \
                     not looked at: the right to read them is not granted",
                    top = self.top
                ));
            }
        }
        while let Some(entries) = page? {
            for entry in entries {
                match what {
                    None => self.entry(&entry),
                    Some(id) if entry.key_text().rsplit('/').next() == Some(id) => {
                        self.whole = false;
                        self.entry(&entry);
                    }
                    Some(_) => {}
                }
            }
            page = pages.next().await;
        }
        match what {
            Some(id) if self.count == 0 => {
                let id = printable(id);
                let problem = format!("no file and no endpoint {id} below {}/", self.top);
                Err(no_such(&client, &problem))
            }
            _ => Ok(()),
        }
    }

    /// The keys of a snapshot, or a value by itself.
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let source = Source::open(path)?;
        if source.is_snapshot()? {
            let mut reader = source.snapshot(true)?;
            while let Some(kept) = reader.next()? {
                self.add(Item {
                    key: &kept.key,
                    value: &kept.value,
                    lease: kept.lease,
                });
            }
            return Ok(());
        }
        self.whole = false;
        let mut value = Vec::new();
        let read = source.reader()?.read_to_end(&mut value);
        read.map_err(|error| Failure::usage(format!("{} cannot be read: {error}", source.name())))?;
        // The newline that ends a file is not of the value.
        let value = value.strip_suffix(b"\n").unwrap_or(&value);
        let key = format!("{}/{NO_SESSION}/{}", self.top, id_of(value));
        let before = self.verdicts.len();
        self.add(Item {
            key: key.as_bytes(),
            value,
            lease: Some(1),
        });
        for verdict in self.verdicts.iter_mut().skip(before) {
            source.name().clone_into(&mut verdict.key);
        }
        Ok(())
    }

    /// How many keys were looked at, and what is said of them to these peers, the worst first.
    fn finish(mut self, peers: &[Reader]) -> (u64, Vec<Verdict>) {
        if self.whole {
            self.verdicts.extend(self.registry.finish());
        }
        let wanted = |verdict: &Verdict| {
            peers.is_empty()
                || peers
                    .iter()
                    .any(|peer| verdict.peer.concerns((*peer).into()))
        };
        self.verdicts.retain(wanted);
        self.verdicts
            .sort_by_key(|verdict| std::cmp::Reverse(verdict.severity));
        (self.count, self.verdicts)
    }
}

/// Stands for the session of a value that has no key.
const NO_SESSION: &str = "00000000-0000-0000-0000-000000000000";

/// The id that a value by itself would end its key with.
fn id_of(value: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(value).ok();
    let id = json.as_ref().and_then(|json| {
        let entries = json.get("properties")?.as_array()?;
        let entry = entries
            .iter()
            .find(|entry| entry["name"] == "endpoint.id")?;
        entry["value"].as_str().map(str::trim)
    });
    id.unwrap_or("endpoint").to_owned()
}

fn no_such(client: &Client, problem: &str) -> Failure {
    let etcd = client.endpoint();
    Failure::no(format!(
        "{problem} in etcd at {etcd}: rsctl endpoint list shows what there is"
    ))
}

impl From<Bad> for Severity {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Error => Self::Error,
            Bad::Warning => Self::Warning,
            Bad::Note => Self::Note,
        }
    }
}

impl From<Reader> for Peer {
    fn from(reader: Reader) -> Self {
        match reader {
            Reader::Ecf => Self::Ecf,
            Reader::Ipopo => Self::Ipopo,
            Reader::OsgiRemote => Self::OsgiRemote,
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const NOTE: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().bold();

impl Report {
    fn new(checked: u64, verdicts: Vec<Verdict>) -> Self {
        let count = |severity| {
            let of_it = verdicts
                .iter()
                .filter(|verdict| verdict.severity == severity);
            of_it.count() as u64
        };
        Self {
            checked,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            findings: verdicts.into_iter().map(Finding::from).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            finding.write(&mut text);
        }
        text.push_str(&format!(
            "{} checked: {}, {}, {}",
            counted(self.checked, "key"),
            counted(self.errors, "error"),
            counted(self.warnings, "warning"),
            counted(self.notes, "note"),
        ));
        text
    }
}

impl Finding {
    fn write(&self, text: &mut String) {
        let style = match self.severity {
            "error" => ERROR,
            "warning" => WARNING,
            _ => NOTE,
        };
        let place = match &self.path {
            Some(path) => format!(" ({})", printable(path)),
            None => String::new(),
        };
        // Writing to a string never fails.
        let _ = write!(
            text,
            "{style}{}{style:#}: {}: {}\n  at   {}{place}\n  cure {}\n\n",
            self.severity,
            self.headline,
            printable(&self.cause),
            printable(&self.key),
            printable(&self.cure),
        );
    }
}
