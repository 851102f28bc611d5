//! The servers of the list together.

use std::collections::BTreeMap;

use osgi_remote::keyspace::{Client, ServerStatus};

use super::finding::Finding;
use super::versions;

/// Whether they are one cluster, and which versions they have.
pub(crate) fn judge(servers: &[ServerStatus]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let clusters = grouped(servers, |status| format!("{:x}", status.cluster));
    if clusters.len() > 1 {
        let each: Vec<String> = clusters
            .iter()
            .map(|(cluster, endpoints)| format!("{endpoints} is of {cluster}"))
            .collect();
        findings.push(Finding::error(
            "cluster",
            format!(
                "the list names servers of {} clusters, of which clients see one or another: {}",
                clusters.len(),
                each.join(", ")
            ),
            "name servers of one cluster only",
        ));
    }
    let versions = grouped(servers, |status| status.version.clone());
    if versions.len() > 1 {
        let all: Vec<&str> = versions.keys().map(String::as_str).collect();
        findings.push(Finding::warning(
            "version",
            format!("the servers have several versions: {}", all.join(", ")),
            "complete the upgrade",
        ));
    }
    for (version, endpoints) in versions {
        let of_version = versions::judge(&version).into_iter();
        findings.extend(of_version.map(|finding| finding.at(&endpoints)));
    }
    findings
}

/// The endpoints that share something.
fn grouped(
    servers: &[ServerStatus],
    by: impl Fn(&ServerStatus) -> String,
) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for server in servers {
        let endpoints = groups.entry(by(server)).or_default();
        if !endpoints.is_empty() {
            endpoints.push_str(", ");
        }
        endpoints.push_str(&server.endpoint.to_string());
    }
    groups
}

/// Who belongs to the cluster, against the list.
pub(crate) async fn members(client: &Client, listed: usize) -> Finding {
    const CHECK: &str = "members";
    match client.members().await {
        Ok(members) => {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            let what = format!("{} of {listed} listed: {}", members.len(), names.join(", "));
            if members.len() > listed {
                let what = format!("the cluster has more members than are listed: {what}");
                let cure = "list all, or an address behind which they all are, so that clients \
                            find another when one fails";
                Finding::warning(CHECK, what, cure)
            } else {
                Finding::ok(CHECK, names.join(", "))
            }
        }
        // Newer versions tell only administrators.
        Err(error) => Finding::of(CHECK, error).into_warning(),
    }
}
