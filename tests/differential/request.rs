//! The model's commands in the words of the protocol.

use etcd_client::proto::*;

use crate::command::*;

/// A lease id that nobody has.
const NOBODYS: i64 = 0x7777;
const FIRST_SLOT: i64 = 0x5000;
const NEGATIVE: i64 = -77;

/// What relative things refer to, on one server in one case.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The revision at which the case began, which is compacted.
    pub start: i64,
    /// The newest revision that an answer told of.
    pub present: i64,
    /// The lease ids that the server chose, in their order. A watch of what was may show any of them.
    pub chosen: Vec<i64>,
}

impl Terms {
    pub fn rev(&self, rev: Rev) -> i64 {
        match rev {
            Rev::Unset => 0,
            Rev::Present(by) => self.present + by,
            Rev::Start(by) => self.start + by,
            Rev::Exact(exact) => exact,
        }
    }

    pub fn lease(&self, lease: Lease) -> i64 {
        match lease {
            Lease::Zero => 0,
            Lease::Slot(number) => FIRST_SLOT + i64::from(number),
            Lease::Chosen => self.chosen.last().copied().unwrap_or(NOBODYS),
            Lease::Negative => NEGATIVE,
        }
    }

    /// A lease id as it is comparable between servers.
    pub fn show_lease(&self, id: i64) -> String {
        match id {
            0 => "none".to_owned(),
            NEGATIVE => "negative".to_owned(),
            NOBODYS => "nobody's".to_owned(),
            id if (FIRST_SLOT..FIRST_SLOT + 256).contains(&id) => {
                format!("slot {}", id - FIRST_SLOT)
            }
            id => match self.chosen.iter().position(|chosen| *chosen == id) {
                Some(position) => format!("chosen {position}"),
                None => format!("id {id}"),
            },
        }
    }

    /// A revision as it is comparable between servers.
    pub fn show_rev(&self, revision: i64) -> String {
        match revision {
            0 => "0".to_owned(),
            other => format!("{:+}", other - self.start),
        }
    }

    pub fn range(&self, range: &Range) -> PbRangeRequest {
        PbRangeRequest {
            key: range.span.key.to_vec(),
            range_end: range.span.end.to_vec(),
            limit: range.limit,
            revision: self.rev(range.revision),
            sort_order: range.order,
            sort_target: range.target,
            serializable: range.serializable,
            keys_only: range.keys_only,
            count_only: range.count_only,
            min_mod_revision: self.rev(range.min_mod),
            max_mod_revision: self.rev(range.max_mod),
            min_create_revision: self.rev(range.min_create),
            max_create_revision: self.rev(range.max_create),
        }
    }

    pub fn put(&self, put: &Put) -> PbPutRequest {
        PbPutRequest {
            key: put.key.to_vec(),
            value: put.value.to_vec(),
            lease: self.lease(put.lease),
            prev_kv: put.prev,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }

    pub fn delete(&self, delete: &Delete) -> PbDeleteRequest {
        PbDeleteRequest {
            key: delete.span.key.to_vec(),
            range_end: delete.span.end.to_vec(),
            prev_kv: delete.prev,
        }
    }

    pub fn txn(&self, txn: &Txn) -> PbTxnRequest {
        let ops = |ops: &[Op]| ops.iter().flat_map(|op| self.ops(op)).collect();
        PbTxnRequest {
            compare: txn.compare.iter().map(|c| self.compare(c)).collect(),
            success: ops(&txn.success),
            failure: ops(&txn.failure),
        }
    }

    fn ops(&self, op: &Op) -> Vec<PbTxnRequestOp> {
        let one = |request| vec![PbTxnRequestOp { request }];
        match op {
            Op::Range(range) => one(Some(PbTxnOpRequest::RequestRange(self.range(range)))),
            Op::Put(put) => one(Some(PbTxnOpRequest::RequestPut(self.put(put)))),
            Op::Delete(delete) => one(Some(PbTxnOpRequest::RequestDeleteRange(
                self.delete(delete),
            ))),
            Op::Txn(txn) => one(Some(PbTxnOpRequest::RequestTxn(self.txn(txn)))),
            Op::Nothing => one(None),
            Op::Puts(count) => {
                let put = |number| PbPutRequest {
                    key: format!("many {number:03}").into_bytes(),
                    ..PbPutRequest::default()
                };
                let op = |number| PbTxnRequestOp {
                    request: Some(PbTxnOpRequest::RequestPut(put(number))),
                };
                (0..*count).map(op).collect()
            }
        }
    }

    fn compare(&self, compare: &Compare) -> PbCompare {
        let (target, operand) = match &compare.with {
            With::Version(version) => (
                PbCompareTarget::Version as i32,
                Some(PbTargetUnion::Version(*version)),
            ),
            With::Create(rev) => (
                PbCompareTarget::Create as i32,
                Some(PbTargetUnion::CreateRevision(self.rev(*rev))),
            ),
            With::Mod(rev) => (
                PbCompareTarget::Mod as i32,
                Some(PbTargetUnion::ModRevision(self.rev(*rev))),
            ),
            With::Value(value) => (
                PbCompareTarget::Value as i32,
                Some(PbTargetUnion::Value(value.to_vec())),
            ),
            With::Lease(lease) => (
                PbCompareTarget::Lease as i32,
                Some(PbTargetUnion::Lease(self.lease(*lease))),
            ),
            With::Missing(target) => (*target, None),
        };
        PbCompare {
            result: compare.result,
            target,
            key: compare.span.key.to_vec(),
            range_end: compare.span.end.to_vec(),
            target_union: operand,
        }
    }

    pub fn watch(&self, watch: &Watch) -> PbWatchRequest {
        const NO_PUT: i32 = 0;
        const NO_DELETE: i32 = 1;
        // The type of what is in it has no public name.
        let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
        if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
            create.key = watch.span.key.to_vec();
            create.range_end = watch.span.end.to_vec();
            create.start_revision = self.rev(watch.start);
            create.progress_notify = watch.progress;
            create.prev_kv = watch.prev;
            create.watch_id = watch.id;
            create.fragment = watch.fragment;
            create.filters.extend(watch.no_put.then_some(NO_PUT));
            create.filters.extend(watch.no_delete.then_some(NO_DELETE));
        }
        PbWatchRequest {
            request_union: Some(union),
        }
    }
}

pub fn cancel_watch(id: i64) -> PbWatchRequest {
    let mut union = PbWatchRequestUnion::CancelRequest(Default::default());
    if let PbWatchRequestUnion::CancelRequest(cancel) = &mut union {
        cancel.watch_id = id;
    }
    PbWatchRequest {
        request_union: Some(union),
    }
}

pub fn progress() -> PbWatchRequest {
    PbWatchRequest {
        request_union: Some(PbWatchRequestUnion::ProgressRequest(Default::default())),
    }
}
