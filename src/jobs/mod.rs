//! Jobs that run for hours: fine-tunes and batches.
//!
//! They are limited by how many run at once ([`Limits::jobs`](crate::Limits::jobs)), not by how many are
//! sent. A request that creates one takes a slot before it leaves. Its answer says which job was
//! created, and that job keeps the slot, long after the answer, until it is known to have ended:
//!
//! | what tells | frees the slot |
//! |---|---|
//! | an answer that passes through the layer: the job itself, a list, or what came of cancelling it | if its state is `completed`, `failed`, `expired`, `cancelled`, `error` or `user_error`, in whichever case. One that nobody knows is one in which it still runs |
//! | a 404 to a question about it, or its deletion | yes |
//! | a create that fails, or whose answer names no job | yes, with the answer |
//! | a create whose response cannot be read: cut short, or no JSON | no: a job may run. Once [`Limiter::watch_jobs`] or [`Limiter::sync_jobs`] has asked, or after an hour |
//! | [`Limiter::job_ended`] | yes |
//! | [`Limiter::watch_jobs`] | asks for you, while somebody waits |
//!
//! **Where nobody asks what became of the jobs, nobody knows that they ended, and the fourth fine-tune
//! waits for ever** (or until its deadline). So a program that creates jobs either reads their states
//! through the layer, as it must to get at their results, or runs [`Limiter::watch_jobs`] beside. A
//! program that may have been restarted first calls [`Limiter::sync_jobs`]: what runs already takes its
//! slots.
//!
//! ```
//! use std::num::NonZeroU32;
//! use tower::ServiceBuilder;
//! use tower_together::{Endpoint, Limiter, Limits, TogetherLayer, jobs::JobsApi};
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let api = together_standin::StandIn::start().await?;
//! # let url = format!("{}/v1", api.url());
//! let two = NonZeroU32::new(2).unwrap();
//! let limiter = Limiter::new(Limits::default().jobs(Endpoint::FineTuneCreate, two));
//! let client = ServiceBuilder::new()
//!     .layer(TogetherLayer::from(limiter.clone()))
//!     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
//!
//! // Through the same stack, and so through the same limits.
//! let jobs = JobsApi::new(client.clone()).with_base(&url)?.with_key("YOUR_KEY")?;
//! let running = limiter.sync_jobs(jobs.clone()).await?;
//! println!("{running} jobs run already");
//! tokio::spawn(limiter.watch_jobs(jobs));
//! // From here on `client` sends no create while as many jobs run as may.
//! # Ok(())
//! # }
//! ```
//!
//! Over reqwest, the client is `stack::HttpOverReqwest` with the layers around it (feature `reqwest`). If nothing
//! else says what its requests' bodies are, write `HttpOverReqwest::<_, reqwest::Body>::new(client)`.
//!
//! # When the server has its own opinion
//!
//! No limit is published, and what the server answers to one job too many is not either. An answer to a
//! create that [speaks of too many jobs](crate::ApiError::is_too_many_jobs) is believed: the
//! request waits in front of its lane until one of the jobs that ran then has ended, and is sent again,
//! by the [retry layer](crate::retry), as often as need be. For an hour no more are created than ran then.
//! Where none is known to run, they are somebody else's, or the words are about something else: one request at a
//! time asks again, after 1, 2, 4, 8, then every 10 minutes. The response to its third attempt is final, unless an
//! hour has passed since the one before. A check of the list (`sync_jobs`, `watch_jobs`) shows what runs: a job
//! that it finds is known, and its end is waited for. Any other 409 is final.
//!
//! # While it waits
//!
//! A create that waits is one entry in the queue, however long; its [`Deadline`](crate::extension::Deadline)
//! bounds it. It shows in [`Limiter::snapshot`] (its lane's `waiting`, its limit's `left`, the `jobs` that hold
//! slots), and with the feature `tracing` in an event when it begins to wait.

mod api;
mod error;
mod look;
mod watch;

#[cfg(doc)]
use crate::Limiter;

pub use self::{api::JobsApi, error::JobsError};
pub use crate::wire::read_json;
