//! The provider under an admin and a topology manager.

use super::machine::{Fault, Machine};
use super::*;
use crate::admin::RemoteServiceAdmin;
use crate::services::{Registry, Service, ServiceRegistration};
use crate::topology::{Discoveries, Policy, TopologyManager};

struct Bench {
    machine: Arc<Machine>,
    registry: Registry,
    admin: RemoteServiceAdmin,
}

impl Bench {
    fn new(address: &str) -> Self {
        let machine = Arc::new(Machine::default());
        let registry = Registry::new();
        let admin = RemoteServiceAdmin::new("own".parse().unwrap(), registry.clone());
        admin.add_provider(Arc::new(machine.provider(address)));
        Self {
            machine,
            registry,
            admin,
        }
    }

    fn register(&self) -> ServiceRegistration {
        let service = Service::untyped("org.example.Silent", Arc::new(Silent));
        self.registry.register(service, marked()).unwrap()
    }

    fn manager(&self) -> TopologyManager {
        TopologyManager::start(
            self.admin.clone(),
            &self.registry,
            Discoveries::default(),
            Policy::default(),
        )
    }
}

fn marked() -> Properties {
    props! { osgi::SERVICE_EXPORTED_INTERFACES => "*" }
}

fn private_too() -> Properties {
    marked().with(osgi::SERVICE_EXPORTED_INTENTS, osgi::INTENT_PRIVATE)
}

fn url(endpoint: &EndpointDescription) -> &str {
    endpoint.container_id().unwrap()
}

/// Waits for the only endpoint that is announced to be as it should.
async fn announced(
    topology: &TopologyManager,
    should: impl Fn(&EndpointDescription) -> bool,
) -> Arc<EndpointDescription> {
    let search = async {
        loop {
            let announced = topology.announced().snapshot();
            if let [(_, endpoint)] = announced.as_slice()
                && should(endpoint)
            {
                return Arc::clone(endpoint);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), search).await;
    found.unwrap_or_else(|_| panic!("not so: {:?}", topology.announced().snapshot()))
}

/// Rule N11: whatever is done with an endpoint that is served publicly, it
/// does not claim to be private.
#[tokio::test]
async fn what_says_that_it_is_private_is_served_at_a_private_address() {
    let bench = Bench::new("0.0.0.0:80");
    let service = bench.register();
    let none = props! {};
    let exported = bench.admin.export_service(service.reference(), &none).await;
    let public = exported.unwrap().pop().unwrap();
    let before = public.description().unwrap();
    assert!(url(&before).starts_with("http://203.0.113.7:"), "{before}");
    service.set_properties(private_too()).unwrap();
    let refused = public.update(None).unwrap_err().to_string();
    assert!(
        refused.contains("with none as the intents and cannot change to osgi.private"),
        "{refused}"
    );
    assert!(public.description().unwrap().same_content(&before));
    let exported = bench.admin.export_service(service.reference(), &none).await;
    let private = exported.unwrap().pop().unwrap();
    let described = private.description().unwrap();
    assert_eq!(described.intents(), [osgi::INTENT_PRIVATE]);
    assert!(
        url(&described).starts_with("http://10.1.2.3:"),
        "{described}"
    );
    // Nor does it stay where it is when it need not be private any more.
    service.set_properties(marked()).unwrap();
    private.update(None).unwrap_err();
    assert_eq!(
        private.description().unwrap().intents(),
        [osgi::INTENT_PRIVATE]
    );
    public.close().await;
    private.close().await;
    bench.admin.close().await;
}

/// Rules N11 and U06, from the change of a property to the announcement.
#[tokio::test]
async fn a_service_that_is_to_be_private_is_announced_anew_at_a_private_address() {
    let bench = Bench::new("0.0.0.0:80");
    let topology = bench.manager();
    let service = bench.register();
    let public = announced(&topology, |_| true).await;
    assert!(url(&public).starts_with("http://203.0.113.7:"), "{public}");
    // Somebody else has a share in the public one.
    let none = props! {};
    let users = bench.admin.export_service(service.reference(), &none).await;
    let users = users.unwrap().pop().unwrap();
    service.set_properties(private_too()).unwrap();
    let private = |d: &EndpointDescription| d.intents() == [osgi::INTENT_PRIVATE];
    let private = announced(&topology, private).await;
    assert!(url(&private).starts_with("http://10.1.2.3:"), "{private}");
    assert!(users.description().unwrap().same_content(&public));
    drop(users);
    topology.stop().await.unwrap().close().await;
    bench.admin.close().await;
}

/// Rules X13, V06 and T06, from the socket to the announcement.
#[tokio::test]
async fn a_service_whose_listener_ended_is_announced_at_another() {
    let bench = Bench::new("10.1.2.3:80");
    let topology = bench.manager();
    let _service = bench.register();
    let before = announced(&topology, |_| true).await;
    bench
        .machine
        .fail(Fault::Error(io::ErrorKind::InvalidInput));
    let after = announced(&topology, |endpoint| endpoint.id() != before.id()).await;
    assert_ne!(url(&after), url(&before));
    assert_eq!(bench.machine.listened(), 2);
    assert_eq!(bench.admin.exports().len(), 1);
    topology.stop().await.unwrap().close().await;
    bench.admin.close().await;
}
