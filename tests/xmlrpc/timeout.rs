//! `osgi.basic.timeout` at the server (OSGi rule N06).

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::distribution::xmlrpc::{CONFIG_TYPE, XmlRpcConfig, XmlRpcProvider};
use osgi_remote::distribution::{ExportRequest, Exported, ImportedEndpoint, Provider};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, CallError, Data};
use osgi_remote::properties::Properties;
use osgi_remote::props;
use tokio::task::JoinHandle;

use crate::{Service, pass, soon};

/// A service that is exported, and imported as one whose calls take a minute.
struct Patient {
    service: Arc<Service>,
    exported: Exported,
    imported: Box<dyn ImportedEndpoint>,
}

impl Patient {
    async fn new(provider: &XmlRpcProvider, exported: Properties) -> Self {
        let service = Arc::new(Service::default());
        let interfaces = vec!["org.example.Test".to_owned()];
        let request = ExportRequest::new(CONFIG_TYPE, "e", interfaces, service.clone(), exported);
        let exported = provider.export(request).await.unwrap();
        let mut described = props! {
            "endpoint.id" => "e", "objectClass" => ["org.example.Test"],
            "service.imported.configs" => [CONFIG_TYPE], "osgi.basic.timeout" => 60_000_i64,
        };
        described.overlay(&exported.properties);
        let described = EndpointDescription::new(described).unwrap();
        let imported = provider.import(&described).unwrap();
        Self {
            service,
            exported,
            imported,
        }
    }

    /// Begins a call that waits, and returns when the service is in it.
    async fn call(&self) -> JoinHandle<Result<Data, CallError>> {
        let invoker = self.imported.invoker();
        let call = tokio::spawn(async move { invoker.invoke(Call::new("wait", vec![])).await });
        self.service.begun.next().await;
        call
    }
}

#[tokio::test]
async fn the_server_gives_a_call_the_time_that_its_service_asks_for() {
    let config = XmlRpcConfig::default().listen("127.0.0.1:0").unwrap();
    let provider = XmlRpcProvider::new(config);
    let patient = Patient::new(&provider, props! { "osgi.basic.timeout" => "60000" }).await;
    let ordinary = Patient::new(&provider, props! {}).await;
    // It never shortens what the server gives to all.
    let hasty = Patient::new(&provider, props! { "osgi.basic.timeout" => 10_i32 }).await;
    let (in_time, late) = (patient.call().await, ordinary.call().await);
    let not_shortened = hasty.call().await;
    pass(Duration::from_secs(20)).await;
    hasty.service.go.cancel();
    assert_eq!(
        soon(not_shortened).await.unwrap().unwrap(),
        Data::from("waited")
    );
    pass(Duration::from_secs(25)).await;
    // By now the server has looked at its clock.
    ordinary.service.dropped.next().await;
    let late = soon(late).await.unwrap();
    assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    patient.service.go.cancel();
    assert_eq!(soon(in_time).await.unwrap().unwrap(), Data::from("waited"));
    for one in [patient, ordinary, hasty] {
        soon(one.exported.endpoint.close()).await;
    }
}
