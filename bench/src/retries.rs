//! Retry layers, ours and tower's, alone and over the limiter.

use tower::{
    Layer,
    retry::{Retry, RetryLayer},
};
use tower_together::{
    TogetherLayer, TogetherRetryLayer, rate_limit::TogetherRateLimit, retry::TogetherRetry,
};

use crate::{by_hand::Cloning, services::limits};

pub(crate) fn retry<S: Clone>(inner: S) -> TogetherRetry<S> {
    TogetherRetryLayer::default().layer(inner)
}

pub(crate) fn both<S: Clone>(inner: S) -> TogetherRetry<TogetherRateLimit<S>> {
    TogetherLayer::new(limits()).layer(inner)
}

pub(crate) fn by_hand<S>(inner: S) -> Retry<Cloning, S> {
    RetryLayer::new(Cloning::default()).layer(inner)
}
