//! The services that are compared: the no-op, the layer, and other crates' layers, each with a limit that never binds.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    num::NonZeroU32,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::Empty;
use tower::{
    BoxError, Layer, Service,
    buffer::Buffer,
    limit::{RateLimit, rate::Rate},
};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};
use tower_resilience_ratelimiter::{RateLimiter, RateLimiterLayer};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, rate_limit::TogetherRateLimit,
};

/// Responds at once, with an empty response.
#[derive(Clone, Copy)]
pub(crate) struct NoOp;

impl<B> Service<Request<B>> for NoOp {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}

/// Responds at once, with the headers of Together's responses.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    // A reference count is avoided, because two threads would contend for it.
    headers: &'static HeaderMap,
}

impl Told {
    pub(crate) fn new() -> Self {
        let headers = LIMITS.map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Self {
            headers: Box::leak(Box::new(headers.into_iter().collect())),
        }
    }
}

impl<B> Service<Request<B>> for Told {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        *response.headers_mut() = self.headers.clone();
        ready(Ok(response))
    }
}

/// Responds at once, with axum's body, which `tower_governor` requires.
#[derive(Clone, Copy)]
pub(crate) struct AxumNoOp;

impl<B> Service<Request<B>> for AxumNoOp {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Body::empty())))
    }
}

/// Our layer, with a table shaped like the default table.
pub(crate) fn together<S: Clone>(inner: S) -> TogetherRateLimit<S> {
    TogetherRateLimitLayer::new(limits()).layer(inner)
}

pub(crate) fn together_in_flight<S: Clone>(inner: S) -> TogetherRateLimit<S> {
    let limits = limits().in_flight(Endpoint::ChatCompletions, NonZeroU32::MAX);
    TogetherRateLimitLayer::new(limits).layer(inner)
}

pub(crate) fn together_counting_tokens<S: Clone>(inner: S) -> TogetherRateLimit<S> {
    let quota = Quota::per_second(LARGE).expect("the most there is");
    let limits = limits().tokens(Endpoint::ChatCompletions, quota);
    TogetherRateLimitLayer::new(limits).layer(inner)
}

pub(crate) fn learner(learning: bool) -> TogetherRateLimitLayer {
    Limiter::new(limits()).adaptive(learning).into()
}

pub(crate) fn resilience<S>(inner: S) -> RateLimiter<S> {
    let layer = RateLimiterLayer::builder()
        .limit_for_period(LARGE as usize)
        .refresh_period(Duration::from_secs(1))
        .build();
    layer
        .expect("its own default but for the numbers")
        .layer(inner)
}

/// Tower's pair for a shared rate limit. Its worker lives in the runtime that this is called in.
pub(crate) fn buffered()
-> impl Service<Request<Empty<Bytes>>, Response = Response<Empty<Bytes>>, Error = BoxError>
+ Clone
+ Send
+ 'static {
    let rate = Rate::new(LARGE, Duration::from_secs(1));
    Buffer::new(RateLimit::new(NoOp, rate), 1024)
}

pub(crate) fn governed<K>(
    by: K,
) -> impl Service<Request<Empty<Bytes>>, Response = Response<Body>, Error = Infallible>
+ Clone
+ Send
+ 'static
where
    K: KeyExtractor<Key: Send + Sync> + Send + Sync + 'static,
{
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        // A thread that is suspended between reading its clock and charging must not be rejected.
        .burst_size(u32::MAX)
        .key_extractor(by)
        .finish();
    GovernorLayer::new(config.expect("neither number is 0")).layer(AxumNoOp)
}

/// Limits by the `authorization` header. The header is used as it is, because its clone is the cheapest.
#[derive(Clone)]
pub(crate) struct ByAuthorization;

impl KeyExtractor for ByAuthorization {
    type Key = HeaderValue;

    fn extract<T>(&self, request: &Request<T>) -> Result<HeaderValue, GovernorError> {
        let key = request.headers().get(AUTHORIZATION).cloned();
        key.ok_or(GovernorError::UnableToExtractKey)
    }
}

pub(crate) fn limits() -> Limits {
    use Endpoint::{BatchCreate, ChatCompletions, Completions, Embeddings, FineTuneCreate, Images};
    let quota = Quota::per_second(LARGE).expect("the most there is");
    Limits::none()
        .requests(ChatCompletions, quota)
        .requests(Completions, quota)
        .requests(Embeddings, quota)
        .shared([ChatCompletions, Completions, Embeddings], quota)
        .requests(Images, quota)
        .jobs(FineTuneCreate, NonZeroU32::MAX)
        .jobs(BatchCreate, NonZeroU32::MAX)
}

/// Requests a second, the most that a quota accepts: two threads together send a third of it.
const LARGE: u64 = 10_000_000;

/// Headers with the highest limits that the limiter believes.
const LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-limit", "1000000"),
    ("x-ratelimit-remaining", "999999"),
    ("x-ratelimit-reset", "0"),
    ("x-ratelimit-limit-tokens", "1000000000"),
    ("x-ratelimit-limit-dynamic", "1000000"),
    ("x-ratelimit-remaining-dynamic", "999999"),
];
