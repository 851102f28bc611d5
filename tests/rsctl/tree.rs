//! rsctl tree

use osgi_remote::props;
use snapbox::{assert_data_eq, str};

use crate::endpoint::{ALICE, LONG, announce, grant, greeter, put};
use crate::support::{Server, on_each_server};
use crate::tool::Tool;

on_each_server!(
    keys_are_a_tree_with_sizes_beginnings_and_leases,
    the_tree_of_endpoints_is_the_default_and_json_is_nested,
    depth_values_and_keys_only_change_what_is_shown,
    a_key_of_very_many_slashes_keeps_nobody_from_looking,
);

async fn keys_are_a_tree_with_sizes_beginnings_and_leases(etcd: Server) {
    let lease = grant(&etcd, LONG).await;
    put(&etcd, "app/a", "1", None).await;
    put(&etcd, "app/a/deep", &"x".repeat(2048), Some(&lease)).await;
    put(&etcd, "app/b//c", "line\nbreak", None).await;
    put(&etcd, "apple", "", None).await;
    let tree = |args: &[&str]| Tool::new(&etcd).args(["tree"]).args(args.iter().copied());
    let text = tree(&["app/"]).run().await.good().replace(&lease, "ID");
    assert_data_eq!(
        text,
        str![[r#"
app/
├── a  1 B  no lease  1
│   └── deep  2.0 KiB  lease ID  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
└── b
    └── ''
        └── c  10 B  no lease  line/nbreak

"#]]
    );
    let all = tree(&[""]).run().await.good();
    assert!(all.starts_with("(all keys)\n├── app\n"), "{all}");
    assert!(all.ends_with("└── apple  0 B  no lease  \n"), "{all}");
    let begin = tree(&["app/a"]).run().await.good();
    assert!(begin.starts_with("app/a…\n└── a  1 B"), "{begin}");
    assert_eq!(tree(&["none/"]).run().await.good(), "none/\n(no keys)\n");
}

async fn the_tree_of_endpoints_is_the_default_and_json_is_nested(etcd: Server) {
    put(&etcd, "elsewhere", "1", None).await;
    announce(&etcd, ALICE, &greeter("e", props! {}), None).await;
    let text = Tool::new(&etcd).args(["tree"]).run().await.good();
    assert_data_eq!(
        text,
        str![[r#"
org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer/
└── a11ce000-0000-4000-8000-000000000001  36 B  no lease  a11ce000-0000-4000-8000-000000000001
    └── e  [..] B  no lease  {"location":"ecfosgirsvc://127.0.0.1:325…

"#]]
    );
    let tree = Tool::new(&etcd)
        .args(["tree", "--output", "json"])
        .run()
        .await
        .json();
    let session = &tree["children"][0];
    assert_eq!(
        (&session["name"], &session["key"]["value"]),
        (&ALICE.into(), &ALICE.into())
    );
    assert_eq!(session["key"]["lease"], serde_json::Value::Null);
    let endpoint = &session["children"][0];
    assert_eq!(
        (&endpoint["name"], &endpoint["key"]["create_revision"]),
        (&"e".into(), &4.into())
    );
}

async fn depth_values_and_keys_only_change_what_is_shown(etcd: Server) {
    let long = "y".repeat(100);
    put(&etcd, "app/a/b", &long, None).await;
    put(&etcd, "app/a/c/d", "2", None).await;
    let tree = |args: &[&str]| {
        Tool::new(&etcd)
            .args(["tree", "app/"])
            .args(args.iter().copied())
    };
    let shallow = tree(&["--depth", "1"]).run().await.good();
    assert_eq!(shallow, "app/\n└── a  +2 below\n");
    let whole = tree(&["--values"]).run().await.good();
    assert!(whole.contains(&long), "{whole}");
    let bare = tree(&["--keys-only"]).run().await.good();
    assert_eq!(
        bare,
        "app/\n└── a\n    ├── b  no lease\n    └── c\n        └── d  no lease\n"
    );
    let json = tree(&["--keys-only", "-o", "json"]).run().await.json();
    assert_eq!(json["children"][0]["children"][0]["key"].get("value"), None);
    assert_eq!(tree(&["--depth", "0"]).run().await.code(), 2);
}

async fn a_key_of_very_many_slashes_keeps_nobody_from_looking(etcd: Server) {
    put(&etcd, "deep/a", "1", None).await;
    for slashes in [8_000, 60_000] {
        let key = format!("deep{}", "/".repeat(slashes));
        put(&etcd, &key, "2", None).await;
        let tree = |args: &[&str]| {
            Tool::new(&etcd)
                .args(["tree", "deep"])
                .args(args.iter().copied())
        };
        let text = tree(&[]).run().await.good();
        assert!(text.contains("a  1 B  no lease  1\n"), "{text}");
        assert!(text.lines().count() < 200, "{text}");
        assert!(text.contains(&"/".repeat(slashes - 49)), "{text}");
        let shallow = tree(&["--depth", "2"]).run().await.good();
        assert!(shallow.lines().count() < 10, "{shallow}");
        // Readers of JSON have a limit, too.
        let json = tree(&["-o", "json"]).run().await.json();
        assert!(json.to_string().contains(&key));
        let yaml = tree(&["-o", "yaml"]).run().await.good();
        assert!(yaml.contains("name: a\n"), "{yaml}");
        etcd.etcdctl(&["del", &key]).await;
    }
}
