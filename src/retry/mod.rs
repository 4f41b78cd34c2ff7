//! The retry layer: what failed for a passing reason is sent again, when the server said.
//!
//! It stands outside the [rate limit layer](crate::rate_limit), so that each attempt waits its turn
//! and pays for itself; [`TogetherLayer`](crate::TogetherLayer) is the two in one line. One of it is
//! enough: three retry layers of 3 retries each send one request 64 times, and some clients have
//! one inside ([`stack`] names them).
//!
//! [`stack`]: crate::stack
//!
//! # When it sends again
//!
//! | what came | again | source |
//! |---|---|---|
//! | 429 | yes, after the server's wait | docs.together.ai/docs/rate-limits: above one's rate |
//! | 402; 429 that says that money has run out | no | docs.together.ai/docs/error-codes; OpenAI's `insufficient_quota` |
//! | 503 | yes, with backoff; a request that creates something only if the body states that nothing was done | docs.together.ai/docs/rate-limits: within one's rate, the platform is overloaded |
//! | 408 | yes, with backoff, unless it creates something | every official SDK retries it |
//! | 500 | the same | error-codes: "try again after a brief wait"; the SDKs for Python and Go, not TypeScript's |
//! | 502, 504, 520 to 525, 529, 530 | the same | error-codes; fine-tuning/troubleshooting: "safe to retry after a short wait" |
//! | not sent: no connection, HTTP/2's `REFUSED_STREAM` or graceful `GOAWAY` | yes, with backoff; over reqwest, a request that creates something only if [redirects are off](#redirects) | RFC 9113, section 8.7: never processed |
//! | HTTP/2's `ENHANCE_YOUR_CALM`, of the stream or of the connection | as a 429 that does not say for how long, unless it creates something | RFC 9113, section 7: it was sent too much; what was processed is not known |
//! | no answer: a reset, an error of which nothing is known | yes, unless it creates something | chat included: an answer lost is worth another |
//! | no answer before the client's own timeout | the same, but once if a model generates the answer ([`with_max_retries_after_timeout`]) | it is paid for, and as slow again |
//! | an error that comes each time: TLS to a port without TLS, an untrusted certificate, `https` through a connector without TLS, a URI without a host, a proxy that rejects `CONNECT` (hyper-util tells 407 only from all other statuses, so that its 403 and its 502 are one), reqwest's of a request that cannot be made or is redirected too often | no; with the feature `tracing` an event says what to do | |
//! | [too many jobs](crate::ApiError::is_too_many_jobs) at once, with whichever status | yes: over a rate limit layer when one has [ended](crate::jobs), else with backoff. If no job of the key is known to run, the third such response within an hour each is final | nothing was created |
//! | any other 409 | no | all that are known are final: cancelling what has ended, uploading what is there |
//! | 400, 401, 403, 404, 413, 422, 501 and all others | no | error-codes; 403 is a prompt too long, or no access |
//! | an error in the body of a success, JSON or the first event of a stream ([`ApiError::in_band`](crate::ApiError::in_band)) | as the status that it names, if it comes with the head, or within [`with_first_frame`]; else no | the caller has the response by then |
//! | gRPC `UNAVAILABLE`, `RESOURCE_EXHAUSTED` in the answer's headers | as 503, as 429 | gRPC's own retry rules (gRFC A6) |
//! | [`Rejected`](crate::Rejected): a refusal of our own limiter | no | it knows when there is room |
//!
//! `x-should-retry: true` or `false`, which the SDKs read, overrules that. **Nothing that creates
//! something is sent twice**: jobs, files, videos, machines ([`Endpoint::creates`]), and whatever is
//! no route of Together's and not idempotent by its method, are sent again only after 429, a 503 that states
//! that nothing was done, too many jobs, and what was not sent, since no idempotency key protects them; not
//! even `x-should-retry` changes that, only the caller ([`Retries::may_repeat`]).
//!
//! A [hook](TogetherRetryLayer::with_hook) may reject any retry, and add one.
//!
//! A 503 states that nothing was done (RFC 9110, section 9.2.2) if its body is JSON in the shape of the API's
//! errors, or Envoy's words for a request that it has not forwarded: "no healthy upstream", or a reset reason
//! of connection failure, overflow or refused stream. Envoy's other reset reasons, such as connection
//! termination, come after the request was forwarded. An empty body, HTML, and a body that was not read
//! (`retry::Policy` alone reads none) state nothing.
//!
//! # Redirects
//!
//! A client that follows redirects returns what came of the last hop. The first may have created something all
//! the same: Together's own response to `POST /files` is a redirect. So a request that creates something is not
//! retried after a response from another URL than its own, whatever that says. Nor is it retried over reqwest
//! after an error, which does not tell its hop; unless [`with_redirects`] states that the client follows none:
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
//! of such a client are not: state `with_redirects(true)` over it.
//!
//! [`with_first_frame`]: TogetherRetryLayer::with_first_frame
//! [`with_redirects`]: TogetherRetryLayer::with_redirects
//! [`Endpoint::creates`]: crate::Endpoint::creates
//! [`Retries::may_repeat`]: crate::extension::Retries::may_repeat
//!
//! # When that is
//!
//! | | wait | set by |
//! |---|---|---|
//! | over a rate limit layer: too many jobs | none here, unless the server names one: the request waits in its lane until one has ended | |
//! | over a rate limit layer: 429, and 503 that says for how long | none here: the lane is paused, and the request waits in it, in front of all others. If the server asks for more than the hour for which a lane is paused at most: that, and then in its lane | [`with_longest_hint`] |
//! | else, if the server says for how long | that, and up to 2 s more | [`with_jitter`] |
//! | 429 that does not | 5 s, and up to 2 s more | [`with_wait_after_429`] |
//! | all others | up to 1 s, 2 s, 4 s, 8 s, ... 30 s, at random | [`with_backoff`] |
//! | gRPC's pushback | exactly that | |
//!
//! A request that was told an instant is never sent before it. In a paused lane one rule holds for the request
//! that was rejected and for those behind it: each waits until its own deadline or
//! [`Limiter::with_max_wait`](crate::Limiter::with_max_wait) at most. An instant may be nonsense, so after an hour
//! the lane tries another request.
//!
//! The server says so in `retry-after-ms`, `retry-after` or `x-ratelimit-reset`, in this order. The last is
//! the one that Together documents, and that no SDK reads. Each is read as a number (`43`, `0.5`), a duration
//! (`20s`, `1m30s`) or a date in any common form, which counts from the response's own `date`. A number that
//! is an instant since 1970 is that instant if it is within a day, and is ignored otherwise. Of a list, and of
//! several lines, the longest counts. Where no header says it, the JSON of the error may (`retry_after`, as in
//! Cloudflare's 1015 and 522). The wait is rounded up, never a millisecond early, and counts only
//! after a failure: Together was seen to send `retry-after` with 200.
//!
//! The body of an error is not read if it is compressed (`content-encoding: gzip`, `br`): see
//! [`ApiError`](crate::ApiError).
//!
//! It is left at the last answer, returned whole and at once, if
//!
//! - that were the fifth retry, those that wait for a job to end not counted ([`with_max_retries`],
//!   [`Retries`](crate::extension::Retries));
//! - the wait does not fit before the caller's [`Deadline`](crate::extension::Deadline);
//! - the server asks for more than 2 minutes ([`with_longest_hint`]), and no lane is paused for as long;
//! - the [`Budget`] is spent: one retry for five first attempts, and ten a minute for each caller or key
//!   (twenty for all);
//! - the body cannot be sent again ([`body`](crate::body));
//! - it was the last 503 that a [fallback layer](crate::fallback) outside allows its model.
//!
//! The deadline is checked again right before each attempt, the first included. A request whose client is not
//! ready before the deadline, or that finds no turn in time in the rate limit layer, is rejected at the
//! deadline at the latest: with a response that carries [`Rejected`](crate::Rejected), and a
//! [`RetryReport`](crate::extension::RetryReport) of what had failed. No error's body is read past the
//! deadline, but for the 10 ms that a client may need to hand on what came with the head.
//!
//! In an outage that nobody announces, that is soon: of three hundred requests a minute seventy
//! retries are made, and the others fail. What must not fail is resubmitted by a program that has the time,
//! by the same rules ([`Resubmission`]), as `Corpus` of `tower-together-jobs` does; or has a deadline of minutes, `Retries::unlimited()` and
//! [`Budget::unlimited`].
//!
//! [`with_jitter`]: TogetherRetryLayer::with_jitter
//! [`with_wait_after_429`]: TogetherRetryLayer::with_wait_after_429
//! [`with_backoff`]: TogetherRetryLayer::with_backoff
//! [`with_max_retries`]: TogetherRetryLayer::with_max_retries
//! [`with_max_retries_after_timeout`]: TogetherRetryLayer::with_max_retries_after_timeout
//! [`with_longest_hint`]: TogetherRetryLayer::with_longest_hint
//!
//! # What the caller gets
//!
//! The last answer, or the client's own error. In the answer's extensions: a
//! [`RetryReport`](crate::extension::RetryReport) if anything was sent again, and an
//! [`ApiError`](crate::ApiError) if it is an error.
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
//! let answer = client.oneshot(request).await?;
//! if let Some(report) = answer.extensions().get::<RetryReport>() {
//!     println!("sent {} times: {:?}", report.attempts(), report.failures());
//! }
//! if let Some(error) = answer.extensions().get::<ApiError>() {
//!     eprintln!("{error}"); // with a hint what to do, for the commonest
//! }
//! # assert_eq!(answer.extensions().get::<RetryReport>().unwrap().attempts(), 5);
//! # Ok(())
//! # }
//! ```
//!
//! The client's error is returned as it is: it has no room for a report. How often its request was sent is in an
//! event of the feature `tracing`; and the [hook](TogetherRetryLayer::with_hook) is told so of each request,
//! which it knows by its extensions:
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
//! More patience, and a request that wants none of it:
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
//! # What is sent again
//!
//! Exactly the bytes, headers and extensions of the original, with an
//! [`Attempt`](crate::extension::Attempt) in the extensions. A failed response is read to its end before the
//! request is sent again, up to 256 KiB and 500 ms, or half of the time left before the deadline. Its
//! connection can be used again then, and an error whose body comes after its head has been read: one that is
//! final, such as a used-up credit, is returned whole. Otherwise the response is dropped, and nothing of the
//! client or the limiter is held while the request waits.
//!
//! # Cancel safety
//!
//! Dropped, nothing is sent again.
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
#[cfg(feature = "tower")]
mod policy;
mod read;
mod resubmission;
mod service;
mod session;
mod settings;
mod tries;
mod verdict;

#[cfg(feature = "tower")]
pub use self::policy::{Policy, Wait};
pub use self::{
    budget::Budget,
    future::ResponseFuture,
    hook::{Decision, Failed},
    layer::TogetherRetryLayer,
    resubmission::{Aftermath, Resubmission},
    service::TogetherRetry,
};
