//! A strict stand-in for Together AI's HTTP API, for tests and benchmarks.
//!
//! It listens on loopback, responds in the API's shapes, and enforces rate limits exactly: a client
//! that sends one request too many gets a 429. It shares no code with the limiter that it is used to
//! test, so that a mistake made there is not made here a second time.
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
//! // Limits of your own, no latency, and a first chat request that fails:
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
//!
//! // One request in 20 or so fails, in each way a server can fail.
//! let server = StandIn::builder().chaos(7).start().await?;
//! assert_eq!(server.faults()["refused-stream"], 0);
//! # Ok(())
//! # }
//! ```
//!
//! The same server is a binary, `together-standin`; its first line of output is
//! `listening on http://ADDR`.
//!
//! # Responses
//!
//! Any of the prefixes `/v1`, `/v2`, `/v3`, or none, before these paths, over HTTP/1.1 or
//! HTTP/2 with prior knowledge:
//!
//! | request | response |
//! |---|---|
//! | `GET /models`, `GET /supported-models` | a bare JSON array; a list in an object |
//! | `POST /chat/completions`, `POST /completions` | JSON, or with `"stream": true` server-sent events |
//! | `POST /embeddings` | one vector of unit length per input, always the same for the same input |
//! | `POST /images/generations` | one URL per image |
//! | `POST /files/upload`, `GET /files`, `/files/{id}`, `/files/{id}/content`, `DELETE /files/{id}` | files, of a gibibyte in all |
//! | `POST /files`, a form | with a file in it the same; else 302 to where the file is to be `PUT`, below `/standin/storage`, and its id in `x-together-file-id` |
//! | `POST /files/{id}/preprocess` | the file, once it has been put there |
//! | `POST /fine-tunes`, `GET /fine-tunes`, `/fine-tunes/{id}`, `POST /fine-tunes/{id}/cancel`, `DELETE /fine-tunes/{id}` | fine-tunes, which take an hour |
//! | `POST /batches`, `GET /batches`, `/batches/{id}`, `POST /batches/{id}/cancel` | batches of chat completions, which take ten minutes |
//! | anything else | what was [scripted](StandIn::script), or 404 |
//!
//! In a stream each chunk has `usage: null` except the last one with content: it carries both
//! `finish_reason` and `usage`. Then comes `data: [DONE]`. With [`Builder::trailing_usage`] the
//! usage is on one more chunk, without choices.
//!
//! Errors are `{"error":{"message","type","param","code"}}`: 401 without a bearer key; 400 for a body
//! that is not JSON, is not announced as `content-type: application/json`, or names no `model`; 404
//! with the code `model_not_available` for a model whose name begins with `unknown`. Each response
//! has an `x-request-id`.
//!
//! Jobs live as the API's do, from `pending` to `completed` and from `VALIDATING` to `COMPLETED`, or
//! as [`Jobs`] says: some fail, restart under another id, expire, vanish. The lines of a batch get the
//! responses that `POST /chat/completions` would give, in another order. Jobs have one limit, the
//! number that run at a time.
//!
//! # Limits
//!
//! Requests, per key and model; the table and the rules are on [`Rules`] and [`Limit`]. A request that
//! touches two limits consumes from both or from neither. A request that is invalid, or whose
//! response is scripted, consumes nothing.
//!
//! Tokens, where [`Rules::tokens`] limits them. A request is charged when it is accepted: a token
//! for each four bytes of text in its prompt, and its `max_tokens` if it has one. When its response
//! has been sent, or cannot be, the charge is settled to the `total_tokens` of the `usage` that the
//! response reports. Embeddings and images report none, as with the API, and keep their charge.
//!
//! A rejection is a 429 with the type `dynamic_request_limited` or `dynamic_token_limited`, in
//! `error.type`, and beside it where [`Builder::top_level_error_type`] says so; its message names
//! the limits. Its headers, and those of other responses, are listed on [`Headers`].
//!
//! Limits can move: by a plan ([`Limit::then`]), or with a caller's success as Together's did in
//! early 2026 ([`Limit::dynamic`]). Headers tell the limit that is in force at that moment.
//! [`StandIn::allowed`] is the number of requests that the limits allow from one time to another,
//! whatever is sent.
//!
//! ```
//! # use std::time::Duration;
//! # use together_standin::{Headers, Limit, Route, Rules, StandIn};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! // Embeddings have 300 a minute, after 60 s 150, after 120 s 600; all responses tell the limit.
//! let server = StandIn::builder().moving().start().await?;
//! let second = Duration::from_secs(1);
//! assert_eq!(server.allowed(Route::Embeddings, 30 * second, 90 * second), Some(225.0));
//!
//! // The same, of chat, for ever; with 180,000 tokens a minute, in headers of all spellings.
//! let minute = 60 * second;
//! let requests = Limit::gcra(300, minute, 5)
//!     .then(60 * second, 150)
//!     .then(120 * second, 600)
//!     .repeating(180 * second);
//! let server = StandIn::builder()
//!     .rules(
//!         Rules::none()
//!             .limit(Route::Chat, requests)
//!             .tokens(Route::Chat, Limit::gcra(180_000, minute, 3_000)),
//!     )
//!     .headers(Headers::Everything)
//!     .start()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Failures
//!
//! Request by request: a scripted [`Answer`] is a response of any status, which may come
//! [early](Answer::early), late or [cut](Answer::cut) in two, or it is a fault in place of one:
//! [`Answer::reset`], [`Answer::refused_stream`], [`Answer::go_away`].
//!
//! All requests at once, for a time: [`StandIn::outage`].
//!
//! One request in 20 or so, with [`Builder::chaos`]: requests that would have been accepted fail, and
//! consume nothing. These are the faults, by the names they have in [`StandIn::faults`]:
//!
//! | fault | what the client gets |
//! |---|---|
//! | `429-retry-after`, `429-retry-after-decimal` | 429 with `retry-after: 1`; with `0.5` |
//! | `429-retry-after-ms`, `429-reset-only` | 429 with only `retry-after-ms: 300`; `x-ratelimit-reset: 1` |
//! | `429-imf-fixdate`, `429-rfc850-date`, `429-asctime-date` | 429 with a date in `retry-after`, 2 s after the one in `date` |
//! | `429-no-hint`, `429-html` | 429 that does not say when; with a page of HTML and `retry-after: 1` |
//! | `400-should-retry` | 400 with `x-should-retry: true` |
//! | `408`, `500`, `503`, `504`, `529` | that status, without a hint |
//! | `503-retry-after` | 503 with `retry-after: 1` |
//! | `502-html`, `520`, `524` | that status with a page of HTML |
//! | `reset`, `refused-stream`, `go-away` | what the [`Answer`] of that name does |
//! | `hang` | nothing for an hour: only a timeout of the client's ends it |
//! | `outage` | an [outage](StandIn::outage) of 300 ms, for everybody |
//!
//! Their JSON bodies are in one of the API's three shapes: the object above, that object's four
//! fields without `error` around them, or `{"error":"message"}`.
//!
//! # Counts
//!
//! A request counts when its body is complete: [`StandIn::stats`] and [`StandIn::arrivals`], or
//! over HTTP `GET /standin/stats`, `GET /standin/arrivals` (the first million) and
//! `POST /standin/reset`. Requests to `/standin` are not counted themselves. Keys are hashed for
//! the comparison and neither stored nor shown.
//!
//! Connections: [`StandIn::connections`] are open, [`StandIn::accepted_connections`] have been accepted.
//! Faults of chaos: [`StandIn::faults`]. `GET /standin/stats` has all of these too, and the
//! connection that asks is among those it counts.
//!
//! # Paused time
//!
//! The server reads tokio's clock. In a test that pauses it, limits refill, jobs end and delays pass without real time.
//! The server and the client run on the runtime of the test, which has one thread.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use together_standin::{Answer, StandIn};
//! use tokio::time::Instant;
//!
//! // In a test: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = StandIn::start().await?;
//!     let an_hour = Duration::from_secs(3_600);
//!     server.script("POST", "/embeddings", Answer::status(504).delay(an_hour));
//!
//!     let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//!     let request = Request::post(format!("{}/v1/embeddings", server.url()));
//!     let sent = Instant::now();
//!     let response = client.request(request.body(Full::default())?).await?;
//!     assert_eq!(response.status(), 504);
//!     assert!(sent.elapsed() >= an_hour);
//!     Ok(())
//! }
//! ```
//!
//! A paused clock advances to the next timer whenever all tasks wait, even if one of them waits for a socket. A timer
//! that runs while a request is under way, such as a client's timeout, can therefore fire early. This is rare over
//! HTTP/1.1. Over HTTP/2 it is the rule, unless the client sets `TCP_NODELAY`. Assert counts and lower bounds of times:
//! those always hold.
//!
//! # Cancel safety and panics
//!
//! Dropping the [`StandIn`] closes the listener and all connections, also during an outage, which
//! it ends for good. The request of a client that goes away while it waits for the response has been
//! counted, and has consumed. The request of a client that goes away while it sends its body has not
//! arrived. Builder methods panic on values that cannot be right, as each of them says.

mod answer;
mod app;
mod books;
mod builder;
mod call;
mod chaos;
mod connection;
mod course;
mod cut;
mod engine;
mod error;
mod fault;
mod headers;
mod jobs;
mod json;
mod latency;
mod ledger;
mod limit;
mod linger;
mod manner;
mod open;
mod pace;
mod port;
mod replies;
mod route;
mod rules;
mod script;
mod server;
mod settle;
mod shared;
mod stream;
mod tokens;
mod verdict;

pub use answer::Answer;
pub use builder::Builder;
pub use headers::Headers;
pub use jobs::{Fate, JobKind, JobReport, Jobs};
pub use ledger::{Arrival, Counts, Stats};
pub use limit::Limit;
pub use route::Route;
pub use rules::Rules;
pub use server::StandIn;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
