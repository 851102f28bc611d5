//! Counts as metrics.

use super::{SessionCounts, WatchCounts};
use crate::meters::{add, add_to};

const DIALS: &str = "osgi_remote_dials_total";
const FAILURES: &str = "osgi_remote_connection_failures_total";
const WRITTEN: &str = "osgi_remote_keys_written_total";

/// Adds what happened in a session between two snapshots.
pub(super) fn session(before: &SessionCounts, after: &SessionCounts) {
    let part = ("part", "session");
    add_to(DIALS, part, before.dials, after.dials);
    add_to(FAILURES, part, before.failures, after.failures);
    add(
        "osgi_remote_lease_losses_total",
        before.losses,
        after.losses,
    );
    add_to(WRITTEN, ("operation", "put"), before.puts, after.puts);
    add_to(
        WRITTEN,
        ("operation", "delete"),
        before.deletes,
        after.deletes,
    );
}

/// Adds what happened in a watcher between two snapshots.
pub(super) fn watcher(before: &WatchCounts, after: &WatchCounts) {
    let part = ("part", "watch");
    add_to(DIALS, part, before.dials, after.dials);
    add_to(FAILURES, part, before.failures, after.failures);
    add("osgi_remote_relists_total", before.lists, after.lists);
    add(
        "osgi_remote_audit_repairs_total",
        before.repairs,
        after.repairs,
    );
    add(
        "osgi_remote_histories_lost_total",
        before.histories_lost,
        after.histories_lost,
    );
}
