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
//! | `osgi_remote_listener_failures_total` | counter | calls of endpoint listeners that went wrong, by `kind`: `failed`, `panicked` |
//! | `osgi_remote_histories_lost_total` | counter | times that the store was found to be another one |
//! | `osgi_remote_calls_total` | counter | remote calls, by `side` (`client`, `server`), `interface`, and `outcome`: `ok`, `fault` (the service's own error), `refused`, `remote` (the way or the endpoint failed), `dropped`; only with the interceptor [`Metrics`](crate::calls::Metrics), as the next two |
//! | `osgi_remote_calls_in_flight` | gauge | remote calls under way, by `side` and `interface` |
//! | `osgi_remote_call_seconds` | histogram | how long they took, by `side` and `interface` |
//! | `osgi_remote_retries_total` | counter | calls that a balanced proxy wanted to make again, by `paid`: `true`, or `false` where the budget was used up |
//! | `osgi_remote_endpoints_shut_out_total` | counter | times that a balanced proxy left an endpoint alone, by `reason`: `breaker`, `outlier` |
//!
//! Several frameworks in one process add to the same counters; of the gauges
//! the last one that spoke is shown.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// Adds to a counter what came between two readings of a count.
pub(crate) fn add(name: &'static str, before: u64, after: u64) {
    if after > before {
        counter!(name).increment(after - before);
    }
}

/// [`add`] for the counter with this label.
pub(crate) fn add_to(
    name: &'static str,
    (label, value): (&'static str, &'static str),
    before: u64,
    after: u64,
) {
    if after > before {
        counter!(name, label => value).increment(after - before);
    }
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

/// Counts a call of an endpoint listener that went wrong: `failed` or
/// `panicked`.
pub(crate) fn listener_failure(kind: &'static str) {
    counter!("osgi_remote_listener_failures_total", "kind" => kind).increment(1);
}

/// Notes how long news of an endpoint was on its way.
pub(crate) fn lag(lag: Duration) {
    histogram!("osgi_remote_delivery_lag_seconds").record(lag.as_secs_f64());
}

/// Counts a remote call that begins.
pub(crate) fn call_begins(side: &'static str, interface: &str) {
    let interface = interface.to_owned();
    gauge!("osgi_remote_calls_in_flight", "side" => side, "interface" => interface).increment(1.0);
}

/// Counts a remote call that ends.
pub(crate) fn call_ends(
    side: &'static str,
    interface: &str,
    outcome: &'static str,
    took: Duration,
) {
    let name = || interface.to_owned();
    gauge!("osgi_remote_calls_in_flight", "side" => side, "interface" => name()).decrement(1.0);
    counter!("osgi_remote_calls_total", "side" => side, "interface" => name(), "outcome" => outcome)
        .increment(1);
    histogram!("osgi_remote_call_seconds", "side" => side, "interface" => name())
        .record(took.as_secs_f64());
}

/// Counts a call that is to be made again.
pub(crate) fn retry(paid: bool) {
    let paid = if paid { "true" } else { "false" };
    counter!("osgi_remote_retries_total", "paid" => paid).increment(1);
}

/// Counts an endpoint that is left alone: by its `breaker`, or as `outlier`.
pub(crate) fn shut_out(reason: &'static str) {
    counter!("osgi_remote_endpoints_shut_out_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    #[test]
    fn what_came_between_two_readings_is_added() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || {
            add("osgi_remote_audit_repairs_total", 1, 4);
            add("osgi_remote_audit_repairs_total", 4, 4);
            add_to("osgi_remote_dials_total", ("part", "session"), 0, 2);
            add_to("osgi_remote_dials_total", ("part", "watch"), 0, 1);
            add_to(
                "osgi_remote_keys_written_total",
                ("operation", "delete"),
                2,
                2,
            );
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
