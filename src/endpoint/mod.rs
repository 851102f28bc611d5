//! Endpoint descriptions, and the forms in which they travel.

mod description;
#[cfg(feature = "edef")]
pub mod edef;
pub mod lint;
pub mod service_info;

pub(crate) use description::package_of;
pub use description::{DescriptionError, EndpointDescription};
