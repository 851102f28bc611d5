//! Where the storm blows: what the threads have in common, and what they do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use osgi_remote::admin::{
    ExportReference, ExportRegistration, ImportRegistration, RemoteServiceAdmin,
};
use osgi_remote::discovery::{
    Advertiser, DiscoveryError, EndpointFeed, Receipt, Subscriber, endpoint_feed,
};
use osgi_remote::distribution::Provider;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, CallError, Data, Dispatch};
use osgi_remote::names::EndpointId;
use osgi_remote::properties::{Properties, Value};
use osgi_remote::props;
use osgi_remote::services::{Registry, Service, ServiceRegistration};
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::provider::InProcess;

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
pub(crate) struct Field {
    pub(crate) registry: Registry,
    pub(crate) admin: RemoteServiceAdmin,
    provider: Arc<InProcess>,
    pub(crate) board: Arc<Board>,
    pub(crate) services: Mutex<Vec<ServiceRegistration>>,
    pub(crate) exports: Mutex<Vec<Arc<ExportRegistration>>>,
    pub(crate) imports: Mutex<Vec<Arc<ImportRegistration>>>,
    /// How often each thing was done.
    pub(crate) done: Mutex<BTreeMap<&'static str, u64>>,
}

/// A discovery: what was announced there, and what is heard from elsewhere.
pub(crate) struct Board {
    pub(crate) heard: EndpointFeed,
    pub(crate) announced: Mutex<BTreeSet<EndpointId>>,
}

impl Board {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            heard: endpoint_feed(),
            announced: Mutex::default(),
        })
    }
}

impl Advertiser for Board {
    fn advertise(&self, endpoint: &EndpointDescription) -> Result<Receipt, DiscoveryError> {
        self.announced.lock().insert(endpoint.id().clone());
        Ok(Box::pin(async { Ok(()) }))
    }

    fn withdraw(&self, endpoint: &EndpointId) -> Receipt {
        self.announced.lock().remove(endpoint);
        Box::pin(async { Ok(()) })
    }
}

impl Subscriber for Board {
    fn endpoints(&self) -> &EndpointFeed {
        &self.heard
    }
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

fn elsewhere(rng: &mut StdRng) -> EndpointId {
    let name = format!("elsewhere-{}", rng.random_range(0..ROOM));
    name.parse().unwrap()
}

fn properties(rng: &mut StdRng) -> Properties {
    let types: [&[&str]; 4] = [
        &[],
        &["storm.one"],
        &["storm.two", "storm.one"],
        &["storm.none"],
    ];
    let types = types[rng.random_range(0..types.len())];
    let mut properties = props! {
        "service.exported.configs" => Value::array_of(types.iter().copied()),
        "n" => rng.random_range(0..4_i32),
    };
    if rng.random_bool(0.8) {
        properties.set("service.exported.interfaces", "*");
    }
    if rng.random_bool(0.1) {
        properties.set("service.exported.intents", "osgi.basic");
    }
    properties
}

impl Field {
    pub(crate) fn new(provider: Arc<InProcess>) -> Self {
        let registry = Registry::new();
        let framework = "storm".parse().unwrap();
        let admin = RemoteServiceAdmin::new(framework, registry.clone());
        admin.add_provider(Arc::clone(&provider) as Arc<dyn Provider>);
        Self {
            registry,
            admin,
            provider,
            board: Board::new(),
            services: Mutex::default(),
            exports: Mutex::default(),
            imports: Mutex::default(),
            done: Mutex::default(),
        }
    }

    pub(crate) async fn act(&self, rng: &mut StdRng) {
        let what = match rng.random_range(0..23) {
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
            19 => self.hear(rng),
            20 => self.hear_no_more(rng),
            21 => self.break_one(rng),
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

    /// An endpoint of elsewhere comes or changes.
    fn hear(&self, rng: &mut StdRng) -> &'static str {
        let interfaces = ["org.example.Storm", "org.example.Other"];
        let endpoint = EndpointDescription::new(props! {
            "objectClass" => [interfaces[usize::from(rng.random_bool(0.1))]],
            "endpoint.id" => elsewhere(rng).to_string(),
            "endpoint.framework.uuid" => "elsewhere", "ecf.endpoint.id.ns" => "storm",
            "service.imported.configs" => ["storm.one"], "n" => rng.random_range(0..4_i32),
        });
        let endpoint = Arc::new(endpoint.unwrap());
        self.board.heard.set(endpoint.id().clone(), endpoint);
        "hear"
    }

    fn hear_no_more(&self, rng: &mut StdRng) -> &'static str {
        self.board.heard.remove(&elsewhere(rng));
        "hear no more"
    }

    fn break_one(&self, rng: &mut StdRng) -> &'static str {
        match self.provider.break_one(rng) {
            true => "break",
            false => "break nothing",
        }
    }

    fn import(&self, rng: &mut StdRng) -> &'static str {
        // The topology manager imports what is heard, too.
        let description = match rng.random_bool(0.3) {
            true => self.board.heard.get(&elsewhere(rng)),
            false => some(&self.exports, rng).and_then(|e| e.description()),
        };
        let Some(description) = description else {
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
