//! What is registered, as data for templates and for Prometheus: read once, or kept up to date.
//!
//! ```text
//!   Source ── range, parse ──▶ Item      what is read, and what a key of it stands for
//!   once ──▶ Snapshot                    all sources as they are at one moment
//!   Live ── Watcher ─▶ Held ──▶ Snapshot a view for each source that outlives outages
//! ```

pub(crate) mod address;
mod catalog;
mod endpoint;
mod held;
mod keys;
mod live;
mod once;
mod snapshot;

use osgi_remote::names::TopKey;

use crate::context::Context;
use crate::failure::Failure;

pub(crate) use self::catalog::{Group, Node, Service, Switch};
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::held::Rules;
pub(crate) use self::keys::Keys;
pub(crate) use self::live::{Live, Standing};
pub(crate) use self::once::read;
pub(crate) use self::snapshot::{Data, Snapshot};

/// What can be asked for: a range of keys, and what they stand for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Endpoints of remote services.
    Endpoints(TopKey),
    /// empusa's services, below `<root>/service/`.
    Services(String),
    /// empusa's switches, below `<root>/switch/`.
    Switches(String),
    /// etcd-registry's groups and nodes, below `<base>/`.
    Groups(String),
    /// Any keys.
    Prefix {
        /// The name in templates.
        name: String,
        /// What the keys begin with.
        prefix: String,
    },
}

/// The names of the sources that need no prefix.
pub(crate) const NAMES: [&str; 4] = ["endpoints", "groups", "services", "switches"];

/// What one key stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Endpoint(Endpoint),
    Service(Service),
    Switch(Switch),
    Group(catalog::GroupEntry),
    Node(catalog::NodeEntry),
    Key(keys::Entry),
}

impl Item {
    /// Whether the item is an entry of its source. A group is not: what counts are its nodes, and
    /// groups without any are as empty as none.
    fn counts(&self) -> bool {
        !matches!(self, Self::Group(_))
    }
}

impl Source {
    /// The name in templates, options and messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Endpoints(_) => "endpoints",
            Self::Services(_) => "services",
            Self::Switches(_) => "switches",
            Self::Groups(_) => "groups",
            Self::Prefix { name, .. } => name,
        }
    }

    /// What all keys of the source begin with.
    pub(crate) fn prefix(&self) -> String {
        match self {
            Self::Endpoints(top) => format!("{top}/"),
            Self::Services(root) => format!("{root}/service/"),
            Self::Switches(root) => format!("{root}/switch/"),
            Self::Groups(base) => format!("{base}/"),
            Self::Prefix { prefix, .. } => prefix.clone(),
        }
    }

    /// What a key stands for; none for keys that only go along, such as those of sessions.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The key is left out, and harms nothing else.
    fn parse(&self, key: &[u8], value: &[u8]) -> Result<Option<Item>, String> {
        match self {
            Self::Endpoints(top) => {
                endpoint::parse(top, key, value).map(|found| found.map(Item::Endpoint))
            }
            Self::Services(_) => catalog::service(&self.prefix(), key, value)
                .map(|service| Some(Item::Service(service))),
            Self::Switches(_) => {
                catalog::switch(&self.prefix(), key, value).map(|switch| Some(Item::Switch(switch)))
            }
            Self::Groups(_) => catalog::group_or_node(&self.prefix(), key, value).map(Some),
            Self::Prefix { prefix, .. } => {
                keys::parse(prefix, key, value).map(|entry| Some(Item::Key(entry)))
            }
        }
    }
}

/// Where sources are that no option of all commands names.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Places {
    /// The key below which groups are. Default: /services, as etcd-registry's documentation has it.
    #[arg(
        long,
        value_name = "KEY",
        env = "RSCTL_GROUPS_BASE",
        default_value = "/services",
        hide_default_value = true
    )]
    pub(crate) base: String,
}

impl Places {
    /// The source of a name of [`NAMES`].
    pub(crate) fn source(&self, name: &str, context: &Context) -> Result<Source, Failure> {
        match name {
            "endpoints" => Ok(Source::Endpoints(context.top_key()?)),
            "services" => Ok(Source::Services(tree_root(context)?)),
            "switches" => Ok(Source::Switches(tree_root(context)?)),
            "groups" => match self.base.trim_end_matches('/') {
                "" => Err(Failure::usage("--base: it names no key; /services is one")),
                base => Ok(Source::Groups(base.to_owned())),
            },
            other => {
                let names = NAMES.join(", ");
                Err(Failure::usage(format!(
                    "`{other}` is no source; these are: {names}"
                )))
            }
        }
    }
}

/// What the keys of empusa begin with. As in etcd v2 all begin with a slash.
fn tree_root(context: &Context) -> Result<String, Failure> {
    let given = context
        .options
        .empusa
        .tree_root
        .as_deref()
        .filter(|root| !root.is_empty());
    let root = given.ok_or_else(|| {
        Failure::usage(
            "the key below which services and switches are is missing: give --tree-root, \
             EMPUSA_TREE_ROOT, or tree-root in the file of settings",
        )
    })?;
    let segments: Vec<&str> = root
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    Ok(match segments.join("/").as_str() {
        "" => String::new(),
        path => format!("/{path}"),
    })
}

#[cfg(test)]
mod tests;
