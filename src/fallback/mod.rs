//! The fallback layer: sends a request to the next model of its chain if its own model is overloaded or would
//! make it wait too long.
//!
//! Overload is specific to a model: while one model responds with 503, another one on the same server works. A
//! chain lists the models to try. The layer goes outermost, over [`TogetherLayer`](crate::TogetherLayer), so
//! that each model's requests are limited and retried like any others.
//!
//! | a model is passed over | when |
//! |---|---|
//! | the request never fits its limit | a [limiter](crate::limiter) beneath rejects it for that |
//! | it is overloaded | its second 503 ([`with_max_503s`]), or one that the [retry layer](crate::retry) beneath does not retry |
//! | its wait is too long | the [rate limit layer](crate::rate_limit) beneath rejects the request, because it could not leave within [`with_max_wait`], [`Limiter::with_max_wait`] or its [`Deadline`]; or the server asks for such a wait |
//!
//! All other responses are returned: a 400, a 500, and a 429 that remains after its retries. So are the client's
//! errors, which say nothing about a model. The last model of a chain has no such bounds, and its response is
//! returned, whatever it is. A stream counts as served once its head has arrived.
//!
//! A model whose lane is [paused](crate::extension::Paused) for longer than [`with_max_wait`] is skipped:
//! meanwhile its requests go to the next model at once.
//!
//! [`with_max_503s`]: TogetherFallbackLayer::with_max_503s
//! [`with_max_wait`]: TogetherFallbackLayer::with_max_wait
//! [`Limiter::with_max_wait`]: crate::Limiter::with_max_wait
//! [`Deadline`]: crate::extension::Deadline
//!
//! # Examples
//!
//! The response's extensions name the model that has served it, if it is not the requested one:
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_together::{TogetherFallbackLayer, TogetherLayer, extension::Served};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let client = service_fn(|request: Request<Full<bytes::Bytes>>| async {
//! #     let body = request.into_body().collect().await?.to_bytes();
//! #     let mut response = Response::new(Full::<bytes::Bytes>::default());
//! #     if body.starts_with(br#"{"model":"large""#) {
//! #         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//! #     }
//! #     Ok::<_, BoxError>(response)
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(TogetherFallbackLayer::new().with_chain("large", ["middling", "small"]))
//!     .layer(TogetherLayer::default())
//!     .service(client);
//! let request = Request::post("https://api.together.ai/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"model":"large","messages":[]}"#))?;
//! let response = client.oneshot(request).await?;
//! assert!(response.status().is_success());
//! if let Some(served) = response.extensions().get::<Served>() {
//!     for (model, why) in served.passed_over() {
//!         println!("{} instead of {model}: {why}", served.model());
//!     }
//! }
//! # assert_eq!(response.extensions().get::<Served>().unwrap().model(), "middling");
//! # Ok(())
//! # }
//! ```
//!
//! No request waits longer than two seconds for the better model, or for its second 503. One request brings its
//! own chain, and another accepts only its own model:
//!
//! ```
//! use std::time::Duration;
//! use http::Request;
//! use tower_together::{TogetherFallbackLayer, extension::Fallback};
//!
//! let layer = TogetherFallbackLayer::new()
//!     .with_chain("large", ["small"])
//!     .with_max_503s(1)
//!     .with_max_wait(Duration::from_secs(2));
//! let request = || Request::post("https://api.together.ai/v1/chat/completions");
//! let any = request().extension(Fallback::to(["small", "smallest"])).body(())?;
//! let exact = request().extension(Fallback::off()).body(())?;
//! # Ok::<(), http::Error>(())
//! ```
//!
//! # Changes to the request
//!
//! All other layers send a body byte for byte. This layer, at the caller's request, replaces the value of `model`
//! in the JSON object, and updates `content-length` and the [`Model`](crate::extension::Model) in the
//! extensions, if they are present. All other bytes, headers and extensions are the original's. A header that
//! signs the body has to be added further in.
//!
//! If all models of a chain are overloaded, a request is sent once to each model. The retry layer's
//! [`Budget`](crate::retry::Budget) bounds further attempts, and counts each model's first attempt as one.
//!
//! # Requests without fallback
//!
//! - **Requests that create something** ([`Endpoint::creates`](crate::Endpoint::creates)) are sent to one model
//!   only.
//! - **Embeddings, and other results that depend on their model**, such as scores and voices. Chains are for
//!   chat, completions and images. A request's own [`Fallback`](crate::extension::Fallback) works for any
//!   endpoint whose JSON body names the model and which creates nothing.
//! - **Bodies that are not in memory**, such as streams ([list of bodies](crate::body)), and bodies that are not
//!   JSON. The body's type must be convertible from `Bytes`: `Full<Bytes>` and reqwest's are, `String` and
//!   `BoxBody` are not.
//! - **Requests whose time or retries are used up.** The [`Deadline`](crate::extension::Deadline) applies to all
//!   models together. So do the [`Retries`](crate::extension::Retries) that a request brings: with
//!   `Retries::off()` it is sent once, and goes to another model only if its own was never tried. The retry
//!   layer's own settings apply to each model separately.
//!
//! # Cancel safety
//!
//! Dropping the future stops the fallback.
//!
//! # Panics
//!
//! The layer itself panics only if a future is polled after completion.

mod future;
mod layer;
mod service;
mod session;
mod settings;

pub use self::{future::ResponseFuture, layer::TogetherFallbackLayer, service::TogetherFallback};
