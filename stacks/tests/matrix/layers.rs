//! The layers in each stack.

use std::time::Duration;

use tower_together::{
    Classify, Endpoint, Limiter, TogetherLayer, TogetherRateLimitLayer, TogetherRetryLayer,
};

#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) rate_limit: TogetherRateLimitLayer,
    pub(crate) retry: TogetherRetryLayer,
}

impl Layers {
    /// The layers over this limiter, without a long backoff.
    pub(crate) fn new(limiter: Limiter) -> Self {
        let short = Duration::from_millis(2);
        let retry = TogetherRetryLayer::default()
            .with_backoff(short, short)
            .with_jitter(Duration::ZERO);
        Self {
            rate_limit: TogetherRateLimitLayer::from(limiter).with_classify(classify()),
            retry: retry.with_classify(classify()),
        }
    }

    pub(crate) fn both(self) -> TogetherLayer {
        TogetherLayer::from(self.rate_limit).with_retry(self.retry)
    }
}

/// Classifies the gRPC service as chat too.
fn classify() -> Classify {
    Classify::default().with(|method, uri| {
        let grpc = uri.path().starts_with("/together.stacks.Chat/");
        Some(match grpc {
            true => Endpoint::ChatCompletions,
            false => Endpoint::of(method, uri.path()),
        })
    })
}
