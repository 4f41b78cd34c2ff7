//! The retry layer: retries transient failures, after the wait that the server asks for.
//!
//! It goes outside the [rate limit layer](crate::rate_limit), so that each attempt waits its turn and is
//! charged. [`TogetherLayer`](crate::TogetherLayer) is the two in one line. Use only one retry layer: three
//! layers of 3 retries each send one request 64 times. Some clients contain a retry layer of their own
//! ([`stack`] names them).
//!
//! It goes around a client, not around a [server's routes](crate::TogetherLayer#not-around-a-servers-routes), whose
//! handlers it would run again.
//!
//! [`stack`]: crate::stack
//!
//! # What is retried
//!
//! | result | retried | source |
//! |---|---|---|
//! | 429 | yes, after the server's wait | docs.together.ai/docs/rate-limits: above one's rate |
//! | 402; 429 that says that the account is out of money | no | docs.together.ai/docs/error-codes; OpenAI's `insufficient_quota` |
//! | 503 | yes, with backoff; a request that creates something only if the body states that nothing was done | docs.together.ai/docs/rate-limits: within one's rate, the platform is overloaded |
//! | 408 | yes, with backoff, unless it creates something | every official SDK retries it |
//! | 500 | as 408 | error-codes: "try again after a brief wait"; the SDKs for Python and Go, not TypeScript's |
//! | 502, 504, 520 to 525, 529, 530 | as 408 | error-codes; fine-tuning/troubleshooting: "safe to retry after a short wait" |
//! | not sent: no connection, HTTP/2's `REFUSED_STREAM` or graceful `GOAWAY` | yes, with backoff; over reqwest, a request that creates something only if [redirects are off](#redirects) | RFC 9113, section 8.7: never processed |
//! | HTTP/2's `ENHANCE_YOUR_CALM`, of the stream or of the connection | as a 429 that gives no wait, unless it creates something | RFC 9113, section 7: too much was sent; which requests were processed is unknown |
//! | no response: a reset, an unknown error | yes, unless it creates something | includes chat: a lost response is worth another attempt |
//! | no response before the client's own timeout | yes, unless it creates something, but once if a model generates the response ([`with_max_retries_after_timeout`]) | it is paid for, and as slow again |
//! | a permanent error: TLS to a port without TLS, an untrusted certificate, `https` through a connector without TLS, a URI without a host, a proxy that rejects `CONNECT` (hyper-util only distinguishes 407 from all other statuses, so its 403 and its 502 look the same), reqwest's of a request that cannot be made or is redirected too often | no; with the feature `tracing` an event says what to do | |
//! | [too many jobs](crate::ApiError::is_too_many_jobs) at once, with any status | yes: over a rate limit layer when one has [ended](crate::jobs), else with backoff. If no job of the key is known to run, the third such response within an hour each is final | nothing was created |
//! | any other 409 | no | all known ones are final: cancelling a job that has ended, uploading a file that exists |
//! | 400, 401, 403, 404, 413, 422, 501 and all others | no | error-codes; 403 is a prompt too long, or no access |
//! | an error in the body of a success, JSON or the first event of a stream ([`ApiError::in_band`](crate::ApiError::in_band)) | as the status that it names, if it arrives with the head, or within [`with_first_frame`]; else no | the caller has the response by then |
//! | gRPC `UNAVAILABLE`, `RESOURCE_EXHAUSTED` in the response's headers | as 503, as 429 | gRPC's own retry rules (gRFC A6) |
//! | [`Rejected`](crate::Rejected): a rejection by the limiter | no | the limiter knows when there is room |
//!
//! `x-should-retry: true` or `false`, which the SDKs read, overrides the table, except for one rule: **requests
//! that create something are never sent twice**. These are requests for jobs, files, videos and machines
//! ([`Endpoint::creates`]), and requests to unknown routes whose method is not idempotent. No idempotency key
//! protects them. So they are retried only after a 429, a 503 that states that nothing was done, too many jobs,
//! and a request that was not sent. Only the caller can change that ([`Retries::may_repeat`]).
//!
//! A [hook](TogetherRetryLayer::with_hook) may reject any retry, and add one.
//!
//! A 503 states that nothing was done (RFC 9110, section 9.2.2) if its body is JSON in the shape of the API's
//! errors, or Envoy's message for a request that was not forwarded: "no healthy upstream", or a reset reason of
//! connection failure, overflow or refused stream. Envoy's other reset reasons, such as connection termination,
//! come after the request was forwarded. An empty body and HTML state nothing.
//!
//! # Redirects
//!
//! A client that follows redirects returns the result of the last hop. The first hop may have created something
//! all the same: Together's own response to `POST /files` is a redirect. So a request that creates something is
//! not retried after a response from another URL, whatever it says. Over reqwest it is not retried after an
//! error either, because the error does not tell its hop. [`with_redirects`] states that the client follows no
//! redirects:
//!
//! ```
//! use tower::ServiceBuilder;
//! use tower_together::TogetherRetryLayer;
//!
//! # #[cfg(feature = "reqwest")] {
//! let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
//! let client = ServiceBuilder::new()
//!     .layer(TogetherRetryLayer::default().with_redirects(false))
//!     .service(client);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The responses of tower-http's `FollowRedirect` (0.7) are recognised with the feature `tower-http`. The errors
//! of such a client are not: set `with_redirects(true)` over it.
//!
//! [`with_first_frame`]: TogetherRetryLayer::with_first_frame
//! [`with_redirects`]: TogetherRetryLayer::with_redirects
//! [`Endpoint::creates`]: crate::Endpoint::creates
//! [`Retries::may_repeat`]: crate::extension::Retries::may_repeat
//!
//! # When it is retried
//!
//! | | wait | set by |
//! |---|---|---|
//! | over a rate limit layer: too many jobs | none here, unless the server gives one: the request waits in its lane until a job has ended | |
//! | over a rate limit layer: 429, and 503 that gives a wait, unless it is [alone](crate::limiter#what-it-learns) | none here: the lane is paused, and the request waits in it, before all others. If the server asks for more than an hour, the longest pause of a lane: that wait, and then in its lane | [`with_longest_hint`] |
//! | else, if the server gives a wait | that wait, plus up to 2 s | [`with_jitter`] |
//! | 429 that gives none | 5 s, plus up to 2 s | [`with_wait_after_429`] |
//! | all others | up to 1 s, 2 s, 4 s, 8 s, ... 30 s, at random | [`with_backoff`] |
//! | gRPC's pushback | exactly that | |
//!
//! A 429 that is [alone among many requests](crate::limiter#what-it-learns) pauses no lane. Its request waits outside, as
//! without a rate limit layer, and then goes in front of its lane.
//!
//! A request is never retried before the instant that the server gave it. In a paused lane, the rejected request
//! and those behind it follow one rule: each waits at most until its own deadline or
//! [`Limiter::with_max_wait`](crate::Limiter::with_max_wait). The server's instant may be wrong, so after an hour
//! the lane tries another request.
//!
//! The server's wait is read from `retry-after-ms`, `retry-after` or `x-ratelimit-reset`, in this order.
//! Together documents the last, and no SDK reads it. Each value may be a number (`43`, `0.5`), a duration
//! (`20s`, `1m30s`) or a date in any common form, which counts from the response's own `date`. A number that is
//! an instant since 1970 is read as that instant if it is within a day, and is ignored otherwise. In a list, and
//! in several lines, the longest counts. If no header gives a wait, the JSON of the error may (`retry_after`, as
//! in Cloudflare's 1015 and 522). The wait is rounded up, so that no retry is a millisecond early. It counts
//! only after a failure: Together was seen to send `retry-after` with 200.
//!
//! The body of an error is not read if it is compressed (`content-encoding: gzip`, `br`): see
//! [`ApiError`](crate::ApiError).
//!
//! The last response is returned unchanged and at once if
//!
//! - four retries have been made, not counting those that wait for a job to end ([`with_max_retries`],
//!   [`Retries`](crate::extension::Retries));
//! - the wait does not fit before the caller's [`Deadline`](crate::extension::Deadline);
//! - the server asks for more than 2 minutes ([`with_longest_hint`]), and no lane is paused for as long;
//! - the [`Budget`] is spent: one retry for every five first attempts, plus ten a minute for each caller or key
//!   (twenty for all);
//! - the body cannot be sent again ([`body`](crate::body));
//! - it is the last 503 that an outer [fallback layer](crate::fallback) allows its model.
//!
//! With the feature `tracing`, an event [names the reason](crate::guide::logs).
//!
//! The deadline is checked again right before each attempt, including the first. A request is rejected at its
//! deadline at the latest if its client is not ready, or if the rate limit layer has no turn for it, before
//! then. The response carries [`Rejected`](crate::Rejected), and a
//! [`RetryReport`](crate::extension::RetryReport) of the earlier failures. No error's body is read past the
//! deadline, except for the 10 ms that a client may need to return what arrived with the head.
//!
//! In an unannounced outage the budget is soon spent: of three hundred requests a minute, seventy retries are
//! made, and the other requests fail. Work that must not fail can be resubmitted later by the program, by the
//! same rules ([`Resubmission`]), as `Corpus` of `tower-together-jobs` does. Alternatively, give it a deadline of
//! minutes, `Retries::unlimited()` and [`Budget::unlimited`].
//!
//! [`with_jitter`]: TogetherRetryLayer::with_jitter
//! [`with_wait_after_429`]: TogetherRetryLayer::with_wait_after_429
//! [`with_backoff`]: TogetherRetryLayer::with_backoff
//! [`with_max_retries`]: TogetherRetryLayer::with_max_retries
//! [`with_max_retries_after_timeout`]: TogetherRetryLayer::with_max_retries_after_timeout
//! [`with_longest_hint`]: TogetherRetryLayer::with_longest_hint
//!
//! # Results and reports
//!
//! The caller gets the last response, or the client's own error. The response's extensions hold a
//! [`RetryReport`](crate::extension::RetryReport) if there were retries, and an [`ApiError`](crate::ApiError) if
//! the response is an error.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_together::{ApiError, TogetherRetryLayer, extension::RetryReport};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let client = service_fn(|_: Request<Full<bytes::Bytes>>| async {
//! #     let mut response = Response::new(Full::<bytes::Bytes>::default());
//! #     *response.status_mut() = StatusCode::BAD_GATEWAY;
//! #     Ok::<_, BoxError>(response)
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(TogetherRetryLayer::default())
//!     .service(client);
//! # let request = Request::post("https://api.together.ai/v1/embeddings").body(Full::default())?;
//! let response = client.oneshot(request).await?;
//! if let Some(report) = response.extensions().get::<RetryReport>() {
//!     println!("sent {} times: {:?}", report.attempts(), report.failures());
//! }
//! if let Some(error) = response.extensions().get::<ApiError>() {
//!     eprintln!("{error}"); // with a hint what to do, for the commonest
//! }
//! # assert_eq!(response.extensions().get::<RetryReport>().unwrap().attempts(), 5);
//! # Ok(())
//! # }
//! ```
//!
//! The client's error is returned unchanged, so it carries no report. An event of the feature `tracing` gives
//! its number of attempts. So does the [hook](TogetherRetryLayer::with_hook), which identifies a request by its
//! extensions:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}};
//! use tower_together::{TogetherRetryLayer, retry::Decision};
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone, Default)]
//! struct Sent(Arc<AtomicU32>);
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let client = service_fn(|_: Request<Full<bytes::Bytes>>| async {
//! #     Err::<Response<Full<bytes::Bytes>>, _>(BoxError::from("reset"))
//! # });
//! let layer = TogetherRetryLayer::default().with_hook(|failed| {
//!     if let Some(sent) = failed.request().get::<Sent>() {
//!         sent.0.store(failed.attempts(), Relaxed);
//!     }
//!     Decision::AsPlanned
//! });
//! # let client = ServiceBuilder::new().layer(layer).service(client);
//! let sent = Sent::default();
//! let request = Request::post("https://api.together.ai/v1/embeddings").extension(sent.clone());
//! # let request = request.body(Full::default())?;
//! if let Err(error) = client.oneshot(request).await {
//!     eprintln!("sent {} times: {error}", sent.0.load(Relaxed));
//! }
//! # assert_eq!(sent.0.load(Relaxed), 5);
//! # Ok(())
//! # }
//! ```
//!
//! A layer with more patience, and a request with less:
//!
//! ```
//! use std::time::Duration;
//! use http::Request;
//! use tower_together::{TogetherRetryLayer, extension::{Deadline, Retries}, retry::Budget};
//!
//! let layer = TogetherRetryLayer::default()
//!     .with_max_retries(10)
//!     .with_backoff(Duration::from_secs(2), Duration::from_secs(60))
//!     .with_budget(Budget::new(0.5, 60));
//! let request = Request::post("https://api.together.ai/v1/chat/completions")
//!     .extension(Retries::at_most(1))
//!     .extension(Deadline::within(Duration::from_secs(20)))
//!     .body(())?;
//! # Ok::<(), http::Error>(())
//! ```
//!
//! # Contents of a retry
//!
//! A retry has exactly the bytes, headers and extensions of the original, plus an
//! [`Attempt`](crate::extension::Attempt) in the extensions. Before it is sent, the failed response is read to
//! its end, up to 256 KiB and 500 ms, or half of the time left before the deadline. Then its connection can be
//! reused, and an error whose body comes after its head has been read. If that error is final, such as a
//! used-up credit, the response is returned whole. Otherwise the response is dropped, and the waiting request
//! holds nothing of the client or the limiter.
//!
//! # Cancel safety
//!
//! Dropping the future stops all retries.
//!
//! # Panics
//!
//! A request that must wait panics when polled outside a Tokio runtime with its timer enabled.

mod backoff;
mod budget;
mod future;
mod hook;
mod hops;
mod layer;
mod read;
mod resubmission;
mod service;
mod session;
mod settings;
mod tries;
mod verdict;

pub use self::{
    budget::Budget,
    future::ResponseFuture,
    hook::{Decision, Failed},
    layer::TogetherRetryLayer,
    resubmission::{Aftermath, Resubmission},
    service::TogetherRetry,
};
