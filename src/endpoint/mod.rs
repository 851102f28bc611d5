//! Endpoint descriptions, and the forms in which they travel.

mod description;
pub mod service_info;

pub use description::{DescriptionError, EndpointDescription};
