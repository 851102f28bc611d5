//! What is announced of the endpoints that there are: those that answer, and
//! that the policy lets out.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::{debug, error, info, warn};

use super::super::gate;
use super::{Done, Manager};
use crate::admin::{AdminError, ExportRegistration};
use crate::discovery::DiscoveryError;
use crate::names::EndpointId;
use crate::services::ServiceId;

impl Manager {
    /// Has those endpoints of a service announced that are not, as they are
    /// now.
    pub(super) fn announce(&mut self, id: ServiceId) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        self.announcements += 1;
        let number = self.announcements;
        let mut withdrawn = Vec::new();
        for (endpoint, registration) in &export.open {
            let Some(description) = registration.description() else {
                continue;
            };
            if export.announcing.contains_key(endpoint) {
                continue;
            }
            if !export.gates.is_open(endpoint) {
                if !export.gates.is_shut(endpoint) {
                    match ask(id, endpoint, registration, None) {
                        Ok(()) => export.gates.open(endpoint.clone()),
                        Err(answer) => {
                            export.gates.shut(endpoint.clone());
                            self.asking.push(answer);
                            continue;
                        }
                    }
                } else {
                    continue;
                }
            }
            if !self.rules.advertise(&description) {
                withdrawn.push(endpoint.clone());
                continue;
            }
            export.announcing.insert(endpoint.clone(), number);
            self.own.set(endpoint.clone(), Arc::clone(&description));
            for announced in self.announcer.advertise(&description) {
                match announced {
                    Ok(receipt) => {
                        let endpoint = endpoint.clone();
                        self.receipts.push(Box::pin(async move {
                            Done::Announced {
                                service: id,
                                endpoint,
                                number,
                                result: receipt.await,
                            }
                        }));
                    }
                    Err(error) => {
                        error!(endpoint = %description, %error, "the endpoint is not announced");
                        export.unannounced = Some(error.into());
                    }
                }
            }
        }
        for endpoint in withdrawn {
            self.withdraw(&endpoint);
        }
        self.report(id);
    }

    /// An endpoint answered, or did not: then it is asked again later.
    pub(super) fn asked(
        &mut self,
        id: ServiceId,
        endpoint: EndpointId,
        result: Result<(), AdminError>,
    ) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        let open = export.open.iter().find(|(open, _)| *open == endpoint);
        let Some((_, registration)) = open else {
            return;
        };
        match result {
            Ok(()) => {
                debug!(%endpoint, "the endpoint answers");
                export.gates.open(endpoint);
                self.announce(id);
            }
            Err(error) => {
                warn!(%endpoint, %error, "the endpoint is not announced yet");
                let Some(delay) = export.gates.failed(&endpoint, Arc::new(error)) else {
                    return;
                };
                match ask(id, &endpoint, registration, Some(delay)) {
                    Ok(()) => debug!(%endpoint, "the endpoint answered without being asked"),
                    Err(answer) => self.asking.push(answer),
                }
                self.report(id);
            }
        }
    }

    pub(super) fn announced(
        &mut self,
        id: ServiceId,
        endpoint: EndpointId,
        number: u64,
        result: Result<(), DiscoveryError>,
    ) {
        let Some(export) = self.exports.get_mut(&id) else {
            return;
        };
        if export.announcing.get(&endpoint) != Some(&number) {
            return;
        }
        match result {
            Ok(()) => {
                info!(%endpoint, "announced");
                export.announced.insert(endpoint);
            }
            Err(error) => {
                error!(%endpoint, %error, "the endpoint is not announced");
                export.unannounced = Some(error.into());
            }
        }
        self.report(id);
    }

    /// Takes an announcement back, if there is one. One that another topology
    /// manager made too is left to it (rule T03).
    pub(super) fn withdraw(&self, endpoint: &EndpointId) {
        if self.own.remove(endpoint).is_none() {
            return;
        }
        for receipt in self.announcer.withdraw(endpoint) {
            let endpoint = endpoint.clone();
            self.receipts.push(Box::pin(
                async move { Done::Withdrawn(endpoint, receipt.await) },
            ));
        }
    }
}

/// Asks an endpoint whether it answers, after a while if one is given. Fine if
/// it does so at once; else its answer is yet to come.
fn ask(
    service: ServiceId,
    endpoint: &EndpointId,
    registration: &ExportRegistration,
    after: Option<Duration>,
) -> Result<(), BoxFuture<'static, Done>> {
    let mut answer = registration.ready();
    // Most answer at once, and are announced without a detour.
    let first = match after {
        None => (&mut answer).now_or_never(),
        Some(_) => None,
    };
    if matches!(first, Some(Ok(()))) {
        return Ok(());
    }
    let endpoint = endpoint.clone();
    Err(Box::pin(async move {
        if let Some(delay) = after {
            tokio::time::sleep(delay).await;
        }
        let result = match first {
            Some(result) => result,
            None => tokio::time::timeout(gate::PATIENCE, answer)
                .await
                .unwrap_or_else(|_| Err(gate::too_slow(&endpoint))),
        };
        Done::Asked {
            service,
            endpoint,
            result,
        }
    }))
}

pub(super) fn withdrawn(endpoint: &EndpointId, result: Result<(), DiscoveryError>) {
    match result {
        Ok(()) => debug!(%endpoint, "announcement withdrawn"),
        Err(error) => warn!(%endpoint, %error, "the announcement could not be withdrawn"),
    }
}
