#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmType, Client, Compare, CompareOp, Error, GetOptions, LeaseGrantOptions,
    LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp,
};
use tonic::Code;

use super::super::registry::Registry;
use super::super::settings::Settings;

async fn registry() -> (Registry, Client) {
    let registry = Registry::builder().start().await.unwrap();
    let client = registry.client().await.unwrap();
    (registry, client)
}

#[track_caller]
fn refused<T>(result: Result<T, Error>) -> (Code, String) {
    match result {
        Err(Error::GRpcStatus(status)) => (status.code(), status.message().to_owned()),
        Err(other) => panic!("no status: {other}"),
        Ok(_) => panic!("was done"),
    }
}

#[track_caller]
fn assert_refused<T>(result: Result<T, Error>, code: Code, text: &str) {
    assert_eq!(refused(result), (code, text.to_owned()));
}

#[tokio::test]
async fn refusals_have_etcds_codes_and_texts() {
    let (registry, mut client) = registry().await;
    let invalid = Code::InvalidArgument;
    let put = client.put("", "", None).await;
    assert_refused(put, invalid, "etcdserver: key is not provided");
    let keep = PutOptions::new().with_ignore_value();
    let put = client.put("a", "", Some(keep.clone())).await;
    assert_refused(put, invalid, "etcdserver: key not found");
    let put = client.put("a", "v", Some(keep)).await;
    assert_refused(put, invalid, "etcdserver: value is provided");
    let both = PutOptions::new().with_ignore_lease().with_lease(7);
    let put = client.put("a", "v", Some(both)).await;
    assert_refused(put, invalid, "etcdserver: lease is provided");
    let leased = PutOptions::new().with_lease(7);
    let put = client.put("a", "v", Some(leased)).await;
    let no_lease = "etcdserver: requested lease not found";
    assert_refused(put, Code::NotFound, no_lease);
    assert_refused(client.lease_revoke(7).await, Code::NotFound, no_lease);
    let twice = Txn::new().and_then([TxnOp::put("a", "", None), TxnOp::put("a", "", None)]);
    let duplicate = "etcdserver: duplicate key given in txn request";
    assert_refused(client.txn(twice).await, invalid, duplicate);
    let many = Txn::new().and_then(vec![TxnOp::get("a", None); 129]);
    let too_many = "etcdserver: too many operations in txn request";
    assert_refused(client.txn(many).await, invalid, too_many);

    let future = "etcdserver: mvcc: required revision is a future revision";
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    assert_refused(client.get("a", at(2)).await, Code::OutOfRange, future);
    assert_refused(client.compact(2, None).await, Code::OutOfRange, future);
    client.put("a", "1", None).await.unwrap();
    client.put("a", "2", None).await.unwrap();
    client.compact(3, None).await.unwrap();
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_refused(client.get("a", at(2)).await, Code::OutOfRange, compacted);
    assert_refused(client.compact(3, None).await, Code::OutOfRange, compacted);

    let grant = client.lease_grant(9_000_000_001, None).await;
    assert_refused(grant, Code::OutOfRange, "etcdserver: too large lease TTL");
    let id = || Some(LeaseGrantOptions::new().with_id(7));
    client.lease_grant(60, id()).await.unwrap();
    let again = client.lease_grant(60, id()).await;
    let exists = "etcdserver: lease already exists";
    assert_refused(again, Code::FailedPrecondition, exists);
    registry.shutdown().await;
}

/// Measured: etcd 3.4.23 and 3.5.1 take a put of 17 bytes less than 1.5 MiB,
/// with key and tags, for too large, and of one byte less for not.
#[tokio::test]
async fn a_request_is_too_large_where_it_is_in_etcd() {
    let (registry, mut client) = registry().await;
    let limit = 1536 * 1024;
    // A key of three bytes, and tags and lengths, are nine.
    let value = |size: usize| vec![b'x'; size - 9];
    client.put("big", value(limit - 18), None).await.unwrap();
    let too_large = client.put("big", value(limit - 17), None).await;
    let text = "etcdserver: request is too large";
    assert_refused(too_large, Code::InvalidArgument, text);
    // What only reads may be larger.
    let long = vec![b'x'; 1800 * 1024];
    client.get(long.clone(), None).await.unwrap();
    let condition = [Compare::value("big", CompareOp::Equal, long.clone())];
    let reads = Txn::new().when(condition.clone());
    client
        .txn(reads.or_else([TxnOp::get("big", None)]))
        .await
        .unwrap();
    let writes = Txn::new().when(condition);
    let writes = writes.or_else([TxnOp::put("big", "", None)]);
    assert_refused(client.txn(writes).await, Code::InvalidArgument, text);
    assert_refused(client.delete(long, None).await, Code::InvalidArgument, text);
    let longer = client.get(vec![b'x'; 3 * 1024 * 1024], None).await;
    let text = "grpc: received message larger than max (3145733 vs. 2097152)";
    assert_refused(longer, Code::ResourceExhausted, text);
    registry.shutdown().await;
}

#[tokio::test]
async fn one_stream_keeps_several_leases_and_survives_an_unknown_one() {
    let (registry, mut client) = registry().await;
    let lease = client.lease_grant(60, None).await.unwrap();
    assert_eq!(lease.ttl(), 60);
    let other = client.lease_grant(1, None).await.unwrap();
    assert_eq!(other.ttl(), 2, "the shortest of etcd");
    let (mut keeper, mut answers) = client.lease_keep_alive(lease.id()).await.unwrap();
    keeper.keep_alive().await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.id(), answer.ttl()), (lease.id(), 60));
    client.lease_revoke(lease.id()).await.unwrap();
    for _ in 0..2 {
        keeper.keep_alive().await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.id(), answer.ttl()), (lease.id(), 0));
    }
    registry.shutdown().await;
}

#[tokio::test]
async fn what_is_known_of_leases_can_be_asked() {
    let (registry, mut client) = registry().await;
    let lease = client.lease_grant(60, None).await.unwrap().id();
    let shorter = client.lease_grant(30, None).await.unwrap().id();
    for key in ["b", "a"] {
        let under = PutOptions::new().with_lease(lease);
        client.put(key, "", Some(under)).await.unwrap();
    }
    let keys = LeaseTimeToLiveOptions::new().with_keys();
    let known = client.lease_time_to_live(lease, Some(keys)).await.unwrap();
    assert_eq!(known.keys(), [b"a", b"b"]);
    assert_eq!(known.granted_ttl(), 60);
    assert!((50..=60).contains(&known.ttl()), "{}", known.ttl());
    let without = client.lease_time_to_live(lease, None).await.unwrap();
    assert!(without.keys().is_empty());
    let unknown = client.lease_time_to_live(1, None).await.unwrap();
    assert_eq!((unknown.ttl(), unknown.granted_ttl()), (-1, 0));
    let all = client.leases().await.unwrap();
    let ids: Vec<_> = all.leases().iter().map(|l| l.id()).collect();
    assert_eq!(ids, [shorter, lease], "the first to end first");
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn keys_end_with_their_lease_in_virtual_time() {
    let (registry, mut client) = registry().await;
    let lease = client.lease_grant(3600, None).await.unwrap().id();
    let under = PutOptions::new().with_lease(lease);
    client.put("a", "", Some(under)).await.unwrap();
    let mut watch = client.watch("a", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(client.get("a", None).await.unwrap().count(), 0);
    let told = watch.message().await.unwrap().unwrap();
    assert_eq!(told.events()[0].kv().unwrap().mod_revision(), 3);
    registry.shutdown().await;
}

#[tokio::test]
async fn a_streamed_range_is_the_range() {
    let (registry, mut client) = registry().await;
    for key in ["a", "b", "c"] {
        client.put(key, vec![b'x'; 900_000], None).await.unwrap();
    }
    let all = || Some(GetOptions::new().with_from_key());
    let mut pages = client.kv_client().get_stream("a", all()).await.unwrap();
    let (mut keys, mut last) = (Vec::new(), None);
    while let Some(page) = pages.message().await.unwrap() {
        keys.extend(page.kvs().iter().map(|kv| kv.key().to_vec()));
        last = Some(page);
    }
    assert_eq!(keys, [b"a", b"b", b"c"]);
    let last = last.unwrap();
    assert_eq!((last.count(), last.header().unwrap().revision()), (3, 4));
    registry.shutdown().await;
}

#[tokio::test]
async fn the_member_and_its_status_agree_with_the_headers() {
    let (registry, mut client) = registry().await;
    client.put("a", "value", None).await.unwrap();
    let members = client.member_list().await.unwrap();
    let header = members.header().unwrap();
    let member = &members.members()[0];
    assert_eq!((members.members().len(), member.name()), (1, "embedded"));
    assert!(member.peer_urls().is_empty(), "there are no peers");
    assert_eq!((member.id(), header.revision()), (header.member_id(), 0));
    let status = client.status().await.unwrap();
    assert_eq!(status.leader(), member.id());
    assert_eq!(status.raft_term(), header.raft_term());
    // As the quota counts: more than the bytes of keys and values.
    assert!(
        (7..1000).contains(&status.db_size()),
        "{}",
        status.db_size()
    );
    assert_eq!(status.db_size_quota(), 2 << 30);
    assert!(status.version().starts_with("3.5."), "{}", status.version());
    let alarms = client.alarm(AlarmAction::Get, AlarmType::None, None).await;
    assert!(alarms.unwrap().alarms().is_empty());
    client.defragment().await.unwrap();
    let before = client.hash_kv(2).await.unwrap().hash();
    client.put("a", "other", None).await.unwrap();
    assert_eq!(client.hash_kv(2).await.unwrap().hash(), before);
    assert_ne!(client.hash_kv(0).await.unwrap().hash(), before);
    registry.shutdown().await;
}

#[tokio::test]
async fn what_it_cannot_do_it_says() {
    let (registry, mut client) = registry().await;
    for (answer, what) in [
        (refused(client.lock("name", None).await), "locks"),
        (refused(client.campaign("a", "b", 1).await), "elections"),
        (refused(client.user_list().await), "users and roles"),
        (refused(client.snapshot().await), "a snapshot"),
        (refused(client.move_leader(1).await), "a move of the leader"),
        (
            refused(
                client
                    .alarm(AlarmAction::Activate, AlarmType::Nospace, None)
                    .await,
            ),
            "raising an alarm",
        ),
        (
            refused(client.member_remove(1).await),
            "a change of members",
        ),
    ] {
        assert_eq!(answer.0, Code::Unimplemented, "{answer:?}");
        assert!(answer.1.starts_with(what), "{answer:?}");
        assert!(answer.1.contains("embedded registry"), "{answer:?}");
    }
    let authenticate = client.auth_client().auth_disable().await;
    assert_eq!(refused(authenticate).0, Code::Unimplemented);
    registry.shutdown().await;
}

/// A call without a message.
async fn called(registry: &Registry, path: &'static str) -> tonic::Status {
    let etcd_client::Channel::Tonic(channel) = registry.channel() else {
        panic!("the channel is tonic's");
    };
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    let answer = grpc.unary(tonic::Request::new(()), path, codec).await;
    answer.map(|_| "was done").unwrap_err()
}

#[tokio::test]
async fn what_is_not_known_at_all_is_refused_with_words() {
    let (registry, _) = registry().await;
    for (path, what) in [
        (
            "/etcdserverpb.Auth/AuthEnable",
            "users and roles (/etcdserverpb.Auth/AuthEnable)",
        ),
        (
            "/grpc.reflection.v1.ServerReflection/X",
            "/grpc.reflection.v1.ServerReflection/X",
        ),
        ("/etcdserverpb.KV/Future", "this method"),
    ] {
        let status = called(&registry, path).await;
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert!(status.message().starts_with(what), "{status:?}");
        assert!(status.message().ends_with("Use etcd for it"), "{status:?}");
    }
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn grpcs_health_check_is_served_and_its_watch_ends_with_the_registry() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let (registry, _) = registry().await;
    let etcd_client::Channel::Tonic(channel) = registry.channel() else {
        panic!("the channel is tonic's");
    };
    let mut client = HealthClient::new(channel);
    let of = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let well = client.check(of("")).await.unwrap().into_inner();
    assert_eq!(well.status(), ServingStatus::Serving);
    let unknown = client.check(of("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = client.watch(of("")).await.unwrap().into_inner();
    let told = watch.message().await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::Serving);
    let begun = tokio::time::Instant::now();
    registry.shutdown().await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing had to be cut");
    assert!(watch.message().await.unwrap().is_none());
}

#[tokio::test]
async fn what_has_no_room_is_refused_as_by_etcd_and_done_when_there_is_some() {
    let settings = Settings::default().quota_bytes(1_000_000);
    let registry = Registry::builder().settings(settings);
    let registry = registry.start().await.unwrap();
    let mut client = registry.client().await.unwrap();
    client.put("a", vec![b'v'; 900_000], None).await.unwrap();
    let text = "etcdserver: mvcc: database space exceeded";
    let put = client.put("b", vec![b'v'; 200_000], None).await;
    assert_refused(put, Code::ResourceExhausted, text);
    // Other than of etcd, no alarm is left behind that somebody must disarm.
    let alarms = client.alarm(AlarmAction::Get, AlarmType::None, None).await;
    assert!(alarms.unwrap().alarms().is_empty());
    client.delete("a", None).await.unwrap();
    client.put("b", vec![b'v'; 200_000], None).await.unwrap();
    registry.shutdown().await;
}
