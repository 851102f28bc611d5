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

use osgi_remote::catalog::groups::{self, BasePath, GroupName, Labels};
use osgi_remote::catalog::{TreeRoot, services, switches};
use osgi_remote::names::TopKey;

use crate::context::Context;
use crate::empusa::tree_root;
use crate::failure::Failure;

pub(crate) use self::catalog::{Group, Node, Service, Switch};
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::held::Rules;
pub(crate) use self::keys::{Credentials, Keys};
pub(crate) use self::live::{Live, Standing};
pub(crate) use self::once::read;
pub(crate) use self::snapshot::{Data, Snapshot};

/// What can be asked for: a range of keys, and what they stand for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Endpoints of remote services.
    Endpoints(TopKey),
    /// empusa's services, below `<root>/service/`.
    Services(TreeRoot),
    /// empusa's switches, below `<root>/switch/`.
    Switches(TreeRoot),
    /// etcd-registry's groups and nodes, below `<base>/`.
    Groups(BasePath),
    /// Any keys.
    Prefix {
        /// The name in templates.
        name: String,
        /// What the keys begin with.
        prefix: String,
        credentials: Credentials,
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
    /// The labels of a group.
    Group(GroupName, Labels),
    Node(GroupName, groups::Node),
    Key(keys::Entry),
}

impl Item {
    /// Whether the item is an entry of its source. A group is not: what counts are its nodes, and
    /// groups without any are as empty as none.
    fn counts(&self) -> bool {
        !matches!(self, Self::Group(..))
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
            Self::Services(root) => services::prefix(root),
            Self::Switches(root) => switches::prefix(root),
            Self::Groups(base) => base.prefix(),
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
            Self::Services(root) => {
                catalog::service(root, key, value).map(|service| Some(Item::Service(service)))
            }
            Self::Switches(root) => {
                catalog::switch(root, key, value).map(|switch| Some(Item::Switch(switch)))
            }
            Self::Groups(base) => catalog::group_or_node(base, key, value).map(Some),
            Self::Prefix {
                prefix,
                credentials,
                ..
            } => {
                let entry = keys::parse(prefix, key, value, *credentials);
                entry.map(|entry| Some(Item::Key(entry)))
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
        default_value = BasePath::DEFAULT,
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
            "groups" => Ok(Source::Groups(BasePath::new(&self.base)?)),
            other => {
                let names = NAMES.join(", ");
                Err(Failure::usage(format!(
                    "`{other}` is no source; these are: {names}"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests;
