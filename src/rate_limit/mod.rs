//! The rate limit layer: each request waits here until the API will take it.
//!
//! # What is promised
//!
//! - **Never over.** No window sees more leave than its quota allows, wherever it starts, because
//!   a server's windows start where it likes. A request is charged in the same poll in which the
//!   inner service is called.
//! - **Never far under.** With work always waiting, at least 99 % of a quota is used
//!   ([`Quota`](crate::Quota) has the table).
//! - **Paced**, because Together enforces per second what it quotes per minute.
//! - **All or nothing.** A request under several limits is charged in all of them or in none.
//! - **First come, first served** within a lane (key, endpoint, model), and in turn between the
//!   [callers](crate::extension::Caller) of a lane. The model is read from a JSON object or a form that
//!   [lies in memory](crate::body); of what does not,
//!   [`Model`](crate::extension::Model) says it.
//! - **Dropping is free** until the inner service is called; after that the in-flight slot comes
//!   back and the rate does not.
//! - **Nothing of the inner service is held while waiting**: no `Buffer` slot, no
//!   `ConcurrencyLimit` permit. The other side of it: `poll_ready` is always ready, so a
//!   `LoadShed` outside never sheds on what is inside.
//! - **One 429 teaches everyone.** A 429, or a 503 that says for how long, pauses its lane until the
//!   instant the server named ([`Paused`](crate::extension::Paused) in the answer); then the lane
//!   starts again one by one, at half its pace, and reaches the whole after 8 s. A 429 that names no
//!   wait pauses it for 1 s, doubling to 30 s while it stays blocked; so does HTTP/2's `ENHANCE_YOUR_CALM`
//!   (with the client's feature, and over reqwest or beneath the retry layer, which read errors). A refusal of
//!   what was sent before the pause only lengthens it. Whoever cannot go in time any more is told at once. An
//!   instant may be nonsense, so a lane is paused for an hour at most and then tries another request. The one that
//!   was told a later instant must wait for it
//!   ([`Paused::not_before`](crate::extension::Paused::not_before)), as the [retry layer](crate::retry) does.
//! - **Errors say what they are about.** The beginning of an error's body is read into
//!   [`ApiError`](crate::ApiError), in the answer's extensions; the body is handed on whole. So is an error in
//!   the body of a success ([in-band](crate::ApiError::in_band)). It pauses its lane as the status that it names
//!   would; if it does not come with the head, when it passes.
//! - **Jobs count as long as they live.** A fine-tune or a batch keeps its slot until it is known to
//!   have [ended](crate::jobs).
//! - **Errors are the inner service's own.** A refusal of ours is a response in Together's error
//!   shape that carries [`Rejected`](crate::Rejected): so the layer fits axum (`Infallible`) as it
//!   fits hyper.
//!
//! | refused because | status | told |
//! |---|---|---|
//! | deadline, `max_wait`, full queue, too many keys | 429 | `Retry-After` |
//! | it can never fit | 400 | `x-should-retry: false` |
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
//! let answer = client.oneshot(request()?).await?;
//! if let Some(waited) = answer.extensions().get::<Waited>() {
//!     println!("held back for {:?}", waited.duration());
//! }
//! # assert!(answer.extensions().get::<Waited>().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Limits of one's own, nobody waits longer than half a minute, and only Together's hosts are
//! limited:
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
//! Where a [quota of tokens](crate::Limits::tokens) is in force for a request's endpoint and model, it
//! is charged what it will probably cost, and when its answer says what it did, the difference is
//! charged or given back. Where none is, no body is looked at for it.
//!
//! | | charged before it leaves |
//! |---|---|
//! | a chat's `messages` and `tools`, a `prompt`, an `input`, a `query` and its `documents` | their texts, by an estimate: off by 6 % on average, and 15 % at worst, in 27 languages, formats and kinds of text; or by [your tokenizer](TogetherRateLimitLayer::with_tokenizer) |
//! | each message | 5 tokens, and 4 once, for the marks of the chat template |
//! | each picture, sound or film, in base64 too | 1,601 tokens, Together's number for a picture of up to 1120 pixels |
//! | each answer (`n`) | the mean of what answers of its lane took of late, at most its `max_tokens` or `max_completion_tokens`; before any has come, that, or 256. Or [always that](crate::Limits::reserve_max_tokens) |
//! | a body that is not in memory | its answer alone |
//! | a request with a [`Cost`](crate::extension::Cost) | that |
//!
//! What is expected is charged 1 % dear: servers that count by the second have little room for
//! answers that are longer than expected. In a simulation of one that allows 180,000 tokens a minute,
//! to answers of very different length, 98 % are used and 1 in 750 requests is refused
//! (`simulation/tests/tokens`); with `max_tokens` reserved, 65 %.
//!
//! What it cost is read from `usage` in an answer of JSON, or in the events of a stream, as it passes:
//! `total_tokens`, or the sum of the others. It is settled when the body ends, also if it is dropped
//! or fails before its true end. A stream says it only if asked to
//! (`"stream_options":{"include_usage":true}`).
//!
//! | answered | what stays charged |
//! |---|---|
//! | with a usage | that |
//! | without, or compressed, or no answer at all | what was expected |
//! | 429 | no tokens; the request counts |
//! | another error of the request's own, without a usage | no tokens: it was not worked at |
//! | 408, 5xx | what was expected: nobody knows how far it got |
//!
//! One whose prompt alone is more than a whole quota is refused at once.
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
//! | a [`Deadline`](crate::extension::Deadline), `grpc-timeout`, `x-stainless-timeout`, `x-stainless-read-timeout` | yes, and a request that cannot leave in time is refused at once |
//! | [`max_wait`](crate::Limiter::with_max_wait) | it alone |
//! | `tower::timeout` inside the layer, a client's own (hyper's connector, reqwest's `timeout`) | no: they start when the request leaves |
//!
//! # Leaving is not arriving
//!
//! The layer paces what *leaves*. A connection pool that is cold, or slow to open connections,
//! holds requests back behind it and lets them go together: what was paced arrives bunched. Keep
//! the pool warm (HTTP/2 does it with one connection), and give a network whose delay varies by
//! more than 200 ms a wider [margin](crate::Quota::with_margin).
//!
//! # Cancel safety
//!
//! A future dropped while it waits has cost nothing, and the next in line moves up at once. One
//! that is kept but not polled when its turn comes delays the others by 10 ms, once, and keeps its
//! place.
//!
//! # Panics
//!
//! A request that must wait panics when polled outside a Tokio runtime with its timer enabled.

mod answer;
mod body;
mod future;
mod jobs;
mod layer;
mod read;
mod service;
mod tokens;
mod watch;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::TogetherRateLimitLayer,
    service::TogetherRateLimit,
};
