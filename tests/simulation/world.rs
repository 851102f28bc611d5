//! A world: a registry, frameworks on hosts of their own, the network between them, and time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::ambient::Simulation;
use osgi_remote::embedded::{Registry, Settings};
use osgi_remote::names::{FrameworkId, SessionId};
use osgi_remote::network::Network;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{self, Limits, Record, Verdict, What, broken, check, table};
use crate::findings::Findings;
use crate::herd::Herd;
use crate::net::{Bend, Defect, Net};
use crate::panics;
use crate::party::{Calls, Identity, Offer, Party};
use crate::plan::{Kind, Plan};
use crate::recorder::Recorder;
use crate::recording::Book;
use crate::service;
use crate::trouble::Troubles;

/// The first segment of all keys.
pub(crate) const TOP: &str = "sim";
pub(crate) const REGISTRY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const REGISTRY_PORT: u16 = 2379;
/// How often it is looked at, whether a world is at rest.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// How many calls may fail at rest, one after the other.
const TRIES: u32 = 5;
/// How long what was ended in order may take to be gone.
pub(crate) const END: Duration = Duration::from_secs(15);

/// What the checker takes for granted in a world.
fn limits(ttl: Duration) -> Limits {
    Limits {
        herd: Some(checker::Herd {
            clients: 200,
            window: Duration::from_millis(100),
            at_most: 60,
        }),
        ..Limits::for_ttl(ttl)
    }
}

/// What came of a world.
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) verdicts: Vec<Verdict>,
    /// What is wrong beyond the checker's invariants.
    pub(crate) wrong: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) troubles: BTreeMap<Kind, u64>,
    /// Whether a host went for good.
    pub(crate) left: bool,
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) records: Vec<Record>,
    /// Of all that was read.
    pub(crate) digest: u64,
    /// How much time went by in it.
    pub(crate) lasted: Duration,
    /// Whether the defect that was asked for came about.
    pub(crate) bent: bool,
}

impl Report {
    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty() && broken(&self.verdicts).is_empty()
    }

    pub(crate) fn text(&self) -> String {
        let wrong: String = self.wrong.iter().map(|w| format!("wrong: {w}\n")).collect();
        let (table, lasted) = (table(&self.verdicts), self.lasted);
        format!(
            "{table}{wrong}calls: {:?}\nit lasted {lasted:?}\n",
            self.calls
        )
    }
}

/// A registry that runs.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    pub(crate) recorder: Recorder,
    accepting: AbortOnDropHandle<()>,
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) net: Net,
    pub(crate) book: Book,
    pub(crate) findings: Findings,
    /// The sessions' time to live.
    pub(crate) ttl: Duration,
    /// The longest pause between two calls of a host, in milliseconds.
    calls: u64,
    pub(crate) identities: Vec<Identity>,
    pub(crate) parties: Vec<Option<Party>>,
    pub(crate) seat: Option<Seat>,
    /// Hosts that are saying goodbye.
    pub(crate) leaving: BTreeMap<usize, AbortOnDropHandle<()>>,
    pub(crate) herd: Herd,
    /// A host that does not come back.
    pub(crate) left: Option<usize>,
    /// The task that does what is wrong, where the defect is one: that renews a lease which is not
    /// its own, or panics.
    pub(crate) culprit: Option<AbortOnDropHandle<()>>,
    /// What went wrong so far.
    pub(crate) troubles: BTreeMap<Kind, u64>,
    /// Counts services and calls, so that each has a name of its own.
    named: i64,
    started: i64,
    _simulation: Simulation,
}

/// Runs the world of a seed, in a runtime of its own.
pub(crate) fn run(seed: u64, plan: Option<Plan>, defect: Option<Defect>, trace: bool) -> Report {
    panics::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut report = runtime.block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = plan.unwrap_or_else(|| Plan::draw(&mut rng));
        World::new(rng, &plan, trace).run(plan, defect).await
    });
    // What is dropped with it is of the world, too.
    drop(runtime);
    report.wrong.extend(panics::end());
    report
}

impl World {
    fn new(mut rng: StdRng, plan: &Plan, trace: bool) -> Self {
        let book = if trace { Book::traced() } else { Book::new() };
        Self {
            net: Net::new(rng.random()),
            findings: Findings::new(book.clone()),
            book,
            ttl: plan.ttl,
            calls: plan.calls,
            identities: Vec::new(),
            parties: Vec::new(),
            seat: None,
            leaving: BTreeMap::new(),
            herd: Herd::default(),
            left: None,
            culprit: None,
            troubles: BTreeMap::new(),
            named: 0,
            started: 0,
            _simulation: Simulation::begin(rng.random()),
            rng,
        }
    }

    async fn run(mut self, plan: Plan, defect: Option<Defect>) -> Report {
        let start = Instant::now();
        self.book.say(|| format!("{plan:?}"));
        if let Some(defect) = defect {
            self.net.bend(Bend::new(defect, REGISTRY));
        }
        self.start_registry().await;
        for number in 0..plan.hosts {
            self.settle_in(number, plan.watches_keys);
            self.start_party(number).await;
            self.offer(number);
        }
        Troubles::new(plan.clone()).run(&mut self).await;
        if let Some(stampede) = plan.stampede {
            self.stampede(stampede).await;
        }
        if let Some(defect) = defect {
            self.misbehave(defect).await;
        }
        let bent = self.net.is_bent() || self.culprit.is_some();
        self.rest().await;
        self.end().await;
        let history = self.book.history();
        Report {
            verdicts: check(&history, &limits(plan.ttl)),
            plan,
            wrong: self.findings.all_wrong(),
            trace: self.book.trace(),
            troubles: self.troubles,
            left: self.left.is_some(),
            calls: self.findings.calls(),
            records: history.records().to_vec(),
            digest: self.net.digest(),
            lasted: start.elapsed(),
            bent,
        }
    }

    /// A world that has not come to rest by then, after all is healed, never will: what the checker
    /// grants, and the time for which the guard may hold endpoints back.
    pub(crate) fn patience(&self) -> Duration {
        let guard = self.ttl + Duration::from_secs(10);
        limits(self.ttl).settle + guard + Duration::from_secs(30)
    }

    /// The time in which nothing may happen any more: each session looks at its keys in it.
    fn silence(&self) -> Duration {
        self.ttl + Duration::from_secs(1)
    }

    fn settle_in(&mut self, number: usize, watches_keys: bool) {
        let uuid = |rng: &mut StdRng| {
            let bits: u128 = rng.random();
            let hex = format!("{bits:032x}");
            let parts = [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ];
            parts.join("-")
        };
        let last = u8::try_from(10 + number).unwrap();
        let identity = Identity {
            ip: Ipv4Addr::new(10, 0, 0, last),
            framework: uuid(&mut self.rng).parse::<FrameworkId>().unwrap(),
            session: uuid(&mut self.rng).parse::<SessionId>().unwrap(),
            watches_keys: watches_keys && number == 0,
            ttl: self.ttl,
        };
        self.identities.push(identity);
        self.parties.push(None);
    }

    pub(crate) async fn start_registry(&mut self) {
        self.book.say(|| "the registry starts".to_owned());
        let network = self.net.boot(REGISTRY);
        let settings = Settings::default().seed(self.rng.random());
        let registry = Registry::builder()
            .settings(settings)
            .start()
            .await
            .unwrap();
        let registry = Arc::new(registry);
        let recorder = Recorder::start(&self.book, &registry).await;
        let address = format!("{REGISTRY}:{REGISTRY_PORT}");
        let listener = network.listen(&address).await.unwrap();
        let (served, findings) = (Arc::clone(&registry), self.findings.clone());
        let accepting = async move {
            loop {
                let stream = listener.accept().await.unwrap();
                if let Err(error) = served.attach(stream) {
                    findings.wrong(format!("the registry serves a connection not: {error}"));
                }
            }
        };
        self.seat = Some(Seat {
            registry,
            recorder,
            accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        });
    }

    /// All in it is lost, and its address answers nothing.
    pub(crate) fn kill_registry(&mut self, resets: bool) {
        self.book
            .say(|| format!("the registry is killed, resets: {resets}"));
        self.net.crash(REGISTRY, resets);
        self.seat = None;
        self.book.push(What::Wiped);
    }

    pub(crate) async fn start_party(&mut self, number: usize) {
        let identity = self.identities[number].clone();
        self.book.say(|| format!("{} starts", identity.ip));
        let network: Arc<dyn Network> = self.net.boot(identity.ip);
        self.started += 1;
        // No two calls have one number.
        let calls = Calls {
            seed: self.rng.random(),
            first: self.started * 1_000_000,
            pause: self.calls,
        };
        let party = Party::start(&self.findings, &self.net, &identity, network, calls).await;
        self.parties[number] = Some(party);
    }

    /// One more service on a host.
    pub(crate) fn offer(&mut self, number: usize) {
        self.named += 1;
        let Some(party) = &mut self.parties[number] else {
            return;
        };
        let who = format!("{} service {}", party.identity.ip, self.named);
        self.book.say(|| format!("{who} is registered"));
        let export = service::export(&party.framework, &self.findings, &who, 1);
        party.offers.push(Offer {
            export,
            who,
            version: 1,
        });
    }

    /// Waits until nothing is left to be done.
    pub(crate) async fn settle(&self) {
        let begin = Instant::now();
        let patience = self.patience();
        let deadline = begin + patience;
        while let Err(why) = self.is_settled(begin) {
            if Instant::now() >= deadline {
                self.findings
                    .wrong(format!("no rest within {patience:?}: {why}"));
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn running(&self) -> impl Iterator<Item = &Party> {
        self.parties.iter().flatten()
    }

    fn is_settled(&self, since: Instant) -> Result<(), String> {
        let seat = self.seat.as_ref().ok_or("there is no registry")?;
        for (number, party) in self.parties.iter().enumerate() {
            if party.is_none() && self.left != Some(number) {
                return Err(format!("{} does not run", self.identities[number].ip));
            }
        }
        let mut expected = BTreeSet::new();
        expected.extend(self.herd.keys());
        self.herd.has_renewed_since(since, self.ttl)?;
        let mut exported = Vec::new();
        for party in self.running() {
            party.has_renewed_since(since)?;
            let root = party.identity.root();
            let ids = party.exported()?;
            expected.extend(ids.iter().map(|id| format!("{root}/{id}")));
            expected.insert(root);
            exported.push((party.identity.ip, ids));
        }
        let stored: BTreeSet<String> = seat.recorder.seen().keys.into_keys().collect();
        if stored != expected {
            return Err(format!("the registry has {stored:?}, not {expected:?}"));
        }
        for party in self.running() {
            let others = exported.iter().filter(|(ip, _)| *ip != party.identity.ip);
            let ids = others.flat_map(|(_, ids)| ids.iter().cloned()).collect();
            let others = self
                .running()
                .filter(|p| p.identity.ip != party.identity.ip);
            let who = others.flat_map(|other| &other.offers);
            let who = who
                .map(|offer| (offer.who.clone(), offer.version))
                .collect();
            party.knows(&ids, &who)?;
        }
        Ok(())
    }

    /// Comes to rest, stays there for a while, and is judged.
    async fn rest(&mut self) {
        let begin = Instant::now();
        self.settle().await;
        self.book.push(What::Rest);
        tokio::time::sleep(self.silence()).await;
        if let Err(why) = self.is_settled(begin) {
            self.findings.wrong(format!("the rest did not last: {why}"));
        }
        let Some(seat) = &mut self.seat else {
            self.findings.wrong("there is no registry".to_owned());
            return;
        };
        let keys = seat.recorder.read().await;
        for party in self.parties.iter().flatten() {
            party.record(&self.net);
            if !party.sees(&keys) {
                let ip = party.identity.ip;
                self.findings
                    .wrong(format!("the watch on {ip} does not show {keys:?}"));
            }
        }
        self.call_everybody().await;
    }

    /// At rest each call is answered, once connections are used up that broke unnoticed: a call
    /// that was sent over one is not for the client to send again.
    async fn call_everybody(&self) {
        let mut number = 0;
        for party in self.running() {
            for proxy in service::proxies(party.framework.registry()) {
                let mut answered = false;
                for _ in 0..TRIES {
                    number -= 1;
                    answered = service::call(&self.findings, &proxy, number, 0).await;
                    if answered {
                        break;
                    }
                }
                if !answered {
                    let (ip, who) = (party.identity.ip, service::who(&proxy));
                    self.findings
                        .wrong(format!("{ip} cannot call {who} at rest"));
                }
            }
        }
    }

    /// Ends all in order: nothing may be left.
    async fn end(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        drop(self.culprit.take());
        std::mem::take(&mut self.herd)
            .close(self, &seat.recorder)
            .await;
        let parties: Vec<Party> = self.parties.iter_mut().filter_map(Option::take).collect();
        let goodbyes: Vec<_> = parties
            .into_iter()
            .map(|party| party.say_goodbye(&seat.recorder))
            .collect();
        futures::future::join_all(goodbyes).await;
        let left = seat.recorder.client().leases().await.unwrap();
        let left = left.leases().len();
        if left > 0 {
            self.findings
                .wrong(format!("{left} leases are left after all said goodbye"));
        }
        let Seat {
            registry,
            recorder,
            accepting,
        } = seat;
        accepting.abort();
        // Aborted is how it ends.
        let _ = accepting.await;
        drop(recorder);
        match Arc::into_inner(registry) {
            Some(registry) => registry.shutdown().await,
            None => self
                .findings
                .wrong("somebody holds the registry still".to_owned()),
        }
        tokio::time::sleep(END).await;
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        if tasks > 0 {
            self.findings
                .wrong(format!("{tasks} tasks are left after the end"));
        }
    }
}
