//! The retry layer.
mod backoff;
mod budget;
mod future;
mod layer;
#[cfg(feature = "tower")]
mod policy;
mod service;
mod session;
mod settings;
mod tries;
mod verdict;

#[cfg(feature = "tower")]
pub use self::policy::{Policy, Wait};
pub use self::{
    budget::Budget, future::ResponseFuture, layer::TogetherRetryLayer, service::TogetherRetry,
};
