//! Jobs that run for hours: fine-tunes and batches.
//!
//! Their limit is the number of jobs that run at once ([`Limits::jobs`](crate::Limits::jobs)), not the number of
//! requests. A request that creates a job takes a slot before it is sent. The response names the job, and the job
//! then keeps the slot until it is known to have ended:
//!
//! | source | frees the slot |
//! |---|---|
//! | a response that passes through the layer: the job itself, a list, or the result of cancelling it | if its state is `completed`, `failed`, `expired`, `cancelled`, `error` or `user_error`, in any case. A job in an unknown state counts as running |
//! | a 404 to a request about it, or its deletion | yes |
//! | a create that fails, or whose response names no job | yes, with the response |
//! | a create whose response cannot be read: truncated, or not JSON | no: a job may run. Yes once [`Limiter::watch_jobs`] or [`Limiter::sync_jobs`] has checked, or after an hour |
//! | [`Limiter::job_ended`] | yes |
//! | [`Limiter::watch_jobs`] | polls for you, while a request waits |
//!
//! **If nothing reads the states of the jobs, they are never known to have ended, and the fourth fine-tune waits
//! forever** (or until its deadline). So a program that creates jobs either reads their states through the layer,
//! which it must do to get their results, or also runs [`Limiter::watch_jobs`]. A program that may have been
//! restarted first calls [`Limiter::sync_jobs`], so that jobs that already run take their slots.
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
//! // From here on, `client` sends no create request while the maximum number of jobs run.
//! # Ok(())
//! # }
//! ```
//!
//! Over reqwest, the client is `stack::HttpOverReqwest` with the layers around it (feature `reqwest`). If the
//! type of its request bodies cannot be inferred, write `HttpOverReqwest::<_, reqwest::Body>::new(client)`.
//!
//! # When the server limits jobs itself
//!
//! Neither the limit nor the response to one job too many is published. A response to a create that
//! [says that too many jobs run](crate::ApiError::is_too_many_jobs) is believed. The request waits at the front of
//! its lane until one of the jobs that ran then has ended. The [retry layer](crate::retry) retries it as often as
//! needed. For an hour, no more jobs are created than ran then.
//!
//! If no job is known to run, the jobs belong to another program, or the words are about something else. Then one
//! request at a time is retried, after 1, 2, 4, 8, and then every 10 minutes. The response to its third attempt is
//! final, unless an hour has passed since the one before. A check of the list (`sync_jobs`, `watch_jobs`) finds
//! running jobs: a job that it finds is known, and the request waits for its end. Any other 409 is final.
//!
//! # While it waits
//!
//! A waiting create is one entry in the queue, however long it waits. Its
//! [`Deadline`](crate::extension::Deadline) bounds the wait. [`Limiter::snapshot`] shows it (its lane's `waiting`,
//! its limit's `left`, and the `jobs` that hold slots). With the feature `tracing`, an event reports the start of
//! the wait.

mod api;
mod error;
mod look;
mod watch;

#[cfg(doc)]
use crate::Limiter;

pub use self::{api::JobsApi, error::JobsError};
pub use crate::wire::read_json;
