//! What goes wrong in a world, and what its users do meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{Client, Fault, Limits, What};
use crate::net::Quality;
use crate::plan::{Kind, Plan};
use crate::service;
use crate::world::{REGISTRY, World};

/// How trouble ends.
#[derive(Debug, Clone, Copy)]
enum Heal {
    /// The link from one host to another is good again.
    Link(Ipv4Addr, Ipv4Addr),
    /// All links of a host are quick again.
    Quick(usize),
    /// What stood still goes on.
    Awake(Ipv4Addr),
    /// A host runs again.
    Host(usize),
    Registry,
}

/// The troubles of one world.
pub(crate) struct Troubles {
    plan: Plan,
    /// In the order of their times; the number keeps those of one time apart.
    heals: BTreeMap<(Instant, u64), Heal>,
    ordered: u64,
    cut: BTreeSet<(Ipv4Addr, Ipv4Addr)>,
    slow: BTreeSet<usize>,
    /// What stands still.
    stalled: BTreeSet<Ipv4Addr>,
    registry_is_dead: bool,
    /// Hosts that hear nothing from the registry, with the clients of whom the checker was told so.
    deaf: BTreeMap<Ipv4Addr, Vec<Client>>,
}

const OTHER: Fault = Fault::Other("trouble");
/// How probable it is that a host which is away at the end does not come back.
const STAYS_AWAY: f64 = 0.2;

impl Troubles {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self {
            plan,
            heals: BTreeMap::new(),
            ordered: 0,
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
            stalled: BTreeSet::new(),
            registry_is_dead: false,
            deaf: BTreeMap::new(),
        }
    }

    /// Makes trouble for as long as the plan says, and heals all of it.
    pub(crate) async fn run(&mut self, world: &mut World) {
        let end = Instant::now() + self.plan.trouble;
        let mut next = Instant::now() + millis(world, self.plan.pause);
        loop {
            let heal = self.heals.keys().next().map_or(end, |(at, _)| *at);
            tokio::time::sleep_until(next.min(heal).min(end)).await;
            let now = Instant::now();
            while let Some(heal) = self.due(now) {
                self.heal(world, heal).await;
            }
            if now >= end {
                break;
            }
            if now >= next {
                if !self.plan.kinds.is_empty() {
                    let kind = self.plan.kinds[world.rng.random_range(0..self.plan.kinds.len())];
                    if self.begin(world, kind).await {
                        *world.troubles.entry(kind).or_default() += 1;
                    }
                }
                next = Instant::now() + Duration::from_millis(1) + millis(world, self.plan.pause);
            }
        }
        world.book.say(|| "the troubles are over".to_owned());
        while let Some((_, heal)) = self.heals.pop_first() {
            if let Heal::Host(number) = heal
                && let Some(leaving) = world.leaving.remove(&number)
            {
                leaving.await.unwrap();
            }
            if let Heal::Host(number) = heal
                && world.left.is_none()
                && world.rng.random_bool(STAYS_AWAY)
            {
                world
                    .book
                    .say(|| format!("{:?} stays away for good", world.identities[number].ip));
                world.left = Some(number);
                continue;
            }
            self.heal(world, heal).await;
        }
    }

    fn due(&mut self, now: Instant) -> Option<Heal> {
        let first = self.heals.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn later(&mut self, pause: Duration, heal: Heal) {
        self.ordered += 1;
        let at = Instant::now() + pause;
        self.heals.insert((at, self.ordered), heal);
    }

    /// Begins with a trouble; gives whether there was anything to do.
    async fn begin(&mut self, world: &mut World, kind: Kind) -> bool {
        let number = world.rng.random_range(0..world.parties.len());
        let Some(party) = &world.parties[number] else {
            return false;
        };
        let ip = party.identity.ip;
        match kind {
            Kind::Partition => {
                let pause = self.lasting(world, 12_000);
                self.cut_some(world, ip, REGISTRY, pause)
            }
            Kind::Quarrel => {
                let other = world.rng.random_range(0..world.identities.len());
                let other = world.identities[other].ip;
                if other == ip {
                    return false;
                }
                let pause = self.lasting(world, 12_000);
                self.cut_some(world, ip, other, pause)
            }
            Kind::Outage => {
                let pause = self.lasting(world, 15_000);
                let hosts: Vec<Ipv4Addr> = world.identities.iter().map(|i| i.ip).collect();
                let mut began = false;
                for host in hosts {
                    began |= self.cut(world, host, REGISTRY, pause);
                    began |= self.cut(world, REGISTRY, host, pause);
                }
                began
            }
            Kind::Slow => self.slow_down(world, number),
            Kind::Stall => self.stall(world, ip),
            Kind::Hang => world.seat.is_some() && self.stall(world, REGISTRY),
            Kind::Reset => {
                let other = world.rng.random_range(0..=world.identities.len());
                let other = world.identities.get(other).map_or(REGISTRY, |i| i.ip);
                world
                    .book
                    .say(|| format!("connections of {ip} and {other} break"));
                disturb(world);
                world.net.reset(ip, other);
                other != ip
            }
            Kind::Kill => self.kill(world, number),
            Kind::Goodbye => self.goodbye(world, number),
            Kind::Wipe => {
                if world.seat.is_none() {
                    return false;
                }
                let resets = world.rng.random();
                self.wake(world, REGISTRY);
                world.kill_registry(resets);
                began(world, OTHER, None);
                self.registry_is_dead = true;
                self.note_hearing_by(world, REGISTRY);
                let pause = self.lasting(world, 6_000);
                self.later(pause, Heal::Registry);
                true
            }
            Kind::Revoke | Kind::Delete | Kind::Compact => by_hand(world, number, kind).await,
            Kind::Register | Kind::Modify | Kind::Unregister => use_services(world, number, kind),
        }
    }

    /// Cuts one direction or both.
    fn cut_some(&mut self, world: &mut World, a: Ipv4Addr, b: Ipv4Addr, pause: Duration) -> bool {
        let which = world.rng.random_range(0..4);
        let there = which != 1 && self.cut(world, a, b, pause);
        let back = which != 0 && self.cut(world, b, a, pause);
        there || back
    }

    /// Tells the checker anew whether a host hears the registry. That it is not heard is another
    /// matter, for the host may still be told of removals.
    ///
    /// What arrived before counts as under way for a moment, and is read in it; so this is to be
    /// called also when a host wakes that is deaf still. What the registry sent before it stood still
    /// may take longer: a host that it is on its way to is not judged.
    fn note_hearing(&mut self, world: &World, ip: Ipv4Addr) {
        for client in self.deaf.remove(&ip).unwrap_or_default() {
            healed(world, Fault::CutOff, Some(client));
        }
        let by = Instant::now() + Limits::for_ttl(world.ttl).in_flight;
        let is_silent = self.stalled.contains(&REGISTRY) && !world.net.owes(REGISTRY, ip, by);
        let is_deaf = self.stalled.contains(&ip) || self.cut.contains(&(REGISTRY, ip));
        if !is_deaf && !is_silent && !self.registry_is_dead {
            return;
        }
        let party = world.parties.iter().flatten();
        let party = party.filter(|party| party.identity.ip == ip);
        let clients: Vec<Client> = party.flat_map(|party| party.clients()).collect();
        for client in &clients {
            began(world, Fault::CutOff, Some(*client));
        }
        self.deaf.insert(ip, clients);
    }

    /// The same of each host that hears something else now that this one, or the registry, does.
    fn note_hearing_by(&mut self, world: &World, ip: Ipv4Addr) {
        let hosts = world.identities.iter().map(|identity| identity.ip);
        for host in hosts.filter(|host| [*host, REGISTRY].contains(&ip)) {
            self.note_hearing(world, host);
        }
    }

    fn cut(&mut self, world: &World, from: Ipv4Addr, to: Ipv4Addr, pause: Duration) -> bool {
        if !self.cut.insert((from, to)) {
            return false;
        }
        world
            .book
            .say(|| format!("nothing goes from {from} to {to} for {pause:?}"));
        world.net.cut(from, to);
        began(world, OTHER, None);
        if from == REGISTRY {
            self.note_hearing(world, to);
        }
        self.later(pause, Heal::Link(from, to));
        true
    }

    fn slow_down(&mut self, world: &mut World, number: usize) -> bool {
        if !self.slow.insert(number) {
            return false;
        }
        let latency = [20, 150, 700, 1600][world.rng.random_range(0..4)];
        let quality = Quality {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(latency / 2),
            loss: [0, 20, 150][world.rng.random_range(0..3)],
            bandwidth: [None, None, Some(20)][world.rng.random_range(0..3)],
        };
        links_of(world, number, quality);
        began(world, OTHER, None);
        let pause = self.lasting(world, 12_000);
        self.later(pause, Heal::Quick(number));
        true
    }

    /// Lets a host, or the registry, stand still.
    fn stall(&mut self, world: &mut World, ip: Ipv4Addr) -> bool {
        if self.stalled.contains(&ip) {
            return false;
        }
        let pause = self.lasting(world, 15_000);
        world
            .book
            .say(|| format!("{ip} stands still for {pause:?}"));
        world.net.stall(ip);
        began(world, OTHER, None);
        self.stalled.insert(ip);
        self.note_hearing_by(world, ip);
        self.later(pause, Heal::Awake(ip));
        true
    }

    /// It goes on, if it stands still.
    fn wake(&mut self, world: &World, ip: Ipv4Addr) {
        if self.stalled.remove(&ip) {
            world.net.resume(ip);
            self.note_hearing_by(world, ip);
            healed(world, OTHER, None);
        }
    }

    fn kill(&mut self, world: &mut World, number: usize) -> bool {
        let Some(party) = world.parties[number].take() else {
            return false;
        };
        let resets = world.rng.random();
        let ip = party.identity.ip;
        self.wake(world, ip);
        world
            .book
            .say(|| format!("{ip} is killed, resets: {resets}"));
        world.net.crash(ip, resets);
        party.kill();
        self.note_hearing(world, ip);
        let pause = self.lasting(world, 9_000);
        self.later(pause, Heal::Host(number));
        true
    }

    fn goodbye(&mut self, world: &mut World, number: usize) -> bool {
        let Some(seat) = &world.seat else {
            return false;
        };
        // Who stands still learns only afterwards that it is to end.
        if self.stalled.contains(&world.identities[number].ip) {
            return false;
        }
        let Some(party) = world.parties[number].take() else {
            return false;
        };
        world
            .book
            .say(|| format!("{} says goodbye", party.identity.ip));
        let ip = party.identity.ip;
        let leaving = tokio::spawn(party.say_goodbye(&seat.recorder));
        world
            .leaving
            .insert(number, AbortOnDropHandle::new(leaving));
        self.note_hearing(world, ip);
        let pause = self.lasting(world, 9_000);
        self.later(pause, Heal::Host(number));
        true
    }

    /// How long a trouble lasts that usually lasts so long at most.
    fn lasting(&self, world: &mut World, longest: u64) -> Duration {
        millis(world, longest * self.plan.stretch)
    }

    async fn heal(&mut self, world: &mut World, heal: Heal) {
        world.book.say(|| format!("healed: {heal:?}"));
        match heal {
            Heal::Link(from, to) => {
                self.cut.remove(&(from, to));
                world.net.heal(from, to);
                if from == REGISTRY {
                    self.note_hearing(world, to);
                }
                healed(world, OTHER, None);
            }
            Heal::Quick(number) => {
                self.slow.remove(&number);
                links_of(world, number, Quality::GOOD);
                healed(world, OTHER, None);
            }
            Heal::Awake(ip) => self.wake(world, ip),
            Heal::Host(number) => {
                if let Some(leaving) = world.leaving.get(&number)
                    && !leaving.is_finished()
                {
                    // Its port is not free before.
                    self.later(Duration::from_millis(300), heal);
                    return;
                }
                world.leaving.remove(&number);
                world.start_party(number).await;
                world.offer(number);
                self.note_hearing(world, world.identities[number].ip);
            }
            Heal::Registry => {
                // Before anybody can come.
                self.registry_is_dead = false;
                self.note_hearing_by(world, REGISTRY);
                healed(world, OTHER, None);
                world.start_registry().await;
            }
        }
    }
}

fn millis(world: &mut World, longest: u64) -> Duration {
    Duration::from_millis(world.rng.random_range(0..=longest))
}

fn began(world: &World, fault: Fault, client: Option<Client>) {
    world.book.push(What::Began { fault, client });
}

fn healed(world: &World, fault: Fault, client: Option<Client>) {
    world.book.push(What::Healed { fault, client });
}

/// Something that is over as soon as it happened.
fn disturb(world: &World) {
    world.book.push(What::Meddled);
}

fn links_of(world: &World, number: usize, quality: Quality) {
    let ip = world.identities[number].ip;
    world
        .book
        .say(|| format!("the links of {ip} have {quality:?}"));
    let others = world.identities.iter().map(|identity| identity.ip);
    for other in others.filter(|other| *other != ip) {
        world.net.set(ip, other, quality);
        world.net.set(other, ip, quality);
    }
    world.net.set(ip, REGISTRY, quality);
    world.net.set(REGISTRY, ip, quality);
}

/// Somebody changes something in the registry, past the network.
async fn by_hand(world: &mut World, number: usize, kind: Kind) -> bool {
    let (Some(seat), Some(party)) = (&world.seat, &world.parties[number]) else {
        return false;
    };
    let mut client = seat.recorder.client();
    let seen = seat.recorder.seen();
    match kind {
        Kind::Revoke => {
            let Some(lease) = party.health().lease else {
                return false;
            };
            disturb(world);
            seat.recorder.revokes(lease);
            // The lease may have run out, or never have been granted.
            if let Err(error) = client.lease_client().revoke(lease).await {
                world
                    .book
                    .say(|| format!("{lease:x} cannot be revoked: {error}"));
            }
        }
        Kind::Delete => {
            let count = seen.keys.len();
            if count == 0 {
                return false;
            }
            let at = world.rng.random_range(0..count);
            let Some((key, lease)) = seen.keys.iter().nth(at) else {
                return false;
            };
            disturb(world);
            if key.matches('/').count() == 1 {
                seat.recorder.is_no_expiry(*lease);
            }
            client.delete(key.as_str(), None).await.unwrap();
        }
        _ => {
            let revision = seen.revision;
            if revision == 0 {
                return false;
            }
            disturb(world);
            world.book.push(What::Compacted { revision });
            // It may be compacted there already.
            if let Err(error) = client.compact(revision, None).await {
                world
                    .book
                    .say(|| format!("{revision} cannot be compacted: {error}"));
            }
        }
    }
    true
}

fn use_services(world: &mut World, number: usize, kind: Kind) -> bool {
    /// So many services has a host at most.
    const MANY: usize = 3;
    let Some(party) = &mut world.parties[number] else {
        return false;
    };
    let count = party.offers.len();
    match kind {
        Kind::Register if count < MANY => world.offer(number),
        Kind::Unregister if count > 0 => {
            let offer = party.offers.remove(world.rng.random_range(0..count));
            world.book.say(|| format!("{} is unregistered", offer.who));
            offer.export.close();
        }
        Kind::Modify if count > 0 => {
            let offer = &mut party.offers[world.rng.random_range(0..count)];
            offer.version += 1;
            let properties = service::properties(&offer.who, offer.version);
            world.book.say(|| format!("{} is modified", offer.who));
            offer.export.set_properties(properties).unwrap();
        }
        _ => return false,
    }
    true
}
