//! A first endpoint that takes connections and answers nothing, as a process under SIGSTOP does.

use crate::support::{Etcd, EtcdVersion};
use crate::tool::{REGISTER_A, Tool};

#[tokio::test]
async fn commands_that_write_first_pass_over_a_frozen_server() {
    let frozen = Etcd::start(EtcdVersion::V3_5).await;
    let alive = Etcd::start(EtcdVersion::V3_4).await;
    for switch in ["b", "c"] {
        let key = format!("/prod/switch/{switch}");
        alive.etcdctl(&["put", &key, "old"]).await;
    }
    frozen.pause();
    let both = format!("{},{}", frozen.endpoint(), alive.endpoint());
    let run = async |args: &[&str]| {
        let ran = Tool::alone()
            .variable("ETCDCTL_COMMAND_TIMEOUT", "8s")
            .args(["--endpoints", &both, "--tree-root", "/prod"])
            .args(args.iter().copied())
            .run()
            .await;
        assert_eq!(ran.code(), 0, "{args:?}: {}", ran.stderr);
    };
    tokio::join!(
        run(&["switch", "set", "a", "new"]),
        run(&["switch", "cas", "b", "new", "old"]),
        run(&["switch", "remove", "c"]),
        run(&REGISTER_A),
        run(&["group", "create", "g"]),
    );
    let keys = alive.get_prefix("").await;
    let keys: Vec<String> = keys.iter().map(|kv| kv.key_text()).collect();
    let expected = [
        "/prod/service/web/a",
        "/prod/switch/a",
        "/prod/switch/b",
        "/services/g",
    ];
    assert_eq!(keys, expected);
    let changed = alive.get("/prod/switch/b").await.unwrap();
    assert_eq!(changed.value_text(), "new");
    // It carries out what it was sent: no write is among it.
    frozen.resume();
    assert_eq!(frozen.get_prefix("").await.len(), 0);
}
