//! The Cluster service: a cluster of one, which stays so.

use etcd_client::proto::{
    PbClusterService, PbMember, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest,
    PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest,
    PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
};
use tonic::{Request, Response, Status};

use super::Context;
use super::status::not_served;

const CHANGE: &str = "a change of members";

#[tonic::async_trait]
impl PbClusterService for Context {
    async fn member_list(
        &self,
        _: Request<PbMemberListRequest>,
    ) -> Result<Response<PbMemberListResponse>, Status> {
        let (identity, client_urls) = self
            .shared
            .with(|state, _| (state.identity, state.client_urls.clone()));
        let member = PbMember {
            id: identity.member_id,
            name: self.settings.name.clone(),
            peer_ur_ls: Vec::new(),
            client_ur_ls: client_urls,
            is_learner: false,
        };
        Ok(Response::new(PbMemberListResponse {
            // etcd gives no revision here.
            header: Some(identity.header(0)),
            members: vec![member],
        }))
    }

    async fn member_add(
        &self,
        _: Request<PbMemberAddRequest>,
    ) -> Result<Response<PbMemberAddResponse>, Status> {
        Err(not_served(CHANGE))
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Result<Response<PbMemberRemoveResponse>, Status> {
        Err(not_served(CHANGE))
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Result<Response<PbMemberUpdateResponse>, Status> {
        Err(not_served(CHANGE))
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Result<Response<PbMemberPromoteResponse>, Status> {
        Err(not_served(CHANGE))
    }
}
