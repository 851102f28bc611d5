//! What stands between a caller and a service.
//!
//! - [`Interceptor`]s see each remote call on either side: [`Tracing`] (with
//!   [`TraceContext`] carried to the peer), [`Metrics`], [`BearerToken`] and
//!   [`RequireBearer`], and your own.
//! - [`Balance`] makes one proxy over all endpoints that offer an interface:
//!   it chooses one for each call, goes to another when one fails, and keeps
//!   an outage from being multiplied.
//!
//! Both are Invokers around Invokers and Dispatches around Dispatches;
//! neither proxy nor service knows of them.

mod balance;
mod bearer;
mod breaker;
mod interceptor;
mod metrics;
mod outlier;
mod provider;
mod retry;
mod trace;
mod tracing;

pub use self::balance::{Balance, Balanced, Candidate, EndpointState, Picker};
pub use self::bearer::{BearerToken, RequireBearer};
pub use self::breaker::{Breaker, BreakerConfig, BreakerState, Permit};
pub use self::interceptor::{
    InterceptedDispatch, InterceptedInvoker, Interceptor, Interceptors, Next, Side, Target,
};
pub use self::metrics::Metrics;
pub use self::outlier::{Counts, OutlierConfig, Record};
pub use self::provider::InterceptedProvider;
pub use self::retry::{Budget, BudgetConfig};
pub use self::trace::{TraceContext, TraceContextError};
pub use self::tracing::Tracing;
