//! Two frameworks, one of which calls the other.

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::CallError;
use osgi_remote::{Export, Framework, async_trait, props, remote_service};
use tokio::time::timeout;

use crate::faults::SOON;
use crate::world::{TTL, World};

#[remote_service("org.example.faults.Echo")]
pub trait Echo {
    async fn echo(&self, text: String) -> Result<String, CallError>;
}

struct Local;

#[async_trait]
impl Echo for Local {
    async fn echo(&self, text: String) -> Result<String, CallError> {
        Ok(text)
    }
}

/// An exporting framework, an importing one, and the proxy that it got at the beginning.
pub struct Pair {
    host: Framework,
    guest: Framework,
    export: Export,
    echo: Arc<dyn Echo>,
}

impl Pair {
    pub async fn start(world: &World) -> Self {
        let builder = || {
            Framework::builder()
                .etcd(world.store.any().endpoint())
                .property("etcd.top_key", world.top.as_str())
                .property("etcd.lease_ttl", i64::try_from(TTL.as_secs()).unwrap())
                .connect_timeout(SOON)
        };
        let host = builder().xmlrpc("127.0.0.1:0").start().await.unwrap();
        let guest = builder().start().await.unwrap();
        let export = host.export::<dyn Echo>(Arc::new(Local), props! {}).unwrap();
        let echo = guest
            .wait_for::<dyn Echo>("(service.imported=*)", SOON)
            .await
            .unwrap();
        Self {
            host,
            guest,
            export,
            echo,
        }
    }

    /// The endpoint's id and its description, as others read it.
    pub async fn endpoint(&self) -> (String, EndpointDescription) {
        let announced = timeout(SOON, self.export.announced()).await;
        let announced = announced.expect("it is announced in time").unwrap();
        let endpoint = announced.first().expect("one provider, one endpoint");
        (endpoint.id().to_string(), (**endpoint).clone())
    }

    /// Calls through the proxy of the beginning.
    pub async fn calls(&self, when: &str) {
        for _ in 0..10 {
            let answer = timeout(Duration::from_secs(20), self.echo.echo(when.to_owned())).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer {when}"));
            assert_eq!(answer.unwrap(), when);
        }
    }

    /// Ends both, so that their endpoint goes.
    pub async fn end(self, world: &mut World) {
        for framework in [&self.host, &self.guest] {
            let discovery = framework.etcd().expect("discovery is configured");
            if let Some(lease) = discovery.health().lease {
                world.recorder.revokes(lease);
            }
        }
        let (id, _) = self.endpoint().await;
        world.foreign.remove(&id);
        drop(self.export);
        self.host.shutdown().await.unwrap();
        self.guest.shutdown().await.unwrap();
    }
}
