//! What ECF, iPOPO and this crate would make of a key and its value.
//!
//! One value that a peer cannot read ends that peer's discovery, and with it all that the peer
//! exports. [`lint`] tells it of one key beforehand; [`Registry`] tells also what is wrong between
//! keys.
//!
//! iPOPO's verdicts are those of its own code: a test feeds generated values to iPOPO 3.2.4 and
//! compares. ECF's are read from its source. This crate's are made by what reads endpoints.

mod across;
mod ecf;
mod ipopo;
mod java;
mod json;
mod own;
mod python;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use self::across::Registry;
use super::keys::{self, Key, KeyError};
use crate::names::TopKey;

/// Who reads a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Peer {
    /// Eclipse ECF, Java.
    Ecf,
    /// iPOPO, Python.
    Ipopo,
    /// This crate.
    OsgiRemote,
    /// Each of them.
    All,
}

impl Peer {
    /// The peer's name: `ecf`, `ipopo`, `osgi-remote` or `all`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecf => "ecf",
            Self::Ipopo => "ipopo",
            Self::OsgiRemote => "osgi-remote",
            Self::All => "all",
        }
    }

    /// Whether a verdict of this peer concerns that one.
    pub fn concerns(self, that: Self) -> bool {
        self == that || self == Self::All || that == Self::All
    }
}

/// The name as its makers write it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecf => "ECF",
            Self::Ipopo => "iPOPO",
            Self::OsgiRemote => "osgi-remote",
            Self::All => "every peer",
        })
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// The endpoint works, and something around it does not.
    Warning,
    /// The peer's watcher stops, or the endpoint is not there for the peer.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What the peer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Its watcher ends, for good. iPOPO's endpoints then expire too.
    StopsWatching,
    /// It reads the key and has no endpoint of it.
    Drops,
    /// It has the endpoint, and has it for ever.
    NeverRemoves,
    /// The key stays when its owner is gone.
    Outlives,
    /// It mixes this endpoint up with another.
    Confuses,
    /// It reads something else than is meant.
    Misreads,
    /// It reads a key that is not of its own registry.
    Strays,
    /// It takes no notice of a key that is neither a session's nor an endpoint's.
    Ignores,
    /// It has the endpoint, and does not import it.
    DoesNotImport,
    /// It has the endpoint, and no provider can ever import it.
    FindsNoProvider,
    /// It has the endpoint without some of the properties.
    Overlooks,
    /// It cannot tell the end in order of a session from an accident.
    CannotTell,
}

impl Effect {
    /// How bad this is, if nothing else is said.
    fn severity(self) -> Severity {
        match self {
            Self::StopsWatching | Self::Drops => Severity::Error,
            Self::NeverRemoves
            | Self::Outlives
            | Self::Confuses
            | Self::Misreads
            | Self::Strays
            | Self::FindsNoProvider
            | Self::Ignores => Severity::Warning,
            Self::DoesNotImport | Self::Overlooks | Self::CannotTell => Severity::Note,
        }
    }

    /// A word for programs, such as `stops-watching`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StopsWatching => "stops-watching",
            Self::Drops => "drops",
            Self::NeverRemoves => "never-removes",
            Self::Outlives => "outlives",
            Self::Confuses => "confuses",
            Self::Misreads => "misreads",
            Self::Strays => "strays",
            Self::Ignores => "ignores",
            Self::DoesNotImport => "does-not-import",
            Self::FindsNoProvider => "finds-no-provider",
            Self::Overlooks => "overlooks",
            Self::CannotTell => "cannot-tell",
        }
    }
}

/// Words that go behind the peer's name.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StopsWatching => "will stop watching",
            Self::Drops => "will drop this endpoint",
            Self::NeverRemoves => "will never remove this endpoint",
            Self::Outlives => "will see this when its owner is gone",
            Self::Confuses => "will confuse this endpoint with another",
            Self::Misreads => "will read this otherwise than it is meant",
            Self::Strays => "will read this key of another registry",
            Self::Ignores => "will ignore this key",
            Self::DoesNotImport => "will not import this endpoint",
            Self::FindsNoProvider => "will find no provider that imports this endpoint",
            Self::Overlooks => "will not see all of this endpoint",
            Self::CannotTell => "will take any end of this session for a goodbye",
        })
    }
}

/// What one peer would make of one key, where that is not what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The key; what is not UTF-8 in it is replaced.
    pub key: String,
    /// Who reads it.
    pub peer: Peer,
    /// How bad it is.
    pub severity: Severity,
    /// What the peer will do.
    pub effect: Effect,
    /// The property, or the place in the JSON, such as `servicetype.scopes`; `None` if the key as
    /// a whole is meant.
    pub path: Option<String>,
    /// Why.
    pub cause: String,
    /// What to do.
    pub cure: String,
}

/// One line without the key: `iPOPO will stop watching: ecf.rsvc.id is missing; …`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peer,
            effect,
            cause,
            cure,
            ..
        } = self;
        write!(f, "{peer} {effect}: {cause}; {cure}")
    }
}

/// A key as it stands in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// The lease that ends it; `None` if it stays until somebody deletes it.
    pub lease: Option<i64>,
}

/// The keys that ECF and iPOPO read: those below the top key, and siblings whose names begin with
/// it. Each end of both is the top key with a backslash and a zero behind it.
///
/// ```
/// use osgi_remote::discovery::etcd::lint;
///
/// let range = lint::range(&"top".parse()?);
/// assert!(range.contains(&b"top/x".to_vec()) && range.contains(&b"top2/x".to_vec()));
/// # Ok::<(), osgi_remote::names::NameError>(())
/// ```
pub fn range(top: &TopKey) -> Range<Vec<u8>> {
    top.as_str().as_bytes().to_vec()..format!("{top}\\0").into_bytes()
}

/// Tells what is wrong with one key, the worst first; nothing if all peers read it as it is meant.
///
/// Keys outside of [`range`] are read by nobody, and nothing is said of them.
///
/// ```
/// use osgi_remote::discovery::etcd::lint::{Item, Peer, Severity, lint};
///
/// let key = b"top/4469111c-91c2-4dba-b64f-750d14243fda/e1";
/// let verdicts = lint(&"top".parse()?, Item { key, value: b"{}", lease: Some(1) });
/// let of_ipopo = verdicts.iter().find(|v| v.peer == Peer::Ipopo).expect("a verdict");
/// assert_eq!(of_ipopo.severity, Severity::Error);
/// assert!(of_ipopo.to_string().starts_with("iPOPO will stop watching: there are no properties"));
/// # Ok::<(), osgi_remote::names::NameError>(())
/// ```
pub fn lint(top: &TopKey, item: Item<'_>) -> Vec<Verdict> {
    let range = range(top);
    if item.key < range.start.as_slice() || item.key >= range.end.as_slice() {
        return Vec::new();
    }
    let key = String::from_utf8_lossy(item.key).into_owned();
    let mut found = Vec::new();
    let mut add = |peer: Peer, problems: Vec<Problem>| {
        for problem in problems {
            found.push(problem.verdict(&key, peer));
        }
    };
    add(Peer::Ipopo, ipopo::judge(item));
    add(Peer::Ecf, ecf::judge(&key, item.value));
    let parsed = keys::parse(top, item.key);
    match &parsed {
        Ok(Key::Endpoint(_, id)) => add(Peer::OsgiRemote, own::judge(id, item.value)),
        Ok(Key::Session(session)) => add(Peer::All, session_value(session.as_str(), item.value)),
        Err(KeyError::Outside(_)) => {
            let readers = [
                (Peer::Ipopo, ipopo::is_endpoint(&key)),
                (Peer::Ecf, ecf::is_endpoint(&key)),
            ];
            for (peer, _) in readers.into_iter().filter(|(_, reads)| *reads) {
                add(peer, vec![stray(top)]);
            }
        }
        Err(error) => {
            let others = ipopo::is_endpoint(&key) || ecf::is_endpoint(&key);
            let peer = if others { Peer::OsgiRemote } else { Peer::All };
            add(peer, vec![own::rejected(error, others)]);
        }
    }
    let is_ours = parsed.is_ok();
    if is_ours && item.lease.is_none() {
        add(Peer::All, vec![no_lease()]);
    }
    found.sort_by_key(|verdict| std::cmp::Reverse(verdict.severity));
    found
}

/// What is wrong, before it is said of which key and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    effect: Effect,
    path: Option<String>,
    cause: String,
    cure: String,
}

impl Problem {
    fn new(effect: Effect, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            effect,
            path: None,
            cause: cause.into(),
            cure: cure.into(),
        }
    }

    fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn verdict(self, key: &str, peer: Peer) -> Verdict {
        Verdict {
            key: key.to_owned(),
            peer,
            severity: self.effect.severity(),
            effect: self.effect,
            path: self.path,
            cause: self.cause,
            cure: self.cure,
        }
    }
}

fn stray(top: &TopKey) -> Problem {
    Problem::new(
        Effect::Strays,
        format!("it reads all keys that begin with '{top}', and not only those below '{top}/'"),
        "use a top key of which no other one is the beginning",
    )
}

fn no_lease() -> Problem {
    Problem::new(
        Effect::Outlives,
        "it is under no lease, so that nothing ends it when its owner does",
        "put it under the lease of its session, or delete it",
    )
}

fn session_value(session: &str, value: &[u8]) -> Vec<Problem> {
    if value == session.as_bytes() {
        return Vec::new();
    }
    let mut problem = Problem::new(
        Effect::Overlooks,
        format!(
            "the value of a session's key is the session's id, and this is '{}'",
            shortened(&String::from_utf8_lossy(value))
        ),
        format!("put '{session}'"),
    );
    problem.path = Some("value".to_owned());
    vec![problem]
}

/// A text as far as it fits into a line.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
