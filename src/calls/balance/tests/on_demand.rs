//! Endpoints that are imported only while somebody wants them (OSGi rule
//! T07), with the topology manager that does so.

use futures::future::BoxFuture;

use super::*;
use crate::admin::RemoteServiceAdmin;
use crate::discovery::{EndpointFeed, Subscriber, endpoint_feed};
use crate::distribution::{DistributionError, ExportRequest, Exported, ImportedEndpoint, Provider};
use crate::endpoint::EndpointDescription;
use crate::topology::{Discoveries, Policy, TopologyManager};

/// A provider that imports only.
struct Elsewhere;

impl Provider for Elsewhere {
    fn config_types(&self) -> &'static [&'static str] {
        &["c.one"]
    }

    fn intents(&self) -> &'static [&'static str] {
        &[]
    }

    fn export(&self, _: ExportRequest) -> BoxFuture<'_, Result<Exported, DistributionError>> {
        Box::pin(async { Err(DistributionError::Closed) })
    }

    fn import(
        &self,
        _: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        Ok(Box::new(Proxy))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

struct Proxy;

impl ImportedEndpoint for Proxy {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(Endpoint {
            number: 7,
            way: Mutex::new(Way::Good),
            calls: AtomicUsize::new(0),
        })
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {}
}

struct Board(EndpointFeed);

impl Board {
    fn set(&self, id: &str, color: &str) {
        let endpoint = EndpointDescription::new(props! {
            "objectClass" => ["org.example.Thing"], "endpoint.id" => id, "color" => color,
            "endpoint.framework.uuid" => "elsewhere", "service.imported.configs" => ["c.one"],
            "ecf.endpoint.id.ns" => "fake",
        })
        .unwrap();
        self.0.set(endpoint.id().clone(), Arc::new(endpoint));
    }
}

impl Subscriber for Board {
    fn endpoints(&self) -> &EndpointFeed {
        &self.0
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_balanced_proxy_calls_is_imported_on_demand_and_goes_a_while_after() {
    let linger = Duration::from_secs(10);
    let registry = Registry::new();
    let admin = RemoteServiceAdmin::new("own".parse().unwrap(), registry.clone());
    admin.add_provider(Arc::new(Elsewhere));
    let board = Arc::new(Board(endpoint_feed()));
    board.set("red", "red");
    board.set("blue", "blue");
    let policy = Policy {
        on_demand: Some(linger),
        ..Policy::default()
    };
    let discoveries = Discoveries::default().with_subscriber(&board);
    let _topology = TopologyManager::start(admin.clone(), &registry, discoveries, policy);
    let imported = || {
        let imported = admin.imported();
        let ids = imported.iter().map(|endpoint| endpoint.id().to_string());
        ids.collect::<Vec<_>>()
    };
    // The clock of this test moves only when there is nothing else to do.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(imported(), [""; 0], "nobody wants one");

    let filter = Filter::parse("(color=blue)").unwrap();
    let balance = Balance::round_robin().wait(Duration::from_secs(30));
    let balanced = Balanced::new::<dyn Thing>(&registry, Some(filter), balance);
    let thing = <dyn Thing>::proxy(Arc::new(balanced));
    assert_eq!(thing.read().await.unwrap(), 7);
    assert_eq!(imported(), ["blue"]);
    // Between two calls as well.
    tokio::time::sleep(linger * 3).await;
    assert_eq!(imported(), ["blue"]);

    drop(thing);
    tokio::time::sleep(linger / 2).await;
    assert_eq!(imported(), ["blue"], "it stays for a while");
    tokio::time::sleep(linger).await;
    assert_eq!(imported(), [""; 0]);
}
