//! Threads that register, modify, unregister, export, import, break and close
//! at random, and a topology manager beside them. In the end nothing is left
//! over, and what every listener was told, of registrations, services and
//! endpoints, adds up to the truth (RELIABILITY's I4, I9).
//!
//! `STORM_SECONDS` is how long it blows (default 4; `make test`: a minute),
//! `PROPTEST_RNG_SEED` which choices are made. Threads are not repeated exactly
//! by a seed, but what they do is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

mod field;
mod folded;
mod provider;
#[path = "../support/seed.rs"]
#[allow(unreachable_pub, reason = "other tests have it in a module of theirs")]
mod seed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use field::Field;
use folded::{Endpoints, Registrations, Services};
use osgi_remote::admin::AdminEvents;
use osgi_remote::discovery::{EndpointListener, EndpointListeners, Scope};
use osgi_remote::filter::Filter;
use osgi_remote::services::{Registry, ServiceListener};
use osgi_remote::topology::{Discoveries, Policy, TopologyManager};
use parking_lot::Mutex;
use provider::InProcess;
use rand::SeedableRng;
use rand::rngs::StdRng;
use seed::seed;
use tokio::runtime::Runtime;

const WORKERS: u64 = 6;

/// How long what goes on by itself may take to get where it should.
const SOON: Duration = Duration::from_secs(60);

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let soon = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < soon, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One listener of each kind, and what they were told.
struct Listening {
    admin: (AdminEvents, Registrations),
    services: (ServiceListener, Services),
    /// Of a few services, which come and go from its sight.
    some: (ServiceListener, Services),
    endpoints: (EndpointListener, Endpoints),
}

fn sight() -> Filter {
    Filter::parse("(|(n=1)(service.imported=*))").unwrap()
}

impl Listening {
    fn new(field: &Field, endpoints: &EndpointListeners) -> Self {
        let all = Scope::parse(["(endpoint.id=*)"]).unwrap();
        Self {
            admin: (field.admin.events(), Registrations::default()),
            services: (field.registry.listen(None, None), Services::default()),
            some: (
                field.registry.listen(None, Some(sight())),
                Services::default(),
            ),
            endpoints: (endpoints.listen(all), Endpoints::default()),
        }
    }

    fn take_all(&mut self) {
        self.admin.1.take_all(&mut self.admin.0);
        self.services.1.take_all(&mut self.services.0);
        self.some.1.take_all(&mut self.some.0);
        self.endpoints.1.take_all(&mut self.endpoints.0);
    }

    /// Nothing goes on any more, and the topology manager has ended.
    fn is_true(&self, field: &Field) {
        self.admin.1.is_true(&field.admin);
        let registry: &Registry = &field.registry;
        self.services.1.is_true(registry, None);
        self.some.1.is_true(registry, Some(&sight()));
        self.endpoints.1.is_true(&field.board.heard);
    }
}

/// Lets the threads do what they like for a while.
fn blow(
    field: &Arc<Field>,
    endpoints: &EndpointListeners,
    runtime: &Runtime,
    always: &mut Listening,
) {
    let seconds = setting("STORM_SECONDS", 4);
    let seed = seed();
    let end = Instant::now() + Duration::from_secs(seconds);
    let over = AtomicBool::new(false);
    let always = Mutex::new(always);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let field = Arc::clone(field);
                scope.spawn(move || {
                    let mut rng = StdRng::seed_from_u64(seed ^ (worker << 32));
                    while Instant::now() < end {
                        runtime.block_on(field.act(&mut rng));
                    }
                })
            })
            .collect();
        // One that listens all the time, and more that come and go.
        let (over, always) = (&over, &always);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                always.lock().take_all();
                std::thread::yield_now();
            }
        });
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let mut passing = Listening::new(field, endpoints);
                for _ in 0..20 {
                    passing.take_all();
                    std::thread::yield_now();
                }
            }
        });
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        for worker in ended {
            worker.unwrap();
        }
    });
}

fn much_was_done(field: &Field) {
    let done = field.done.lock().clone();
    println!("{done:?}");
    for needed in [
        "export",
        "import",
        "update export",
        "update import",
        "call",
        "hear",
        "break",
    ] {
        let count = done.get(needed).copied().unwrap_or_default();
        assert!(count >= 10, "{needed} was done {count} times: {done:?}");
    }
}

#[test]
fn nothing_is_left_of_a_storm_and_every_listener_knows_the_truth() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let provider = Arc::new(InProcess::default());
    let field = Arc::new(Field::new(Arc::clone(&provider)));
    let topology = {
        let _here = runtime.enter();
        let discoveries = Discoveries::default().with(&field.board);
        let (admin, registry) = (field.admin.clone(), &field.registry);
        TopologyManager::start(admin, registry, discoveries, Policy::default())
    };
    let endpoints = EndpointListeners::new();
    endpoints.add_source(topology.announced());
    endpoints.add_source(&field.board.heard);
    let mut always = Listening::new(&field, &endpoints);
    // Listens from now on and looks at nothing before the end.
    let mut asleep = Listening::new(&field, &endpoints);
    blow(&field, &endpoints, &runtime, &mut always);
    much_was_done(&field);

    // I1: what is announced is there, whoever shares it.
    let is_there = || {
        let open = field.admin.exported();
        let announced = field.board.announced.lock();
        announced.iter().all(|id| open.iter().any(|d| d.id() == id))
    };
    eventually("what is announced is open", is_there);
    let stopped = runtime.block_on(topology.stop()).unwrap();
    for listening in [&mut always, &mut asleep] {
        listening.take_all();
        listening.is_true(&field);
    }
    // Nobody can lag behind more than there is room for without knowing it.
    let slept = &asleep.admin.1;
    assert!(slept.events < 1024 + 200 || slept.losses > 0);
    assert!(always.services.1.events > 100 && always.endpoints.1.events > 100);
    runtime.block_on(stopped.close());
    assert!(field.board.announced.lock().is_empty());

    nothing_is_left(&field, &provider, &runtime);
}

/// All that was opened is let go, in no order.
fn nothing_is_left(field: &Field, provider: &InProcess, runtime: &Runtime) {
    let mut last = (field.admin.events(), Registrations::default());
    field.exports.lock().clear();
    field.services.lock().clear();
    field.imports.lock().clear();
    last.1.take_all(&mut last.0);
    assert!(last.1.open.is_empty(), "{:?}", last.1.open);
    assert!(field.admin.exports().is_empty() && field.admin.imports().is_empty());
    // The provider's own service alone.
    assert_eq!(field.registry.references(None, None).len(), 1);
    runtime.block_on(field.admin.close());
    assert!(field.registry.references(None, None).is_empty());
    assert!(provider.endpoints.lock().is_empty());
    assert_eq!(provider.proxies.load(Ordering::Relaxed), 0);
    // Their ends were waited for; the runtime counts a moment later.
    eventually("all tasks end", || runtime.metrics().num_alive_tasks() == 0);
}
