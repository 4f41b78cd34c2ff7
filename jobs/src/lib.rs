//! Batches, fine-tunes and corpora for Together AI, over any stack of [`tower_together`].
//!
//! [`Corpus`] sends a lot of requests, or embeds a lot of texts; [`FineTunes`] creates fine-tunes, each once,
//! whatever happens to the program; [`Batches`] runs many chat requests at half the price. [`Results`] keeps
//! what comes of them in a file, to which a later run adds what is missing, and [`Tally`] says how far a run is and
//! what failed.
//!
//! All three go over any service of `http::Request<Full<Bytes>>`: hyper's client as it is, and reqwest's in
//! `tower_together::stack::HttpOverReqwest` (the example `jobs_reqwest` of the repository).
//!
//! # Batches
//!
//! A batch is a file of chat requests that Together runs within 24 hours, mostly sooner, at half the
//! price of live calls, and under limits of its own
//! (docs.together.ai/docs/inference/batch/overview). [`Batches`] cuts any number of requests into such
//! files, uploads them, has batches made of them, waits, and gives the responses in the order of the
//! requests.
//!
//! Use it for a corpus of chat requests that nobody waits for: evaluations, extraction, synthetic data.
//! It is not for a response that is wanted now, nor for a handful of requests. Embeddings have no batches:
//! use [`TogetherLayer`](tower_together::TogetherLayer).
//!
//! ```
//! use std::{pin::pin, time::Duration};
//! use futures_util::StreamExt;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use serde_json::json;
//! use tower::ServiceBuilder;
//! use tower_together::TogetherLayer;
//! use tower_together_jobs::{Batches, JobsApi};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let quick = together_standin::Jobs::default().batch_time(Duration::from_millis(20));
//! # let server = together_standin::StandIn::builder().jobs(quick).start().await?;
//! # let url = format!("{}/v1", server.url());
//! # let second = Duration::from_millis(10);
//! let client = ServiceBuilder::new()
//!     .layer(TogetherLayer::default())
//!     .service(Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>());
//! let api = JobsApi::new(client).with_base(&url)?.with_key("YOUR_KEY")?;
//! # let api = api.with_interval(second);
//!
//! let requests = ["Paris?", "Rome?"].map(|question| {
//!     json!({"model": "m", "messages": [{"role": "user", "content": question}]})
//! });
//! let mut outcomes = pin!(Batches::new(api).run(requests));
//! let mut again = Vec::new();
//! while let Some(outcome) = outcomes.next().await {
//!     match outcome.result {
//!         Ok(response) => println!("{}", response["choices"][0]["message"]["content"]),
//!         Err(missing) => {
//!             eprintln!("{}: {missing}", outcome.index);
//!             again.push(missing.request);
//!         }
//!     }
//! }
//! assert!(again.is_empty());
//! # Ok(())
//! # }
//! ```

mod batch;
mod call;
mod corpus;
mod failure;
mod fine_tune;
mod journal;
mod list;
mod locked;
mod results;
mod tally;

pub use self::{
    batch::{Batches, Missing, Outcome, Reason},
    corpus::{Corpus, Item, vectors},
    failure::Failure,
    fine_tune::{FineTune, FineTunes, Untrained},
    results::Results,
    tally::Tally,
};
pub use tower_together::jobs::JobsApi;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
