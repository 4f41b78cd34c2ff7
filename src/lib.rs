//! x

mod adapter;
pub mod body;
mod header;
pub mod limiter;
mod observe;
mod quota;
pub mod rate_limit;
mod words;

pub use crate::{
    limiter::Limiter,
    rate_limit::TogetherRateLimitLayer,
    words::{Classify, Endpoint, Error, Limits, Quota, Rejected, Tier, extension},
};
