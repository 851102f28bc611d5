//! A provider within the process, whose endpoints fail and break at random.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use osgi_remote::distribution::{
    DistributionError, ExportRequest, Exported, ExportedEndpoint, ImportedEndpoint, Provider,
    Trouble, Troubles,
};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, CallError, Cause, Data, Dispatch, Invoker};
use osgi_remote::props;
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

/// Endpoints in this process, each made once and ended once.
#[derive(Default)]
pub(crate) struct InProcess {
    pub(crate) endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    attempts: AtomicU64,
    pub(crate) proxies: Arc<AtomicU64>,
    watched: Arc<Watched>,
}

/// Where to tell of trouble with what is open.
#[derive(Default)]
struct Watched {
    last: AtomicU64,
    by_number: Mutex<BTreeMap<u64, Troubles>>,
}

impl Watched {
    fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }
}

impl InProcess {
    /// Has one of the endpoints be beyond repair, if there is one.
    pub(crate) fn break_one(&self, rng: &mut StdRng) -> bool {
        let troubles = {
            let watched = self.watched.by_number.lock();
            let at = rng.random_range(0..watched.len().max(1));
            watched.values().nth(at).cloned()
        };
        let is_there = troubles.is_some();
        if let Some(troubles) = troubles {
            troubles.tell(Trouble::Error(taken()));
        }
        is_there
    }
}

struct Made {
    id: String,
    number: u64,
    endpoints: Arc<Mutex<HashMap<String, Arc<dyn Dispatch>>>>,
    watched: Arc<Watched>,
}

impl ExportedEndpoint for Made {
    fn watch(&self, troubles: Troubles) {
        if self.id.ends_with('0') {
            troubles.tell(Trouble::Warning(taken()));
        }
        self.watched.by_number.lock().insert(self.number, troubles);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.watched.by_number.lock().remove(&self.number);
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

struct Imported {
    proxy: Arc<Proxy>,
    number: u64,
    watched: Arc<Watched>,
}

impl ImportedEndpoint for Imported {
    fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::clone(&self.proxy) as Arc<dyn Invoker>
    }

    fn watch(&self, troubles: Troubles) {
        self.watched.by_number.lock().insert(self.number, troubles);
    }

    fn update(&self, _: &EndpointDescription) -> Result<(), DistributionError> {
        Ok(())
    }

    fn close(&self) {
        self.watched.by_number.lock().remove(&self.number);
    }
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
                number: self.watched.number(),
                endpoints: Arc::clone(&self.endpoints),
                watched: Arc::clone(&self.watched),
            };
            let properties =
                props! { "ecf.endpoint.id" => "storm:", "ecf.endpoint.id.ns" => "storm" };
            Ok(Exported::new(properties, Box::new(endpoint)))
        })
    }

    fn import(
        &self,
        endpoint: &EndpointDescription,
    ) -> Result<Box<dyn ImportedEndpoint>, DistributionError> {
        self.proxies.fetch_add(1, Ordering::Relaxed);
        let proxy = Proxy {
            id: endpoint.id().to_string(),
            endpoints: Arc::clone(&self.endpoints),
            proxies: Arc::clone(&self.proxies),
        };
        Ok(Box::new(Imported {
            proxy: Arc::new(proxy),
            number: self.watched.number(),
            watched: Arc::clone(&self.watched),
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
