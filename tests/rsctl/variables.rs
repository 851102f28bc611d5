//! Variables that are there and empty, which etcdctl takes for none.

use crate::support::{Server, on_each_server};
use crate::tool::Tool;

const EMPTY: [&str; 11] = [
    "ETCDCTL_CACERT",
    "ETCDCTL_CERT",
    "ETCDCTL_KEY",
    "ETCDCTL_USER",
    "ETCDCTL_PASSWORD",
    "ETCDCTL_DIAL_TIMEOUT",
    "ETCDCTL_COMMAND_TIMEOUT",
    "RSCTL_TOP_KEY",
    "RSCTL_CONFIG",
    "RSCTL_OUTPUT",
    "RSCTL_GROUPS_BASE",
];

on_each_server!([embedded, etcd_3_4](
    an_empty_variable_is_one_that_is_not_set,
    an_empty_option_is_one_that_is_not_given,
    what_a_variable_leaves_empty_the_file_of_settings_says,
));

async fn an_empty_variable_is_one_that_is_not_set(server: Server) {
    server.etcdctl(&["put", "/services/k", "v"]).await;
    for command in [&["tree", "/services"][..], &["group", "list"]] {
        let plain = Tool::new(&server).args(command.iter().copied()).run().await;
        for variable in EMPTY {
            let tool = Tool::new(&server).args(command.iter().copied());
            let ran = tool.variable(variable, "").run().await;
            assert_eq!(ran.code(), 0, "{variable}: {}", ran.stderr);
            assert_eq!(ran.stdout, plain.stdout, "{variable}");
        }
    }
    let shell = ["shell", "--dry-run", "-c", "sl"];
    let tool = Tool::new(&server).args(shell).variable("RSCTL_HISTORY", "");
    tool.run().await.good();
}

async fn an_empty_option_is_one_that_is_not_given(server: Server) {
    let args = ["tree", "", "--cacert", "", "--user", "", "--top-key", ""];
    Tool::new(&server).args(args).run().await.good();
}

async fn what_a_variable_leaves_empty_the_file_of_settings_says(server: Server) {
    server.etcdctl(&["put", "here", "v"]).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("endpoints = '{}'\noutput = 'json'\n", server.endpoint());
    std::fs::write(folder.path().join("c.toml"), settings).unwrap();
    let ran = Tool::alone()
        .folder(folder.path())
        .args(["--config", "c.toml", "tree", "here"])
        .variable("ETCDCTL_ENDPOINTS", "")
        .variable("RSCTL_OUTPUT", "")
        .run()
        .await;
    assert_eq!(ran.json()["children"][0]["name"], "here");
}

#[tokio::test]
async fn help_names_a_variable_that_is_empty() {
    let help = Tool::alone().args(["tree", "--help"]);
    let help = help.variable("ETCDCTL_CACERT", "").run().await.good();
    assert!(help.contains("[env: ETCDCTL_CACERT=]"), "{help}");
}
