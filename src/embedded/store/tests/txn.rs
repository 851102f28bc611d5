use etcd_client::proto::{
    PbCompare, PbCompareTarget, PbPutRequest, PbRangeRequest, PbTargetUnion, PbTxnOpRequest,
    PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};

use super::{contents, delete_op, nested, op, put, put_op, range_op, range_request, succeed, txn};
use crate::embedded::error::Error;
use crate::embedded::store::Store;
use crate::embedded::store::event::Kind;
use crate::embedded::store::txn::check;

fn single(response: PbTxnResponse, at: usize) -> PbTxnOpResponse {
    response.responses[at].response.clone().unwrap()
}

#[test]
fn all_changes_of_a_transaction_are_one_revision_that_its_reads_see() {
    let mut store = Store::new();
    put(&mut store, "old", "1");
    let ops = vec![
        range_op("new"),
        put_op("new", "v"),
        range_op("new"),
        delete_op("old", ""),
        nested(vec![put_op("deep", "d")], vec![]),
    ];
    let response = txn(&mut store, succeed(ops)).unwrap();
    assert_eq!(store.revision(), 3);
    assert_eq!(response.header.unwrap().revision, 3);
    let PbTxnOpResponse::ResponseRange(before) = single(response.clone(), 0) else {
        panic!("{response:?}");
    };
    assert_eq!((before.kvs.len(), before.header.unwrap().revision), (0, 2));
    let PbTxnOpResponse::ResponseRange(after) = single(response.clone(), 2) else {
        panic!("{response:?}");
    };
    assert_eq!(after.kvs[0].value, b"v");
    assert_eq!(after.header.unwrap().revision, 3);
    let PbTxnOpResponse::ResponseDeleteRange(gone) = single(response.clone(), 3) else {
        panic!("{response:?}");
    };
    assert_eq!((gone.deleted, gone.prev_kvs[0].mod_revision), (1, 2));
    let PbTxnOpResponse::ResponseTxn(deep) = single(response, 4) else {
        panic!("no nested answer");
    };
    assert_eq!(deep.header.unwrap().revision, 0, "as etcd leaves it");
    let commit = store.commits_from(3).next().unwrap();
    let told: Vec<_> = commit.events.iter().map(|e| &e.kv.key[..]).collect();
    assert_eq!(told, [&b"new"[..], b"old", b"deep"]);
}

#[test]
fn a_transaction_that_only_reads_makes_no_revision() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    let response = txn(&mut store, succeed(vec![range_op("a")])).unwrap();
    assert_eq!(response.header.unwrap().revision, 2);
    assert_eq!(store.revision(), 2);
}

#[test]
fn conditions_are_judged_before_any_change() {
    let mut store = Store::new();
    let inner = PbTxnRequest {
        compare: vec![compare("a", "", 1, PbTargetUnion::Version(0))],
        success: vec![put_op("seen", "")],
        failure: vec![put_op("unseen", "")],
    };
    let ops = vec![put_op("a", "1"), op(PbTxnOpRequest::RequestTxn(inner))];
    txn(&mut store, succeed(ops)).unwrap();
    let keys: Vec<_> = contents(&store, 0)
        .unwrap()
        .into_iter()
        .map(|kv| kv.0)
        .collect();
    assert_eq!(keys, ["a", "unseen"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut store = Store::new();
    put(&mut store, "a", "1");
    let future = PbRangeRequest {
        revision: 3,
        ..range_request("a", "")
    };
    let leased = PbPutRequest {
        key: b"q".into(),
        lease: 8,
        ..PbPutRequest::default()
    };
    let kept = PbPutRequest {
        key: b"first".into(),
        ignore_value: true,
        lease: 8,
        ..PbPutRequest::default()
    };
    for (refused, error) in [
        (PbTxnOpRequest::RequestRange(future), Error::FutureRevision),
        (PbTxnOpRequest::RequestPut(leased), Error::LeaseNotFound),
        (
            PbTxnOpRequest::RequestRange(PbRangeRequest {
                revision: -1,
                ..range_request("a", "")
            }),
            Error::Compacted,
        ),
        // Also where the transaction itself would have made the key.
        (PbTxnOpRequest::RequestPut(kept), Error::KeyNotFound),
    ] {
        let inside = nested(vec![op(refused)], vec![]);
        let ops = vec![nested(vec![put_op("other", "v")], vec![]), inside];
        assert_eq!(txn(&mut store, succeed(ops)).unwrap_err(), error);
        assert_eq!(store.revision(), 2);
        assert_eq!(contents(&store, 0).unwrap().len(), 1);
    }
    // The side that is not taken is not asked.
    let untaken = PbTxnRequest {
        failure: vec![op(PbTxnOpRequest::RequestRange(PbRangeRequest {
            revision: 99,
            ..range_request("a", "")
        }))],
        ..PbTxnRequest::default()
    };
    assert!(txn(&mut store, untaken).unwrap().succeeded);
}

#[test]
fn keeping_value_or_lease_takes_what_is_there() {
    let mut store = Store::new();
    let mut writer = store.write();
    writer.put(b"a".into(), b"1".into(), 7);
    writer.commit();
    let keep_value = PbPutRequest {
        key: b"a".into(),
        ignore_value: true,
        prev_kv: true,
        ..PbPutRequest::default()
    };
    let keep_lease = PbPutRequest {
        key: b"a".into(),
        value: b"2".into(),
        ignore_lease: true,
        ..PbPutRequest::default()
    };
    let mut writer = store.write();
    writer.single_put(keep_lease, &|_| false).unwrap();
    let response = writer.single_put(keep_value, &|_| false).unwrap();
    let previous = response.prev_kv.unwrap();
    assert_eq!((&previous.value[..], previous.lease), (&b"2"[..], 7));
    assert_eq!(store.get(b"a").unwrap().value, b"2");
    assert_eq!(store.get(b"a").unwrap().lease, 0);
}

#[test]
fn a_key_may_be_changed_once_in_a_transaction() {
    let refused = [
        vec![put_op("a", ""), put_op("a", "")],
        vec![delete_op("a", ""), put_op("a", "")],
        vec![put_op("b", ""), delete_op("a", "c")],
        vec![nested(vec![put_op("a", "")], vec![]), put_op("a", "")],
        vec![nested(vec![], vec![put_op("a", "")]), delete_op("a", "")],
        vec![
            nested(vec![delete_op("a", "")], vec![]),
            nested(vec![put_op("a", "")], vec![]),
        ],
        vec![nested(
            vec![nested(vec![put_op("a", ""); 2], vec![])],
            vec![],
        )],
    ];
    for ops in refused {
        let request = succeed(ops);
        assert_eq!(
            check::txn(&request, 128),
            Err(Error::DuplicateKey),
            "{request:?}"
        );
        let other_side = PbTxnRequest {
            failure: request.success,
            ..PbTxnRequest::default()
        };
        assert_eq!(check::txn(&other_side, 128), Err(Error::DuplicateKey));
    }
    let allowed = [
        vec![delete_op("a", ""), delete_op("a", "c")],
        vec![put_op("c", ""), delete_op("a", "c")],
        vec![nested(vec![put_op("a", "")], vec![put_op("a", "")])],
        vec![put_op("a", ""), range_op("a")],
    ];
    for ops in allowed {
        assert_eq!(check::txn(&succeed(ops), 128), Ok(()));
    }
}

#[test]
fn what_etcd_lets_change_twice_is_told_and_kept_in_order() {
    let mut store = Store::new();
    put(&mut store, "b", "0");
    let put_then_all = vec![put_op("b", "1"), delete_op("a", "\0")];
    txn(&mut store, succeed(put_then_all)).unwrap();
    assert_eq!(contents(&store, 0), Ok(vec![]));
    assert_eq!(contents(&store, 2).unwrap().len(), 1);
    let all_then_put = vec![delete_op("a", "\0"), put_op("b", "2")];
    put(&mut store, "b", "1");
    txn(&mut store, succeed(all_then_put)).unwrap();
    assert_eq!(contents(&store, 5), Ok(vec![("b".into(), "2".into())]));
    assert_eq!(contents(&store, 4), Ok(vec![("b".into(), "1".into())]));
    assert_eq!(contents(&store, 3), Ok(vec![]));
    let kinds: Vec<_> = store
        .commits_from(3)
        .map(|c| c.events.iter().map(|e| e.kind).collect::<Vec<_>>())
        .collect();
    let (put, delete) = (Kind::Put, Kind::Delete);
    assert_eq!(kinds, [vec![put, delete], vec![put], vec![delete, put]]);
    assert_eq!(store.get(b"b").unwrap().version, 1, "it began anew");
    store.compact(5).unwrap();
    assert_eq!(store.bytes(), 2, "all but one version is gone");
}

#[test]
fn operations_and_conditions_are_limited_and_nested_ones_share_the_limit() {
    let ops = |count| vec![range_op("a"); count];
    let check = |request: &PbTxnRequest| check::txn(request, 128);
    assert_eq!(check(&succeed(ops(128))), Ok(()));
    assert_eq!(check(&succeed(ops(129))), Err(Error::TooManyOps));
    let mut outer = ops(99);
    outer.push(nested(ops(28), vec![]));
    assert_eq!(check(&succeed(outer.clone())), Ok(()));
    outer.push(nested(ops(28), vec![]));
    assert_eq!(check(&succeed(outer)), Err(Error::TooManyOps));
    let conditions = |count| PbTxnRequest {
        compare: vec![compare("a", "", 0, PbTargetUnion::Version(0)); count],
        ..PbTxnRequest::default()
    };
    assert_eq!(check(&conditions(128)), Ok(()));
    assert_eq!(check(&conditions(129)), Err(Error::TooManyOps));
}

#[test]
fn bad_operations_are_refused_wherever_they_are() {
    let keyless = PbTxnRequest {
        compare: vec![compare("", "", 0, PbTargetUnion::Version(0))],
        ..PbTxnRequest::default()
    };
    assert_eq!(check::txn(&keyless, 128), Err(Error::EmptyKey));
    let both = PbPutRequest {
        key: b"a".into(),
        value: b"v".into(),
        ignore_value: true,
        ..PbPutRequest::default()
    };
    let lease = PbPutRequest {
        key: b"a".into(),
        lease: 7,
        ignore_lease: true,
        ..PbPutRequest::default()
    };
    let unknown = PbTxnRequestOp { request: None };
    for (bad, error) in [
        (put_op("", ""), Error::EmptyKey),
        (delete_op("", "b"), Error::EmptyKey),
        (range_op(""), Error::EmptyKey),
        (op(PbTxnOpRequest::RequestPut(both)), Error::ValueProvided),
        (op(PbTxnOpRequest::RequestPut(lease)), Error::LeaseProvided),
        (unknown, Error::KeyNotFound),
    ] {
        let deep = nested(vec![], vec![nested(vec![bad], vec![])]);
        assert_eq!(check::txn(&succeed(vec![deep]), 128), Err(error));
    }
}

fn compare(key: &str, end: &str, result: i32, given: PbTargetUnion) -> PbCompare {
    let target = match given {
        PbTargetUnion::Version(_) => PbCompareTarget::Version,
        PbTargetUnion::CreateRevision(_) => PbCompareTarget::Create,
        PbTargetUnion::ModRevision(_) => PbCompareTarget::Mod,
        PbTargetUnion::Value(_) => PbCompareTarget::Value,
        PbTargetUnion::Lease(_) => PbCompareTarget::Lease,
    };
    PbCompare {
        result,
        target: target.into(),
        key: key.into(),
        range_end: end.into(),
        target_union: Some(given),
    }
}

/// Which of equal, greater, less and not equal hold.
fn verdicts(store: &mut Store, key: &str, end: &str, given: &PbTargetUnion) -> [bool; 4] {
    [0, 1, 2, 3].map(|result| {
        let request = PbTxnRequest {
            compare: vec![compare(key, end, result, given.clone())],
            ..PbTxnRequest::default()
        };
        txn(store, request).unwrap().succeeded
    })
}

const EQUAL: [bool; 4] = [true, false, false, false];
const GREATER: [bool; 4] = [false, true, false, true];
const LESS: [bool; 4] = [false, false, true, true];

#[test]
fn every_target_compares_in_every_way() {
    let mut store = Store::new();
    put(&mut store, "other", "");
    put(&mut store, "a", "m");
    let mut writer = store.write();
    writer.put(b"a".into(), b"m".into(), 7);
    writer.commit();
    for (given, expected) in [
        (PbTargetUnion::Version(2), EQUAL),
        (PbTargetUnion::Version(1), GREATER),
        (PbTargetUnion::CreateRevision(3), EQUAL),
        (PbTargetUnion::CreateRevision(4), LESS),
        (PbTargetUnion::ModRevision(4), EQUAL),
        (PbTargetUnion::ModRevision(3), GREATER),
        (PbTargetUnion::Value(b"m".into()), EQUAL),
        (PbTargetUnion::Value(b"ma".into()), LESS),
        (PbTargetUnion::Lease(7), EQUAL),
        (PbTargetUnion::Lease(6), GREATER),
    ] {
        let found = verdicts(&mut store, "a", "", &given);
        assert_eq!(found, expected, "{given:?}");
    }
}

#[test]
fn an_absent_key_has_zeros_but_no_value() {
    let mut store = Store::new();
    put(&mut store, "other", "");
    for end in ["", "absent2"] {
        for given in [
            PbTargetUnion::Version(0),
            PbTargetUnion::CreateRevision(0),
            PbTargetUnion::ModRevision(0),
            PbTargetUnion::Lease(0),
        ] {
            assert_eq!(verdicts(&mut store, "absent", end, &given), EQUAL);
        }
        let empty = PbTargetUnion::Value(vec![]);
        assert_eq!(verdicts(&mut store, "absent", end, &empty), [false; 4]);
    }
}

#[test]
fn a_condition_on_a_range_holds_if_it_holds_for_each_key() {
    let mut store = Store::new();
    for (key, value) in [("a", "x"), ("b", "x"), ("c", "y")] {
        put(&mut store, key, value);
    }
    let given = PbTargetUnion::Value(b"x".into());
    assert_eq!(verdicts(&mut store, "a", "c", &given), EQUAL);
    assert_eq!(verdicts(&mut store, "a", "\0", &given), [false; 4]);
    assert_eq!(verdicts(&mut store, "c", "\0", &given), GREATER);
}

#[test]
fn a_condition_without_its_value_compares_with_nothing() {
    let mut store = Store::new();
    put(&mut store, "a", "x");
    for (target, given) in [
        (PbCompareTarget::Version, None),
        (
            PbCompareTarget::Version,
            Some(PbTargetUnion::ModRevision(1)),
        ),
        (PbCompareTarget::Value, None),
    ] {
        let greater = PbCompare {
            result: 1,
            target: target.into(),
            key: b"a".into(),
            target_union: given,
            ..PbCompare::default()
        };
        let request = PbTxnRequest {
            compare: vec![greater],
            ..PbTxnRequest::default()
        };
        assert!(txn(&mut store, request).unwrap().succeeded, "{target:?}");
    }
}
