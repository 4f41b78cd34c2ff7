//! Setup for every client: the stack to use, the order of layers, other sources of waits and retries, and tests of your
//! own code.
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
//! | `reqwest::Client` | as for hyper: the layers accept reqwest's own requests | `reqwest` | [reqwest][e2] |
//! | `reqwest::Client`, with `http::Request`s | `.service(HttpOverReqwest::new(client))` | `reqwest` | [reqwest_http][e3] |
//! | reqwest-middleware | `ClientBuilder::new(client).with(TogetherLayer::default())` | `reqwest-middleware` | [reqwest_middleware][e4] |
//! | tonic's generated clients | `Client::new(TogetherLayer::default().layer(channel))` | `tonic` | [tonic][e5] |
//! | tonic's server | `Server::builder().layer(TogetherRateLimitLayer::default())` | `tonic` | [tonic][e5] |
//! | axum, for incoming requests | `Router::layer(TogetherRateLimitLayer::default())`; `route_layer` and `MethodRouter::layer` too | `axum` | [axum_in][e6] |
//! | axum, for outgoing requests | the client's stack, in `State` | `axum` | [axum_out][e7] |
//! | a hyper server | `TowerToHyperService::new(TogetherRateLimitLayer::default().layer(service))` | `hyper` | [hyper_server][e8] |
//! | async-openai | `.with_http_service(..)`, with `AsyncOpenAiLayer` outermost | `async-openai` | [async_openai][e9] |
//! | anything else: a Tower service of `http::Request<B>` | any body of the [list](crate::body), or `Opaque` around it | | |
//!
//! Around a server's own routes only the rate limit layer belongs: a retry layer would run the handlers
//! [again](crate::TogetherLayer#not-around-a-servers-routes).
//!
//! The features add bodies and errors. The layers also work without them. But an unsupported body must then be
//! wrapped in [`Opaque`](crate::body::Opaque), and connection errors cannot be recognised as "not sent".
//!
//! Set a request's [`extension`](crate::extension)s as follows:
//!
//! | client | extensions |
//! |---|---|
//! | client of `http::Request`s | `request.extensions_mut().insert(..)` |
//! | `reqwest::Client` | build an `http::Request`, then `reqwest::Request::try_from(it)`: reqwest's own builder cannot set them |
//! | reqwest-middleware | `RequestBuilder::with_extension(..)` |
//! | tonic | `tonic::Request::extensions_mut()`; a deadline also with `set_timeout` |
//! | async-openai | headers only: `x-stainless-timeout`, in seconds, is a deadline |
//!
//! Read a response's extensions with its `extensions()`, which reqwest's responses have too. async-openai shows
//! none of them: there a rejection is an `ApiError` with [the reason](crate::limiter::Reason) as its `code`. tonic
//! converts a rejection to the status `ResourceExhausted`. (Together's embeddings have no `usage`, which
//! async-openai's type requires: read them with its feature `byot`.)
//!
//! # Rejections as errors
//!
//! A rejection by a limiter is a response, so that each stack keeps its error type. After reqwest's
//! `error_for_status` it looks like the server's, so call
//! [`Rejected::of`](crate::Rejected::of)`(response.extensions())` first. The errors of reqwest-middleware can hold
//! any other error, so there a rejection can be one:
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
//! # Order of layers
//!
//! ```text
//!  caller
//!    │   Timeout                  counts everything: waits, attempts, backoff
//!    │   SetHeader: authorization so the limiter sees the key
//!    │   Trace                    one span for the whole call
//!    ▼
//!  TogetherFallback               goes to the next model, if there is one
//!    ▼
//!  TogetherRetry ◀─────────┐      each attempt passes all layers below
//!    ▼                     │
//!  TogetherRateLimit       │      waits here, and holds nothing of the layers below
//!    │                     │
//!    │   Timeout           │      counts one attempt, from when it is sent
//!    │   Trace             │      one span for each attempt
//!    │   ConcurrencyLimit, Buffer held by requests in flight, never by waiting ones
//!    ▼                     │
//!  client ─────────────────┘
//! ```
//!
//! | layer | outside | between the two | inside |
//! |---|---|---|---|
//! | `Timeout` | counts the whole call; dropping a waiting request costs nothing | counts an attempt and its wait for the turn: a long wait is a failed attempt that was never sent | counts one attempt, from when it is sent; the error is retried, unless the request creates something |
//! | `ConcurrencyLimit` | counts waiting requests too | | counts requests in flight until the headers; [`Limits::in_flight`] counts until the end of the response |
//! | `Buffer` | passes everything on at once | | makes a client `Clone`; a waiting request holds no place in it |
//! | `LoadShed` | never sheds by itself: the layers are always ready. Over a `ConcurrencyLimit` it bounds the number of waiting requests; [`max_wait`] bounds their wait | | sheds when the client is not ready, as an error that is retried, unless the request creates something |
//! | tower-http's `SetRequestHeader` for `authorization` | the limiter sees the key | the limiter sees the key | all requests count as one anonymous key |
//! | tower-http's `Trace` | sees the call | sees each attempt, with its wait | sees each attempt, as it is sent |
//! | `BoxCloneSyncService` | hides all these types. Use `.layer(BoxCloneSyncService::layer())`: `ServiceBuilder::boxed_clone_sync` requires futures that are `Sync` too, which tonic's are not | | works, and so does `BoxCloneService`; wrap a service that is not `Clone` in a `Buffer` |
//! | `TogetherFallbackLayer` | its place | a retry would begin with the first model again | models would be tried without the limiter |
//! | `TogetherRetryLayer` | its place | | retries would be sent without the limiter |
//!
//! [`Limits::in_flight`]: crate::Limits::in_flight
//! [`max_wait`]: crate::Limiter::with_max_wait
//!
//! # Which timeouts count the wait
//!
//! | timeout | counts the wait for the turn |
//! |---|---|
//! | reqwest's `timeout`, `read_timeout`, `connect_timeout` | no: they start when the request is sent. One that fires before the headers is retried, [once](crate::TogetherRetryLayer::with_max_retries_after_timeout) if a model generates the response: allow minutes. `timeout` and `read_timeout` continue after the headers, and truncate a stream |
//! | hyper's `HttpConnector::set_connect_timeout` | no |
//! | tonic's `Endpoint::timeout`, `connect_timeout` | no |
//! | tonic's `Request::set_timeout` (`grpc-timeout`) | yes, as a [`Deadline`](crate::extension::Deadline); the server counts it again from zero |
//! | `tower::timeout`, `tokio::time::timeout` | depends on their place: see the table above |
//! | timeouts of axum, hyper and tonic on the server | yes: the caller's connection waits |
//!
//! # Other sources of retries
//!
//! Retries at two places multiply, and requests sent beneath the limiter are not counted.
//!
//! | client | its own retries | to switch them off |
//! |---|---|---|
//! | reqwest | requests that HTTP/2 refused (`REFUSED_STREAM`, `GOAWAY`), at once; and redirects | `ClientBuilder::retry(reqwest::retry::never())`, `redirect(Policy::none())` and [`with_redirects(false)`](crate::TogetherRetryLayer::with_redirects) |
//! | tower-http's `FollowRedirect` | redirects | leave it out, or set [`with_redirects(true)`](crate::TogetherRetryLayer::with_redirects) |
//! | hyper-util | requests given to an idle connection that had closed: nothing was sent | `Builder::retry_canceled_requests(false)`; harmless |
//! | async-openai | 429, 5xx, lost connections | `with_http_service` has no such layer |
//! | reqwest-retry | 429, 5xx, 408, lost connections | leave `RetryTransientMiddleware` out |
//! | tonic | nothing | |
//! | an SDK in front of your own gateway | 408, 409, 429, 5xx: twice | `max_retries=0` in the SDK |
//!
//! # Testing your own code
//!
//! All waits follow tokio's clock. In a test that pauses it, they take no time:
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tokio::time::Instant;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_together::TogetherLayer;
//!
//! // In a test: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let api = service_fn(|_: Request<Full<Bytes>>| async {
//!         Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
//!     });
//!     let client = ServiceBuilder::new().layer(TogetherLayer::default()).service(api);
//!     let started = Instant::now();
//!     for _ in 0..=300 {
//!         let request = Request::post("https://api.together.ai/v1/embeddings");
//!         client.clone().oneshot(request.body(Full::default())?).await?;
//!     }
//!     // The limit is 300 a minute, so the 301st request waits for the next minute.
//!     assert!(started.elapsed() >= Duration::from_secs(60));
//!     Ok(())
//! }
//! ```
//!
//! The crate [`together-standin`](https://docs.rs/together-standin) is a strict server for the same tests. It enforces
//! the limits, responds in the API's shapes, and fails where a test tells it to:
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use together_standin::{Answer, StandIn};
//! use tokio::time::Instant;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_together::TogetherLayer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = StandIn::start().await?;
//! let later = Answer::status(429).header("retry-after", 30);
//! server.script("POST", "/embeddings", later);
//!
//! let client = ServiceBuilder::new()
//!     .layer(TogetherLayer::default())
//!     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
//! let request = Request::post(format!("{}/v1/embeddings", server.url()))
//!     .header("authorization", "Bearer any-key")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"model":"m","input":"hello"}"#))?;
//! let started = Instant::now();
//! let response = client.oneshot(request).await?;
//!
//! assert!(response.status().is_success());
//! assert_eq!(server.stats().arrived, 2);
//! assert!(started.elapsed() >= Duration::from_secs(30));
//! # Ok(())
//! # }
//! ```
//!
//! - Measure time with `tokio::time::Instant`. The clock of `std::time` does not pause.
//! - Make a layer in each test. Clones of one layer share their limits, their pauses and what they learned.
//! - Assert counts and lower bounds of times. Over sockets a paused clock can advance
//!   [early](https://docs.rs/together-standin/latest/together_standin/#paused-time).
//! - Use [`Limits::none`](crate::Limits::none) where limits are not the subject.
//!
//! # Compile errors
//!
//! The method calls `client.oneshot(request)` and `client.ready()` only report that "its trait bounds were not
//! satisfied". For the cause, call `ServiceExt::oneshot(client, request)`, or write a function that returns
//! `impl Service<Request<B>>`. Below, `..` stands for types.
//!
//! | message | solution |
//! |---|---|
//! | the method `oneshot` exists for struct `TogetherRetry<..>`, but its trait bounds were not satisfied | the feature of the client's crate is off (`reqwest`), or the crate has another version (reqwest 0.12), or the body is unknown |
//! | the trait bound `Client: tower::Service<http::request::Request<_>>` is not satisfied | the feature `reqwest` is off |
//! | the trait bound `TogetherRetry<..>: tower::Service<reqwest::Request>` is not satisfied | the feature `reqwest` is off, or the client is not reqwest 0.13's |
//! | the trait bound `TogetherLayer: reqwest_middleware::Middleware` is not satisfied | the feature `reqwest-middleware` is off, or the client is not reqwest-middleware 0.5's |
//! | the trait bound `ServiceBuilder<..>: Middleware` is not satisfied | reqwest-middleware takes layers one by one: `.with(..)` for each, the outermost first |
//! | `..` is not a request body that tower-together knows | the feature of the body's crate; `Opaque::new(body)` for other bodies |
//! | `..` is not a request body that reqwest 0.13 can send | `request.map(reqwest::Body::wrap)` |
//! | expected `Request`, found `Request<..>`; expected `Request<..>`, found `Request<..>` | the client decides the type of request: build that one, or put reqwest's client into `HttpOverReqwest` |
//! | the trait bound `..: From<bytes::Bytes>` is not satisfied, with a `TogetherFallbackLayer` | it changes the model in the body: use a body that is made of `Bytes`, such as `Full<Bytes>` |
//! | the trait bound `..: Clone` is not satisfied, at `.layer(..)` or `.service(..)` | wrap the client in a `tower::buffer::Buffer` |
//! | unresolved import `tower_together::stack::AsyncOpenAiLayer` | the feature `async-openai` is off |
//! | the trait bound `TogetherRetry<..>: tower::Service<HttpRequestFactory>` is not satisfied | `AsyncOpenAiLayer` is missing, or not outermost |
//! | higher-ranked lifetime error, could not prove `{async block@..}: Send`, at `tokio::spawn` | the service beneath a retry layer names `Box<dyn Error>` in its type, as a closure, `MapErr` and `BoxCloneSyncService` do, and the compiler forgets that it is `'static` (rust-lang/rust#102211): box the call, `client.oneshot(request).boxed().await`, or call `client.ready().await?.call(request).await` |
//! | expected `Infallible`, found `..`; the trait bound `Infallible: From<..>` is not satisfied, in axum | it is a client's stack: put it into `State`, not into `Router::layer` |
//!
//! A `TogetherLayer` around a server's own routes compiles: see [there](crate::TogetherLayer#not-around-a-servers-routes).
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
