//! rsctl endpoint withdraw

use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use super::{ALICE, BOB, LONG, announce, grant, greeter, key, put};
use crate::support::{Kv, Server, Store, on_each_server};
use crate::tool::Tool;

on_each_server!(
    exactly_the_endpoints_own_key_is_deleted,
    an_owner_that_is_alive_is_warned_of_and_needs_force,
    of_several_sessions_one_is_to_be_chosen,
    a_dry_run_deletes_nothing,
    an_unreadable_endpoint_can_be_withdrawn_and_what_is_not_there_cannot,
);

fn withdraw(etcd: &Store, args: &[&str]) -> Tool {
    let args = args.iter().copied();
    Tool::new(etcd).args(["endpoint", "withdraw"]).args(args)
}

async fn keys(etcd: &Store) -> Vec<String> {
    etcd.get_prefix("").await.iter().map(Kv::key_text).collect()
}

async fn exactly_the_endpoints_own_key_is_deleted(etcd: Server) {
    // iPOPO's own way of deleting `ab` would take `ab-2` along.
    for id in ["ab", "ab-2", "a"] {
        announce(&etcd, ALICE, &greeter(id, props! {}), None).await;
    }
    let mut expected = keys(&etcd).await;
    expected.retain(|key| !key.ends_with("/ab"));
    let ran = withdraw(&etcd, &["ab"]).run().await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
deleting [..]/a11ce000-0000-4000-8000-000000000001/ab (revision 3, no lease: it never ends by itself)

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
ID  SESSION                               OWNER    DONE
ab  a11ce000-0000-4000-8000-000000000001  unknown  withdrawn

"#]]
    );
    assert_eq!(keys(&etcd).await, expected);
}

async fn an_owner_that_is_alive_is_warned_of_and_needs_force(etcd: Server) {
    let lease = grant(&etcd, LONG).await;
    announce(&etcd, ALICE, &greeter("e", props! {}), Some(&lease)).await;
    let before = keys(&etcd).await;
    // A dry run promises nothing that would be refused.
    for args in [&["e"][..], &["e", "--dry-run"]] {
        assert_data_eq!(
            withdraw(&etcd, args).run().await.bad(1),
            str![
                "rsctl: key [..]/e is not deleted: its owner is alive (lease [..], [..] s left of 5000 s) and may put it again: stop the owner, or take --force"
            ]
        );
    }
    assert_eq!(keys(&etcd).await, before);
    let ran = withdraw(&etcd, &["e", "--force", "-o", "json"]).run().await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
deleting [..]/e (revision 3, lease [..], [..] s left of 5000 s)
its owner, session a11ce000-0000-4000-8000-000000000001, is alive and may put the key again when it next looks

"#]]
    );
    let json = ran.json();
    let one = &json[0];
    assert_eq!(
        (&one["deleted"], &one["owner_alive"]),
        (&true.into(), &true.into())
    );
    assert_eq!(keys(&etcd).await.len(), 1, "the session's own key stays");
}

async fn of_several_sessions_one_is_to_be_chosen(etcd: Server) {
    for session in [ALICE, BOB] {
        announce(&etcd, session, &greeter("e", props! {}), None).await;
    }
    assert_data_eq!(
        withdraw(&etcd, &["e"]).run().await.bad(2),
        str![
            "rsctl: 2 sessions carry endpoint e: b0b00000-0000-4000-8000-000000000002, a11ce000-0000-4000-8000-000000000001: choose one by --session, or take --all"
        ]
    );
    withdraw(&etcd, &["e", "--session", BOB]).run().await.good();
    assert!(etcd.get(&key(BOB, "e")).await.is_none());
    assert!(etcd.get(&key(ALICE, "e")).await.is_some());
    announce(&etcd, BOB, &greeter("e", props! {}), None).await;
    withdraw(&etcd, &["e", "--all"]).run().await.good();
    assert_eq!(
        keys(&etcd).await.len(),
        2,
        "only the sessions' own keys are left"
    );
}

async fn a_dry_run_deletes_nothing(etcd: Server) {
    let lease = grant(&etcd, LONG).await;
    announce(&etcd, ALICE, &greeter("e", props! {}), Some(&lease)).await;
    let before = etcd.get_prefix("").await;
    let ran = withdraw(&etcd, &["e", "--dry-run", "--force"]).run().await;
    assert!(ran.stderr.starts_with("would delete "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("is alive and may put the key again"),
        "{}",
        ran.stderr
    );
    assert!(ran.good().contains("nothing (dry run)"));
    assert_eq!(etcd.get_prefix("").await, before);
}

async fn an_unreadable_endpoint_can_be_withdrawn_and_what_is_not_there_cannot(etcd: Server) {
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    put(&etcd, &key(ALICE, "rubbish"), "{", None).await;
    withdraw(&etcd, &["rubbish"]).run().await.good();
    assert_eq!(keys(&etcd).await.len(), 2);
    assert_data_eq!(
        withdraw(&etcd, &["rubbish"]).run().await.bad(1),
        str!["rsctl: no session carries endpoint rubbish below [..]"]
    );
    // A session's own key is no endpoint.
    withdraw(&etcd, &[ALICE]).run().await.bad(1);
    assert_eq!(keys(&etcd).await.len(), 2);
}
