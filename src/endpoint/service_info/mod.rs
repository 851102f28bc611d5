//! The JSON form in which ECF and iPOPO keep endpoint descriptions in etcd.
//!
//! [`encode`] is the one function through which every value passes that is
//! written, and it writes only what neither peer's watcher can choke on;
//! [`decode`] reads all that either of them writes.
//!
//! # Types on the wire
//!
//! The standard properties are text, lists among them joined by spaces.
//! Other properties are typed by ECF and text in iPOPO, which ignores typed
//! ones. So a property that is no string is written twice: as text, for
//! iPOPO, and then typed, for ECF. What ECF's types cannot tell apart (an
//! array from a list, a short from an integer) is kept exactly in one more
//! property, [`EXACT`], that peers take for a plain string.

mod decode;
mod encode;
pub(crate) mod exact;
mod json;

#[cfg(test)]
mod tests;

pub use decode::{DecodeError, decode};
pub(crate) use encode::REQUIRED;
pub use encode::{EncodeError, encode, leave_out_unfit, service_name};

use super::EndpointDescription;

/// The property that keeps the exact types of others. It is taken out again
/// when it is read.
pub const EXACT: &str = "osgi_remote.exact";

/// The name under which ECF's discovery knows remote services.
const SERVICE_TYPE: &str = "ecfosgirsvc";

/// The port in `location`. ECF and iPOPO write this one; nothing listens.
const LOCATION_PORT: u16 = 32565;

/// What one value in etcd holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// The endpoint.
    pub description: EndpointDescription,
    /// Lower is to be preferred, as in DNS SRV records; 0 unless given.
    pub priority: i64,
    /// The share among those of one priority; 0 unless given.
    pub weight: i64,
}

impl ServiceInfo {
    /// A value of this endpoint, with priority and weight 0.
    pub fn new(description: EndpointDescription) -> Self {
        Self {
            description,
            priority: 0,
            weight: 0,
        }
    }
}
