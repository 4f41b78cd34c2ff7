//! x
mod future;
mod layer;
mod read;
mod refusal;
mod service;

pub use self::{future::ResponseFuture, layer::TogetherRateLimitLayer, service::TogetherRateLimit};
