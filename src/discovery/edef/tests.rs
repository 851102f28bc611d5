//! Files that come, change, break and go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::endpoint::{EndpointDescription, edef};
use crate::feed::{Change, Listener};
use crate::names::EndpointId;
use crate::props;

/// A folder of files, and what listens to it. It looks when it is told to.
struct Bench {
    folder: TempDir,
    discovery: EdefDiscovery,
    news: Listener<EndpointId, Arc<EndpointDescription>>,
}

impl Bench {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self::of(folder, "").await
    }

    async fn of(folder: TempDir, path: &str) -> Self {
        let source = format!("{}/{path}", folder.path().display());
        let mut config = EdefConfig::new(&source).unwrap();
        config.interval = Duration::from_secs(3600);
        let discovery = EdefDiscovery::start(config);
        let news = discovery.endpoints().listen(|_| true);
        discovery.look().await.unwrap();
        Self {
            folder,
            discovery,
            news,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// As if it had been written so many seconds ago.
    fn age(&self, name: &str, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = fs::File::options().append(true).open(self.path(name));
        file.unwrap().set_modified(then).unwrap();
    }

    /// What a look tells.
    async fn told(&mut self) -> Vec<String> {
        self.discovery.look().await.unwrap();
        let mut told = Vec::new();
        while let Some(change) = self.news.try_next() {
            let n = |d: &EndpointDescription| {
                let n = d.properties().get("n").unwrap().to_string();
                format!("{} {n}", d.id())
            };
            told.push(match change {
                Change::Added(_, new) => format!("added {}", n(&new)),
                Change::Modified { value, .. } => format!("modified {}", n(&value)),
                Change::EndMatch { .. } => "no match".to_owned(),
                Change::Removed(_, old) => format!("removed {}", n(&old)),
            });
        }
        told
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.discovery.health().problems;
        let shown = problems.iter().flat_map(|(path, errors)| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            errors.iter().map(move |error| format!("{name}: {error}"))
        });
        shown.collect()
    }
}

fn endpoint(id: &str, n: i32) -> EndpointDescription {
    EndpointDescription::new(props! {
        "endpoint.id" => id, "objectClass" => ["a.B"], "service.imported.configs" => "c", "n" => n,
    })
    .unwrap()
}

fn document(endpoints: &[(&str, i32)]) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|(id, n)| endpoint(id, *n)).collect();
    edef::to_string(&endpoints).unwrap()
}

const NOTHING: [&str; 0] = [];

/// Rule Z15.
#[tokio::test]
async fn endpoints_come_change_and_go_with_their_files() {
    let mut bench = Bench::new().await;
    bench.write("a.xml", &document(&[("a", 1), ("b", 1)]));
    bench.write("ignored.txt", &document(&[("c", 1)]));
    bench.write(".hidden.xml", &document(&[("d", 1)]));
    assert_eq!(bench.told().await, ["added a 1", "added b 1"]);
    assert_eq!(bench.told().await, NOTHING);
    bench.write("a.xml", &document(&[("a", 2), ("b", 1)]));
    assert_eq!(bench.told().await, ["modified a 2"]);
    bench.write("a.xml", &document(&[("b", 1)]));
    assert_eq!(bench.told().await, ["removed a 2"]);
    let health = bench.discovery.health();
    assert_eq!(health.to_string(), "1 endpoints in 1 files");
    fs::remove_file(bench.path("a.xml")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["removed b 1"]);
}

#[tokio::test]
async fn a_moment_without_the_file_takes_nothing_away() {
    let mut bench = Bench::new().await;
    bench.write("a.xml", &document(&[("a", 1)]));
    assert_eq!(bench.told().await, ["added a 1"]);
    // As some editors save: away with the old one, then the new one.
    fs::rename(bench.path("a.xml"), bench.path("a.xml~")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    bench.write("a.xml", &document(&[("a", 2)]));
    assert_eq!(bench.told().await, ["modified a 2"]);
    // And as others do: a new one over the old one, as old as that.
    bench.age("a.xml", 60);
    assert_eq!(bench.told().await, NOTHING);
    bench.write("new", &document(&[("a", 3)]));
    bench.age("new", 60);
    fs::rename(bench.path("new"), bench.path("a.xml")).unwrap();
    assert_eq!(bench.told().await, ["modified a 3"]);
}

/// Rule Z13, and what the specification leaves open.
#[tokio::test]
async fn a_broken_file_is_reported_and_takes_nothing_away() {
    let mut bench = Bench::new().await;
    let whole = document(&[("a", 1), ("b", 1)]);
    bench.write("a.xml", &whole);
    bench.write("other.xml", &document(&[("o", 1)]));
    assert_eq!(bench.told().await, ["added a 1", "added b 1", "added o 1"]);

    let changed = document(&[("a", 2), ("b", 2)]);
    for cut in [0, 1, 50, 200, changed.len() / 2, changed.len() - 4] {
        bench.write("a.xml", &changed[..cut]);
        assert_eq!(bench.told().await, NOTHING, "{cut}");
        let problems = bench.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("a.xml: line "), "{problems:?}");
    }
    let health = bench.discovery.health().to_string();
    assert_eq!(health, "3 endpoints in 2 files, 1 WITH ERRORS");

    // A bad description beside good ones: those count, and what it may have
    // been to be stays.
    bench.write("a.xml", &changed.replacen("\"b\"", "\" \"", 1));
    assert_eq!(bench.told().await, ["modified a 2"]);
    let problems = bench.problems();
    assert!(
        problems[0].contains("the description is not valid: endpoint.id"),
        "{problems:?}"
    );

    bench.write("a.xml", &document(&[("a", 2)]));
    assert_eq!(bench.told().await, ["removed b 1"]);
    assert_eq!(bench.problems(), NOTHING);
    bench.write("a.xml", "<broken");
    assert_eq!(bench.told().await, NOTHING);
    fs::remove_file(bench.path("a.xml")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["removed a 2"]);
    assert_eq!(bench.problems(), NOTHING);
}

#[tokio::test]
async fn of_two_files_with_one_endpoint_the_newer_counts_and_both_must_go() {
    let mut bench = Bench::new().await;
    bench.write("new.xml", &document(&[("a", 2)]));
    bench.age("new.xml", 60);
    bench.write("old.xml", &document(&[("a", 1)]));
    bench.age("old.xml", 120);
    assert_eq!(bench.told().await, ["added a 2"]);
    bench.write("old.xml", &document(&[("a", 3)]));
    assert_eq!(bench.told().await, ["modified a 3"]);
    fs::remove_file(bench.path("old.xml")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["modified a 2"]);
    fs::remove_file(bench.path("new.xml")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["removed a 2"]);
}

#[tokio::test]
async fn an_endpoint_twice_in_one_file_is_reported_and_the_first_counts() {
    let mut bench = Bench::new().await;
    bench.write("a.xml", &document(&[("a", 1), ("a", 2)]));
    assert_eq!(bench.told().await, ["added a 1"]);
    assert_eq!(
        bench.problems(),
        ["a.xml: describes endpoint a twice; the first one counts"]
    );
}

/// Rule Z14.
#[tokio::test]
async fn what_is_missing_is_reported_and_looked_for() {
    let folder = TempDir::new().unwrap();
    let there = folder.path().join("there.xml");
    fs::write(&there, document(&[("t", 1)])).unwrap();
    let paths = format!("there.xml,{0}/late/,{0}/one.xml", folder.path().display());
    let mut bench = Bench::of(folder, &paths).await;
    assert_eq!(bench.told().await, ["added t 1"]);
    assert_eq!(
        bench.problems(),
        ["late: is not there", "one.xml: is not there"]
    );
    fs::create_dir(bench.path("late")).unwrap();
    bench.write("late/x.xml", &document(&[("x", 1)]));
    bench.write("one.xml", &document(&[("y", 1)]));
    assert_eq!(bench.told().await, ["added x 1", "added y 1"]);
    assert_eq!(bench.problems(), NOTHING);
    fs::remove_dir_all(bench.path("late")).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["removed x 1"]);
}

#[tokio::test]
async fn who_listens_to_other_interfaces_is_not_asked_about_files() {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::feed::Topics;

    let mut bench = Bench::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = |interface: &str| {
        let asked = Arc::clone(&asked);
        let topics = Topics::Of(BTreeSet::from([interface.to_owned()]));
        bench.discovery.endpoints().listen_to(topics, move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            Some(())
        })
    };
    let (mut other, mut same) = (listener("org.example.Other"), listener("a.B"));
    bench.write("a.xml", &document(&[("a", 1)]));
    assert_eq!(bench.told().await, ["added a 1"]);
    assert_eq!(other.try_next(), None);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert!(matches!(same.try_next(), Some(Change::Added(..))));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// A network file system that fails for a while.
#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_a_slash_keeps_its_endpoints_while_it_cannot_be_read() {
    use std::os::unix::fs::symlink;

    let mut bench = Bench::of(TempDir::new().unwrap(), "folder").await;
    let (folder, aside) = (bench.path("folder"), bench.path("aside"));
    fs::create_dir(&folder).unwrap();
    bench.write("folder/a.xml", &document(&[("a", 1)]));
    assert_eq!(bench.told().await, ["added a 1"]);
    fs::rename(&folder, &aside).unwrap();
    // A link to itself cannot be followed, also not by who may do anything.
    symlink("folder", &folder).unwrap();
    for _ in 0..4 {
        assert_eq!(bench.told().await, NOTHING);
    }
    let problems = bench.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("folder: cannot be read: "),
        "{problems:?}"
    );
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.problems(), NOTHING);
    assert_eq!(bench.discovery.health().files, 1);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.told().await, ["removed a 1"]);
}

/// Kubernetes: the files are links into a folder that is itself a link, and
/// that one is swapped.
#[cfg(unix)]
#[tokio::test]
async fn a_swapped_link_is_a_change_of_the_files_behind_it() {
    use std::os::unix::fs::symlink;

    let mut bench = Bench::new().await;
    for (version, n) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(bench.path(version)).unwrap();
        bench.write(&format!("{version}/a.xml"), &document(&[("a", n)]));
        // Both as old and as large as each other.
        bench.age(&format!("{version}/a.xml"), 60);
    }
    symlink("..1", bench.path("..data")).unwrap();
    symlink("..data/a.xml", bench.path("a.xml")).unwrap();
    assert_eq!(bench.told().await, ["added a 1"]);
    symlink("..2", bench.path("..data_tmp")).unwrap();
    fs::rename(bench.path("..data_tmp"), bench.path("..data")).unwrap();
    assert_eq!(bench.told().await, ["modified a 2"]);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_or_too_large_is_reported_and_takes_nothing_away() {
    let mut bench = Bench::new().await;
    bench.write("a.xml", &document(&[("a", 1)]));
    assert_eq!(bench.told().await, ["added a 1"]);
    fs::create_dir(bench.path("folder.xml")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(bench.path("socket.xml")).unwrap();
    let large = fs::File::create(bench.path("a.xml")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(
        bench.problems(),
        [
            "a.xml: has 16777217 bytes, more than the limit of 16777216",
            "socket.xml: is no regular file"
        ]
    );
    drop(socket);
    bench.write("a.xml", &document(&[("a", 1)]));
    assert_eq!(bench.told().await, NOTHING);
    assert_eq!(bench.problems(), ["socket.xml: is no regular file"]);
}

#[tokio::test]
async fn files_that_did_not_change_are_not_read_again() {
    let mut bench = Bench::new().await;
    bench.write("a.xml", &document(&[("a", 1)]));
    bench.age("a.xml", 60);
    assert_eq!(bench.told().await, ["added a 1"]);
    let known = |path: &Path| {
        let config = EdefConfig::new(&path.display().to_string()).unwrap();
        let look = files::look(&config, &std::collections::BTreeMap::new());
        let files::Found::Content(content) = look.files.into_values().next().unwrap() else {
            panic!("it was not read");
        };
        assert!(!content.fresh);
        let known = std::collections::BTreeMap::from([(path.to_owned(), content.stamp)]);
        files::look(&config, &known).files.into_values().next()
    };
    let again = known(&bench.path("a.xml"));
    assert!(matches!(again, Some(files::Found::Same)), "{again:?}");
}

#[tokio::test]
async fn it_looks_by_itself_and_closing_ends_it() {
    let folder = TempDir::new().unwrap();
    let mut config = EdefConfig::new(&format!("{}/", folder.path().display())).unwrap();
    config.interval = Duration::from_millis(10);
    let discovery = EdefDiscovery::start(config);
    let mut news = discovery.endpoints().listen(|_| true);
    discovery.look().await.unwrap();
    fs::write(folder.path().join("a.xml"), document(&[("a", 1)])).unwrap();
    let added = tokio::time::timeout(Duration::from_secs(10), news.next()).await;
    assert!(matches!(added.unwrap(), Some(Change::Added(..))));
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    discovery.close().await;
    discovery.close().await;
    assert_eq!(metrics.num_alive_tasks(), 0);
    assert!(news.next().await.is_none());
    assert_eq!(discovery.look().await, Err(EdefClosed));
}
