//! Threads that register, modify, unregister, export, import and close at
//! random. In the end nothing is left over, and what every listener was told
//! adds up to what was open (RELIABILITY's I4, I9).
//!
//! `STORM_SECONDS` is how long it blows (default 4), `PROPTEST_RNG_SEED` which
//! choices are made. Threads are not repeated exactly by a seed, but what they
//! do is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

#[path = "support/seed.rs"]
#[allow(unreachable_pub, reason = "other tests have it in a module of theirs")]
mod seed;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use osgi_remote::admin::{
    AdminEvent, AdminEventKind, AdminEvents, ExportReference, ExportRegistration,
    ImportRegistration, RemoteServiceAdmin,
};
use osgi_remote::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
    Trouble, Troubles,
};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, CallError, Cause, Data, Dispatch, Invoker};
use osgi_remote::properties::{Properties, Value};
use osgi_remote::props;
use osgi_remote::services::{Registry, Service, ServiceRegistration};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use seed::seed;

const WORKERS: u64 = 6;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// Endpoints in this process, each made once and ended once.
#[derive(Default)]
struct InProcess {
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    attempts: AtomicU64,
    proxies: Arc<AtomicU64>,
}

struct Made {
    id: String,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
}

impl ExportedEndpoint for Made {
    fn watch(&self, troubles: Troubles) {
        if self.id.ends_with('0') {
            troubles.tell(Trouble::Warning(taken()));
        }
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let gone = self.endpoints.lock().remove(&self.id);
        assert!(gone.is_some(), "{} is ended twice", self.id);
        Box::pin(tokio::task::yield_now())
    }
}

fn taken() -> DistributionError {
    DistributionError::Bind {
        address: "192.0.2.1:80".to_owned(),
        cause: Cause::new(std::io::Error::other("taken")),
    }
}

struct Proxy {
    id: String,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    proxies: Arc<AtomicU64>,
}

impl Invoker for Proxy {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move {
            let endpoint = self.endpoints.lock().get(&self.id).cloned();
            match endpoint {
                Some(endpoint) => endpoint.dispatch(call).await,
                None => Err(CallError::EndpointRemoved {
                    endpoint: self.id.clone(),
                }),
            }
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.proxies.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Imported(Arc<Proxy>);

impl ImportedEndpoint for Imported {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::clone(&self.0) as Arc<dyn Invoker>
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {}
}

impl Provider for InProcess {
    fn config_types(&self) -> &'static [&'static str] {
        &["storm.one", "storm.two"]
    }

    fn intents(&self) -> &'static [&'static str] {
        &["osgi.basic"]
    }

    fn export(&self, request: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async move {
            // Others get in between.
            tokio::task::yield_now().await;
            if self.attempts.fetch_add(1, Ordering::Relaxed) % 11 == 10 {
                return Err(taken());
            }
            let id = request.endpoint_id;
            let before = self.endpoints.lock().insert(id.clone(), request.service);
            assert!(before.is_none(), "{id} is made twice");
            let endpoint = Made {
                id,
                endpoints: Arc::clone(&self.endpoints),
            };
            Ok(Exported::new(props! {}, Box::new(endpoint)))
        })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        self.proxies.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Imported(Arc::new(Proxy {
            id: endpoint.id().to_string(),
            endpoints: Arc::clone(&self.endpoints),
            proxies: Arc::clone(&self.proxies),
        }))))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A service that answers everything.
struct Answer;

impl Dispatch for Answer {
    fn has_method(&self, _: &str) -> bool {
        true
    }

    fn dispatch(&self, _: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async { Ok(Data::Nil) })
    }
}

/// What the threads have in common; each takes what it finds, whoever put it
/// there.
struct Field {
    registry: Registry,
    admin: RemoteServiceAdmin,
    services: Mutex<Vec<ServiceRegistration>>,
    exports: Mutex<Vec<Arc<ExportRegistration>>>,
    imports: Mutex<Vec<Arc<ImportRegistration>>>,
    /// How often each thing was done.
    done: Mutex<BTreeMap<&'static str, u64>>,
}

/// How much of each is there at most.
const ROOM: usize = 12;

fn some<T>(from: &Mutex<Vec<Arc<T>>>, rng: &mut StdRng) -> Option<Arc<T>> {
    let from = from.lock();
    let at = (!from.is_empty()).then(|| rng.random_range(0..from.len()))?;
    Some(Arc::clone(&from[at]))
}

fn take<T>(from: &Mutex<Vec<T>>, rng: &mut StdRng) -> Option<T> {
    let mut from = from.lock();
    let at = (!from.is_empty()).then(|| rng.random_range(0..from.len()))?;
    Some(from.swap_remove(at))
}

fn properties(rng: &mut StdRng) -> Properties {
    let types: [&[&str]; 4] = [
        &[],
        &["storm.one"],
        &["storm.two", "storm.one"],
        &["storm.none"],
    ];
    let types = types[rng.random_range(0..types.len())];
    props! {
        "service.exported.interfaces" => "*",
        "service.exported.configs" => Value::array_of(types.iter().copied()),
        "n" => rng.random_range(0..4_i32),
    }
}

impl Field {
    fn new(provider: Arc<InProcess>) -> Self {
        let registry = Registry::new();
        let framework = "storm".parse().unwrap();
        let admin = RemoteServiceAdmin::new(framework, registry.clone());
        admin.add_provider(provider);
        Self {
            registry,
            admin,
            services: Mutex::default(),
            exports: Mutex::default(),
            imports: Mutex::default(),
            done: Mutex::default(),
        }
    }

    async fn act(&self, rng: &mut StdRng) {
        let what = match rng.random_range(0..20) {
            0 | 1 => self.register(rng),
            2 => self.modify(rng),
            3 => {
                drop(take(&self.services, rng));
                "unregister"
            }
            4..=7 => self.export(rng).await,
            8 | 9 => self.update_export(rng),
            10 | 11 => self.close_export(rng).await,
            12..=14 => self.import(rng),
            15 => self.update_import(rng),
            16 | 17 => self.close_import(rng),
            18 => self.call(rng).await,
            _ => self.look(),
        };
        *self.done.lock().entry(what).or_default() += 1;
    }

    fn register(&self, rng: &mut StdRng) -> &'static str {
        let mut services = self.services.lock();
        if services.len() < ROOM {
            let service = Service::untyped("org.example.Storm", Arc::new(Answer));
            let service = self.registry.register(service, properties(rng));
            services.push(service.unwrap());
        }
        "register"
    }

    fn modify(&self, rng: &mut StdRng) -> &'static str {
        let services = self.services.lock();
        if !services.is_empty() {
            let service = &services[rng.random_range(0..services.len())];
            service.set_properties(properties(rng)).unwrap();
        }
        "modify"
    }

    async fn export(&self, rng: &mut StdRng) -> &'static str {
        let service = {
            let services = self.services.lock();
            let at = rng.random_range(0..ROOM);
            services.get(at).map(|service| service.reference().clone())
        };
        let Some(service) = service else {
            return "export nothing";
        };
        let overlay = match rng.random_range(0..3) {
            0 => props! { "overlay" => true },
            _ => props! {},
        };
        // It may be gone meanwhile, which is refused or an invalid
        // registration, and either is right.
        let Ok(exports) = self.admin.export_service(&service, &overlay).await else {
            return "export refused";
        };
        let mut all = self.exports.lock();
        all.extend(exports.into_iter().map(Arc::new));
        if all.len() > ROOM * 2 {
            let over = all.drain(..ROOM).collect::<Vec<_>>();
            drop(all);
            drop(over);
        }
        "export"
    }

    fn update_export(&self, rng: &mut StdRng) -> &'static str {
        let overlay = match rng.random_range(0..3) {
            0 => Some(props! { "overlay" => rng.random_range(0..3_i32) }),
            _ => None,
        };
        match some(&self.exports, rng).map(|export| export.update(overlay.as_ref())) {
            Some(Ok(_)) => "update export",
            Some(Err(_)) => "update export refused",
            None => "update no export",
        }
    }

    async fn close_export(&self, rng: &mut StdRng) -> &'static str {
        // Some close what stays in the hands of others.
        if rng.random_bool(0.3) {
            if let Some(export) = some(&self.exports, rng) {
                export.close().await;
            }
        } else if let Some(export) = take(&self.exports, rng) {
            drop(export);
        }
        "close export"
    }

    fn import(&self, rng: &mut StdRng) -> &'static str {
        let Some(description) = some(&self.exports, rng).and_then(|e| e.description()) else {
            return "import nothing";
        };
        let mut properties = description.properties().clone();
        properties.set("seen", rng.random_range(0..3_i32));
        let description = EndpointDescription::new(properties).unwrap();
        if let Some(import) = self.admin.import_service(&Arc::new(description)) {
            let mut imports = self.imports.lock();
            imports.push(Arc::new(import));
            if imports.len() > ROOM * 2 {
                let over = imports.drain(..ROOM).collect::<Vec<_>>();
                drop(imports);
                drop(over);
            }
        }
        "import"
    }

    fn update_import(&self, rng: &mut StdRng) -> &'static str {
        let (Some(import), Some(other)) = (some(&self.imports, rng), some(&self.imports, rng))
        else {
            return "update no import";
        };
        match other
            .description()
            .map(|description| import.update(&description))
        {
            Some(Ok(())) => "update import",
            _ => "update import refused",
        }
    }

    fn close_import(&self, rng: &mut StdRng) -> &'static str {
        if rng.random_bool(0.3) {
            if let Some(import) = some(&self.imports, rng) {
                import.close();
            }
        } else {
            drop(take(&self.imports, rng));
        }
        "close import"
    }

    async fn call(&self, rng: &mut StdRng) -> &'static str {
        let proxy = some(&self.imports, rng).and_then(|import| import.proxy());
        let Some(invoker) = proxy.and_then(|proxy| proxy.invoker("org.example.Storm")) else {
            return "call nothing";
        };
        match invoker.invoke(Call::new("any", Vec::new())).await {
            Ok(answer) => assert_eq!(answer, Data::Nil),
            Err(error) => assert!(error.is_remote(), "{error}"),
        }
        "call"
    }

    /// The lists are true whenever somebody looks.
    fn look(&self) -> &'static str {
        let mut numbers: Vec<_> = self
            .admin
            .exports()
            .iter()
            .map(ExportReference::number)
            .collect();
        assert!(numbers.is_sorted());
        numbers.dedup();
        let imports: Vec<_> = self.admin.imports();
        for import in imports {
            // One that is closed since answers neither.
            assert!(import.proxy().is_some() || import.description().is_none());
        }
        "look"
    }
}

/// What one listener was told, added up.
#[derive(Default)]
struct Folded {
    open: BTreeMap<u64, Arc<EndpointDescription>>,
    closed: u64,
    events: u64,
    losses: u64,
}

impl Folded {
    fn take_all(&mut self, events: &mut AdminEvents) {
        while let Some(event) = events.try_next() {
            match event {
                Ok(event) => self.add(&event),
                Err(_) => {
                    self.open.clear();
                    self.losses += 1;
                }
            }
        }
    }

    fn add(&mut self, event: &AdminEvent) {
        use AdminEventKind as Kind;
        self.events += 1;
        let number = event.reference.number();
        let endpoint = event.endpoint.clone();
        match event.kind {
            Kind::ExportRegistration | Kind::ImportRegistration => {
                assert!(number > 0 && self.open.insert(number, endpoint.unwrap()).is_none());
            }
            Kind::ExportUpdate | Kind::ImportUpdate => {
                let before = self.open.insert(number, endpoint.unwrap());
                assert!(before.is_some(), "{number} is updated and not open");
            }
            Kind::ExportUnregistration | Kind::ImportUnregistration => {
                assert!(
                    self.open.remove(&number).is_some(),
                    "{number} is closed and not open"
                );
                self.closed += 1;
            }
            Kind::ExportWarning | Kind::ImportWarning => {
                assert!(self.open.contains_key(&number) && event.error.is_some());
            }
            Kind::ExportError | Kind::ImportError => {
                assert!(!self.open.contains_key(&number) && event.error.is_some());
            }
            other => panic!("{other:?} is of no known kind"),
        }
    }

    /// Whether it is what is open, description by description.
    fn is_true(&self, admin: &RemoteServiceAdmin) {
        let exports = admin.exports();
        let exports = exports
            .iter()
            .map(|e| (e.number(), e.description().unwrap()));
        let imports = admin.imports();
        let imports = imports
            .iter()
            .map(|i| (i.number(), i.description().unwrap()));
        let open: BTreeMap<_, _> = exports.chain(imports).collect();
        assert_eq!(
            self.open.keys().collect::<Vec<_>>(),
            open.keys().collect::<Vec<_>>()
        );
        for (number, description) in &open {
            assert!(self.open[number].same_content(description), "{number}");
        }
    }
}

fn storm(field: &Arc<Field>, runtime: &tokio::runtime::Runtime, seconds: u64, seed: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let over = AtomicBool::new(false);
    let always = Mutex::new((field.admin.events(), Folded::default()));
    // Listens from now on and looks at nothing before the end.
    let mut asleep = (field.admin.events(), Folded::default());
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
                let (events, folded) = &mut *always.lock();
                folded.take_all(events);
                std::thread::yield_now();
            }
        });
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let (mut events, mut folded) = (field.admin.events(), Folded::default());
                for _ in 0..20 {
                    folded.take_all(&mut events);
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
    let (events, folded) = &mut *always.lock();
    for (events, folded) in [(events, folded), (&mut asleep.0, &mut asleep.1)] {
        folded.take_all(events);
        folded.is_true(&field.admin);
    }
    // Nobody can lag behind more than there is room for without knowing it.
    assert!(asleep.1.events < 1024 + 200 || asleep.1.losses > 0);
}

#[test]
fn nothing_is_left_of_a_storm_and_every_listener_knows_the_truth() {
    let seconds = setting("STORM_SECONDS", 4);
    let seed = seed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let provider = Arc::new(InProcess::default());
    let field = Arc::new(Field::new(Arc::clone(&provider)));
    storm(&field, &runtime, seconds, seed);

    let done = field.done.lock().clone();
    println!("{done:?}");
    for needed in ["export", "import", "update export", "update import", "call"] {
        let count = done.get(needed).copied().unwrap_or_default();
        assert!(count >= 10, "{needed} was done {count} times: {done:?}");
    }

    // All that was opened is let go, in no order.
    let mut last = (field.admin.events(), Folded::default());
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
    let soon = Instant::now() + Duration::from_secs(20);
    while runtime.metrics().num_alive_tasks() > 0 {
        assert!(Instant::now() < soon, "a task goes on");
        std::thread::yield_now();
    }
}
