//! What the commands of empusa share: its options, and its forms of output.
//!
//! Scripts that were written for empusa are to work with another name of the program and nothing
//! else changed. So what goes to stdout, and the codes for yes and no, are empusa's.

mod psql;
mod python;

use std::time::Duration;

use clap::ValueEnum;
use osgi_remote::catalog::{EntryName, TreeRoot};
use osgi_remote::discovery::etcd::EtcdConfig;
use osgi_remote::keyspace::Client;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::Options;
use crate::output;

/// The longest time to live that etcd takes, in seconds.
const LONGEST: u64 = 9_000_000_000;

/// Where services and switches are, and how etcd is reached.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) etcd: EtcdConfig,
    pub(crate) root: TreeRoot,
    /// Whether lists have whole keys: empusa finds the root in front of a key only where it is
    /// written as the key has it.
    whole_keys: bool,
    notes: bool,
}

impl Place {
    pub(crate) fn new(context: &Context) -> Result<Self, Failure> {
        let root = tree_root(context)?;
        let given = context.options.empusa.tree_root.as_deref();
        if context.options.empusa.etcd_api_version.as_deref() == Some("2") {
            tracing::info!("etcd's API 3 is used, also where version 2 is asked for");
        }
        Ok(Self {
            etcd: context
                .with(with_empusas(&context.options, &variable)?)
                .etcd()?,
            whole_keys: given != Some(root.prefix()),
            root,
            notes: has_notes(&variable)?,
        })
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.etcd.connect.clone())?)
    }

    /// The name that lists have for an entry.
    pub(crate) fn shown(&self, registry: &str, name: String) -> String {
        if self.whole_keys {
            format!("{}/{registry}/{name}", self.root.prefix())
        } else {
            name
        }
    }

    /// Says on stderr what is done, unless EMPUSA_LOGLEVEL asks for warnings only.
    pub(crate) fn note(&self, text: &str) {
        if self.notes {
            output::note(text);
        }
    }
}

/// The key below which services and switches are.
pub(crate) fn tree_root(context: &Context) -> Result<TreeRoot, Failure> {
    let given = context.options.empusa.tree_root.as_deref();
    let given = given.filter(|root| !root.is_empty()).ok_or_else(|| {
        Failure::usage(
            "the key below which services and switches are is missing: give --tree-root, \
             EMPUSA_TREE_ROOT, or tree-root in the file of settings; / for the root of all keys",
        )
    })?;
    given.parse().map_err(refused)
}

/// A name that cannot be used.
pub(crate) fn refused(error: osgi_remote::names::NameError) -> Failure {
    Failure::usage(error.to_string())
}

/// Reads the name of a switch.
pub(crate) fn entry_name(text: &str) -> Result<EntryName, Failure> {
    text.parse().map_err(refused)
}

/// An option that is not empty: empusa takes an empty variable for one that is not set.
pub(crate) fn given(option: Option<&String>) -> Option<&str> {
    option.map(String::as_str).filter(|text| !text.is_empty())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The general options, with what empusa's own say.
fn with_empusas(
    options: &Options,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Options, Failure> {
    let mut options = options.clone();
    let empusa = &options.empusa;
    let protocol = given(empusa.etcd_protocol.as_ref()).map(str::to_lowercase);
    if let Some(protocol) = &protocol
        && !matches!(protocol.as_str(), "http" | "https")
    {
        return Err(Failure::usage(format!(
            "the protocol '{protocol}' is neither http nor https"
        )));
    }
    // A variable has white space between addresses, or commas, as the option has.
    let addresses: Vec<&str> = empusa
        .etcd_endpoint
        .iter()
        .flat_map(|text| text.split([',', ' ', '\t', '\n']))
        .filter(|address| !address.is_empty())
        .collect();
    let general = options.endpoints.as_deref().unwrap_or("localhost");
    let addresses = match addresses.as_slice() {
        [] => general.split(',').map(str::trim).collect(),
        _ => addresses,
    };
    let written = |address: &&str| match &protocol {
        Some(protocol) if !address.contains("://") => format!("{protocol}://{address}"),
        _ => (*address).to_owned(),
    };
    let addresses: Vec<String> = addresses.iter().map(written).collect();
    let secure = addresses
        .iter()
        .any(|address| address.to_lowercase().starts_with("https://"));
    if secure {
        let bundle = given(empusa.ca_bundle.as_ref()).map(str::to_owned);
        let others = || given(options.cacert.as_ref()).map(str::to_owned);
        options.cacert = bundle
            .or_else(others)
            .or_else(|| variable("REQUESTS_CA_BUNDLE"));
    } else if given(empusa.ca_bundle.as_ref()).is_some() {
        tracing::info!("the CA bundle is not used, since the protocol is not https");
    }
    options.endpoints = Some(addresses.join(","));
    Ok(options)
}

/// empusa logs what it does, from the level INFO down.
fn has_notes(variable: &dyn Fn(&str) -> Option<String>) -> Result<bool, Failure> {
    let Some(level) = variable("EMPUSA_LOGLEVEL") else {
        return Ok(true);
    };
    match level.to_uppercase().as_str() {
        "INFO" | "DEBUG" | "NOTSET" => Ok(true),
        "CRITICAL" | "FATAL" | "ERROR" | "WARN" | "WARNING" => Ok(false),
        _ => Err(Failure::usage(format!(
            "EMPUSA_LOGLEVEL is '{level}': write DEBUG, INFO, WARNING, ERROR or CRITICAL"
        ))),
    }
}

/// Reads whole seconds as Python does. None for an empty variable and for 0, which is no limit.
pub(crate) fn seconds(text: &str) -> Result<Seconds, String> {
    if text.is_empty() {
        return Ok(Seconds(None));
    }
    let Some(digits) = python::int(text) else {
        return Err("it is no whole number of seconds".to_owned());
    };
    if digits.starts_with('-') && digits.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        return Err("it is negative; give seconds, or 0 for no limit".to_owned());
    }
    match digits.trim_start_matches(['+', '-']).parse() {
        Ok(0) => Ok(Seconds(None)),
        Ok(seconds) if seconds <= LONGEST => Ok(Seconds(Some(Duration::from_secs(seconds)))),
        _ => Err(format!("it is more than etcd takes, {LONGEST} seconds")),
    }
}

/// A number of seconds, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Option<Duration>);

/// The time to live that an option gives, if any.
pub(crate) fn limit(option: Option<Seconds>) -> Option<Duration> {
    option.and_then(|seconds| seconds.0)
}

/// "with a TTL of 60 s", "without a TTL".
pub(crate) fn with_ttl(ttl: Option<Duration>) -> String {
    ttl.map_or_else(
        || "without a TTL".to_owned(),
        |ttl| format!("with a TTL of {} s", ttl.as_secs()),
    )
}

/// empusa's own forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// As psql draws tables.
    Table,
    /// On one line, as Python writes JSON.
    Json,
}

/// Shows a list. Without a form of empusa's it is the tool's own form, whose tables are empusa's
/// as well.
pub(crate) fn show<T: Serialize>(
    context: &Context,
    format: Option<ListFormat>,
    header: [&str; 3],
    rows: &[T],
    cells: impl Fn(&T) -> [Option<String>; 3],
) -> Result<(), Failure> {
    let table = || psql::table(header, rows.iter().map(cells).collect());
    match format {
        Some(ListFormat::Table) => output::print(&table()),
        Some(ListFormat::Json) => output::print(&python::json(&rows)?),
        None => context.output.show_text(rows, table),
    }
}

#[cfg(test)]
mod tests;
