//! Transactions, and the single operations that they are made of.

pub(crate) mod check;
mod compare;

use etcd_client::proto::{
    PbDeleteRequest, PbDeleteResponse, PbKeyValue, PbPutRequest, PbPutResponse, PbRangeRequest,
    PbRangeResponse, PbResponseHeader, PbResponseOp, PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest,
    PbTxnRequestOp, PbTxnResponse,
};

use super::Store;
use super::range::KeyRange;
use super::writer::Writer;
use crate::embedded::error::Error;

/// Tells whether a lease is alive.
pub(crate) type LeaseLookup<'a> = &'a dyn Fn(i64) -> bool;

impl Writer<'_> {
    /// Does a put alone.
    pub(crate) fn single_put(
        &mut self,
        request: PbPutRequest,
        leases: LeaseLookup<'_>,
    ) -> Result<PbPutResponse, Error> {
        check_lease(&request, leases)?;
        check_presence(self.store(), &request)?;
        Ok(self.do_put(request))
    }

    /// Does a delete alone.
    pub(crate) fn delete(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        let range = KeyRange::new(&request.key, &request.range_end);
        let gone = self.remove_range(range);
        PbDeleteResponse {
            header: Some(self.inner_header()),
            deleted: i64::try_from(gone.len()).unwrap_or(i64::MAX),
            prev_kvs: match request.prev_kv {
                true => gone.iter().map(|kv| PbKeyValue::clone(kv)).collect(),
                false => Vec::new(),
            },
        }
    }

    /// Does a transaction: all of it, or nothing when it is refused.
    ///
    /// All conditions, also of nested transactions, are judged before the first
    /// change. So are puts and then ranges of the sides that are to be done.
    pub(crate) fn txn(
        &mut self,
        request: PbTxnRequest,
        leases: LeaseLookup<'_>,
    ) -> Result<PbTxnResponse, Error> {
        let chosen = Chosen::of(self.store(), request);
        chosen.each(&|op| match op {
            Op::Put(put) => {
                check_presence(self.store(), put)?;
                check_lease(put, leases)
            }
            _ => Ok(()),
        })?;
        let now = self.revision();
        chosen.each(&|op| match op {
            // Alone, a negative revision means now; in a transaction etcd takes it as it is.
            Op::Range(range) if range.revision < 0 => Err(Error::Compacted),
            Op::Range(range) => self.store().check_readable(range.revision, now),
            _ => Ok(()),
        })?;
        let response = self.do_txn(chosen);
        Ok(PbTxnResponse {
            header: Some(self.inner_header()),
            ..response
        })
    }

    fn do_txn(&mut self, chosen: Chosen) -> PbTxnResponse {
        let mut responses = Vec::with_capacity(chosen.ops.len());
        for op in chosen.ops {
            let response = match op {
                Op::Range(range) => PbTxnOpResponse::ResponseRange(self.do_range(&range)),
                Op::Put(put) => PbTxnOpResponse::ResponsePut(self.do_put(put)),
                Op::Delete(delete) => PbTxnOpResponse::ResponseDeleteRange(self.delete(&delete)),
                Op::Nested(nested) => PbTxnOpResponse::ResponseTxn(self.do_txn(nested)),
            };
            responses.push(PbResponseOp {
                response: Some(response),
            });
        }
        PbTxnResponse {
            // etcd leaves a nested one's empty.
            header: Some(PbResponseHeader::default()),
            succeeded: chosen.succeeded,
            responses,
        }
    }

    fn do_range(&self, request: &PbRangeRequest) -> PbRangeResponse {
        let found = self.store().read(request, self.revision());
        found.into_response(self.inner_header())
    }

    fn do_put(&mut self, request: PbPutRequest) -> PbPutResponse {
        let (mut value, mut lease) = (request.value, request.lease);
        if let Some(previous) = self.store().get(&request.key) {
            if request.ignore_value {
                value.clone_from(&previous.value);
            }
            if request.ignore_lease {
                lease = previous.lease;
            }
        }
        let previous = self.put(request.key, value, lease);
        let previous = previous.filter(|_| request.prev_kv);
        PbPutResponse {
            header: Some(self.inner_header()),
            prev_kv: previous.map(|kv| PbKeyValue::clone(&kv)),
        }
    }

    /// etcd fills only the revision in the headers inside a transaction.
    fn inner_header(&self) -> PbResponseHeader {
        PbResponseHeader {
            revision: self.revision(),
            ..PbResponseHeader::default()
        }
    }
}

fn check_lease(request: &PbPutRequest, leases: LeaseLookup<'_>) -> Result<(), Error> {
    if request.lease != 0 && !leases(request.lease) {
        return Err(Error::LeaseNotFound);
    }
    Ok(())
}

fn check_presence(store: &Store, request: &PbPutRequest) -> Result<(), Error> {
    let needed = request.ignore_value || request.ignore_lease;
    if needed && store.get(&request.key).is_none() {
        return Err(Error::KeyNotFound);
    }
    Ok(())
}

/// The sides of a transaction that are to be done.
struct Chosen {
    succeeded: bool,
    ops: Vec<Op>,
}

enum Op {
    Range(PbRangeRequest),
    Put(PbPutRequest),
    Delete(PbDeleteRequest),
    Nested(Chosen),
}

impl Chosen {
    fn of(store: &Store, request: PbTxnRequest) -> Self {
        let succeeded = request.compare.iter().all(|c| compare::holds(store, c));
        let side = match succeeded {
            true => request.success,
            false => request.failure,
        };
        let op = |op: PbTxnRequestOp| {
            Some(match op.request? {
                PbTxnOpRequest::RequestRange(range) => Op::Range(range),
                PbTxnOpRequest::RequestPut(put) => Op::Put(put),
                PbTxnOpRequest::RequestDeleteRange(delete) => Op::Delete(delete),
                PbTxnOpRequest::RequestTxn(nested) => Op::Nested(Self::of(store, nested)),
            })
        };
        Self {
            succeeded,
            ops: side.into_iter().filter_map(op).collect(),
        }
    }

    /// Checks all operations, also those of nested ones, in order.
    fn each(&self, check: &dyn Fn(&Op) -> Result<(), Error>) -> Result<(), Error> {
        for op in &self.ops {
            match op {
                Op::Nested(nested) => nested.each(check)?,
                single => check(single)?,
            }
        }
        Ok(())
    }
}
