//! The rate limit layer: holds each request until the API will accept it.
//!
//! # Guarantees
//!
//! - **Never over.** No window contains more departures than its quota allows, wherever it starts, since a
//!   server's windows may start anywhere. A request is charged in the same poll in which the inner service is
//!   called.
//! - **Never far under.** If work is always waiting, at least 99 % of a quota is used
//!   ([`Quota`](crate::Quota) has the table).
//! - **Paced**, because Together enforces its limits per second and quotes them per minute.
//! - **All or nothing.** A request under several limits is charged in all of them or in none.
//! - **First come, first served** within a lane (key, endpoint, model), and in turn between the
//!   [callers](crate::extension::Caller) of a lane. The model is read from a JSON object or a form that
//!   [is in memory](crate::body). For other bodies, [`Model`](crate::extension::Model) names it.
//! - **Dropping is free** until the inner service is called. After that, the in-flight slot is released and the
//!   charge to the rate stands.
//! - **A waiting request holds nothing of the inner service**: no `Buffer` slot, no `ConcurrencyLimit` permit. In
//!   return, `poll_ready` is always ready, so a `LoadShed` outside never sheds load because of the inner service.
//! - **A 429 pauses the whole lane**, unless it is [alone among many requests](crate::limiter#what-it-learns). A 429, or
//!   a 503 that gives a wait, pauses its lane until the instant that
//!   the server named ([`Paused`](crate::extension::Paused) in the response). The lane then resumes one request
//!   at a time, at half its pace, and reaches its full pace after 8 s. A 429 that gives no wait pauses it for
//!   1 s, doubling to 30 s while it stays blocked. HTTP/2's `ENHANCE_YOUR_CALM` does the same (with the client's
//!   feature, and over reqwest or beneath the retry layer, which read errors). The rejection of a request sent
//!   before the pause can only lengthen the pause. Requests that can no longer leave in time are rejected at once.
//!   The server's instant may be wrong, so a lane is paused for an hour at most and then tries another request.
//!   A request that was given a later instant must wait for it
//!   ([`Paused::not_before`](crate::extension::Paused::not_before)), as the [retry layer](crate::retry) does.
//! - **Errors are parsed.** The beginning of an error's body is read into [`ApiError`](crate::ApiError), in the
//!   response's extensions, and the body is returned whole. An error in the body of a success
//!   ([in-band](crate::ApiError::in_band)) is parsed too. It pauses its lane like the status that it names
//!   would. If it does not arrive with the head, the lane is paused when the error passes.
//! - **Jobs count as long as they run.** A fine-tune or a batch keeps its slot until it is known to have
//!   [ended](crate::jobs).
//! - **The error type is the inner service's.** A rejection is a response in Together's error shape that carries
//!   [`Rejected`](crate::Rejected), so the layer fits both axum (`Infallible`) and hyper.
//!
//! | reason for rejection | status | header |
//! |---|---|---|
//! | deadline, `max_wait`, full queue, too many keys | 429 | `Retry-After` |
//! | the request can never fit | 400 | `x-should-retry: false` |
//! | the limiter is [closed](crate::Limiter::close) | 503 | `x-should-retry: false` |
//! | the limiter is [closed for a restart](crate::Limiter::close_with_retry_after) | 503 | `Retry-After` |
//! | any of these, to a gRPC request | 200 | `grpc-status: 8`, `grpc-retry-pushback-ms` |
//!
//! # Examples
//!
//! The default table, on any client that is a `Service<http::Request<B>>`:
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_together::{TogetherRateLimitLayer, extension::Waited};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let client = service_fn(|_: Request<Empty<bytes::Bytes>>| async {
//! #     Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(TogetherRateLimitLayer::default())
//!     .service(client);
//! # let request = || Request::post("https://api.together.ai/v1/embeddings").body(Empty::new());
//! # client.clone().oneshot(request()?).await?;
//! let response = client.oneshot(request()?).await?;
//! if let Some(waited) = response.extensions().get::<Waited>() {
//!     println!("held back for {:?}", waited.duration());
//! }
//! # assert!(response.extensions().get::<Waited>().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Custom limits, a maximum wait of half a minute, and limits for Together's hosts only:
//!
//! ```
//! use std::time::Duration;
//! use tower_together::{Classify, Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer};
//!
//! let limits = Limits::default()
//!     .requests(Endpoint::ChatCompletions, Quota::per_minute(3_000)?)
//!     .scaled(9, 10)?;
//! let limiter = Limiter::new(limits).with_max_wait(Duration::from_secs(30));
//! let layer = TogetherRateLimitLayer::from(limiter.clone())
//!     .with_classify(Classify::together().only_hosts(Classify::TOGETHER_HOSTS));
//! // Elsewhere: limiter.snapshot(), limiter.set_limits(..), limiter.close()
//! # Ok::<(), tower_together::Error>(())
//! ```
//!
//! # Tokens
//!
//! If a [quota of tokens](crate::Limits::tokens) applies to a request's endpoint and model, the request is charged
//! its expected cost. When its response reports the real cost, the difference is charged or refunded. Without
//! such a quota, no body is read for tokens.
//!
//! | | charged before the request is sent |
//! |---|---|
//! | a chat's `messages` and `tools`, a `prompt`, an `input`, a `query` and its `documents` | their texts, by an estimate: off by 6 % on average, and 15 % at worst, in 27 languages, formats and kinds of text; or by [your tokenizer](TogetherRateLimitLayer::with_tokenizer) |
//! | each message | 5 tokens, and 4 once, for the marks of the chat template |
//! | each picture, sound or video, in base64 too | 1,601 tokens, Together's number for a picture of up to 1120 pixels |
//! | each completion (`n`) | the mean of the lane's recent completions, at most its `max_tokens` or `max_completion_tokens`; before the first one, that maximum, or 256. Or [always that](crate::Limits::reserve_max_tokens) |
//! | a body that is not in memory | its completion alone |
//! | a request with a [`Cost`](crate::extension::Cost) | that cost |
//!
//! The expected cost is charged with 1 % added, since servers that count by the second have little room for
//! completions that are longer than expected. In a simulation of a server that allows 180,000 tokens a minute,
//! with completions of very different length, 98 % are used and 1 in 750 requests is rejected
//! (`simulation/tests/tokens`); with `max_tokens` reserved, 65 % are used.
//!
//! The real cost is read as the body passes, from `usage` in a JSON response or in the events of a stream:
//! `total_tokens`, or the sum of the other counts. It is settled when the body ends, fails or is dropped. A stream
//! reports its usage only if the request asks for it (`"stream_options":{"include_usage":true}`).
//!
//! | response | final charge |
//! |---|---|
//! | with a usage | that usage |
//! | without one, or compressed, or no response at all | the expected cost |
//! | 429 | no tokens; the request counts |
//! | another client error, without a usage | no tokens: the server did not run the request |
//! | 408, 5xx | the expected cost: the server may have run any part of the request |
//!
//! A request whose prompt alone exceeds a whole quota is rejected at once.
//!
//! # Which timeouts count the wait
//!
//! ```text
//! caller → Timeout (counts the wait) → TogetherRateLimit → Timeout (does not) → client
//! ```
//!
//! | timeout | counts the wait for the turn |
//! |---|---|
//! | `tower::timeout` or `tokio::time::timeout` outside the layer | yes; dropping the future costs nothing |
//! | a [`Deadline`](crate::extension::Deadline), `grpc-timeout`, `x-stainless-timeout`, `x-stainless-read-timeout` | yes, and a request that cannot leave in time is rejected at once |
//! | [`max_wait`](crate::Limiter::with_max_wait) | only the wait |
//! | `tower::timeout` inside the layer, a client's own (hyper's connector, reqwest's `timeout`) | no: they start when the request is sent |
//!
//! # Pacing behind a connection pool
//!
//! The layer paces departures, not arrivals. A connection pool that is cold, or slow to open connections, delays
//! requests after the layer and then sends them together, so they arrive in a burst. Keep the pool warm (HTTP/2
//! does so with one connection). Give a network whose delay varies by more than 200 ms a wider
//! [margin](crate::Quota::with_margin).
//!
//! # Cancel safety
//!
//! If a future is dropped while it waits, nothing is charged and the next request moves up at once. If it is kept
//! but not polled when its turn comes, it delays the others by 10 ms, once, and keeps its place.
//!
//! # Panics
//!
//! A request that must wait panics when polled outside a Tokio runtime with its timer enabled.

mod body;
mod body_reader;
mod departed;
mod future;
mod head;
mod jobs;
mod layer;
mod read;
mod service;
mod tokens;
mod wanted;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::TogetherRateLimitLayer,
    service::TogetherRateLimit,
};
