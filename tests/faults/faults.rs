//! The faults, each a function with the name of its row: it breaks the world, heals it and says so. What
//! is right afterwards is judged elsewhere, alike for all.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{CompactionOptions, DeleteOptions, PutOptions, Txn, TxnOp};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use osgi_remote::discovery::Subscriber;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::names::SessionId;

use crate::checker::{Fault, What};
use crate::party::Party;
use crate::peers::{watches_a_lease_loss, watches_a_restart};
use crate::support::eventually;
use crate::support::proxy::{Cut, Flow, Mode, Proxy};
use crate::world::{Store, TTL, World, endpoint_of};

/// On a busy machine what takes seconds may take many.
pub const SOON: Duration = Duration::from_secs(60);

pub type Run = for<'a> fn(&'a mut World) -> LocalBoxFuture<'a, ()>;

/// One fault of the matrix.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub run: Run,
    /// Whether it belongs to the essential part.
    pub quick: bool,
    pub single: bool,
    pub cluster: bool,
    /// Whether it needs the server in a network namespace.
    pub namespace: bool,
}

macro_rules! row {
    ($name:literal, $fault:ident, $($on:ident)+) => {{
        let mut row = Row { name: $name, run: |world| $fault(world).boxed_local(), quick: false, single: false, cluster: false, namespace: false };
        $( row.$on = true; )+
        row
    }};
}

/// All faults, in the order of their rows.
pub fn all() -> Vec<Row> {
    vec![
        row!("kill -9 and restart", killed_and_restarted, quick single cluster),
        row!("stopped for longer than the TTL", stopped, quick single),
        row!("data wiped, same address", wiped, single),
        row!("data wiped, revisions ahead", wiped_and_ahead, quick single),
        row!("lease revoked by hand", lease_revoked, quick single cluster),
        row!("keys deleted by hand", keys_deleted, single),
        row!("compaction while cut off", compacted, quick single cluster),
        row!("leader killed", leader_killed, cluster),
        row!("two of three gone and back", minority, cluster),
        row!("cut (reset) for longer than the TTL", cut, quick single cluster),
        row!("connections closed, back at once", closed, single),
        row!("one way: requests lost", requests_lost, single),
        row!("one way: answers lost", answers_lost, single),
        row!("half-open", half_open, single),
        row!("network down, packets wait", packets_wait, single),
        row!("slow", slow, single),
        row!("lossy", lossy, single),
        row!(
            "one exporter cut, others see it go",
            one_exporter_cut,
            single
        ),
        row!("many sessions vanish at once", many_vanish, single),
        row!("listeners that sleep, go and panic", bad_listeners, single),
        row!("10,000 endpoints at once", ten_thousand, single),
        row!("rubbish under the prefix", rubbish, single),
        row!("two processes, one session id", one_session_id, single),
        row!("exporter's process stopped", process_stopped, single),
        row!(
            "consumer starts while etcd is down",
            starts_without_etcd,
            single
        ),
        row!("iPOPO watches a restart of etcd", watches_a_restart, quick single),
        row!("iPOPO watches a lease loss of ours", watches_a_lease_loss, quick single),
        row!("200 clients come back", herd, single),
        row!("calls while etcd is away", calls_go_on, single),
        row!("namespace: the wire is pulled", wire_pulled, namespace),
        row!("namespace: the way back is gone", way_back_gone, namespace),
    ]
}

const KILLED: Fault = Fault::CutOff;

pub async fn killed_and_restarted(world: &mut World) {
    world.began(KILLED);
    match &mut world.store {
        Store::Single(etcd) => etcd.kill9(),
        Store::Cluster(cluster) => (0..3).for_each(|index| cluster.member(index).kill9()),
    }
    noticed(world).await;
    // What is announced in an outage goes out after it.
    world.exporters[0].advertise(&endpoint_of("e0-late", "1"));
    world.healing();
    match &mut world.store {
        Store::Single(etcd) => etcd.restart().await,
        Store::Cluster(cluster) => cluster.launch_missing().await,
    }
    world.healed();
}

async fn stopped(world: &mut World) {
    world.began(Fault::CutOff);
    world.store.single().pause();
    lapsed(world.parties()).await;
    world.healing();
    world.store.single().resume();
    world.healed();
}

async fn wiped(world: &mut World) {
    wear(world, 40).await;
    wipe(world).await;
    world.healing();
    world.store.single().restart().await;
    world.recorder.restart();
    world.healed();
    // The sessions can be quick enough to bring the few revisions back to where they were.
    world.relist_watchers_when_leases_are_lost().await;
}

/// The other store has more revisions than the one before, and the same cluster id: its age tells nothing.
async fn wiped_and_ahead(world: &mut World) {
    for party in world.parties() {
        party.cut(Cut::Reset).await;
    }
    wipe(world).await;
    // Nothing in the other store will ever tell that this one is gone.
    world.exporters[1].withdraw("e1-0");
    world.store.single().restart().await;
    world.recorder.restart();
    wear(world, 200).await;
    world.healing();
    world.network(Mode::default()).await;
    world.healed();
    // A bare watch has no lease whose loss would tell it; its user is to say so.
    world.relist_watchers_when_leases_are_lost().await;
}

async fn wipe(world: &mut World) {
    world.began(Fault::CutOff);
    world.store.single().kill9();
    world.recorder.pause().await;
    world.store.single().wipe();
}

/// Lets the revisions of the store grow, outside the watched range.
async fn wear(world: &World, count: usize) {
    let mut client = world.client().await;
    for number in 0..count {
        client
            .put("elsewhere", number.to_string(), None)
            .await
            .unwrap();
    }
}

pub async fn lease_revoked(world: &mut World) {
    let lease = world.exporters[0].discovery.health().lease.unwrap();
    world.recorder.revokes(lease);
    world.book.push(What::Meddled);
    world.client().await.lease_revoke(lease).await.unwrap();
    world.healed();
}

async fn keys_deleted(world: &mut World) {
    let endpoint = world.exporters[0].key("e0-1");
    let session = world.exporters[1].root();
    let lease = world.exporters[1].discovery.health().lease.unwrap();
    world.recorder.is_no_expiry(lease);
    world.book.push(What::Meddled);
    let mut client = world.client().await;
    for key in [endpoint, session] {
        let deleted = client.delete(key, None).await.unwrap().deleted();
        assert_eq!(deleted, 1);
    }
    world.healed();
}

async fn compacted(world: &mut World) {
    let consumers = world.consumers.iter().flat_map(Party::clients).collect();
    world.began_for(Fault::CutOff, consumers);
    for consumer in &world.consumers {
        consumer.cut(Cut::Reset).await;
    }
    world.exporters[0].advertise(&endpoint_of("e0-0", "2"));
    world.exporters[1].withdraw("e1-0");
    world.exporters[2].advertise(&endpoint_of("e2-new", "1"));
    let etcd_has = async || {
        let snapshot = world.snapshot().await;
        let mut exporters = world.exporters.iter();
        exporters.try_for_each(|party| party.is_registered(&snapshot))
    };
    eventually(SOON, "the changes to be in etcd", etcd_has).await;
    let mut client = world.client().await;
    let now = client.get("elsewhere", None).await.unwrap();
    let revision = now.header().unwrap().revision();
    let newest = world
        .snapshot()
        .await
        .revisions()
        .into_values()
        .max()
        .unwrap_or(0);
    let recorded = async || match world.recorder.revision() {
        seen if seen >= newest => Ok(()),
        seen => Err(format!("{seen} of {newest}")),
    };
    eventually(SOON, "the recorder to have it all", recorded).await;
    let physical = CompactionOptions::new().with_physical();
    client.compact(revision, Some(physical)).await.unwrap();
    world.healing();
    for consumer in &world.consumers {
        consumer.network(Mode::default()).await;
    }
    world.healed();
}

async fn leader_killed(world: &mut World) {
    let cluster = world.store.cluster();
    let leader = cluster.leader().await;
    cluster.member(leader).kill9();
    world.book.push(What::Meddled);
    world.exporters[0].advertise(&endpoint_of("e0-late", "1"));
    world.healed();
}

async fn minority(world: &mut World) {
    world.began(Fault::CutOff);
    for index in [0, 1] {
        world.store.cluster().member(index).kill9();
    }
    lapsed(world.parties()).await;
    world.exporters[0].advertise(&endpoint_of("e0-late", "1"));
    world.healing();
    world.store.cluster().launch_missing().await;
    world.healed();
}

async fn cut(world: &mut World) {
    world.began(Fault::CutOff);
    for party in world.parties() {
        party.cut(Cut::Reset).await;
    }
    lapsed(world.parties()).await;
    heal(world).await;
}

async fn closed(world: &mut World) {
    for party in world.parties() {
        party.cut(Cut::Finish).await;
    }
    world.book.push(What::Meddled);
    heal(world).await;
}

async fn requests_lost(world: &mut World) {
    let up = Flow::Swallow;
    until_lapsed(
        world,
        Mode {
            up,
            ..Mode::default()
        },
    )
    .await;
}

async fn answers_lost(world: &mut World) {
    let down = Flow::Swallow;
    until_lapsed(
        world,
        Mode {
            down,
            ..Mode::default()
        },
    )
    .await;
}

async fn half_open(world: &mut World) {
    let (up, down) = (Flow::Swallow, Flow::Swallow);
    until_lapsed(
        world,
        Mode {
            up,
            down,
            ..Mode::default()
        },
    )
    .await;
}

async fn packets_wait(world: &mut World) {
    let (up, down) = (Flow::Hold, Flow::Hold);
    until_lapsed(
        world,
        Mode {
            up,
            down,
            ..Mode::default()
        },
    )
    .await;
}

async fn until_lapsed(world: &mut World, mode: Mode) {
    // With only the requests lost, what the watch has to tell still arrives.
    let fault = match mode.down {
        Flow::Pass => Fault::Other("requests are lost"),
        _ => Fault::CutOff,
    };
    world.began(fault);
    world.network(mode).await;
    lapsed(world.parties()).await;
    heal(world).await;
}

async fn slow(world: &mut World) {
    let delay = Duration::from_millis(200);
    let rate = Some(64 * 1024);
    through_bad_weather(
        world,
        Mode {
            delay,
            rate,
            ..Mode::default()
        },
    )
    .await;
}

async fn lossy(world: &mut World) {
    let (delay, retransmission) = (Duration::from_millis(10), Duration::from_millis(400));
    let loss = 20;
    through_bad_weather(
        world,
        Mode {
            delay,
            loss,
            retransmission,
            ..Mode::default()
        },
    )
    .await;
}

/// Endpoints come, change and go while the network is bad, and everybody gets to know: nothing waits for
/// better weather.
async fn through_bad_weather(world: &mut World, mode: Mode) {
    world.began(Fault::Other("bad weather"));
    world.network(mode).await;
    for version in 2..5 {
        world.exporters[0].advertise(&endpoint_of("e0-0", &version.to_string()));
        world.exporters[1].advertise(&endpoint_of(&format!("e1-{version}-more"), "1"));
        let settled = world.settle(SOON).await;
        settled.unwrap_or_else(|error| panic!("in bad weather nothing arrives: {error}"));
    }
    world.exporters[2].withdraw("e2-0");
    renewed(world, 3).await;
    heal(world).await;
}

async fn one_exporter_cut(world: &mut World) {
    let exporter = &world.exporters[0];
    let clients = exporter.clients();
    world.began_for(Fault::CutOff, clients);
    let exporter = &world.exporters[0];
    exporter.cut(Cut::Reset).await;
    let gone = async || {
        let left = world.consumers.iter().map(|c| c.view().len()).max();
        if left == Some(world.expected().len() - 3) {
            Ok(())
        } else {
            Err(format!("{left:?} are seen"))
        }
    };
    eventually(SOON, "the consumers to see it go", gone).await;
    heal(world).await;
}

/// The exporters' leases run out while the consumers are away too: what those then hear of first is that
/// all are gone.
async fn many_vanish(world: &mut World) {
    world.began(Fault::CutOff);
    for party in world.parties() {
        party.cut(Cut::Reset).await;
    }
    let gone = async || {
        let keys = world.recorder.keys();
        let left = world
            .exporters
            .iter()
            .filter(|e| keys.contains_key(&e.root()));
        match left.count() {
            0 => Ok(()),
            left => Err(format!("{left} sessions are in etcd")),
        }
    };
    eventually(SOON, "the exporters' leases to run out", gone).await;
    let count = world.expected().len();
    world.nobody_is_to_be_told_of_removals();
    world.healing();
    for consumer in &world.consumers {
        consumer.network(Mode::default()).await;
    }
    for consumer in &world.consumers {
        let mut updates = consumer.discovery.health_updates();
        let held = updates.wait_for(|health| health.suspects.len() == count);
        let held = tokio::time::timeout(SOON, held).await;
        assert!(held.is_ok(), "no suspects: {}", consumer.discovery.health());
        assert_eq!(consumer.view().len(), count, "suspects are still known");
    }
    world.network(Mode::default()).await;
    world.healed();
}

async fn bad_listeners(world: &mut World) {
    let discovery = &world.consumers[0].discovery;
    let feed = discovery.endpoints();
    let mut asleep = feed.listen(|_| true);
    let dropped = feed.listen(|_| true);
    let mut panicking = feed.listen(|_| std::panic::resume_unwind(Box::new("fails")));
    let failed = tokio::spawn(async move { panicking.next().await });
    assert!(failed.await.unwrap_err().is_panic());
    world.book.push(What::Meddled);
    for version in 2..30 {
        for number in 0..3 {
            let endpoint = endpoint_of(&format!("e0-{number}"), &version.to_string());
            world.exporters[0].advertise(&endpoint);
        }
        if version == 10 {
            world.exporters[1].withdraw("e1-1");
        }
    }
    drop(dropped);
    world.healed();
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("the other listeners are held up: {error}"));
    // It slept all the time, and is told the present: one ADDED for each.
    let mut told = 0;
    while let Some(change) = asleep.try_next() {
        assert!(
            matches!(change, osgi_remote::feed::Change::Added(..)),
            "{change:?}"
        );
        told += 1;
    }
    assert_eq!(told, world.expected().len());
}

async fn ten_thousand(world: &mut World) {
    let session = SessionId::random();
    let root = format!("{}/{session}", world.top);
    let mut client = world.client().await;
    let lease = client.lease_grant(600, None).await.unwrap().id();
    let options = PutOptions::new().with_lease(lease);
    let mut puts = vec![TxnOp::put(
        root.as_str(),
        session.as_str(),
        Some(options.clone()),
    )];
    let mut all = Vec::new();
    for number in 0..10_000 {
        let endpoint = endpoint_of(&format!("many-{number}"), "1");
        let value = service_info::encode(&ServiceInfo::new(endpoint.clone()), "127.0.0.1").unwrap();
        puts.push(TxnOp::put(
            format!("{root}/{}", endpoint.id()),
            value,
            Some(options.clone()),
        ));
        all.push((endpoint.id().to_string(), endpoint));
    }
    world.book.push(What::Meddled);
    world.foreign.extend(all);
    while !puts.is_empty() {
        let rest = puts.split_off(puts.len().min(100));
        client
            .txn(Txn::new().and_then(std::mem::replace(&mut puts, rest)))
            .await
            .unwrap();
    }
    world.healed();
}

async fn rubbish(world: &mut World) {
    let top = world.top.to_string();
    let uuid = SessionId::random();
    let good = world.exporters[0].wanted["e0-0"].1.clone();
    let entries: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (format!("{top}/no-uuid").into(), b"x".to_vec()),
        (format!("{top}/no-uuid/e").into(), good.clone().into()),
        (
            format!("{top}/{uuid}/not-json").into(),
            b"not json".to_vec(),
        ),
        (format!("{top}/{uuid}/bytes").into(), vec![0xff, 0xfe, 0x00]),
        (format!("{top}/{uuid}/other-id").into(), good.clone().into()),
        (format!("{top}/{uuid}/deep/er").into(), good.into()),
        (format!("{top}/{uuid}/empty").into(), Vec::new()),
        (format!("{top}/{uuid}/huge").into(), vec![b'['; 1_000_000]),
        (format!("{top}//").into(), b"{}".to_vec()),
    ];
    let count = entries.len();
    world.book.push(What::Meddled);
    let mut client = world.client().await;
    for (key, value) in entries {
        client.put(key, value, None).await.unwrap();
    }
    world.exporters[0].advertise(&endpoint_of("e0-late", "1"));
    for consumer in &world.consumers {
        let mut updates = consumer.discovery.health_updates();
        let seen = updates.wait_for(|health| health.rejected.len() == count);
        let seen = tokio::time::timeout(SOON, seen).await;
        assert!(
            seen.is_ok(),
            "rejected: {:#?}",
            consumer.discovery.rejected()
        );
    }
    world.healed();
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("rubbish stops others: {error}"));
    for prefix in [
        format!("{top}/no-uuid"),
        format!("{top}/{uuid}"),
        format!("{top}//"),
    ] {
        let all = DeleteOptions::new().with_prefix();
        client.delete(prefix, Some(all)).await.unwrap();
    }
    for consumer in &world.consumers {
        let mut updates = consumer.discovery.health_updates();
        let gone = updates.wait_for(|health| health.rejected.is_empty());
        tokio::time::timeout(SOON, gone)
            .await
            .expect("what is gone is reported no more");
    }
    world.book.push(What::Meddled);
}

async fn one_session_id(world: &mut World) {
    let mut config = world.config();
    config.session_id = world.exporters[0].config.session_id.clone();
    let mut second = world.party("second of one session id", config).await;
    second.advertise(&endpoint_of("e0-second", "1"));
    let mut updates = second.discovery.health_updates();
    let refused = updates.wait_for(|h| h.session == osgi_remote::keyspace::SessionPhase::Taken);
    tokio::time::timeout(SOON, refused)
        .await
        .expect("the second is refused");
    world
        .settle(SOON)
        .await
        .unwrap_or_else(|error| panic!("the first is disturbed: {error}"));
    // The first one goes, and the second one has it.
    let mut first = world.exporters.remove(0);
    first.close(&world.recorder).await;
    world.exporters.insert(0, second);
    world.healed();
}

async fn process_stopped(world: &mut World) {
    let address = world.store.any().endpoint();
    let top = world.top.to_string();
    let child = crate::child::Exporter::start(&address, &top, TTL).await;
    let own: Vec<String> = world.expected().into_keys().collect();
    let appeared = async || {
        let mut view = world.consumers[0].view();
        view.retain(|id, _| !own.contains(id));
        match view.pop_first() {
            Some((id, endpoint)) if world.consumers.iter().all(|c| c.view().contains_key(&id)) => {
                Ok((id, (*endpoint).clone()))
            }
            _ => Err("it is not there"),
        }
    };
    let (id, endpoint) = eventually(SOON, "the process's endpoint", appeared).await;
    world.began(Fault::Other("a process is stopped"));
    child.pause();
    let gone = async || match world.consumers.iter().any(|c| c.view().contains_key(&id)) {
        true => Err("it is there"),
        false => Ok(()),
    };
    eventually(SOON, "the stopped process's endpoint to go", gone).await;
    world.foreign.insert(id, endpoint);
    world.healing();
    child.resume();
    world.healed();
    world.children.push(child);
}

async fn starts_without_etcd(world: &mut World) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.last_known = Some(folder.path().join("view"));
    let count = world.expected().len();
    let mut before = world.party("consumer, earlier run", config.clone()).await;
    before.discovery.connected(SOON).await.unwrap();
    before.close(&world.recorder).await;
    drop(before);

    world.began(Fault::CutOff);
    world.store.single().kill9();
    config.session_id = SessionId::random();
    let mut late = world.party("consumer, later run", config).await;
    late.listen();
    assert_eq!(
        late.view().len(),
        count,
        "it begins with what the earlier run saw"
    );
    assert_eq!(late.discovery.health().suspects.len(), count);
    world.consumers.push(late);
    noticed(world).await;
    world.healing();
    world.store.single().restart().await;
    world.healed();
    world.keep(folder);
}

/// None of them has more reason than another to be the first.
async fn herd(world: &mut World) {
    let server = world.store.any().address();
    let proxy = Arc::new(Proxy::to(server).await);
    let herd = crate::herd::Herd::open(world, &proxy, 200).await;
    world.began(Fault::CutOff);
    proxy.cut(Cut::Reset).await;
    for party in world.parties() {
        party.cut(Cut::Reset).await;
    }
    herd.lapsed().await;
    world.healing();
    world.network(Mode::default()).await;
    proxy.heal().await;
    world.healed();
    herd.held().await;
    herd.close(&world.recorder).await;
}

async fn calls_go_on(world: &mut World) {
    let pair = crate::pair::Pair::start(world).await;
    let (id, endpoint) = pair.endpoint().await;
    world.foreign.insert(id, endpoint);
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("the frameworks are not seen: {error}"));
    world.began(KILLED);
    world.store.single().kill9();
    noticed(world).await;
    pair.calls("while etcd is away").await;
    world.healing();
    world.store.single().restart().await;
    world.healed();
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("not right {error}"));
    pair.calls("after that").await;
    pair.end(world).await;
}

async fn wire_pulled(world: &mut World) {
    world.began(Fault::CutOff);
    world.wire().pull(true);
    lapsed(world.parties()).await;
    world.healing();
    world.wire().pull(false);
    world.healed();
}

async fn way_back_gone(world: &mut World) {
    world.began(Fault::CutOff);
    world.wire().lose_answers(true);
    lapsed(world.parties()).await;
    world.healing();
    world.wire().lose_answers(false);
    world.healed();
}

/// Passes everything again.
async fn heal(world: &mut World) {
    world.healing();
    world.network(Mode::default()).await;
    world.healed();
}

/// Waits until these sessions do not call themselves registered any more.
async fn lapsed(parties: impl Iterator<Item = &Party>) {
    for party in parties {
        let mut updates = party.discovery.health_updates();
        let lapsed = updates.wait_for(|health| health.registered_until.is_none());
        let lapsed = tokio::time::timeout(SOON, lapsed).await;
        assert!(
            lapsed.is_ok(),
            "{} still calls itself registered",
            party.name
        );
    }
}

/// Waits until every party knows that something is wrong with etcd.
async fn noticed(world: &World) {
    for party in world.parties() {
        let mut updates = party.discovery.health_updates();
        let noticed = updates
            .wait_for(|health| health.stale_since.is_some() && health.counts.session.failures > 0);
        let noticed = tokio::time::timeout(SOON, noticed).await;
        assert!(noticed.is_ok(), "{} notices nothing", party.name);
    }
}

/// Waits until every session renewed its lease so many times more.
pub async fn renewed(world: &World, times: u64) {
    for party in world.parties().filter(|party| !party.gone) {
        let mut updates = party.discovery.health_updates();
        let before = updates.current().counts.session.renewals;
        let renewed = updates.wait_for(|h| h.counts.session.renewals >= before + times);
        let renewed = tokio::time::timeout(SOON, renewed).await;
        assert!(renewed.is_ok(), "{} does not renew its lease", party.name);
    }
}
