//! The ready templates.

/// A template that comes with the tool.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    pub(super) about: &'static str,
}

pub(super) const READY: [Ready; 3] = [
    Ready {
        name: "haproxy",
        source: include_str!("templates/haproxy.j2"),
        about: "a backend for each type of service (services)",
    },
    Ready {
        name: "nginx",
        source: include_str!("templates/nginx.j2"),
        about: "an upstream for each type of service (services)",
    },
    Ready {
        name: "prometheus",
        source: include_str!("templates/prometheus.j2"),
        about: "the nodes of all groups for file_sd_configs (groups)",
    },
];

pub(super) fn find(name: &str) -> Option<&'static Ready> {
    READY.iter().find(|ready| ready.name == name)
}

/// All names, for messages.
pub(super) fn names() -> String {
    READY.map(|ready| ready.name).join(", ")
}
