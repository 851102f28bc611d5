//! Commands whose stdout nobody reads any more, or that is a full disk.

use std::fs::{self, File};
use std::path::Path;

use osgi_remote::endpoint::edef;
use osgi_remote::names::TopKey;
use osgi_remote::props;
use tempfile::TempDir;

use crate::endpoint::{ALICE, greeter};
use crate::support::{Kv, Server, Store, eventually};
use crate::tool::{REGISTER_A, Ran, SOON, Tool};

const GOES_ON: &str = "nobody reads stdout any more; the work goes on";

/// A key, once it is there.
async fn there(server: &Store, key: &str) -> Kv {
    eventually(SOON, "the key", async || {
        server.get(key).await.ok_or("none")
    })
    .await
}

/// That it ended well, said once that nobody reads, and left nothing.
async fn ended_in_order(ran: Ran, server: &Store, key: &str) {
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(GOES_ON).count(), 1, "{}", ran.stderr);
    assert_eq!(server.get(key).await, None);
}

#[tokio::test]
async fn a_node_stays_registered_and_is_taken_away_in_order() {
    let server = Server::etcd_3_5().await;
    let args = [
        "node", "register", "g", "--id", "a", "--type", "t", "--port", "1", "--ttl", "20s",
    ];
    let node = Tool::new(&server).args(args).unheard().start();
    let key = "/services/g/nodes/a_t";
    let first = there(&server, key).await.lease;
    server
        .etcdctl(&["lease", "revoke", &format!("{first:x}")])
        .await;
    eventually(SOON, "another lease", async || {
        match server.get(key).await {
            Some(kv) if kv.lease != first => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    node.notes("registered again").await;
    ended_in_order(node.stop("TERM").await, &server, key).await;
}

#[tokio::test]
async fn an_export_answers_one_call_after_the_other() {
    let server = Server::embedded().await;
    let export = ["export", "--interface", "a.A", "--echo", "--show-calls"];
    let session = format!("etcd.session_id={ALICE}");
    let export = Tool::new(&server).args(export).args(["--set", &session]);
    let export = export.unheard().start();
    let prefix = format!("{}/{ALICE}/", TopKey::DEFAULT);
    let key = eventually(SOON, "the endpoint", async || {
        let keys = server.get_prefix(&prefix).await;
        keys.first().map(Kv::key_text).ok_or("none")
    })
    .await;
    for _ in 0..3 {
        let call = Tool::new(&server).args(["call", "a.A", "echo", "1"]);
        assert_eq!(call.run().await.good(), "1\n");
    }
    ended_in_order(export.stop("TERM").await, &server, &key).await;
}

#[tokio::test]
async fn an_advertised_endpoint_stays_and_is_taken_back_in_order() {
    let server = Server::embedded().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.xml");
    let endpoint = greeter("e", props! {});
    fs::write(&path, edef::to_string([&endpoint]).unwrap()).unwrap();
    let args = ["endpoint", "advertise", "--session", ALICE];
    let advertise = Tool::new(&server).args(args).args([path]);
    let advertise = advertise.unheard().start();
    advertise.notes("SIGINT or SIGTERM takes all back").await;
    let key = format!("{}/{ALICE}/e", TopKey::DEFAULT);
    there(&server, &key).await;
    ended_in_order(advertise.stop("INT").await, &server, &key).await;
}

#[tokio::test]
async fn a_refreshed_service_stays_and_is_taken_away_in_order() {
    let server = Server::embedded().await;
    let more = ["--ttl", "600", "--refresh-every", "60", "-o", "json"];
    let tool = Tool::new(&server).args(["--tree-root", "/prod"]);
    let service = tool.args(REGISTER_A).args(more).unheard().start();
    service.notes(GOES_ON).await;
    let key = "/prod/service/web/a";
    there(&server, key).await;
    ended_in_order(service.stop("TERM").await, &server, key).await;
}

/// A folder with a template.
fn place() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{% for e in conf.list %}\n{{ e.name }}={{ e.value }}\n{% endfor %}\n";
    fs::write(folder.path().join("t"), lines).unwrap();
    folder
}

fn render(server: &Store, place: &Path, args: &[&str]) -> Tool {
    let render = ["render", "t", "--prefix", "conf=conf/", "--out", "out"];
    let tool = Tool::new(server).folder(place).args(render);
    tool.args(args.iter().copied())
}

fn names(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

const RELOAD: [&str; 2] = ["--reload", "echo again >> reloads"];

#[tokio::test]
async fn a_written_file_is_reloaded_though_nobody_hears_that_it_was_written() {
    let server = Server::embedded().await;
    let place = place();
    let place = place.path();
    for (number, full) in [false, true].into_iter().enumerate() {
        let value = number.to_string();
        server.etcdctl(&["put", "conf/a", &value]).await;
        let tool = render(&server, place, &RELOAD);
        let ran = match full {
            false => tool.unheard(),
            true => tool.stdout(File::options().write(true).open("/dev/full").unwrap()),
        };
        let ran = ran.run().await;
        assert_eq!(ran.code(), 5);
        assert_eq!(ran.stderr.contains("cannot write the output"), full);
        let out = fs::read_to_string(place.join("out")).unwrap();
        assert_eq!(out, format!("a={number}\n"));
        let reloads = fs::read_to_string(place.join("reloads")).unwrap();
        assert_eq!(reloads, "again\n".repeat(number + 1));
    }
    let again = render(&server, place, &RELOAD).run().await.good();
    assert_eq!(again, "out: unchanged\n");
    assert_eq!(names(place), ["out", "reloads", "t"]);
}

#[tokio::test]
async fn a_reload_that_did_not_come_about_is_done_by_the_next_run() {
    let server = Server::embedded().await;
    server.etcdctl(&["put", "conf/a", "1"]).await;
    let place = place();
    let place = place.path();
    let reload = ["--reload", "test -f ready && echo again >> reloads"];
    for _ in 0..2 {
        let line = render(&server, place, &reload).run().await.bad(5);
        assert!(
            line.contains("out is written, but --reload failed"),
            "{line}"
        );
        assert_eq!(names(place), [".out.reload-due", "out", "t"]);
    }
    // Who does not reload is not told of it.
    let plain = render(&server, place, &[]).run().await.good();
    assert_eq!(plain, "out: unchanged\n");
    fs::write(place.join("ready"), "").unwrap();
    let dry = render(&server, place, &reload).args(["--dry-run"]).run();
    let due = "--reload is still due from before, and would run\n";
    assert_eq!(dry.await.stderr, due);
    let done = render(&server, place, &reload).run().await.good();
    let expected = "out: unchanged, and --reload has run, which was still due\n";
    assert_eq!(done, expected);
    assert_eq!(names(place), ["out", "ready", "reloads", "t"]);
    let done = render(&server, place, &reload).run().await.good();
    assert_eq!(done, "out: unchanged\n");
}

#[tokio::test]
async fn a_watched_file_follows_and_is_reloaded() {
    let server = Server::embedded().await;
    server.etcdctl(&["put", "conf/a", "1"]).await;
    let place = place();
    let place = place.path();
    // As a run before left it that did not come to its end.
    fs::write(place.join("out"), "a=1\n").unwrap();
    fs::write(place.join(".out.reload-due"), "").unwrap();
    let watch = render(&server, place, &RELOAD).args(["--watch"]);
    let watch = watch.unheard().start();
    let holds = async |name: &str, expected: &str| {
        eventually(SOON, name, async || {
            let text = fs::read_to_string(place.join(name)).unwrap_or_default();
            if text == expected { Ok(()) } else { Err(text) }
        })
        .await;
    };
    holds("reloads", "again\n").await;
    for number in 2..5 {
        server
            .etcdctl(&["put", "conf/a", &number.to_string()])
            .await;
        holds("out", &format!("a={number}\n")).await;
        holds("reloads", &"again\n".repeat(number)).await;
    }
    let ran = watch.stop("TERM").await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(GOES_ON).count(), 1, "{}", ran.stderr);
    assert_eq!(names(place), ["out", "reloads", "t"]);
}
