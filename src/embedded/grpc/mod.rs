//! The gRPC services: they check what a request has, do it under the lock, and
//! put the answer together outside of it.

mod cluster;
mod kv;
mod lease;
mod limit;
mod maintenance;
mod status;
#[cfg(test)]
mod tests;
mod unimplemented;

use std::sync::Arc;

use etcd_client::proto::{
    PbClusterServer, PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer,
};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use self::limit::Limited;
pub(crate) use self::limit::{panic_text, reworded};
pub(crate) use self::maintenance::VERSION;
use super::settings::Settings;
use super::state::Shared;
use super::watch::WatchService;

/// What a message may have beyond the largest request, as in etcd.
const OVERHEAD: usize = 512 * 1024;

/// What each service has of the registry.
#[derive(Clone, Debug)]
struct Context {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
}

/// All services, and what ends their streams that the hub knows nothing of.
pub(crate) fn routes(shared: &Arc<Shared>, settings: &Settings) -> (Routes, HealthReporter) {
    let context = Context {
        shared: Arc::clone(shared),
        settings: Arc::new(settings.clone()),
    };
    let limit = settings.max_request_bytes.saturating_add(OVERHEAD);
    let kv = PbKvServer::new(context.clone()).max_decoding_message_size(limit);
    let lease = PbLeaseServer::new(context.clone()).max_decoding_message_size(limit);
    let cluster = PbClusterServer::new(context.clone()).max_decoding_message_size(limit);
    let maintenance = PbMaintenanceServer::new(context).max_decoding_message_size(limit);
    let watch = WatchService::new(Arc::clone(shared), limit, settings.watch_progress_interval);
    let watch = PbWatchServer::new(watch).max_decoding_message_size(limit);
    let routes = Routes::new(Limited(kv))
        .add_service(Limited(watch))
        .add_service(Limited(lease))
        .add_service(Limited(cluster))
        .add_service(Limited(maintenance));
    // That of the whole, which is always well, as etcd's.
    let (health, service) = tonic_health::server::health_reporter();
    let routes = unimplemented::add(routes.add_service(service));
    (routes, health)
}
