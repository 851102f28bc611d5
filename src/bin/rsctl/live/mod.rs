//! Commands that run a live framework.

pub(crate) mod call;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod shell;
