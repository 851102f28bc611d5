use super::*;
use crate::endpoint::service_info::{ServiceInfo, encode};
use crate::props;

const TTL: std::time::Duration = std::time::Duration::from_secs(30);
const OWN: &str = "00000000-0000-4000-8000-000000000000";
const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

struct Bench {
    view: View,
    revision: i64,
    feed: EndpointFeed,
}

fn bench() -> Bench {
    let feed = EndpointFeed::new();
    let guard = Some(Guard::for_ttl(TTL));
    let view = View::new(
        "top".parse().unwrap(),
        Some(OWN.parse().unwrap()),
        feed.clone(),
        guard,
    );
    Bench {
        view,
        revision: 0,
        feed,
    }
}

fn value(id: &str, note: &str) -> Vec<u8> {
    let properties = props! {
        "objectClass" => ["a.A"], "endpoint.id" => id, "endpoint.service.id" => 1_i64,
        "endpoint.framework.uuid" => "fw", "service.imported.configs" => ["c"],
        "ecf.endpoint.id" => "http://h/", "ecf.endpoint.id.ns" => "ns",
        "ecf.rsvc.id" => 1_i64, "ecf.endpoint.ts" => 1_i64, "note" => note,
    };
    let info = ServiceInfo::new(EndpointDescription::new(properties).unwrap());
    encode(&info, "h").unwrap().into_bytes()
}

impl Bench {
    fn rejected(&self) -> usize {
        self.view.status().borrow().rejected.len()
    }

    fn suspects(&self) -> usize {
        self.view.status().borrow().suspects.len()
    }

    fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.revision += 1;
        self.view.apply(vec![Change::Put {
            key: key.as_ref().to_vec(),
            value: value.as_ref().to_vec().into(),
            mod_revision: self.revision,
            lease: 1,
        }]);
    }

    fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.view.apply(vec![Change::Delete {
            key: key.as_bytes().to_vec(),
            mod_revision: self.revision,
        }]);
    }

    fn notes(&self) -> Vec<(String, String)> {
        let entries = self.feed.snapshot();
        let note = |d: &EndpointDescription| d.properties().get_str("note").unwrap().to_owned();
        entries
            .iter()
            .map(|(id, d)| (id.to_string(), note(d)))
            .collect()
    }
}

fn noted(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    let entries = entries.iter();
    entries
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn endpoints_of_others_come_change_and_go() {
    let mut bench = bench();
    bench.put(format!("top/{ONE}"), ONE);
    bench.put(format!("top/{ONE}/e"), value("e", "first"));
    assert_eq!(bench.notes(), noted(&[("e", "first")]));
    bench.put(format!("top/{ONE}/e"), value("e", "second"));
    assert_eq!(bench.notes(), noted(&[("e", "second")]));
    bench.delete(&format!("top/{ONE}/e"));
    bench.delete(&format!("top/{ONE}"));
    assert!(bench.notes().is_empty());
}

#[test]
fn own_endpoints_are_no_news() {
    let mut bench = bench();
    bench.put(format!("top/{OWN}/e"), value("e", "own"));
    assert!(bench.notes().is_empty());
    assert!(bench.rejected() == 0);
}

#[test]
fn a_value_put_again_is_no_news() {
    let mut bench = bench();
    bench.put(format!("top/{ONE}/e"), value("e", "same"));
    let mut listener = bench.feed.listen(|_| true);
    assert!(listener.try_next().is_some());
    bench.put(format!("top/{ONE}/e"), value("e", "same"));
    assert!(listener.try_next().is_none());
}

#[test]
fn of_two_sessions_with_one_endpoint_the_newer_counts_and_the_losers_end_is_silent() {
    let mut bench = bench();
    bench.put(format!("top/{ONE}/e"), value("e", "old"));
    bench.put(format!("top/{TWO}/e"), value("e", "new"));
    assert_eq!(bench.notes(), noted(&[("e", "new")]));
    let mut listener = bench.feed.listen(|_| true);
    assert!(listener.try_next().is_some());
    bench.delete(&format!("top/{ONE}/e"));
    assert!(listener.try_next().is_none());
    bench.put(format!("top/{ONE}/e"), value("e", "newest"));
    bench.delete(&format!("top/{ONE}/e"));
    assert_eq!(bench.notes(), noted(&[("e", "new")]));
    bench.delete(&format!("top/{TWO}/e"));
    assert!(bench.notes().is_empty());
}

#[test]
fn rubbish_is_reported_for_its_key_alone_and_no_longer_than_it_is_there() {
    let mut bench = bench();
    let rubbish = [
        (format!("top/{ONE}/json").into_bytes(), &b"{"[..]),
        (format!("top/{ONE}/bytes").into_bytes(), b"\xff"),
        (b"top/no-uuid/e".to_vec(), b"x"),
        (b"top/\xff/e".to_vec(), b"x"),
        (format!("top/{ONE}/a/b").into_bytes(), b"x"),
    ];
    for (key, value) in &rubbish {
        bench.put(key, value);
    }
    bench.put(format!("top/{ONE}/other"), value("e", "wrong id"));
    bench.put(format!("top/{ONE}/good"), value("good", "fine"));
    assert_eq!(bench.notes(), noted(&[("good", "fine")]));
    assert_eq!(bench.rejected(), 6);
    bench.put(format!("top/{ONE}/json"), value("json", "mended"));
    bench.delete(&format!("top/{ONE}/bytes"));
    assert_eq!(bench.rejected(), 4);
    assert_eq!(bench.notes().len(), 2);
    bench.put(format!("top/{ONE}/json"), "broken again");
    assert_eq!(bench.notes(), noted(&[("good", "fine")]));
    assert_eq!(bench.rejected(), 5);
}

fn session(n: usize) -> String {
    format!("{n:08}-0000-4000-8000-000000000000")
}

impl Bench {
    /// `n` sessions with one endpoint each.
    fn crowd(&mut self, n: usize) {
        for n in 1..=n {
            let session = session(n);
            self.put(format!("top/{session}"), &session);
            self.put(
                format!("top/{session}/e{n}"),
                value(&format!("e{n}"), "first"),
            );
        }
    }

    /// What the end of these sessions' leases looks like, in one delivery.
    fn vanish(&mut self, sessions: impl IntoIterator<Item = usize>) {
        self.revision += 1;
        let mod_revision = self.revision;
        let delete = |key: String| Change::Delete {
            key: key.into_bytes(),
            mod_revision,
        };
        let changes = sessions.into_iter().flat_map(|n| {
            let session = session(n);
            [
                delete(format!("top/{session}")),
                delete(format!("top/{session}/e{n}")),
            ]
        });
        self.view.apply(changes.collect());
    }
}

#[tokio::test(start_paused = true)]
async fn one_session_that_vanishes_takes_its_endpoints_along_at_once() {
    let mut bench = bench();
    bench.crowd(2);
    bench.vanish([1]);
    assert_eq!(bench.notes(), noted(&[("e2", "first")]));
    assert_eq!(bench.suspects(), 0);
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_many_sessions_that_vanish_at_once_are_kept_and_then_removed() {
    let mut bench = bench();
    bench.crowd(6);
    bench.vanish([1, 2, 3]);
    assert_eq!(bench.notes().len(), 6);
    assert_eq!(bench.suspects(), 3);
    let deadline = bench.view.next_deadline().unwrap();
    assert_eq!(
        deadline,
        Instant::now() + TTL + std::time::Duration::from_secs(10)
    );
    bench
        .view
        .expire(deadline - std::time::Duration::from_millis(1));
    assert_eq!(bench.suspects(), 3);
    bench.view.expire(deadline);
    assert_eq!(
        bench.notes(),
        noted(&[("e4", "first"), ("e5", "first"), ("e6", "first")])
    );
    assert_eq!(bench.view.next_deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn suspects_that_are_kept_again_get_their_whole_time_once_more() {
    let mut bench = bench();
    bench.crowd(3);
    bench.vanish([1, 2, 3]);
    let first = bench.view.next_deadline().unwrap();
    tokio::time::sleep_until(first + TTL).await;
    bench.view.hold_again(first);
    bench.view.expire(first);
    assert_eq!((bench.notes().len(), bench.suspects()), (3, 3));
    let again = Instant::now() + TTL + std::time::Duration::from_secs(10);
    assert_eq!(bench.view.next_deadline(), Some(again));
    bench.view.expire(again);
    assert_eq!((bench.notes().len(), bench.suspects()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_unchanged_was_never_removed() {
    let mut bench = bench();
    bench.crowd(3);
    let mut listener = bench.feed.listen(|_| true);
    while listener.try_next().is_some() {}
    bench.vanish([1, 2, 3]);
    bench.crowd(2);
    assert!(listener.try_next().is_none());
    assert_eq!(bench.suspects(), 1);
    let three = session(3);
    bench.put(format!("top/{three}/e3"), value("e3", "changed"));
    assert!(matches!(
        listener.try_next(),
        Some(crate::feed::Change::Modified { .. })
    ));
    assert_eq!(bench.suspects(), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_took_their_endpoints_back_are_believed_however_many() {
    let mut bench = bench();
    bench.crowd(5);
    for n in 1..=5 {
        bench.delete(&format!("top/{}/e{n}", session(n)));
    }
    assert!(bench.notes().is_empty());
    for n in 1..=5 {
        bench.delete(&format!("top/{}", session(n)));
    }
    assert_eq!(bench.suspects(), 0);
    assert_eq!(bench.view.status().borrow().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_follow_those_that_vanished_are_kept_too() {
    let mut bench = bench();
    bench.crowd(10);
    bench.vanish([1]);
    bench.vanish([2]);
    assert_eq!((bench.notes().len(), bench.suspects()), (8, 0));
    bench.vanish([3]);
    bench.vanish([4]);
    assert_eq!((bench.notes().len(), bench.suspects()), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_guard_everything_is_believed() {
    let feed = EndpointFeed::new();
    let mut bench = bench();
    bench.view = View::new(
        "top".parse().unwrap(),
        Some(OWN.parse().unwrap()),
        feed.clone(),
        None,
    );
    bench.feed = feed;
    bench.crowd(5);
    bench.vanish(1..=5);
    assert!(bench.notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_saw_is_there_until_etcd_was_read() {
    let mut first = bench();
    first.crowd(2);
    let known: Vec<_> = first.view.known();
    assert_eq!(known.len(), 2);

    let mut later = bench();
    let known = known
        .into_iter()
        .map(|(key, d)| (key, (*d).clone()))
        .collect();
    later.view.remember(known);
    assert_eq!((later.notes().len(), later.suspects()), (2, 2));
    let mut listener = later.feed.listen(|_| true);
    while listener.try_next().is_some() {}
    later.crowd(1);
    later.view.synced(9);
    assert_eq!(later.notes(), noted(&[("e1", "first")]));
    assert_eq!(later.suspects(), 0);
    let gone = listener.try_next();
    assert!(matches!(gone, Some(crate::feed::Change::Removed(id, _)) if id.as_str() == "e2"));
    assert!(
        listener.try_next().is_none(),
        "what was there all the time is no news"
    );
}

#[test]
fn a_view_that_is_withheld_shows_nothing_and_then_what_there_is_by_then() {
    let mut bench = bench();
    for id in ["stays", "changes", "goes"] {
        bench.put(format!("top/{ONE}/{id}"), value(id, "old"));
    }
    let mut listener = bench.feed.listen(|_| true);
    bench.view.withhold(true);
    assert!(bench.notes().is_empty());
    assert!(listener.try_next().is_none(), "nothing was told before");
    let status = bench.view.status().borrow().clone();
    assert!(status.withheld);
    assert_eq!(status.endpoints, 3, "what is known is kept");

    bench.put(format!("top/{ONE}/changes"), value("changes", "new"));
    bench.delete(&format!("top/{ONE}/goes"));
    assert!(bench.notes().is_empty());
    bench.view.withhold(false);
    let now = noted(&[("changes", "new"), ("stays", "old")]);
    assert_eq!(bench.notes(), now);
    assert!(!bench.view.status().borrow().withheld);
}
