//! Keys below the prefix that are no endpoints, and what they do to peers.

use std::collections::HashSet;

use osgi_remote::discovery::etcd::keys::{self, Key, KeyError};
use osgi_remote::endpoint::service_info::{self, DecodeError};
use osgi_remote::keyspace::{Client, Entry, Listing, Range};
use osgi_remote::names::TopKey;

use super::finding::Finding;

const CHECK: &str = "rubbish";
/// Findings of one kind that are told one by one.
const MOST: usize = 10;

/// Looks through all keys below the top key.
pub(crate) fn judge(top: &TopKey, listing: &Listing) -> Vec<Finding> {
    let mut kinds = Kinds::default();
    let mut sessions = HashSet::new();
    let mut carriers = Vec::new();
    for entry in &listing.entries {
        match keys::parse(top, &entry.key) {
            Ok(Key::Session(session)) => {
                sessions.insert(session);
            }
            Ok(Key::Endpoint(session, _)) => {
                kinds.endpoints += 1;
                kinds.value(entry);
                carriers.push((session, entry));
            }
            Err(error) => kinds.key(entry, &error),
        }
        if entry.lease.is_none() {
            kinds.immortal.push(entry.key_text().into_owned());
        }
    }
    for (session, entry) in carriers {
        if !sessions.contains(&session) {
            kinds.orphans.push(entry.key_text().into_owned());
        }
    }
    kinds.findings(sessions.len())
}

#[derive(Debug, Default)]
struct Kinds {
    endpoints: usize,
    /// What ends iPOPO's watcher for good: bytes that are no text, values that are no JSON.
    fatal: Vec<String>,
    stray: Vec<String>,
    broken: Vec<String>,
    immortal: Vec<String>,
    orphans: Vec<String>,
}

impl Kinds {
    fn key(&mut self, entry: &Entry, error: &KeyError) {
        let text = format!("{}: {error}", entry.key_text());
        match error {
            KeyError::NotUtf8 => self.fatal.push(text),
            _ => self.stray.push(text),
        }
    }

    fn value(&mut self, entry: &Entry) {
        let key = entry.key_text();
        if let Err(error) = service_info::decode(&entry.value) {
            let text = format!("{key}: {error}");
            match error {
                DecodeError::Json(_) => self.fatal.push(text),
                _ => self.broken.push(text),
            }
        } else if std::str::from_utf8(&entry.value).is_err() {
            self.fatal.push(format!("{key}: the value is not UTF-8"));
        }
    }

    fn findings(self, sessions: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        let delete = "delete the key (etcdctl del), and find out who writes it";
        let mend = "see rsctl endpoint lint, and mend who writes it";
        tell(&mut findings, self.fatal, |what| {
            let what = format!("{what}; iPOPO's watcher ends on it for good");
            Finding::error(CHECK, what, delete)
        });
        tell(&mut findings, self.stray, |what| {
            Finding::warning(CHECK, what, delete)
        });
        tell(&mut findings, self.broken, |what| {
            Finding::warning(CHECK, what, mend)
        });
        tell(&mut findings, self.immortal, |what| {
            let what = format!("{what}: under no lease, and stays when its process ends");
            Finding::warning(CHECK, what, "delete it if its process is gone")
        });
        tell(&mut findings, self.orphans, |what| {
            let what = format!("{what}: its session has no key");
            Finding::warning(CHECK, what, "restart its process, or delete the key")
        });
        if findings.is_empty() {
            let what = format!("none: {} endpoints in {sessions} sessions", self.endpoints);
            findings.push(Finding::ok(CHECK, what));
        }
        findings
    }
}

/// The first ones, and how many more there are.
fn tell(findings: &mut Vec<Finding>, texts: Vec<String>, finding: impl Fn(String) -> Finding) {
    let more = texts.len().saturating_sub(MOST);
    findings.extend(texts.into_iter().take(MOST).map(&finding));
    if more > 0 {
        findings.push(finding(format!("and {more} more keys like these")));
    }
}

/// Keys that ECF and iPOPO read as well, because their range ends too late.
pub(crate) async fn siblings(client: &Client, top: &TopKey) -> Option<Finding> {
    let after = format!("{top}0");
    let seen = Range::new(after, format!("{top}\\0"));
    // Who may not read them need not know of them.
    let listing = client.list_keys(seen).await.ok()?;
    let first = listing.entries.first()?;
    let what = format!(
        "{} keys beside the top key, such as {}: ECF and iPOPO read them as their own",
        listing.entries.len(),
        first.key_text()
    );
    let cure = "use another prefix for them, one that does not begin with the top key";
    Some(Finding::warning(CHECK, what, cure))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    const SESSION: &str = "top/4469111c-91c2-4dba-b64f-750d14243fda";

    fn judged(keys: &[(&[u8], &[u8], Option<i64>)]) -> Vec<Finding> {
        let entries = keys.iter().map(|(key, value, lease)| Entry {
            key: key.to_vec(),
            value: value.to_vec().into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease: *lease,
        });
        let listing = Listing {
            entries: entries.collect(),
            revision: 1,
            cluster: 1,
        };
        judge(&"top".parse().unwrap(), &listing)
    }

    fn texts(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|f| f.finding.as_str()).collect()
    }

    #[test]
    fn a_range_without_rubbish_is_counted() {
        let findings = judged(&[(SESSION.as_bytes(), b"x", Some(7))]);
        assert_eq!(texts(&findings), ["none: 0 endpoints in 1 sessions"]);
    }

    #[test]
    fn each_kind_of_rubbish_is_told_with_its_key() {
        let endpoint = format!("{SESSION}/e");
        let findings = judged(&[
            (b"top/\xff", b"x", Some(7)),
            (b"top/no-session", b"x", Some(7)),
            (endpoint.as_bytes(), b"x", None),
        ]);
        let texts = texts(&findings);
        assert_eq!(findings[0].result, Grade::Error);
        assert!(texts[0].contains("not UTF-8"), "{texts:?}");
        assert!(texts[1].contains(&endpoint), "{texts:?}");
        assert!(
            texts[1].ends_with("iPOPO's watcher ends on it for good"),
            "{texts:?}"
        );
        assert!(texts[2].contains("top/no-session"), "{texts:?}");
        assert!(texts[3].contains("under no lease"), "{texts:?}");
        assert!(texts[4].contains("its session has no key"), "{texts:?}");
        assert_eq!(texts.len(), 5);
    }

    #[test]
    fn much_rubbish_is_not_told_key_by_key() {
        let keys: Vec<String> = (0..500).map(|n| format!("top/x{n}")).collect();
        let all: Vec<_> = keys
            .iter()
            .map(|key| (key.as_bytes(), b"".as_slice(), Some(7)))
            .collect();
        let findings = judged(&all);
        assert_eq!(findings.len(), MOST + 1);
        assert!(findings[MOST].finding.contains("490 more"));
    }
}
