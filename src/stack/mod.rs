//! On every client: which stack takes what, in which order layers go, and what else waits or sends
//! again.
//!
//! # Which stack
//!
//! The layers are the same everywhere: [`TogetherLayer`](crate::TogetherLayer),
//! [`TogetherRateLimitLayer`](crate::TogetherRateLimitLayer),
//! [`TogetherRetryLayer`](crate::TogetherRetryLayer); and, outermost,
//! [`TogetherFallbackLayer`](crate::TogetherFallbackLayer), for bodies that can be made of `Bytes`.
//!
//! | client or server | what to write | feature | example |
//! |---|---|---|---|
//! | hyper-util's client, HTTP/1 and HTTP/2 | `ServiceBuilder::new().layer(TogetherLayer::default()).service(client)` | `hyper` | [hyper][e1] |
//! | `reqwest::Client` | the same: the layers take reqwest's own requests | `reqwest` | [reqwest][e2] |
//! | `reqwest::Client`, with `http::Request`s | `.service(HttpOverReqwest::new(client))` | `reqwest` | [reqwest_http][e3] |
//! | reqwest-middleware | `ClientBuilder::new(client).with(TogetherLayer::default())` | `reqwest-middleware` | [reqwest_middleware][e4] |
//! | tonic's generated clients | `Client::new(TogetherLayer::default().layer(channel))` | `tonic` | [tonic][e5] |
//! | tonic's server | `Server::builder().layer(..)` | `tonic` | [tonic][e5] |
//! | axum, on the way in | `Router::layer`, `route_layer`, `MethodRouter::layer` | `axum` | [axum_in][e6] |
//! | axum, on the way out | the client's stack, in `State` | `axum` | [axum_out][e7] |
//! | a hyper server | `TowerToHyperService::new(layer.layer(service))` | `hyper` | [hyper_server][e8] |
//! | async-openai | `.with_http_service(..)`, with `AsyncOpenAiLayer` outermost | `async-openai` | [async_openai][e9] |
//! | anything else: a Tower service of `http::Request<B>` | any body of the [list](crate::body), or `Opaque` around it | | |
//!
//! The features are for bodies and errors: without them the layers stack all the same, but a body
//! that the crate does not know must be put into [`Opaque`](crate::body::Opaque), and of an error
//! nobody can say that its request never left.
//!
//! What a request is told in its [`extension`](crate::extension)s:
//!
//! | client | how |
//! |---|---|
//! | of `http::Request`s | `request.extensions_mut().insert(..)` |
//! | `reqwest::Client` | build an `http::Request`, then `reqwest::Request::try_from(it)`: reqwest's own builder has no way |
//! | reqwest-middleware | `RequestBuilder::with_extension(..)` |
//! | tonic | `tonic::Request::extensions_mut()`; a deadline also with `set_timeout` |
//! | async-openai | headers only: `x-stainless-timeout`, in seconds, is a deadline |
//!
//! What an answer tells is in the response's `extensions()`, reqwest's included. async-openai shows
//! none of it: there a refusal of ours is an `ApiError` with [the reason](crate::limiter::Reason) as
//! its `code`. tonic makes a status of it, `ResourceExhausted`. (Together's embeddings have no `usage`,
//! which async-openai's type insists on: read them with its feature `byot`.)
//!
//! # Rejections as errors
//!
//! A rejection by a limiter is a response, so that each stack keeps its error type. After reqwest's
//! `error_for_status` it looks like the server's: ask
//! [`Rejected::of`](crate::Rejected::of)`(response.extensions())` first. The errors of reqwest-middleware may
//! hold any other, so there a rejection can be one:
//!
//! ```text
//! let client = ClientBuilder::new(client)
//!     .with(RejectionsAsErrors)
//!     .with(TogetherLayer::default())
//!     .build();
//! match client.execute(request).await {
//!     Err(Error::Middleware(error)) if error.is::<Rejected>() => ..
//! }
//! ```
//!
//! # In which order
//!
//! ```text
//!  caller
//!    │   Timeout                  counts everything: waits, attempts, backoff
//!    │   SetHeader: authorization so the limiter sees the key
//!    │   Trace                    one span for the call, whatever it takes
//!    ▼
//!  TogetherFallback               goes to the next model, if there is one
//!    ▼
//!  TogetherRetry ◀─────────┐      each attempt goes through all that is below
//!    ▼                     │
//!  TogetherRateLimit       │      waits here, and holds nothing of what is below
//!    │                     │
//!    │   Timeout           │      counts one attempt, from when it leaves
//!    │   Trace             │      one span for each attempt
//!    │   ConcurrencyLimit, Buffer held by what is under way, never by what waits
//!    ▼                     │
//!  client ─────────────────┘
//! ```
//!
//! | layer | outside | between the two | inside |
//! |---|---|---|---|
//! | `Timeout` | the whole call; dropped in line, it costs nothing | an attempt and its wait in line: a long wait is a failed attempt, that never left | one attempt, from when it leaves; the error is retried, unless the request creates something |
//! | `ConcurrencyLimit` | counts what waits too | | counts what is under way until the headers; [`Limits::in_flight`] until the answer's end |
//! | `Buffer` | passes everything on at once | | makes a client `Clone` that is not; nobody holds a place in it while waiting |
//! | `LoadShed` | by itself it never sheds: the layers are always ready. Over a `ConcurrencyLimit` it bounds how many wait; [`max_wait`] bounds how long | | sheds when the client is not ready, as an error that is retried, unless the request creates something |
//! | tower-http's `SetRequestHeader` for `authorization` | the limiter sees the key | the limiter sees the key | all requests count as one anonymous key |
//! | tower-http's `Trace` | sees the call | sees each attempt, with its wait | sees each attempt, as it is sent |
//! | `BoxCloneSyncService` | hides all these types. Use `.layer(BoxCloneSyncService::layer())`: `ServiceBuilder::boxed_clone_sync` wants futures that are `Sync` too, which tonic's are not | | fine, and so is `BoxCloneService`; what is not `Clone` goes into a `Buffer` |
//! | `TogetherFallbackLayer` | where it belongs | a retry would begin with the first model again | models would be asked without the limiter's leave |
//! | `TogetherRetryLayer` | where it belongs | | inside the limiter, retries would be sent without asking it |
//!
//! [`Limits::in_flight`]: crate::Limits::in_flight
//! [`max_wait`]: crate::Limiter::with_max_wait
//!
//! # Which timeouts count the wait
//!
//! | timeout | counts the wait for the turn |
//! |---|---|
//! | reqwest's `timeout`, `read_timeout`, `connect_timeout` | no: they start when the request leaves. One that fires before the headers is retried, [once](crate::TogetherRetryLayer::with_max_retries_after_timeout) where a model generates: allow minutes; `timeout` and `read_timeout` go on after them, and cut a stream short |
//! | hyper's `HttpConnector::set_connect_timeout` | no |
//! | tonic's `Endpoint::timeout`, `connect_timeout` | no |
//! | tonic's `Request::set_timeout` (`grpc-timeout`) | yes, as a [`Deadline`](crate::extension::Deadline); the server counts it once more |
//! | `tower::timeout`, `tokio::time::timeout` | where they stand: see the table above |
//! | axum's, hyper's and tonic's own on the server | yes: the caller's connection waits |
//!
//! # What else sends again
//!
//! Two who retry multiply, and what is sent behind the limiter's back is not counted.
//!
//! | client | what it sends again by itself | to switch it off |
//! |---|---|---|
//! | reqwest | what HTTP/2 refused (`REFUSED_STREAM`, `GOAWAY`), at once; and redirects | `ClientBuilder::retry(reqwest::retry::never())`, `redirect(Policy::none())` and [`with_redirects(false)`](crate::TogetherRetryLayer::with_redirects) |
//! | tower-http's `FollowRedirect` | redirects | leave it out, or state [`with_redirects(true)`](crate::TogetherRetryLayer::with_redirects) |
//! | hyper-util | what was given to an idle connection that had closed: nothing of it was sent | `Builder::retry_canceled_requests(false)`; harmless |
//! | async-openai | 429, 5xx, lost connections | `with_http_service` has no such layer |
//! | reqwest-retry | 429, 5xx, 408, lost connections | leave `RetryTransientMiddleware` out |
//! | tonic | nothing | |
//! | an SDK in front of a gateway of yours | 408, 409, 429, 5xx: twice | `max_retries=0` in the SDK |
//!
//! # When it does not compile
//!
//! What a body or a client lacks is said in full by `ServiceExt::oneshot(client, request)`, and by a
//! function that returns `impl Service<Request<B>>`. The method call, `client.oneshot(request)` or
//! `client.ready()`, says no more than that "its trait bounds were not satisfied" (E0599).
//!
//! | message | what to do |
//! |---|---|
//! | `..` is not a request body that tower-together knows | `Opaque::new(body)`, or the feature of its crate |
//! | `..: Clone` is not satisfied, at `.layer(..)` or `.service(..)` | put the client into a `tower::buffer::Buffer` |
//! | `TogetherRetry<..>: Service<HttpRequestFactory>` is not satisfied | `AsyncOpenAiLayer` is missing, or not outermost |
//! | `TogetherRetry<..>: Service<reqwest::Request>` is not satisfied | the feature `reqwest` is off |
//! | higher-ranked lifetime error, could not prove `..: Send`, at `tokio::spawn(async move { .. })` | the client's error is a `Box<dyn Error>`, as `Buffer`'s and `Timeout`'s is, and the compiler forgets that it is `'static` (rust-lang/rust#102211): box the call beneath a retry layer, `client.oneshot(request).boxed().await` |
//! | expected `Infallible`, found `..`, in axum | it is a client's stack: it goes into `State`, not into `Router::layer` |
//!
//! [e1]: https://docs.rs/crate/tower-together/latest/source/examples/hyper.rs
//! [e2]: https://docs.rs/crate/tower-together/latest/source/examples/reqwest.rs
//! [e3]: https://docs.rs/crate/tower-together/latest/source/examples/reqwest_http.rs
//! [e4]: https://docs.rs/crate/tower-together/latest/source/examples/reqwest_middleware.rs
//! [e5]: https://docs.rs/crate/tower-together/latest/source/examples/tonic.rs
//! [e6]: https://docs.rs/crate/tower-together/latest/source/examples/axum_in.rs
//! [e7]: https://docs.rs/crate/tower-together/latest/source/examples/axum_out.rs
//! [e8]: https://docs.rs/crate/tower-together/latest/source/examples/hyper_server.rs
//! [e9]: https://docs.rs/crate/tower-together/latest/source/examples/async_openai.rs

#[cfg(feature = "reqwest")]
mod as_written;
#[cfg(feature = "async-openai")]
mod async_openai;
#[cfg(feature = "reqwest")]
mod http_over_reqwest;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;

#[cfg(feature = "async-openai")]
pub use self::async_openai::{AsyncOpenAi, AsyncOpenAiLayer, OpenAiFuture};
#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest_middleware::RejectionsAsErrors;
#[cfg(feature = "reqwest")]
pub use self::{
    http_over_reqwest::{HttpFuture, HttpOverReqwest, ReqwestBody},
    reqwest::ReqwestFuture,
};
