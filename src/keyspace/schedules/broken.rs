//! Machines that are broken on purpose, by a wrapper around them: the checker is to name each.

use rand::RngExt;

use super::checker::{By, Invariant};
use super::client::{Input, Kind, Request};
use super::model::{OF_SESSION, SECOND};
use super::world::{World, id};
use crate::keyspace::session::event::{Answer, Event as SessionEvent};
use crate::keyspace::watcher::Change;
use crate::keyspace::watcher::event::{Action, Event as WatchEvent};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bend {
    None,
    /// The watch is opened again after the newest header that any message had.
    CursorFromHeader,
    /// The removals that a listing finds are not told.
    NoRemovalsOnRelist,
    /// Deletions of the watch do not arrive.
    LostDelete,
    /// Whatever the watch repeats is told again.
    RepeatsTold,
    /// What is told was never in the store.
    Phantoms,
    /// Everything is removed when the connection fails.
    RemovesInOutage,
    /// All keys are put again after each reconnection.
    PutsAgain,
    /// A key is written without a lease.
    NoLease,
    /// A wish is forgotten.
    ForgetsWish,
    /// The lease's time is counted from its answer, and generously.
    Boasts,
    /// Each connection leaves a lease behind that is kept alive.
    LeaksLease,
    /// Keys are put in the steady state.
    Restless,
    /// It dials without a pause.
    Hammers,
}

/// What the wrapper around one client remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    header: i64,
    told: Vec<(Vec<u8>, i64)>,
    leaked: Option<i64>,
}

/// What a broken machine hears; none when it does not hear it.
pub(super) fn bend_input(world: &mut World, client: usize, mut input: Input) -> Option<Input> {
    match (world.bend, &mut input) {
        (Bend::None, _) => {}
        (
            Bend::CursorFromHeader,
            Input::Watcher(WatchEvent::Watch {
                result: Ok(message),
                ..
            }),
        ) => {
            let memory = &mut world.clients[client].bend;
            memory.header = memory.header.max(message.header.revision);
        }
        (
            Bend::LostDelete,
            Input::Watcher(WatchEvent::Watch {
                result: Ok(message),
                ..
            }),
        ) => {
            message
                .changes
                .retain(|change| matches!(change, Change::Put { .. }));
        }
        (Bend::ForgetsWish, Input::Session(SessionEvent::Want(_)))
            if world.rng.random_bool(0.1) =>
        {
            return None;
        }
        (
            bend,
            Input::Session(SessionEvent::Done {
                answer: Answer::Dialled(Ok(_)),
                ..
            }),
        ) => {
            reconnected(world, client, bend);
        }
        (Bend::Restless, Input::Session(SessionEvent::Tick)) if world.is_peace() => {
            put_again(world, client);
        }
        _ => {}
    }
    if let Some(lease) = world.clients[client].bend.leaked {
        world.etcd.renew(lease);
    }
    Some(input)
}

fn reconnected(world: &mut World, client: usize, bend: Bend) {
    match bend {
        Bend::PutsAgain => put_again(world, client),
        Bend::LeaksLease => {
            let lease = world.rng.random_range(1..i64::MAX);
            if world.etcd.grant(lease, id(client)).is_ok() {
                world.clients[client].bend.leaked = Some(lease);
            }
        }
        _ => {}
    }
}

/// Puts every key of the session as it is.
fn put_again(world: &mut World, client: usize) {
    let root = world.clients[client].root;
    if world.down_until > world.now() {
        return;
    }
    world.etcd.header.revision += 1;
    for key in root + 1..root + OF_SESSION {
        let lease = world.etcd.lease_of(key).filter(|lease| *lease != 0);
        if let (Some(value), Some(lease)) = (world.etcd.value_of(key).cloned(), lease) {
            let by = By::Client(id(client));
            world.etcd.put(key, value, lease, by);
        }
    }
    world.stored();
}

/// What a broken watcher does.
pub(super) fn bend_actions(
    world: &mut World,
    client: usize,
    mut actions: Vec<Action>,
) -> Vec<Action> {
    let bend = world.bend;
    let memory = &mut world.clients[client].bend;
    let lists = actions
        .iter()
        .any(|action| matches!(action, Action::Synced(_)));
    for action in &mut actions {
        match (bend, action) {
            (Bend::CursorFromHeader, Action::Open { revision, .. }) => {
                *revision = (*revision).max(memory.header + 1);
            }
            (Bend::NoRemovalsOnRelist, Action::Deliver(changes)) if lists => {
                changes.retain(|change| matches!(change, Change::Put { .. }));
            }
            (Bend::RepeatsTold, Action::Deliver(changes)) => changes.extend_from_within(..),
            (Bend::Phantoms, Action::Deliver(changes)) => {
                for change in changes {
                    if let Change::Put { value, .. } = change {
                        *value = bytes::Bytes::from_static(b"phantom");
                    }
                }
            }
            (Bend::RemovesInOutage, Action::Deliver(changes)) => {
                for change in changes.iter() {
                    memory.told.retain(|(key, _)| key != change.key());
                    if let Change::Put { .. } = change {
                        memory
                            .told
                            .push((change.key().to_vec(), change.mod_revision()));
                    }
                }
            }
            _ => {}
        }
    }
    if bend == Bend::RemovesInOutage && actions.iter().any(|a| matches!(a, Action::Disconnect)) {
        let gone = std::mem::take(&mut memory.told).into_iter();
        let gone = gone.map(|(key, revision)| Change::Delete {
            key,
            mod_revision: revision + 1,
        });
        actions.push(Action::Deliver(gone.collect()));
    }
    actions
}

/// What a broken client asks for.
pub(super) fn bend_request(world: &mut World, client: usize, mut request: Request) -> Request {
    match (world.bend, &mut request) {
        (Bend::NoLease, Request::Write(batch)) => {
            // The guard still names the lease; what is put is not under it.
            let root = world.clients[client].root;
            let sometimes = !world.is_peace() && world.rng.random_bool(0.1);
            if sometimes && world.etcd.lease_of(root) == Some(batch.lease) {
                for op in &batch.ops {
                    if let Some(value) = op.value.clone() {
                        let key = super::model::number(op.key.as_bytes());
                        world.etcd.header.revision += 1;
                        world.etcd.put(key, value, 0, By::Client(id(client)));
                    }
                }
                world.stored();
            }
        }
        (Bend::Hammers, Request::Dial) => {
            for call in 0..30 {
                world.note_sent(client, u64::MAX - call, Kind::Dial);
            }
        }
        _ => {}
    }
    request
}

/// What a broken session says of itself.
pub(super) fn bend_claim(bend: Bend, until: Option<u64>) -> Option<u64> {
    match bend {
        Bend::Boasts => until.map(|until| until + SECOND),
        _ => until,
    }
}

/// Each broken one, the invariant that names it, and those that may break with it.
const EXPECTED: [(Bend, Invariant, &[Invariant]); 13] = [
    // What the watch skips is missing in the view.
    (Bend::CursorFromHeader, Invariant::View, &[]),
    // What was told and what the watcher itself knows are two things.
    (
        Bend::NoRemovalsOnRelist,
        Invariant::Replay,
        &[Invariant::View],
    ),
    (Bend::LostDelete, Invariant::View, &[]),
    (Bend::RepeatsTold, Invariant::Forward, &[Invariant::Replay]),
    (Bend::Phantoms, Invariant::NoPhantoms, &[]),
    (
        Bend::RemovesInOutage,
        Invariant::Silence,
        &[Invariant::View, Invariant::Replay, Invariant::Forward],
    ),
    (Bend::PutsAgain, Invariant::Peers, &[]),
    // What has no lease is put again where it is already.
    (Bend::NoLease, Invariant::NoImmortals, &[Invariant::Peers]),
    (Bend::ForgetsWish, Invariant::Registered, &[]),
    (Bend::Boasts, Invariant::Honesty, &[]),
    (Bend::LeaksLease, Invariant::NoLeaks, &[]),
    (Bend::Restless, Invariant::Quiet, &[Invariant::Peers]),
    (Bend::Hammers, Invariant::Gentle, &[]),
];

#[test]
fn every_broken_machine_is_caught_by_the_invariant_that_names_it() {
    for (bend, expected, others) in EXPECTED {
        let caught = (0..1000).find(|seed| {
            let verdicts = World::new(*seed, bend, false).run();
            let broken = super::checker::broken(&verdicts);
            let stray = broken
                .iter()
                .find(|invariant| **invariant != expected && !others.contains(invariant));
            assert_eq!(
                stray,
                None,
                "{bend:?}, seed {seed}:\n{}",
                super::checker::table(&verdicts)
            );
            broken.contains(&expected)
        });
        assert!(
            caught.is_some(),
            "{bend:?} breaks no {expected} in 1000 schedules"
        );
    }
}
