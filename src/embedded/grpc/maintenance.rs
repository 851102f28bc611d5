//! The Maintenance service: what tools look at, and nothing that needs a disk.

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse,
    PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use futures::stream;
use tonic::{Request, Response, Status};

use super::Context;
use super::status::not_served;
use crate::embedded::error::Error;

/// The version of the API that is served; what follows the `+` says that this
/// is no etcd, and counts for nothing where versions are compared.
pub(crate) const VERSION: &str = "3.5.0+embedded";

/// `AlarmAction`, which the stubs do not export.
const ACTIVATE: i32 = 1;

#[tonic::async_trait]
impl PbMaintenanceService for Context {
    /// There are never alarms, so the list is empty and none can be disarmed.
    async fn alarm(
        &self,
        request: Request<PbAlarmRequest>,
    ) -> Result<Response<PbAlarmResponse>, Status> {
        if request.get_ref().action == ACTIVATE {
            return Err(not_served("raising an alarm"));
        }
        Ok(Response::new(PbAlarmResponse {
            header: Some(self.shared.with(|state, _| state.header())),
            alarms: Vec::new(),
        }))
    }

    async fn status(
        &self,
        _: Request<PbStatusRequest>,
    ) -> Result<Response<PbStatusResponse>, Status> {
        let response = self.shared.with(|state, _| {
            let number = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
            let size = number(state.present_bytes() + state.store.kept_bytes());
            PbStatusResponse {
                header: Some(state.header()),
                version: VERSION.to_owned(),
                db_size: size,
                db_size_in_use: size,
                db_size_quota: number(state.quota_bytes()),
                leader: state.identity.member_id,
                raft_index: state.applied,
                raft_applied_index: state.applied,
                raft_term: state.identity.raft_term,
                ..PbStatusResponse::default()
            }
        });
        Ok(Response::new(response))
    }

    /// There is nothing to defragment.
    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        Ok(Response::new(PbDefragmentResponse { header: None }))
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        let (header, snapshot) = self
            .shared
            .with(|state, _| Ok::<_, Error>((state.header(), state.store.snapshot(0)?)))?;
        Ok(Response::new(PbHashResponse {
            header: Some(header),
            hash: snapshot.hash(),
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<PbHashKvRequest>,
    ) -> Result<Response<PbHashKvResponse>, Status> {
        let revision = request.get_ref().revision;
        let (snapshot, response) = self.shared.with(|state, _| {
            let at = match revision {
                ..=0 => state.store.revision(),
                revision => revision,
            };
            let response = PbHashKvResponse {
                header: Some(state.header()),
                hash: 0,
                compact_revision: state.store.compacted(),
                hash_revision: at,
            };
            Ok::<_, Error>((state.store.snapshot(at)?, response))
        })?;
        let hash = snapshot.hash();
        Ok(Response::new(PbHashKvResponse { hash, ..response }))
    }

    type SnapshotStream = stream::Empty<Result<PbSnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        _: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(not_served("a snapshot"))
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        Err(not_served("a move of the leader"))
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        Err(not_served("a downgrade"))
    }
}
