//! Keys that harm the peers that read them, by the verdicts of `rsctl endpoint lint`.

use std::collections::HashSet;

use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::discovery::etcd::lint::{self, Effect, Item, Peer, Registry, Severity, Verdict};
use osgi_remote::keyspace::{Client, Entry, Error, Listing, Range};
use osgi_remote::names::{SessionId, TopKey};

use super::finding::Finding;

const CHECK: &str = "rubbish";
/// Findings of one kind that are told one by one.
const MOST: usize = 10;
/// Characters of a key or a cause that are told: etcd takes keys of a megabyte.
const LONGEST: usize = 300;

/// Looks through all that peers read: the listing, which is of the keys below the top key, and the
/// keys beside it, because the range that ECF and iPOPO read begins too early and ends too late.
pub(crate) async fn look(client: &Client, top: &TopKey, listing: &Listing) -> Vec<Finding> {
    let mut rubbish = Rubbish::new(top);
    for entry in &listing.entries {
        rubbish.own(entry);
    }
    let beside = rubbish.read_beside(client).await;
    let mut findings = rubbish.findings();
    findings.extend(beside.err().map(|error| unseen(top, error)));
    findings
}

/// Whoever keeps to the rights that this library asks for may not read what iPOPO watches.
fn unseen(top: &TopKey, error: Error) -> Finding {
    if !matches!(error, Error::Denied { .. } | Error::NotPermitted { .. }) {
        return Finding::of(CHECK, error).into_warning();
    }
    let what = format!(
        "keys beside {top}/ that begin with {top}, which ECF and iPOPO read too, were not looked \
         at: the right to read them is not granted"
    );
    Finding::unknown(CHECK, what, "ask again as a user who may read them")
}

/// What is found in a registry, of which only a part is kept.
struct Rubbish {
    top: TopKey,
    registry: Registry,
    kinds: Vec<Kind>,
    sessions: HashSet<SessionId>,
    endpoints: usize,
    beside: usize,
    /// One of the keys beside the top key.
    such_as: Option<String>,
}

/// All that has one effect.
struct Kind {
    effect: Effect,
    severity: Severity,
    /// The first ones.
    told: Vec<Told>,
    more: usize,
    /// The key that was told last, or left out.
    last: String,
}

/// What becomes of one key.
struct Told {
    key: String,
    peers: Vec<Peer>,
    /// What the first of the peers makes of it.
    cause: String,
    cure: String,
}

impl Rubbish {
    fn new(top: &TopKey) -> Self {
        Self {
            top: top.clone(),
            registry: Registry::new(top.clone()),
            kinds: Vec::new(),
            sessions: HashSet::new(),
            endpoints: 0,
            beside: 0,
            such_as: None,
        }
    }

    /// A key below the top key.
    fn own(&mut self, entry: &Entry) {
        match keys::parse(&self.top, &entry.key) {
            Ok(Key::Session(session)) => {
                self.sessions.insert(session);
            }
            Ok(Key::Endpoint(..)) => self.endpoints += 1,
            Err(_) => {}
        }
        self.judge(entry);
    }

    /// A key that is not, and that ECF and iPOPO read all the same.
    fn sibling(&mut self, entry: &Entry) {
        self.beside += 1;
        self.such_as
            .get_or_insert_with(|| shortened(&entry.key_text()));
        self.judge(entry);
    }

    fn judge(&mut self, entry: &Entry) {
        let verdicts = self.registry.add(Item {
            key: &entry.key,
            value: &entry.value,
            lease: entry.lease,
        });
        note(&mut self.kinds, verdicts);
    }

    /// The keys beside the top key, page by page: others may have written very many.
    async fn read_beside(&mut self, client: &Client) -> Result<(), Error> {
        let (all, own) = (lint::range(&self.top), keys::range(&self.top));
        for range in [
            Range::new(all.start, own.start),
            Range::new(own.end, all.end),
        ] {
            let mut pages = client.pages(range);
            while let Some(entries) = pages.next().await? {
                entries.iter().for_each(|entry| self.sibling(entry));
            }
        }
        Ok(())
    }

    fn findings(self) -> Vec<Finding> {
        let mut kinds = self.kinds;
        note(&mut kinds, self.registry.finish());
        // A watcher that ends takes all other endpoints along.
        kinds.sort_by_key(|kind| {
            let stops = kind.effect == Effect::StopsWatching;
            std::cmp::Reverse((kind.severity, stops))
        });
        let mut findings: Vec<Finding> = kinds.into_iter().flat_map(Kind::findings).collect();
        if let Some(such_as) = self.such_as {
            let (top, beside) = (&self.top, self.beside);
            let what = format!(
                "{beside} keys beside {top}/, such as {such_as}: ECF and iPOPO read them as their own"
            );
            let cure = "use another prefix for them, one that does not begin with the top key";
            findings.push(Finding::warning(CHECK, what, cure));
        }
        if findings.is_empty() {
            let (endpoints, sessions) = (self.endpoints, self.sessions.len());
            let what = format!("none: {endpoints} endpoints in {sessions} sessions");
            findings.push(Finding::ok(CHECK, what));
        }
        findings
    }
}

/// Sorts verdicts into their kinds. Those of one key stand together.
fn note(kinds: &mut Vec<Kind>, verdicts: Vec<Verdict>) {
    for verdict in verdicts {
        // An endpoint that iPOPO does not import is as it should be. Keys beside the top key are
        // counted, whether a peer takes them for endpoints or not.
        let counts = match verdict.effect {
            Effect::CannotTell => true,
            Effect::Strays => false,
            _ => verdict.severity > Severity::Note,
        };
        if counts {
            Kind::of(kinds, &verdict).add(verdict);
        }
    }
}

impl Kind {
    fn of<'a>(kinds: &'a mut Vec<Self>, verdict: &Verdict) -> &'a mut Self {
        let known = kinds.iter().position(|kind| kind.effect == verdict.effect);
        let at = known.unwrap_or_else(|| {
            kinds.push(Self {
                effect: verdict.effect,
                severity: verdict.severity,
                told: Vec::new(),
                more: 0,
                last: String::new(),
            });
            kinds.len() - 1
        });
        &mut kinds[at]
    }

    fn add(&mut self, verdict: Verdict) {
        if self.last == verdict.key {
            if let Some(told) = self.told.last_mut().filter(|_| self.more == 0)
                && !told.peers.contains(&verdict.peer)
            {
                told.peers.push(verdict.peer);
            }
            return;
        }
        self.last.clone_from(&verdict.key);
        if self.told.len() == MOST {
            self.more += 1;
            return;
        }
        self.told.push(Told {
            key: shortened(&verdict.key),
            peers: vec![verdict.peer],
            cause: shortened(&verdict.cause),
            cure: shortened(&verdict.cure),
        });
    }

    /// The first ones, and how many more there are.
    fn findings(self) -> Vec<Finding> {
        let finding = |what: String, cure: String| match self.severity {
            Severity::Error => Finding::error(CHECK, what, cure),
            _ => Finding::warning(CHECK, what, cure),
        };
        let cure = |cure: &str| match self.effect {
            Effect::StopsWatching => format!(
                "{cure}, or delete the key (etcdctl del); find out who writes it, and restart the \
                 peers that have read it"
            ),
            Effect::Ignores => format!("{cure} (etcdctl del), and find out who writes it"),
            _ => format!("{cure}; rsctl endpoint lint tells more"),
        };
        let mut findings = Vec::with_capacity(self.told.len() + 1);
        for told in &self.told {
            let peers: Vec<String> = told.peers.iter().map(Peer::to_string).collect();
            let what = format!(
                "{}: {} {}: {}",
                told.key,
                peers.join(" and "),
                self.effect,
                told.cause
            );
            findings.push(finding(what, cure(&told.cure)));
        }
        if self.more > 0 {
            let what = format!("and {} more keys like these", self.more);
            let cure = "rsctl endpoint lint tells them all".to_owned();
            findings.push(finding(what, cure));
        }
        findings
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    const SESSION: &str = "top/4469111c-91c2-4dba-b64f-750d14243fda";
    const GOOD: &str = include_str!("../../../../tests/fixtures/ipopo_hello_endpoint.json");

    fn entry(key: &[u8], value: &[u8], lease: Option<i64>) -> Entry {
        Entry {
            key: key.to_vec(),
            value: value.to_vec().into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease,
        }
    }

    fn judged(own: &[Entry], beside: &[Entry]) -> Vec<Finding> {
        let mut rubbish = Rubbish::new(&"top".parse().unwrap());
        own.iter().for_each(|entry| rubbish.own(entry));
        beside.iter().for_each(|entry| rubbish.sibling(entry));
        rubbish.findings()
    }

    fn texts(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|f| f.finding.as_str()).collect()
    }

    /// The session's key, and a key of an endpoint of the session with this value.
    fn with_endpoint(value: &str) -> [Entry; 2] {
        let id = SESSION.strip_prefix("top/").unwrap();
        let good: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        let properties = good["properties"].as_array().unwrap().iter();
        let mut ids = properties.filter(|property| property["name"] == "endpoint.id");
        let endpoint = ids.next().unwrap()["value"].as_str().unwrap();
        let key = format!("{SESSION}/{endpoint}");
        [
            entry(SESSION.as_bytes(), id.as_bytes(), Some(7)),
            entry(key.as_bytes(), value.as_bytes(), Some(7)),
        ]
    }

    #[test]
    fn a_range_without_rubbish_is_counted() {
        let findings = judged(&with_endpoint(GOOD), &[]);
        assert_eq!(texts(&findings), ["none: 1 endpoints in 1 sessions"]);
    }

    #[test]
    fn a_value_that_only_we_can_read_is_an_error_if_ipopo_ends_on_it() {
        let value = GOOD.replace("ecf.rsvc.id", "rsvc.id");
        let findings = judged(&with_endpoint(&value), &[]);
        let first = &findings[0];
        assert_eq!(first.result, Grade::Error);
        let expected = "iPOPO will stop watching: ecf.rsvc.id is missing";
        assert!(first.finding.contains(expected), "{}", first.finding);
        let cure = first.cure.as_deref().unwrap();
        assert!(cure.contains("restart the peers"), "{cure}");
    }

    #[test]
    fn a_key_beside_the_top_key_is_an_error_if_ipopo_ends_on_it() {
        let key = SESSION.replace("top/", "top2/") + "/e";
        let beside = [
            entry(b"top-secret", b"1", None),
            entry(key.as_bytes(), b"{}", Some(7)),
        ];
        let findings = judged(&[], &beside);
        let texts = texts(&findings);
        assert_eq!(findings[0].result, Grade::Error);
        let expected = format!("{key}: iPOPO will stop watching");
        assert!(texts[0].starts_with(&expected), "{texts:?}");
        let last = "2 keys beside top/, such as top-secret: ECF and iPOPO read them as their own";
        assert_eq!(texts.last(), Some(&last));
    }

    #[test]
    fn each_kind_of_rubbish_is_told_with_its_key_the_worst_first() {
        let endpoint = format!("{SESSION}/e");
        let findings = judged(
            &[
                entry(b"top/\xff", b"x", Some(7)),
                entry(b"top/no-session", b"x", Some(7)),
                entry(endpoint.as_bytes(), b"x", None),
            ],
            &[],
        );
        let texts = texts(&findings);
        let expected = [
            "top/\u{fffd}: iPOPO will stop watching: the key is not UTF-8",
            &format!("{endpoint}: iPOPO will stop watching: the value is not JSON"),
            &format!("{endpoint}: ECF and osgi-remote will drop this endpoint: "),
        ];
        for (text, expected) in texts.iter().zip(expected) {
            assert!(text.starts_with(expected), "{texts:?}");
        }
        let has = |part: &str| texts.iter().any(|text| text.contains(part));
        assert!(
            has("top/no-session: every peer will ignore this key"),
            "{texts:?}"
        );
        assert!(has("it is under no lease"), "{texts:?}");
        assert!(has("has no key of its own"), "{texts:?}");
        let grades: Vec<Grade> = findings.iter().map(|finding| finding.result).collect();
        assert!(grades.is_sorted_by(|a, b| a >= b), "{grades:?}");
    }

    #[test]
    fn much_rubbish_is_neither_told_key_by_key_nor_at_length() {
        let long = "x".repeat(10_000);
        let keys = (0..500).map(|n| format!("top/{n:03}{long}"));
        let all: Vec<Entry> = keys
            .map(|key| entry(key.as_bytes(), b"", Some(7)))
            .collect();
        let findings = judged(&all, &[]);
        assert_eq!(findings.len(), MOST + 1);
        assert!(findings[MOST].finding.contains("490 more"));
        for finding in findings {
            assert!(finding.finding.chars().count() < 3 * LONGEST);
        }
    }
}
