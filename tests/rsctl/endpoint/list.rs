//! rsctl endpoint list

use osgi_remote::names::TopKey;
use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use super::{ALICE, BOB, LONG, announce, grant, greeter, put};
use crate::support::{Etcd, EtcdVersion, Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    each_endpoint_is_a_row_with_its_session_and_what_is_left_of_its_lease,
    endpoints_are_chosen_by_interface_filter_and_session,
    of_several_keys_of_one_endpoint_the_newest_counts,
    without_endpoints_it_says_so_and_json_is_an_empty_list,
);

async fn each_endpoint_is_a_row_with_its_session_and_what_is_left_of_its_lease(etcd: Server) {
    let lease = grant(&etcd, LONG).await;
    let two = props! { "objectClass" => ["org.example.Greeter", "org.example.Other"] };
    announce(&etcd, ALICE, &greeter("e1", two), Some(&lease)).await;
    announce(&etcd, BOB, &greeter("e2", props! {}), None).await;
    put(
        &etcd,
        &format!("{}/no-uuid/e", TopKey::DEFAULT),
        "rubbish",
        None,
    )
    .await;
    put(&etcd, &format!("{}/{BOB}/e3", TopKey::DEFAULT), "{}", None).await;
    let ran = Tool::new(&etcd).args(["endpoint", "list"]).run().await;
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
2 keys below org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/ are no endpoint: rsctl endpoint lint tells why

"#]]
    );
    assert_data_eq!(
        ran.good(),
        str![[r#"
ID  INTERFACES                             CONFIG             FRAMEWORK  SESSION   LEFT
e1  org.example.Greeter org.example.Other  ecf.xmlrpc.server  f0000000   a11ce000  [..]s
e2  org.example.Greeter                    ecf.xmlrpc.server  f0000000   b0b00000  none

"#]]
    );
    let wide = Tool::new(&etcd).args(["endpoint", "list", "--wide"]);
    let wide = wide.run().await.good();
    let row = wide.lines().nth(1).unwrap();
    for part in [ALICE, &lease, "osgi-remote", "http://127.0.0.1:1/xml-rpc"] {
        assert!(row.contains(part), "{part} is not in {wide}");
    }
}

async fn endpoints_are_chosen_by_interface_filter_and_session(etcd: Server) {
    announce(
        &etcd,
        ALICE,
        &greeter("red", props! { "colour" => "red" }),
        None,
    )
    .await;
    let blue = props! { "colour" => "blue", "objectClass" => ["org.example.Other"] };
    announce(&etcd, BOB, &greeter("blue", blue), None).await;
    for (options, expected) in [
        (vec![], vec!["blue", "red"]),
        (vec!["--interface", "org.example.Other"], vec!["blue"]),
        (vec!["--filter", "(colour=r*)"], vec!["red"]),
        (vec!["--session", &BOB[..4]], vec!["blue"]),
        (vec!["--session", BOB, "--filter", "(colour=red)"], vec![]),
    ] {
        let tool = Tool::new(&etcd).args(["endpoint", "list", "--output", "json"]);
        let listed = tool.args(options.clone()).run().await.json();
        let ids = listed.as_array().unwrap().iter();
        let ids: Vec<&str> = ids.map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{options:?}");
    }
}

async fn of_several_keys_of_one_endpoint_the_newest_counts(etcd: Server) {
    announce(
        &etcd,
        ALICE,
        &greeter("e", props! { "colour" => "old" }),
        None,
    )
    .await;
    announce(
        &etcd,
        BOB,
        &greeter("e", props! { "colour" => "new" }),
        None,
    )
    .await;
    let list = || Tool::new(&etcd).args(["endpoint", "list"]);
    assert_data_eq!(
        list().run().await.good(),
        str![[r#"
ID  INTERFACES           CONFIG             FRAMEWORK  SESSION      LEFT
e   org.example.Greeter  ecf.xmlrpc.server  f0000000   b0b00000 +1  none

"#]]
    );
    let listed = list().args(["-o", "json"]).run().await.json();
    let one = &listed[0];
    assert_eq!(one["properties"]["colour"]["value"], "new");
    assert_eq!(
        (&one["session"], &one["also"][0]["session"]),
        (&BOB.into(), &ALICE.into())
    );
}

async fn without_endpoints_it_says_so_and_json_is_an_empty_list(etcd: Server) {
    let list = || Tool::new(&etcd).args(["endpoint", "list"]);
    assert_eq!(list().run().await.good(), "no endpoints\n");
    assert_eq!(list().args(["-o", "json"]).run().await.good(), "[]\n");
    // Below another top key there is another world.
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let other = list().args(["--top-key", "other"]).run().await;
    assert_eq!(other.good(), "no endpoints\n");
}

#[tokio::test]
async fn what_cannot_be_used_is_told_in_one_line_with_its_code() {
    let list = || Tool::alone().args(["endpoint", "list"]);
    let ran = list().args(["--filter", "(colour=red"]).run().await;
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr
            .contains("invalid value '(colour=red' for '--filter"),
        "{}",
        ran.stderr
    );
    let ran = list().args(["--endpoints", "127.0.0.1:1"]).run().await;
    assert_data_eq!(
        ran.bad(3),
        str!["rsctl: etcd at 127.0.0.1:1 cannot be reached [..]"]
    );
    let ran = list().args(["--top-key", "a/b"]).run().await;
    assert_data_eq!(
        ran.bad(2),
        str!["rsctl: --top-key: top key 'a/b' holds a '/'[..]"]
    );
}

/// Each command that asks etcd, with a user who may not even read. What is denied to writers is in
/// `denied`.
#[tokio::test]
async fn who_lacks_a_permission_is_told_which_and_how_to_get_it() {
    let mut etcd = Etcd::start(EtcdVersion::V3_5).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.json");
    let endpoint = greeter("e", props! {});
    announce(&etcd, ALICE, &endpoint, None).await;
    let shown = Tool::new(&etcd).args(["endpoint", "show", "e", "-o", "json"]);
    std::fs::write(&file, shown.run().await.good()).unwrap();
    for args in [
        vec!["user", "add", "root:secret"],
        vec!["user", "grant-role", "root", "root"],
        vec!["user", "add", "ada:lovelace"],
        vec!["auth", "enable"],
    ] {
        etcd.etcdctl(&args).await;
    }
    etcd.etcdctl_as("root:secret");
    let file = file.to_str().unwrap();
    for command in [
        vec!["endpoint", "list"],
        vec!["endpoint", "show", "e"],
        vec!["endpoint", "edef", "--all"],
        vec!["endpoint", "watch"],
        vec!["endpoint", "withdraw", "e"],
        vec!["endpoint", "advertise", file],
        vec!["session", "list"],
        vec!["tree"],
    ] {
        let tool = || Tool::new(&etcd).args(command.clone());
        let ran = tool().args(["--user", "ada:lovelace"]).run().await;
        let line = ran.bad(4);
        assert!(
            line.contains("denies user `ada` to read"),
            "{command:?}: {line}"
        );
        assert!(
            line.contains("etcdctl role grant-permission"),
            "{command:?}: {line}"
        );
        let line = tool().args(["--user", "ada:wrong"]).run().await.bad(4);
        assert!(
            line.contains("does not let user `ada` in"),
            "{command:?}: {line}"
        );
        assert!(!line.contains("wrong"), "{line}");
        let ran = tool().args(["--endpoints", "127.0.0.1:1"]).run().await;
        let line = ran.bad(3);
        assert!(
            line.contains("127.0.0.1:1 cannot be reached"),
            "{command:?}: {line}"
        );
    }
    // Who may read is denied what is written.
    for args in [
        ["role", "add", "reader"].as_slice(),
        &["role", "grant-permission", "reader", "read", "--prefix", ""],
        &["user", "grant-role", "ada", "reader"],
    ] {
        etcd.etcdctl(args).await;
    }
    for command in [
        vec!["endpoint", "withdraw", "e", "--force"],
        vec!["endpoint", "advertise", file, "--force"],
    ] {
        let tool = Tool::new(&etcd).args(command.clone());
        let ran = tool.args(["--user", "ada:lovelace"]).run().await;
        let line = ran.bad_at_last(4);
        assert!(
            line.contains("denies user `ada` to readwrite"),
            "{command:?}: {line}"
        );
    }
    assert_eq!(
        etcd.get_prefix("").await.len(),
        2,
        "nothing was written or deleted"
    );
}
