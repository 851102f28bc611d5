//! iPOPO as an observer: what our faults look like to a peer that takes every put for news.

use serde_json::Value;

use crate::checker::{Client, News, What};
use crate::faults::SOON;
use crate::support::{Ipopo, IpopoOptions, eventually};
use crate::world::World;

/// An iPOPO process that watches.
pub struct Peer {
    number: Client,
    ipopo: Ipopo,
}

impl Peer {
    /// Starts one, which knows all endpoints when this returns.
    pub async fn start(world: &World) -> Self {
        let mut options = IpopoOptions::at(world.store.any().endpoint());
        options.top_key = Some(world.top.to_string());
        let peer = Self {
            number: world.book.client("iPOPO"),
            ipopo: Ipopo::start(options).await,
        };
        for id in world.expected().keys() {
            peer.ipopo.endpoint_event("added", id, SOON).await;
        }
        peer
    }

    /// Takes the next event of an endpoint.
    async fn told(&self, kind: &str, id: &str) {
        self.ipopo.endpoint_event(kind, id, SOON).await;
    }

    /// How often it was told this of an endpoint.
    fn count(&self, kind: &str, id: &str) -> usize {
        let is = |event: &&Value| {
            event["event"] == "endpoint" && event["kind"] == kind && event["endpoint_id"] == id
        };
        self.ipopo.events().iter().filter(is).count()
    }

    /// Writes down what it was told.
    pub fn record(&self, world: &World) {
        for event in self.ipopo.events() {
            let news = match (event["event"].as_str(), event["kind"].as_str()) {
                (Some("endpoint"), Some("added")) => News::Added,
                (Some("endpoint"), Some("modified")) => News::Modified,
                (Some("endpoint"), Some("removed")) => News::Removed,
                _ => continue,
            };
            let key = world
                .book
                .key(event["endpoint_id"].as_str().expect("an id"));
            let observer = self.number;
            world.book.push(What::Peer {
                observer,
                news,
                key,
            });
        }
    }

    /// Waits until it watches, is connected and knows so many endpoints of others.
    async fn is_well(&self, endpoints: usize) {
        eventually(SOON, "iPOPO to be well", async || {
            let health = self.ipopo.health().await;
            let known = health["discovered"]
                .as_object()
                .map_or(0, serde_json::Map::len);
            match health["watching"] == true && health["connected"] == true && known == endpoints {
                true => Ok(()),
                false => Err(health),
            }
        })
        .await;
    }
}

/// iPOPO's own watch ends with etcd. What can be asked of us is that we put nothing again that is there,
/// so that it was told once, and that one that comes later is told once too.
pub async fn watches_a_restart(world: &mut World) {
    let peer = Peer::start(world).await;
    peer.is_well(world.expected().len()).await;
    crate::faults::killed_and_restarted(world).await;
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("not right {error}"));
    let later = Peer::start(world).await;
    later.is_well(world.expected().len()).await;
    for id in world.expected().keys() {
        // The one that was announced in the outage is news to it only if its watch lived.
        assert!(peer.count("added", id) <= 1, "{id} was added twice");
        assert_eq!(
            (later.count("added", id), later.count("removed", id)),
            (1, 0),
            "{id}"
        );
    }
    world.peers.extend([peer, later]);
}

/// The keys go with the lease and come back: removed once, added once more.
pub async fn watches_a_lease_loss(world: &mut World) {
    let peer = Peer::start(world).await;
    crate::faults::lease_revoked(world).await;
    let settled = world.settle(SOON).await;
    settled.unwrap_or_else(|error| panic!("not right {error}"));
    for id in world.exporters[0].wanted.keys() {
        peer.told("removed", id).await;
        peer.told("added", id).await;
    }
    crate::faults::renewed(world, 3).await;
    peer.is_well(world.expected().len()).await;
    for id in world.expected().keys() {
        let again = usize::from(world.exporters[0].wanted.contains_key(id));
        let told = (peer.count("added", id), peer.count("removed", id));
        assert_eq!(told, (1 + again, again), "{id}");
    }
    world.peers.push(peer);
}
