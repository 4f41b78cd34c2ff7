//! A strict stand-in for Together AI's HTTP API, for tests and benchmarks.
//!
//! It listens on loopback, answers in the API's shapes, and keeps the rate limits to the letter:
//! a client that sends one request too many gets its 429. It shares no code with the limiter it
//! is used to test, so a mistake made there is not made here a second time.
//!
//! ```
//! use std::time::Duration;
//! use together_standin::{Answer, Limit, Route, Rules, StandIn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! // The default table, with all defaults:
//! let server = StandIn::start().await?;
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//!
//! // Limits of one's own, no answer delay, and a first chat call that fails:
//! let minute = Duration::from_secs(60);
//! let server = StandIn::builder()
//!     .rules(
//!         Rules::default()
//!             .limit(Route::Embeddings, Limit::gcra(300, minute, 5))
//!             .shared(&[Route::Chat, Route::Embeddings], Limit::sliding(600, minute)),
//!     )
//!     .latency(Duration::ZERO..=Duration::ZERO)
//!     .start()
//!     .await?;
//! server.script("POST", "/chat/completions", Answer::status(503).header("retry-after", "1"));
//! assert_eq!(server.stats().arrived, 0);
//! # Ok(())
//! # }
//! ```
//!
//! The same server is a binary, `together-standin`; its first line of output is
//! `listening on http://ADDR`.
//!
//! # What it answers
//!
//! Any of the prefixes `/v1`, `/v2`, `/v3`, or none, before these paths, over HTTP/1.1 or
//! HTTP/2 with prior knowledge:
//!
//! | request | answer |
//! |---|---|
//! | `GET /models` | a bare JSON array |
//! | `POST /chat/completions`, `POST /completions` | JSON, or with `"stream": true` server-sent events |
//! | `POST /embeddings` | one vector of unit length per input, always the same for the same input |
//! | `POST /images/generations` | one URL per image |
//! | anything else | what was [scripted](StandIn::script), or 404 |
//!
//! In a stream each chunk has `usage: null` except the last one with content: it carries both
//! `finish_reason` and `usage`. Then comes `data: [DONE]`.
//!
//! Errors are `{"error":{"message","type","param","code"}}`: 401 without a bearer key, 400 for a
//! body that is not JSON or names no `model`, 404 with the code `model_not_available` for a model
//! whose name begins with `unknown`. Each answer has an `x-request-id`.
//!
//! # What it enforces
//!
//! Requests, per key and model; the table and the rules are on [`Rules`] and [`Limit`], the
//! decision itself is [`engine::Engine`], which takes the time as an argument. A request that
//! touches two limits consumes from both or from neither. A request that is invalid, or whose
//! answer is scripted, consumes nothing.
//!
//! Tokens are not limited, and the limits do not move with traffic as the real ones do.
//!
//! # What it counts
//!
//! Whatever arrived, when its body was complete: [`StandIn::stats`] and [`StandIn::arrivals`],
//! or over HTTP `GET /standin/stats`, `GET /standin/arrivals` (the first million) and
//! `POST /standin/reset`. Requests to `/standin` are not counted themselves. Keys are hashed for
//! the comparison and neither stored nor shown.
//!
//! # Cancel safety and panics
//!
//! Dropping the [`StandIn`] closes the listener and all connections. A client that goes away
//! while it waits for its answer has still been counted and has still consumed. Builder methods
//! panic on values that cannot be right, as each of them says.

mod app;
mod builder;
mod call;
pub mod engine;
mod error;
mod latency;
mod ledger;
mod limit;
mod replies;
mod route;
mod rules;
mod script;
mod server;
mod shared;
mod stream;

pub use builder::{Builder, Headers};
pub use ledger::{Arrival, Counts, Stats};
pub use limit::Limit;
pub use route::Route;
pub use rules::Rules;
pub use script::Answer;
pub use server::StandIn;
