//! The Lease service.

use std::pin::Pin;

use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseLeasesRequest, PbLeaseLeasesResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse,
    PbLeaseService, PbLeaseStatus, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};
use futures::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::Context;
use crate::embedded::error::Error;

impl Context {
    /// An unknown lease is answered with a time to live of 0, and the stream
    /// stays open for the others.
    fn keep_alive(&self, id: i64) -> PbLeaseKeepAliveResponse {
        self.shared.with(|state, now| PbLeaseKeepAliveResponse {
            header: Some(state.header()),
            id,
            ttl: state.leases.keep_alive(id, now).unwrap_or(0),
        })
    }
}

/// The answers on a stream of keepalives, until the client ends it or the
/// registry closes.
fn answers(
    context: Context,
    requests: Streaming<PbLeaseKeepAliveRequest>,
) -> impl Stream<Item = Result<PbLeaseKeepAliveResponse, Status>> {
    stream::unfold(Some((context, requests)), async |live| {
        let (context, mut requests) = live?;
        let message = tokio::select! {
            biased;
            () = context.shared.closing().cancelled() => {
                Err(Status::unavailable("etcdserver: server stopped"))
            }
            message = requests.message() => message,
        };
        match message {
            Ok(Some(request)) => {
                let answer = context.keep_alive(request.id);
                Some((Ok(answer), Some((context, requests))))
            }
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    })
}

#[tonic::async_trait]
impl PbLeaseService for Context {
    async fn lease_grant(
        &self,
        request: Request<PbLeaseGrantRequest>,
    ) -> Result<Response<PbLeaseGrantResponse>, Status> {
        let request = request.get_ref();
        let response = self.shared.with(|state, now| {
            let (id, ttl) = state.grant(request.id, request.ttl, now)?;
            Ok::<_, Error>(PbLeaseGrantResponse {
                header: Some(state.header()),
                id,
                ttl,
                error: String::new(),
            })
        })?;
        Ok(Response::new(response))
    }

    async fn lease_revoke(
        &self,
        request: Request<PbLeaseRevokeRequest>,
    ) -> Result<Response<PbLeaseRevokeResponse>, Status> {
        let id = request.get_ref().id;
        let header = self.shared.with(|state, _| {
            state.revoke(id)?;
            Ok::<_, Error>(state.header())
        })?;
        Ok(Response::new(PbLeaseRevokeResponse {
            header: Some(header),
        }))
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<PbLeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let answers = answers(self.clone(), request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<PbLeaseTimeToLiveResponse>, Status> {
        let request = request.get_ref();
        let response = self.shared.with(|state, now| {
            let info = state.leases.info(request.id, now);
            let known = info.as_ref().filter(|_| request.keys);
            PbLeaseTimeToLiveResponse {
                header: Some(state.header()),
                id: request.id,
                ttl: info.as_ref().map_or(-1, |info| info.remaining),
                granted_ttl: info.as_ref().map_or(0, |info| info.granted),
                keys: known
                    .into_iter()
                    .flat_map(|info| info.keys)
                    .map(|key| key.to_vec())
                    .collect(),
            }
        });
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _: Request<PbLeaseLeasesRequest>,
    ) -> Result<Response<PbLeaseLeasesResponse>, Status> {
        let response = self.shared.with(|state, _| PbLeaseLeasesResponse {
            header: Some(state.header()),
            leases: state.leases.ids().map(|id| PbLeaseStatus { id }).collect(),
        });
        Ok(Response::new(response))
    }
}
