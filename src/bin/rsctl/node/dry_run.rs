//! rsctl node register --dry-run: what would become of a node, by what is there.

use osgi_remote::catalog::groups::{GroupName, Groups, Node, RegisterOptions};
use osgi_remote::keyspace::{Client, Entry};
use serde::Serialize;

use super::registering::YIELD;
use crate::context::Context;
use crate::failure::Failure;
use crate::group::{NodeView, label_list};
use crate::output::printable;

/// What would be kept.
#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    node: NodeView,
    key: String,
    /// Whether the group is not there, and would be created.
    group_is_new: bool,
    result: Would,
    /// Of the key that is there, as etcdctl writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    dry_run: bool,
}

/// What would become of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Would {
    Register,
    /// In place of a key that no process keeps.
    Replace,
    TakeOver,
    /// Until the lease of another process is over.
    Wait,
}

impl Would {
    fn of(there: Option<&Entry>, takeover: bool) -> Self {
        match there.map(|entry| entry.lease) {
            None => Self::Register,
            Some(None) => Self::Replace,
            Some(Some(_)) if takeover => Self::TakeOver,
            Some(Some(_)) => Self::Wait,
        }
    }
}

/// Reads group and node, and shows what would be.
///
/// # Errors
///
/// If the group is none, and if the node would wait for another process.
pub(super) async fn run(
    groups: &Groups,
    name: &GroupName,
    node: &Node,
    options: &RegisterOptions,
    context: &Context,
) -> Result<(), Failure> {
    let key = groups.base().node_key(name, &node.id, &node.exporter_type);
    let group = groups.get(name).await?;
    let client = Client::new(context.connect()?)?;
    let there = client.get(key.as_str()).await?;
    let mut view = NodeView::of(name, node);
    if let Some(group) = &group {
        view.labels = node.labels.with_common(&group.spec.common_labels);
    }
    view.ttl = Some(options.ttl.as_secs());
    let lease = there.as_ref().and_then(|entry| entry.lease);
    let planned = Planned {
        node: view,
        group_is_new: group.is_none(),
        result: Would::of(there.as_ref(), options.takeover),
        lease: lease.map(|lease| format!("{lease:016x}")),
        dry_run: true,
        key,
    };
    context.output.show_text(&planned, || planned.text())?;
    match planned.result {
        Would::Wait => Err(Failure::no(format!(
            "`{}` would wait: another process keeps it, under lease {}; {YIELD}",
            printable(&planned.key),
            planned.lease.as_deref().unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}

impl Planned {
    fn text(&self) -> String {
        let lease = self.lease.as_deref().unwrap_or_default();
        let would = match self.result {
            Would::Register => "would be registered".to_owned(),
            Would::Replace => "would be registered in place of one without a lease".to_owned(),
            Would::TakeOver => format!("would be taken over from lease {lease}"),
            Would::Wait => format!("would wait for the end of lease {lease}"),
        };
        let mut text = format!("node `{}` {would}", self.key);
        let labels = label_list(&self.node.labels);
        if !labels.is_empty() {
            text.push_str(&format!(", with labels {labels}"));
        }
        let group = match self.group_is_new {
            true => "would be created",
            false => "is there",
        };
        text.push_str(&format!("; group `{}` {group}", self.node.group));
        printable(&text)
    }
}
