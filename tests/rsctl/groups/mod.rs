//! Groups and their nodes: the library, the commands, and a stand-in for Go's module.

mod commands;
mod go;
mod library;
mod nodes;

use osgi_remote::catalog::groups::{BasePath, GroupName, Groups};
use osgi_remote::keyspace::ConnectOptions;

use crate::support::Store;

fn groups(server: &Store) -> Groups {
    groups_at(&server.endpoint())
}

fn groups_at(endpoint: &str) -> Groups {
    let options = ConnectOptions::parse(endpoint).unwrap();
    Groups::new(options, BasePath::default()).unwrap()
}

fn name(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// Puts a node as somebody else would.
async fn put_node(server: &Store, group: &str, id: &str, status: &str) {
    let key = format!("/services/{group}/nodes/{id}_t");
    let value = format!(
        r#"{{"id":"{id}","exporter_type":"t","port":9100,"metrics_path":"/metrics","labels":{{"own":"{id}"}},"status":"{status}","last_seen":"2024-11-30T20:53:20Z"}}"#
    );
    server.etcdctl(&["put", &key, &value]).await;
}

/// The keys below the base.
async fn keys(server: &Store) -> Vec<String> {
    let all = server.get_prefix("/services").await;
    all.iter().map(|kv| kv.key_text()).collect()
}
