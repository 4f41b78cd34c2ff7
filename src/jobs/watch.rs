use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{JobsApi, JobsError, look::look};
use crate::{
    limiter::{JobBook, Limiter, Watcher},
    observe::{self, Repeats},
};

impl Limiter {
    /// Finds the jobs that already run, after a restart. Each job takes a slot, even beyond the limit. Returns the
    /// number of the key's jobs that hold a slot afterwards.
    ///
    /// See the [module](crate::jobs) for details.
    ///
    /// # Errors
    ///
    /// If the jobs cannot be read, or the service does not pass through this limiter. Jobs read before the error
    /// keep their slots.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps the effect of what has been read.
    pub fn sync_jobs<S, B, R>(
        &self,
        mut api: JobsApi<S>,
    ) -> impl Future<Output = Result<usize, JobsError<S::Error>>> + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: Default,
        R: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let limiter = self.clone();
        async move {
            let mut running = 0;
            for kind in limiter.limited_jobs() {
                let book = look(&limiter, &mut api, kind).await?;
                running += book.held(kind).len();
            }
            Ok(running)
        }
    }

    /// Polls the states of the jobs that hold slots, while a request waits for one of them to end: at once, and then
    /// every 30 to 60 s ([`JobsApi::with_interval`]). It sends nothing while no request waits.
    ///
    /// The caller runs it, in a task or beside the rest of the program, once for each key. See the
    /// [module](crate::jobs) for details.
    ///
    /// Returns as soon as the limiter is [closed](Limiter::close).
    ///
    /// # Errors
    ///
    /// If the server responds with 401 or 403, or if the service does not pass through this limiter and would never
    /// teach it anything. Requests that fail for other reasons are repeated.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the polling, and loses nothing.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime with its timer enabled.
    pub fn watch_jobs<S, B, R>(
        &self,
        mut api: JobsApi<S>,
    ) -> impl Future<Output = Result<(), JobsError<S::Error>>> + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: Default,
        R: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let limiter = self.clone();
        async move {
            let watcher = Watcher::new(&limiter);
            let mut book: Option<JobBook> = None;
            let repeats = Repeats::default();
            while let Some(awaited) = watcher.awaited(book.as_ref()).await {
                for kind in awaited {
                    match look(&limiter, &mut api, kind).await {
                        Ok(key) => book = Some(key),
                        Err(error) if error.is_final() => return Err(error),
                        Err(error) => observe::jobs_unread(error.name(), &repeats),
                    }
                }
                // Random, so that programs that started together do not poll together.
                let rest = api.interval().mul_f64(1.0 + fastrand::f64());
                watcher.rest(rest).await;
            }
            Ok(())
        }
    }
}
