//! Endpoint descriptions, and the forms in which they travel.

mod description;
#[cfg(feature = "edef")]
pub mod edef;
pub mod service_info;

pub use description::{DescriptionError, EndpointDescription};
