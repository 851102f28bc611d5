//! The KV service.

use std::pin::Pin;

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKvService,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse,
    PbResponseHeader, PbTxnOpRequest, PbTxnRequest, PbTxnResponse,
};
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status};

use super::Context;
use crate::embedded::error::Error;
use crate::embedded::store::range::{self, Found};
use crate::embedded::store::txn::check;

/// etcd counts a request as it is in its log: with a header of two bytes for
/// the tag, one for the length and eleven for a request's number, and then with
/// one byte for its own tag.
const ENVELOPE: usize = 15;

impl Context {
    /// Refuses what changes something and is too large for etcd's log.
    fn check_size(&self, request: &impl Message) -> Result<(), Error> {
        let body = request.encoded_len();
        let size = ENVELOPE + prost::length_delimiter_len(body) + body;
        if size > self.settings.max_request_bytes {
            return Err(Error::RequestTooLarge);
        }
        Ok(())
    }

    fn find(&self, request: &PbRangeRequest) -> Result<(Found, PbResponseHeader), Error> {
        range::check(request)?;
        self.shared
            .with(|state, _| Ok((state.range(request)?, state.header())))
    }
}

#[tonic::async_trait]
impl PbKvService for Context {
    async fn range(
        &self,
        request: Request<PbRangeRequest>,
    ) -> Result<Response<PbRangeResponse>, Status> {
        let (found, header) = self.find(request.get_ref())?;
        Ok(Response::new(found.into_response(header)))
    }

    type RangeStreamStream =
        Pin<Box<dyn Stream<Item = Result<PbRangeStreamResponse, Status>> + Send>>;

    /// One range, in pages.
    async fn range_stream(
        &self,
        request: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let (found, header) = self.find(request.get_ref())?;
        let pages = stream::iter(found.into_pages(header)).map(|page| {
            Ok(PbRangeStreamResponse {
                range_response: Some(page),
            })
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        let request = request.into_inner();
        check::put(&request)?;
        self.check_size(&request)?;
        let response = self.shared.with(|state, _| state.put(request))?;
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        let request = request.get_ref();
        check::delete(request)?;
        self.check_size(request)?;
        let response = self.shared.with(|state, _| state.delete(request));
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        let request = request.into_inner();
        check::txn(&request, self.settings.max_txn_ops)?;
        // etcd does not log what only reads.
        if !only_ranges(&request) {
            self.check_size(&request)?;
        }
        let response = self.shared.with(|state, _| state.txn(request))?;
        Ok(Response::new(response))
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        let revision = request.get_ref().revision;
        let header = self.shared.with(|state, _| {
            state.compact(revision)?;
            Ok::<_, Error>(state.header())
        })?;
        Ok(Response::new(PbCompactionResponse {
            header: Some(header),
        }))
    }
}

fn only_ranges(request: &PbTxnRequest) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.all(|op| matches!(op.request, Some(PbTxnOpRequest::RequestRange(_))))
}
