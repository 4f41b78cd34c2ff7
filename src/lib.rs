//! Tower layers that keep any HTTP client within Together AI's rate limits, and retry its transient failures.
//!
//! Together AI limits each organization, by operation (chat completions, embeddings, images, fine-tune jobs, batches)
//! and model. Sending too fast gets 429 responses; sending too slowly wastes paid quota. [`TogetherLayer`] goes in
//! front of a program's HTTP client. It holds each request until the API will accept it. It retries a request that
//! fails for a transient reason, after the wait that the server asks for. It combines two layers, which also work
//! alone: [`TogetherRetryLayer`] over [`TogetherRateLimitLayer`].
//!
//! A limiter counts by API key, and within it by operation and model. So give the keys of one organization one
//! [name](extension::ApiKey::named).
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
//! let response = client.ready().await?.call(request).await?;
//! assert!(response.status().is_success());
//! # Ok(())
//! # }
//! ```
//!
//! **Two limiters for one key allow twice the limit. Create one layer, or one [`Limiter`], and clone it.** All
//! clones share one state.
//!
//! # Guide
//!
//! | for | see |
//! |---|---|
//! | every client: reqwest, reqwest-middleware, hyper, tonic, axum, async-openai; the order of layers | [`stack`] |
//! | guarantees, and which timeouts count the wait | [`rate_limit`] |
//! | what is retried, and when | [`retry`] |
//! | another model when the requested one is overloaded | [`fallback`] |
//! | the meaning of an error, and what to do about it | [`ApiError`] |
//! | fine-tunes and batches, whose limit is how many run at once | [`jobs`] |
//! | many chat requests as batches | the crate [`tower-together-jobs`](https://docs.rs/tower-together-jobs) |
//! | tables of limits | [`Limits`], [`Quota`], [`Tier`] |
//! | use without tower, changes at run time, monitoring | [`limiter`] |
//! | the operation of a request; other hosts, proxies, other services | [`Endpoint`], [`Classify`] |
//! | keys, callers, models, deadlines and retries of single requests | [`extension`] |
//! | supported request bodies | [`body`] |
//! | settings for a batch job, a web server, an interactive tool, many machines | [`guide::settings`] |
//! | logs, and what to alert on | [`guide::logs`] |
//! | what replaces governor, reqwest-retry, backoff, tower's own layers | [`guide::migrating`] |
//! | blocking clients, other runtimes, WebAssembly | [`guide::unsupported`] |
//! | tests of your own code, in virtual time and against a strict stand-in | [`stack`](stack#testing-your-own-code) |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `async-openai` | a layer that adapts a stack to its `with_http_service` |
//! | `axum` | axum's `Body` as a request body: servers, proxies |
//! | `hyper` | hyper's `Incoming` as a request body: servers; and classifies the errors of hyper and its clients, for example as not sent |
//! | `redis` | limits that several processes share through Redis or Valkey (`Limiter::shared_by`) |
//! | `redis-tls` | the same over TLS: `rediss://` |
//! | `reqwest` | the layers over a `reqwest::Client`, as it is or as a service of `http::Request`s |
//! | `reqwest-middleware` | the layers as its middleware |
//! | `tonic` | tonic's `Body` as a request body, and classifies its channel's errors; requires Rust 1.88 |
//! | `tower-http` | recognises responses of tower-http's `FollowRedirect` that are from another URL |
//! | `tracing` | spans and events: waits, pauses, retries, and why a request is not retried ([`guide::logs`]); a warning for each [mistake](limiter#mistakes) that nothing else shows |
//!
//! None is on by default, and none changes the behaviour of the rest.

mod adapter;
pub mod body;
mod clock;
pub mod fallback;
pub mod guide;
pub mod jobs;
mod layer;
pub mod limiter;
mod observe;
mod quota;
pub mod rate_limit;
#[cfg(feature = "redis")]
pub mod redis;
mod resend;
pub mod retry;
pub mod stack;
mod wire;
mod words;

#[doc(inline)]
pub use crate::{
    fallback::TogetherFallbackLayer,
    layer::{Together, TogetherLayer},
    limiter::Limiter,
    rate_limit::TogetherRateLimitLayer,
    retry::TogetherRetryLayer,
    words::{ApiError, Classify, Endpoint, Error, Limits, Quota, Rejected, Tier, extension},
};

#[cfg(all(doctest, feature = "reqwest-middleware"))]
#[doc = include_str!("../README.md")]
struct Readme;
