#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod compaction;
mod range;
mod txn;

use std::sync::Arc;

use etcd_client::proto::{
    PbDeleteRequest, PbPutRequest, PbRangeRequest, PbRangeResponse, PbResponseHeader,
    PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};

use super::Store;
use super::event::{Commit, Kind};
use super::txn::check;
use crate::embedded::error::Error;

fn put(store: &mut Store, key: &str, value: &str) -> i64 {
    let mut writer = store.write();
    writer.put(key.into(), value.into(), 0);
    writer.commit().unwrap().revision
}

fn delete(store: &mut Store, key: &str, end: &str) -> Option<Arc<Commit>> {
    let mut writer = store.write();
    writer.delete(&delete_request(key, end));
    writer.commit()
}

fn delete_request(key: &str, end: &str) -> PbDeleteRequest {
    PbDeleteRequest {
        key: key.into(),
        range_end: end.into(),
        prev_kv: true,
    }
}

fn range_request(key: &str, end: &str) -> PbRangeRequest {
    PbRangeRequest {
        key: key.into(),
        range_end: end.into(),
        ..PbRangeRequest::default()
    }
}

fn answer(store: &Store, request: &PbRangeRequest) -> PbRangeResponse {
    let found = store.range(request).unwrap();
    found.into_response(PbResponseHeader::default())
}

fn keys(response: &PbRangeResponse) -> Vec<&str> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    response.kvs.iter().map(|kv| text(&kv.key)).collect()
}

/// The keys and values of everything at a revision.
fn contents(store: &Store, revision: i64) -> Result<Vec<(String, String)>, Error> {
    let request = PbRangeRequest {
        revision,
        ..range_request("\0", "\0")
    };
    let found = store.range(&request)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let response = found.into_response(PbResponseHeader::default());
    let pairs = response.kvs.into_iter();
    Ok(pairs.map(|kv| (text(kv.key), text(kv.value))).collect())
}

fn op(request: PbTxnOpRequest) -> PbTxnRequestOp {
    PbTxnRequestOp {
        request: Some(request),
    }
}

fn put_op(key: &str, value: &str) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestPut(PbPutRequest {
        key: key.into(),
        value: value.into(),
        ..PbPutRequest::default()
    }))
}

fn delete_op(key: &str, end: &str) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestDeleteRange(delete_request(key, end)))
}

fn range_op(key: &str) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestRange(range_request(key, "")))
}

fn nested(success: Vec<PbTxnRequestOp>, failure: Vec<PbTxnRequestOp>) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestTxn(PbTxnRequest {
        success,
        failure,
        ..PbTxnRequest::default()
    }))
}

/// Checks and does a transaction, with lease 7 alive and no other.
fn txn(store: &mut Store, request: PbTxnRequest) -> Result<PbTxnResponse, Error> {
    check::txn(&request, 128)?;
    let mut writer = store.write();
    let response = writer.txn(request, &|lease| lease == 7)?;
    writer.commit();
    Ok(response)
}

fn succeed(ops: Vec<PbTxnRequestOp>) -> PbTxnRequest {
    PbTxnRequest {
        success: ops,
        ..PbTxnRequest::default()
    }
}

#[test]
fn a_key_counts_its_versions_and_begins_anew_after_its_removal() {
    let mut store = Store::new();
    assert_eq!(store.revision(), 1);
    put(&mut store, "a", "1");
    put(&mut store, "a", "2");
    let kv = answer(&store, &range_request("a", "")).kvs.remove(0);
    assert_eq!(
        (kv.create_revision, kv.mod_revision, kv.version),
        (2, 3, 2),
        "{kv:?}"
    );
    delete(&mut store, "a", "").unwrap();
    put(&mut store, "a", "3");
    let kv = answer(&store, &range_request("a", "")).kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

#[test]
fn deleting_what_is_not_there_makes_no_revision() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    assert_eq!(delete(&mut store, "b", ""), None);
    assert_eq!(delete(&mut store, "a", "a"), None);
    assert_eq!(delete(&mut store, "b", "a"), None);
    assert_eq!(store.revision(), 2);
}

#[test]
fn a_deleted_range_is_one_revision_in_the_order_of_keys() {
    let mut store = Store::new();
    for key in ["c", "a", "d", "b"] {
        put(&mut store, key, key);
    }
    let commit = delete(&mut store, "b", "\0").unwrap();
    assert_eq!(commit.revision, 6);
    let told: Vec<_> = commit
        .events
        .iter()
        .map(|e| (e.kind, e.kv.key[0], e.kv.mod_revision, e.kv.version))
        .collect();
    assert_eq!(
        told,
        [b'b', b'c', b'd'].map(|key| (Kind::Delete, key, 6, 0))
    );
    assert_eq!(commit.events[0].previous.as_ref().unwrap().value, b"b");
}

#[test]
fn the_history_tells_each_revision_from_any_one_on() {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        put(&mut store, "a", value);
    }
    let told = |from| -> Vec<i64> { store.commits_from(from).map(|c| c.revision).collect() };
    assert_eq!(told(0), [2, 3, 4]);
    assert_eq!(told(3), [3, 4]);
    assert_eq!(told(5), Vec::<i64>::new());
    let last = store.commits_from(4).next().unwrap();
    assert_eq!(last.events[0].previous.as_ref().unwrap().value, b"2");
}
