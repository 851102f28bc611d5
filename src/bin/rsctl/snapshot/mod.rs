//! rsctl snapshot, rsctl restore: a prefix as JSON lines, and back.

pub(crate) mod file;
mod plan;
pub(crate) mod present;
mod put;
mod restore;
mod take;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub(crate) use self::restore::restore;
pub(crate) use self::take::snapshot;
use crate::time::duration_above_zero;

/// Write the keys below a prefix as JSON lines, as they stand at one revision.
///
/// The first line tells the format, the cluster, the revision, the prefix and the time, the last
/// one the number of keys. In between each line is a key: key, value (as base64 in value_base64
/// where it is no text), lease and the seconds left of it, and revisions. Values are written as they
/// are: with the passwords of groups, so keep the snapshot where only you can read it.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Which keys. '' means all. Default: those of endpoints, below the top key.
    prefix: Option<String>,
    /// Write into this file, whole or not at all, instead of on stdout. Only its owner can read it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Put back what a snapshot holds.
///
/// The whole file is checked before anything is written. Keys that are there with the same value
/// are left alone, and so are keys that the snapshot does not have. Keys that are there with
/// another value are listed, and nothing is written, unless --overwrite is given. Nor is anything
/// written while there are values on which peers that watch below the top key would stop watching,
/// or drop an endpoint, unless --force is given. What changes while this runs is not overwritten. It
/// can be run again after a failure.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The snapshot; '-' for stdin.
    file: PathBuf,
    /// Only keys that begin with this. Default: all of the snapshot.
    #[arg(long)]
    prefix: Option<String>,
    /// Also overwrite keys that are there with another value.
    #[arg(long)]
    overwrite: bool,
    /// Also put values on which a peer would stop watching, or drop an endpoint; rsctl endpoint lint
    /// FILE tells which, and why.
    #[arg(long)]
    force: bool,
    /// Also put keys that were under a lease, under a new one that nobody keeps alive: it ends
    /// after the time that was left of the old one. Default: they are left out.
    #[arg(long)]
    leased: bool,
    /// The time of the new leases, as in 90 (seconds), 30s or 5m; asks for --leased.
    ///
    /// Default: what was left of the old ones.
    #[arg(long, value_name = "TIME", value_parser = duration_above_zero, requires = "leased")]
    lease_ttl: Option<Duration>,
    /// Take a snapshot that is cut off, or was edited so that it has more or fewer keys than its
    /// last line tells.
    #[arg(long)]
    partial: bool,
    /// Tell what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}
