//! Changing groups.

use clap::Args;
use osgi_remote::catalog::groups::{
    Error, Group, GroupCredentials, GroupName, Groups, Labels, Spec, WithNodes,
};
use serde::Serialize;

use super::credentials::{CredentialArgs, Given};
use super::view::GroupView;
use super::{Place, announce, existing, labels, no_group};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{counted, printable};

/// More nodes than these are counted and not named.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The group: letters, digits, `-` and `_`, at most 63.
    group: String,
    /// A label that the group's nodes have; repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigureArgs {
    /// The group.
    group: String,
    /// Set a label that the group's nodes have; repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Take a label away; repeatable.
    #[arg(long = "unlabel", value_name = "KEY")]
    unlabels: Vec<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// Take the credentials away.
    #[arg(long, conflicts_with_all = ["username", "password_file"])]
    no_credentials: bool,
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The group.
    group: String,
    /// Delete its nodes too. Those whose processes live come back, and the group with them.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    group: GroupView,
    /// Whether it was not there.
    is_new: bool,
    dry_run: bool,
}

#[derive(Serialize)]
struct Configured {
    #[serde(flatten)]
    group: GroupView,
    changes: Vec<String>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Deleted {
    group: String,
    key: String,
    /// The keys of nodes that were deleted with it.
    nodes: Vec<String>,
    dry_run: bool,
}

pub(super) async fn create(args: CreateArgs, context: &Context) -> Result<(), Failure> {
    let groups = args.place.groups(context)?;
    let name = GroupName::new(&args.group)?;
    let spec = Spec {
        credentials: args.credentials.read()?.over(&GroupCredentials::default()),
        common_labels: labels(&args.labels)?,
    };
    let key = groups.base().group_key(&name);
    announce(
        args.dry_run,
        &format!("create group `{name}` at `{key}`, or join it if it is there"),
    );
    let wished = spec.clone();
    let (group, is_new) = if args.dry_run {
        let there = groups.get(&name).await?;
        let is_new = there.is_none();
        (there, is_new)
    } else {
        let joined = groups.create_or_join(&name, spec).await?;
        (Some(joined.group), joined.created)
    };
    if let Some(group) = group.as_ref().filter(|_| !is_new) {
        tell_ignored(group, &wished);
    }
    let group = match &group {
        Some(group) => GroupView::of(key, group),
        None => GroupView {
            labels: wished.common_labels,
            credentials: !wished.credentials.is_empty(),
            ..GroupView::without_key(&name, key)
        },
    };
    let dry_run = args.dry_run;
    let shown = Created {
        group,
        is_new,
        dry_run,
    };
    context.output.show_text(&shown, || {
        let did = match (is_new, dry_run) {
            (true, false) => "created",
            (true, true) => "would be created",
            (false, false) => "joined: it was there",
            (false, true) => "would be joined: it is there",
        };
        format!("group `{name}` {did}")
    })
}

/// A group that was there is not changed by creating it.
fn tell_ignored(group: &Group, wished: &Spec) {
    let mut missing = Vec::new();
    for (key, value) in wished.common_labels.iter() {
        if group.spec.common_labels.get(key) != Some(value) {
            missing.push(format!("label `{key}={value}`"));
        }
    }
    if !wished.credentials.is_empty() && wished.credentials != group.spec.credentials {
        missing.push("the credentials".to_owned());
    }
    if missing.is_empty() {
        return;
    }
    let missing = printable(&missing.join(", "));
    crate::output::note(&format!(
        "the group is there and stays as it is, without {missing}: `rsctl group configure` changes it"
    ));
}

pub(super) async fn configure(args: ConfigureArgs, context: &Context) -> Result<(), Failure> {
    let (groups, name) = (args.place.groups(context)?, existing(&args.group)?);
    let wish = Wish::of(&args)?;
    let key = groups.base().group_key(&name);
    let there = groups.get(&name).await?;
    let mut planned = there.ok_or_else(|| no_such_key(&groups, &name))?;
    let before = planned.spec.clone();
    wish.apply(&mut planned.spec)?;
    let plan = changes(&before, &planned.spec);
    announce(
        args.dry_run,
        &match plan.as_slice() {
            [] => format!("change nothing of group `{name}` at `{key}`"),
            plan => format!("configure group `{name}` at `{key}`: {}", plan.join("; ")),
        },
    );
    let (group, changes) = if args.dry_run {
        (planned, plan)
    } else {
        let done = groups.configure(&name, |spec| wish.apply(spec)).await?;
        let changes = changes(&done.before.spec, &done.group.spec);
        (done.group, changes)
    };
    let shown = Configured {
        group: GroupView::of(key, &group),
        changes,
        dry_run: args.dry_run,
    };
    context.output.show_text(&shown, || {
        if shown.changes.is_empty() {
            return printable(&format!("group `{name}` is so already"));
        }
        let changes = shown.changes.join("; ");
        let did = if shown.dry_run {
            "would be configured"
        } else {
            "configured"
        };
        printable(&format!("group `{name}` {did}: {changes}"))
    })
}

fn no_such_key(groups: &Groups, name: &GroupName) -> Failure {
    let (group, key) = (name.clone(), groups.base().group_key(name));
    Error::Missing { group, key }.into()
}

/// What the command line asks for.
struct Wish {
    labels: Labels,
    unlabels: Vec<String>,
    credentials: Option<Given>,
}

impl Wish {
    fn of(args: &ConfigureArgs) -> Result<Self, Failure> {
        let labels = labels(&args.labels)?;
        if let Some(key) = args.unlabels.iter().find(|key| labels.get(key).is_some()) {
            return Err(Failure::usage(format!(
                "label `{key}` is to be set and to be taken away; leave one of the two"
            )));
        }
        let given = args.credentials.read()?;
        let nothing = labels.is_empty() && args.unlabels.is_empty() && given.is_nothing();
        if nothing && !args.no_credentials {
            return Err(Failure::usage(
                "nothing is to be changed: give --label, --unlabel, --username, --password-file \
                 or --no-credentials",
            ));
        }
        let credentials = match args.no_credentials {
            true => None,
            false => Some(given),
        };
        Ok(Self {
            labels,
            unlabels: args.unlabels.clone(),
            credentials,
        })
    }

    fn apply(&self, spec: &mut Spec) -> Result<(), Error> {
        for key in &self.unlabels {
            spec.common_labels.remove(key);
        }
        for (key, value) in self.labels.iter() {
            spec.common_labels.set(key, value)?;
        }
        spec.credentials = match &self.credentials {
            Some(given) => given.over(&spec.credentials),
            None => GroupCredentials::default(),
        };
        Ok(())
    }
}

/// What differs, in words.
fn changes(before: &Spec, after: &Spec) -> Vec<String> {
    let (old, new) = (&before.common_labels, &after.common_labels);
    let mut changes = label_changes(old, new);
    if before.credentials != after.credentials {
        let change = match after.credentials.is_empty() {
            true => "credentials taken away",
            false => "credentials set",
        };
        changes.push(change.to_owned());
    }
    changes
}

/// What differs of labels, in words.
pub(crate) fn label_changes(old: &Labels, new: &Labels) -> Vec<String> {
    let mut changes = Vec::new();
    for (key, value) in new.iter() {
        match old.get(key) {
            Some(before) if before == value => {}
            Some(before) => changes.push(format!("label {key}={value} (was {before})")),
            None => changes.push(format!("label {key}={value}")),
        }
    }
    let gone = old.iter().filter(|(key, _)| new.get(key).is_none());
    changes.extend(gone.map(|(key, value)| format!("label {key} taken away (was {value})")));
    changes
}

pub(super) async fn delete(args: &DeleteArgs, context: &Context) -> Result<(), Failure> {
    let (groups, name) = (args.place.groups(context)?, existing(&args.group)?);
    let key = groups.base().group_key(&name);
    let snapshot = groups.snapshot_of(&name).await?;
    let members = snapshot.groups.get(&name);
    let nodes = members.map_or(&[][..], |members| &members.nodes);
    let nodes: Vec<String> = nodes.iter().map(|node| node.key.clone()).collect();
    let is_there = members.is_some() || snapshot.strangers.iter().any(|s| s.key == key);
    if !is_there {
        return Err(no_group(&groups, &name));
    }
    if !args.force && !nodes.is_empty() {
        let (key, nodes) = (groups.base().nodes_prefix(&name), nodes.len());
        let group = name.clone();
        return Err(occupied(Error::Occupied { group, nodes, key }));
    }
    let mut what = format!("delete group `{name}` at `{key}`");
    if !nodes.is_empty() {
        what.push_str(&format!(
            " and its {}: {}",
            counted(nodes.len(), "node"),
            named(&nodes)
        ));
    }
    announce(args.dry_run, &what);
    let deleted = if args.dry_run {
        nodes
    } else {
        let with_nodes = match args.force {
            true => WithNodes::Delete,
            false => WithNodes::Refuse,
        };
        groups
            .delete(&name, with_nodes)
            .await
            .map_err(occupied)?
            .nodes
    };
    let shown = Deleted {
        group: name.to_string(),
        key,
        nodes: deleted,
        dry_run: args.dry_run,
    };
    context.output.show_text(&shown, || {
        let did = if shown.dry_run {
            "would be deleted"
        } else {
            "deleted"
        };
        printable(&match shown.nodes.len() {
            0 => format!("group `{name}` {did}"),
            nodes => format!("group `{name}` {did} with {}", counted(nodes, "node")),
        })
    })
}

/// The cure has a name here.
fn occupied(error: Error) -> Failure {
    let text = match &error {
        Error::Occupied { .. } => format!("{error}: --force"),
        _ => return error.into(),
    };
    Failure::no(printable(&text))
}

fn named(keys: &[String]) -> String {
    let first: Vec<&str> = keys.iter().take(NAMED).map(String::as_str).collect();
    let first = first.join(", ");
    match keys.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_and_credentials_are_not() {
        let before = Spec {
            common_labels: labels(&["a=1".into(), "b=2".into(), "c=3".into()]).unwrap(),
            ..Spec::default()
        };
        let after = Spec {
            credentials: GroupCredentials::new("ada", "s3cret"),
            common_labels: labels(&["a=1".into(), "b=20".into(), "d=4".into()]).unwrap(),
        };
        assert_eq!(
            changes(&before, &after),
            [
                "label b=20 (was 2)",
                "label d=4",
                "label c taken away (was 3)",
                "credentials set"
            ]
        );
        assert_eq!(
            changes(&after, &before).last().unwrap(),
            "credentials taken away"
        );
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn many_nodes_are_counted_and_not_all_named() {
        let keys: Vec<String> = (0..12).map(|n| format!("k{n}")).collect();
        assert_eq!(named(&keys[..2]), "k0, k1");
        assert!(named(&keys).ends_with("k9 and 2 more"));
    }
}
