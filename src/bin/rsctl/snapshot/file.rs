//! The file: a header, a line for each key, and a last line with their number.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osgi_remote::keyspace::Entry;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::printable;

const FORMAT: &str = "rsctl-snapshot";
const VERSION: u32 = 1;

/// More than any line of a key that etcd takes: 1.5 MiB, each byte escaped with six.
const LONGEST_LINE: u64 = 16 << 20;

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    format: String,
    version: u32,
    /// The id of the cluster, in hex.
    pub(crate) cluster: String,
    /// The revision at which the keys stood.
    pub(crate) revision: i64,
    pub(crate) prefix: String,
    /// When it was taken.
    pub(crate) time: jiff::Timestamp,
}

impl Header {
    pub(crate) fn new(cluster: u64, revision: i64, prefix: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            cluster: format!("{cluster:x}"),
            revision,
            prefix: prefix.to_owned(),
            time: jiff::Timestamp::now(),
        }
    }
}

/// A key's line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// In hex, as etcdctl shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// The seconds that were left of the lease; not there if that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(default)]
    create_revision: i64,
    #[serde(default)]
    mod_revision: i64,
    #[serde(default)]
    version: i64,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    keys: u64,
}

/// A key as the snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) lease: Option<i64>,
    /// The seconds that were left of it, if they are known.
    pub(crate) ttl: Option<u64>,
}

impl Kept {
    pub(crate) fn key_text(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }
}

/// Writes a snapshot.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    keys: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(mut out: W, header: &Header) -> Result<Self, Failure> {
        line(&mut out, header)?;
        Ok(Self { out, keys: 0 })
    }

    pub(crate) fn key(&mut self, entry: &Entry, ttl: Option<u64>) -> Result<(), Failure> {
        let (key, key_base64) = text_or_base64(&entry.key);
        let (value, value_base64) = text_or_base64(&entry.value);
        let kept = Line {
            key,
            key_base64,
            value,
            value_base64,
            lease: entry.lease.map(|lease| format!("{lease:x}")),
            ttl,
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
        };
        self.keys += 1;
        line(&mut self.out, &kept)
    }

    /// Writes the end, and returns the number of keys.
    pub(crate) fn end(mut self) -> Result<u64, Failure> {
        let keys = self.keys;
        line(&mut self.out, &End { keys })?;
        self.out.flush()?;
        Ok(keys)
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value);
    let text =
        text.map_err(|error| Failure::failed(format!("a line has no JSON form: {error}")))?;
    writeln!(out, "{text}")?;
    Ok(())
}

fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

/// A file that can be read more than once; what comes by stdin is kept in one until the end.
#[derive(Debug)]
pub(crate) struct Source {
    name: String,
    file: File,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let wrong =
            |error: std::io::Error| Failure::usage(format!("{name} cannot be read: {error}"));
        if path != Path::new("-") {
            let file = File::open(path).map_err(wrong)?;
            return Ok(Self { name, file });
        }
        let mut file = tempfile::tempfile().map_err(|error| {
            Failure::failed(format!(
                "what comes by stdin cannot be kept in a file: {error}"
            ))
        })?;
        let name = "stdin".to_owned();
        let copied = std::io::copy(&mut std::io::stdin().lock(), &mut file);
        copied.map_err(|error| Failure::usage(format!("stdin cannot be read: {error}")))?;
        Ok(Self { name, file })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the file from its beginning.
    pub(crate) fn reader(&self) -> Result<BufReader<File>, Failure> {
        let again = || {
            let mut file = self.file.try_clone()?;
            file.rewind()?;
            Ok(BufReader::new(file))
        };
        again().map_err(|error: std::io::Error| {
            Failure::usage(format!("{} cannot be read: {error}", self.name))
        })
    }

    /// Whether it is a snapshot, by its first line.
    pub(crate) fn is_snapshot(&self) -> Result<bool, Failure> {
        let mut lines = Lines::new(self.reader()?, &self.name);
        let first = lines.next()?.unwrap_or_default();
        Ok(serde_json::from_slice::<serde_json::Value>(&first)
            .is_ok_and(|first| first.get("format").is_some_and(|format| format == FORMAT)))
    }

    /// Reads the snapshot. `partial` takes one without its end, or with another number of keys.
    pub(crate) fn snapshot(&self, partial: bool) -> Result<Reader, Failure> {
        Reader::new(Lines::new(self.reader()?, &self.name), partial)
    }
}

/// The lines of a file, none of which is longer than there is room for.
struct Lines {
    source: BufReader<File>,
    name: String,
    number: u64,
}

impl Lines {
    fn new(source: BufReader<File>, name: &str) -> Self {
        Self {
            source,
            name: name.to_owned(),
            number: 0,
        }
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        let Self { name, number, .. } = self;
        Failure::usage(format!("{name}, line {number}: {problem}"))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        self.number += 1;
        let mut source = (&mut self.source).take(LONGEST_LINE);
        let read = source.read_until(b'\n', &mut line);
        let read = read.map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        if read as u64 == LONGEST_LINE {
            return Err(self.wrong("is longer than any line of a snapshot"));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }
}

/// Reads a snapshot, and checks each line.
pub(crate) struct Reader {
    lines: Lines,
    header: Header,
    partial: bool,
    keys: u64,
    before: Option<Vec<u8>>,
    over: bool,
}

impl Reader {
    fn new(mut lines: Lines, partial: bool) -> Result<Self, Failure> {
        let first = lines.next()?.unwrap_or_default();
        let header: Header = serde_json::from_slice(&first).map_err(|error| {
            lines.wrong(format!(
                "not the first line of a snapshot: {error}: take one with rsctl snapshot"
            ))
        })?;
        if header.format != FORMAT {
            return Err(lines.wrong(format!(
                "the format is '{}' and not '{FORMAT}'",
                printable(&header.format)
            )));
        }
        if header.version != VERSION {
            let version = header.version;
            return Err(lines.wrong(format!(
                "version {version} of the format is not known, only {VERSION}: use the rsctl that wrote it"
            )));
        }
        Ok(Self {
            lines,
            header,
            partial,
            keys: 0,
            before: None,
            over: false,
        })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The next key; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Kept>, Failure> {
        if self.over {
            return Ok(None);
        }
        let Some(line) = self.lines.next()? else {
            self.over = true;
            return match self.partial {
                true => Ok(None),
                false => Err(self.lines.wrong(
                    "the snapshot is cut off, its last line with the number of keys is missing: \
                     --partial takes what there is",
                )),
            };
        };
        if let Ok(End { keys }) = serde_json::from_slice(&line) {
            return self.end(keys).map(|()| None);
        }
        let kept = self
            .key(&line)
            .map_err(|problem| self.lines.wrong(problem))?;
        self.keys += 1;
        self.before = Some(kept.key.clone());
        Ok(Some(kept))
    }

    fn end(&mut self, keys: u64) -> Result<(), Failure> {
        self.over = true;
        if keys != self.keys && !self.partial {
            let there = self.keys;
            return Err(self.lines.wrong(format!(
                "the snapshot is of {keys} keys, and {there} are there: --partial takes them"
            )));
        }
        match self.lines.next()? {
            None => Ok(()),
            Some(_) => Err(self
                .lines
                .wrong("there is more behind the end of the snapshot")),
        }
    }

    fn key(&self, line: &[u8]) -> Result<Kept, String> {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| format!("no line of a key: {error}"))?;
        let key = bytes(line.key, line.key_base64, "key")?;
        let value = bytes(line.value, line.value_base64, "value")?;
        let lease = line.lease.map(|lease| {
            let id = i64::from_str_radix(&lease, 16).ok().filter(|id| *id > 0);
            id.ok_or_else(|| format!("lease '{}' is no lease's id in hex", printable(&lease)))
        });
        let shown = printable(&String::from_utf8_lossy(&key));
        if !key.starts_with(self.header.prefix.as_bytes()) {
            let prefix = printable(&self.header.prefix);
            return Err(format!(
                "key {shown} is not below the snapshot's prefix {prefix}"
            ));
        }
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        if self.before.as_ref().is_some_and(|before| *before >= key) {
            return Err(format!(
                "key {shown} is there twice, or out of order: sort the lines by key"
            ));
        }
        Ok(Kept {
            key,
            value,
            lease: lease.transpose()?,
            ttl: line.ttl,
        })
    }
}

fn bytes(text: Option<String>, base64: Option<String>, what: &str) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(text)) => {
            let wrong = |error| format!("{what}_base64 is no base64: {error}");
            BASE64.decode(text).map_err(wrong)
        }
        _ => Err(format!("there must be either {what} or {what}_base64")),
    }
}
