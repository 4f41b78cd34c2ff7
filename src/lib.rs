//! Tower layers that keep any HTTP client inside Together AI's rate limits, and bring its requests
//! through what fails on the way.
//!
//! Together AI limits each API key by operation: chat completions, embeddings, images, fine-tune
//! jobs, batches. Send too fast and it answers 429; send too slowly and paid quota is wasted.
//! [`TogetherLayer`] goes in front of the HTTP client a program already has: it holds each request
//! until the API will take it, and sends it again, when the server said, if it fails for a passing
//! reason. It is two layers, which also go alone: [`TogetherRetryLayer`] over
//! [`TogetherRateLimitLayer`].
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//! use tower_together::TogetherLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let api = together_standin::StandIn::start().await?;
//! # let api = api.url();
//! let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
//! let mut client = ServiceBuilder::new()
//!     .layer(TogetherLayer::default())
//!     .service(client);
//!
//! let request = Request::post(format!("{api}/v1/embeddings"))
//!     .header("authorization", "Bearer YOUR_KEY")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"model":"BAAI/bge-base-en-v1.5","input":"hello"}"#))?;
//! let answer = client.ready().await?.call(request).await?;
//! assert!(answer.status().is_success());
//! # Ok(())
//! # }
//! ```
//!
//! **Two limiters for one key allow twice the limit: make one layer, or one [`Limiter`], and clone
//! it.** All clones share one state.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | every client: reqwest, reqwest-middleware, hyper, tonic, axum, async-openai; the order of layers | [`stack`] |
//! | what is promised, which timeouts count the wait | [`rate_limit`] |
//! | what is sent again, and when | [`retry`] |
//! | another model, where the one named is overloaded | [`fallback`] |
//! | what an error says, and what to do about it | [`ApiError`] |
//! | fine-tunes and batches, of which only so many run at once | [`jobs`] |
//! | many chat requests as batches | the crate [`tower-together-jobs`](https://docs.rs/tower-together-jobs) |
//! | what may be sent | [`Limits`], [`Quota`], [`Tier`] |
//! | use without tower, changes while it runs, what it is doing | [`limiter`] |
//! | which request is which operation; other hosts, proxies, other services | [`Endpoint`], [`Classify`] |
//! | keys, callers, models, deadlines, retries, said per request | [`extension`] |
//! | which request bodies fit | [`body`] |
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `async-openai` | a layer that makes a stack fit its `with_http_service` |
//! | `axum` | axum's `Body` as a request body: servers, proxies |
//! | `hyper` | hyper's `Incoming` as a request body: servers; and the errors of hyper and its clients told apart: which of them never left |
//! | `reqwest` | the layers over a `reqwest::Client`, as it is or as a service of `http::Request`s |
//! | `reqwest-middleware` | the layers as its middleware |
//! | `tonic` | tonic's `Body` as a request body, and its channel's errors told apart; takes Rust 1.88 |
//! | `tower` | the retry layer's rules as a policy for `tower::retry` |
//! | `tower-http` | responses of tower-http's `FollowRedirect` told apart: which of them are from another URL |
//! | `tracing` | an event for each refusal, each 429, each retry, each client error with the number of attempts, and each wait for a job to end; a warning of each [mistake](limiter#mistakes) that nothing else shows |
//!
//! None is on by default, and none changes what is there without it.

mod adapter;
pub mod body;
mod clock;
pub mod fallback;
pub mod jobs;
mod layer;
pub mod limiter;
mod observe;
mod quota;
pub mod rate_limit;
mod resend;
pub mod retry;
pub mod stack;
mod wire;
mod words;

pub use crate::{
    fallback::TogetherFallbackLayer,
    layer::{Together, TogetherLayer},
    limiter::Limiter,
    rate_limit::TogetherRateLimitLayer,
    retry::TogetherRetryLayer,
    words::{ApiError, Classify, Endpoint, Error, Limits, Quota, Rejected, Tier, extension},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
