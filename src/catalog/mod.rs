//! The small registries on etcd's key space: services, switches, groups.

pub mod groups;
