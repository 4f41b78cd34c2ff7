//! The fallback layer: where a request's model is overloaded, or would make it wait too long, the next
//! model of its chain answers.
//!
//! Overload goes by model: while one answers 503, another of the same server does its work. A chain
//! says which. It goes outermost, over [`TogetherLayer`](crate::TogetherLayer), so that every model's
//! requests are limited and sent again as any others are.
//!
//! | a model is passed over | when |
//! |---|---|
//! | the request never fits its limit | with the refusal of a [limiter](crate::limiter) beneath |
//! | it is overloaded | with the second answer 503 ([`with_max_503s`]), or with one that the [retry layer](crate::retry) beneath does not send again |
//! | its wait is too long | the [rate limit layer](crate::rate_limit) beneath refuses it, because it could not leave within [`with_max_wait`], [`Limiter::with_max_wait`] or its [`Deadline`]; or the server asks for such a wait |
//!
//! All other answers are the request's own: a 400, a 429 that was waited for in vain, a 500; and so are
//! the client's errors, for they say nothing of a model. The last model of a chain has no such limits,
//! and its answer is returned, whatever it is. What is streamed has been served once its head came.
//!
//! A model whose lane is [paused](crate::extension::Paused) for longer than [`with_max_wait`] is not
//! even asked: what comes in the meantime goes to the next model at once.
//!
//! [`with_max_503s`]: TogetherFallbackLayer::with_max_503s
//! [`with_max_wait`]: TogetherFallbackLayer::with_max_wait
//! [`Limiter::with_max_wait`]: crate::Limiter::with_max_wait
//! [`Deadline`]: crate::extension::Deadline
//!
//! # Examples
//!
//! Who answered is in the answer's extensions, if it is not the model that was asked:
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
//! let answer = client.oneshot(request).await?;
//! assert!(answer.status().is_success());
//! if let Some(served) = answer.extensions().get::<Served>() {
//!     for (model, why) in served.passed_over() {
//!         println!("{} instead of {model}: {why}", served.model());
//!     }
//! }
//! # assert_eq!(answer.extensions().get::<Served>().unwrap().model(), "middling");
//! # Ok(())
//! # }
//! ```
//!
//! Nobody waits for the better model longer than two seconds, nor for its second 503; one request brings
//! a chain of its own, and another will have its own model or none:
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
//! # What is sent
//!
//! Everywhere else a body is sent byte for byte. Here, because it was asked for, one thing changes: the
//! value of `model` in the JSON object, and with it `content-length` and the
//! [`Model`](crate::extension::Model) in the extensions, where they are said. All other bytes, headers
//! and extensions are the original's; a header that signs the body would have to be made further in.
//!
//! Where all of a chain is overloaded, a request is sent once to each model, and beyond that as often as
//! the retry layer's [`Budget`](crate::retry::Budget) allows, for which each is a first attempt.
//!
//! # What stays with its model
//!
//! - **What creates something** ([`Endpoint::creates`](crate::Endpoint::creates)): it is sent to one
//!   model only.
//! - **Embeddings**, and whatever else is compared or kept by model: scores, voices. Chains are for chat,
//!   completions and images. A request that names its own [`Fallback`](crate::extension::Fallback) may
//!   have it wherever a JSON body names the model and nothing is created.
//! - **Bodies that do not lie in memory**, such as streams ([which do](crate::body)), and those that
//!   are no JSON. The body's type has to be one that can be made of `Bytes`: `Full<Bytes>` and
//!   reqwest's are, `String` and `BoxBody` are not.
//! - **Requests whose time or retries are up.** The [`Deadline`](crate::extension::Deadline) is that of
//!   the whole, whoever answers, and so are the [`Retries`](crate::extension::Retries) that a request
//!   brings: with `Retries::off()` it leaves once, and goes to another model only if its own was never
//!   asked. The retry layer's own numbers count for each model anew.
//!
//! # Cancel safety
//!
//! Dropped, the request goes to no other model.
//!
//! # Panics
//!
//! None of its own, but for a future that is polled after it was ready.

mod future;
mod layer;
mod service;
mod session;
mod settings;

pub use self::{future::ResponseFuture, layer::TogetherFallbackLayer, service::TogetherFallback};
