//! What is measured, through the `metrics` facade: without a recorder it
//! costs next to nothing, with one it goes where the process's other metrics
//! go.
//!
//! | metric | kind | what it counts |
//! |---|---|---|
//! | `osgi_remote_endpoints` | gauge | endpoints of others that are known |
//! | `osgi_remote_sessions` | gauge | sessions of others that are known |
//! | `osgi_remote_suspects` | gauge | endpoints that are kept though their keys are gone |
//! | `osgi_remote_rejected_values` | gauge | keys in range that are no endpoints |
//! | `osgi_remote_events_total` | counter | news of endpoints, by `kind`: `added`, `modified`, `removed` |
//! | `osgi_remote_delivery_lag_seconds` | histogram | from a description's making (`ecf.endpoint.ts`, the maker's clock) to its news here; only for what came through the live watch |
//! | `osgi_remote_dials_total` | counter | connections attempted, by `part`: `session`, `watch` |
//! | `osgi_remote_connection_failures_total` | counter | connections given up, by `part` |
//! | `osgi_remote_lease_losses_total` | counter | own leases lost |
//! | `osgi_remote_keys_written_total` | counter | own keys put and deleted, by `operation`: `put`, `delete` |
//! | `osgi_remote_relists_total` | counter | complete listings of the range |
//! | `osgi_remote_audit_repairs_total` | counter | differences that a listing found and the watch should have told |
//! | `osgi_remote_histories_lost_total` | counter | times that the store was found to be another one |
//!
//! Several frameworks in one process add to the same counters; of the gauges
//! the last one that spoke is shown.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::keyspace::{SessionCounts, WatchCounts};

/// Adds what happened in a session between two snapshots.
pub(crate) fn session(before: &SessionCounts, after: &SessionCounts) {
    let add = |name, label: Option<(&'static str, &'static str)>, before: u64, after: u64| {
        if after > before {
            match label {
                Some((key, value)) => counter!(name, key => value).increment(after - before),
                None => counter!(name).increment(after - before),
            }
        }
    };
    let part = Some(("part", "session"));
    add("osgi_remote_dials_total", part, before.dials, after.dials);
    let failures = "osgi_remote_connection_failures_total";
    add(failures, part, before.failures, after.failures);
    add(
        "osgi_remote_lease_losses_total",
        None,
        before.losses,
        after.losses,
    );
    let written = "osgi_remote_keys_written_total";
    add(written, Some(("operation", "put")), before.puts, after.puts);
    add(
        written,
        Some(("operation", "delete")),
        before.deletes,
        after.deletes,
    );
}

/// Adds what happened in a watcher between two snapshots.
pub(crate) fn watcher(before: &WatchCounts, after: &WatchCounts) {
    let add = |name, before: u64, after: u64| {
        if after > before {
            counter!(name).increment(after - before);
        }
    };
    if after.dials > before.dials {
        counter!("osgi_remote_dials_total", "part" => "watch")
            .increment(after.dials - before.dials);
    }
    if after.failures > before.failures {
        counter!("osgi_remote_connection_failures_total", "part" => "watch")
            .increment(after.failures - before.failures);
    }
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

/// Shows what a view knows.
pub(crate) fn view(endpoints: usize, sessions: usize, suspects: usize, rejected: usize) {
    #[allow(
        clippy::cast_precision_loss,
        reason = "no process knows more than 2^52 endpoints"
    )]
    let show = |name, count: usize| gauge!(name).set(count as f64);
    show("osgi_remote_endpoints", endpoints);
    show("osgi_remote_sessions", sessions);
    show("osgi_remote_suspects", suspects);
    show("osgi_remote_rejected_values", rejected);
}

/// Counts news of an endpoint: `added`, `modified` or `removed`.
pub(crate) fn event(kind: &'static str) {
    counter!("osgi_remote_events_total", "kind" => kind).increment(1);
}

/// Notes how long news of an endpoint was on its way.
pub(crate) fn lag(lag: Duration) {
    histogram!("osgi_remote_delivery_lag_seconds").record(lag.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    #[test]
    fn what_happened_between_two_snapshots_is_added() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            let mut counts = SessionCounts::default();
            (counts.dials, counts.puts) = (2, 5);
            session(&SessionCounts::default(), &counts);
            session(&counts, &counts);
            let mut watch = WatchCounts::default();
            (watch.dials, watch.repairs) = (1, 3);
            watcher(&WatchCounts::default(), &watch);
            view(7, 1, 0, 2);
            event("added");
        });
        let shown: Vec<String> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(key, _, _, value)| {
                let (name, labels) = key.key().clone().into_parts();
                let labels: Vec<_> = labels.iter().map(|l| l.value().to_owned()).collect();
                let value = match value {
                    DebugValue::Counter(n) => n.to_string(),
                    DebugValue::Gauge(n) => n.to_string(),
                    DebugValue::Histogram(n) => format!("{n:?}"),
                };
                format!("{} {} {value}", name.as_str(), labels.join(","))
            })
            .collect();
        for line in [
            "osgi_remote_dials_total session 2",
            "osgi_remote_dials_total watch 1",
            "osgi_remote_keys_written_total put 5",
            "osgi_remote_audit_repairs_total  3",
            "osgi_remote_endpoints  7",
            "osgi_remote_rejected_values  2",
            "osgi_remote_events_total added 1",
        ] {
            assert!(
                shown.iter().any(|s| s == line),
                "{line} is not in {shown:#?}"
            );
        }
        assert!(!shown.iter().any(|s| s.contains("delete")), "{shown:#?}");
    }
}
