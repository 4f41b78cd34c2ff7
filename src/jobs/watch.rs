use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{JobsApi, JobsError, look::look};
use crate::{
    limiter::{JobBook, Limiter, Watcher},
    observe,
};

impl Limiter {
    /// Finds the jobs that run already, after a restart: each takes a slot, be there one or not.
    /// Returns how many of the key's jobs hold one then.
    ///
    /// See the [module](crate::jobs) for the whole.
    ///
    /// # Errors
    ///
    /// If that cannot be read, or the service does not pass through this limiter. What was read until
    /// then counts.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done what it has read.
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

    /// Asks what became of the jobs that hold slots, while somebody waits for one of them to end: at
    /// once, and then every 30 to 60 s
    /// ([`JobsApi::with_interval`]). While nobody waits it asks nothing.
    ///
    /// It is for the caller to run, in a task or beside the rest of the program, once for each key. See
    /// the [module](crate::jobs) for the whole.
    ///
    /// Returns as soon as the limiter is [closed](Limiter::close).
    ///
    /// # Errors
    ///
    /// If the server says 401 or 403, or if the service does not pass through this limiter: then it
    /// would never learn anything. Whatever else fails is asked again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it asks no more, and nothing is lost.
    ///
    /// # Panics
    ///
    /// When polled outside a Tokio runtime with its timer enabled.
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
            while let Some(awaited) = watcher.awaited(book.as_ref()).await {
                for kind in awaited {
                    match look(&limiter, &mut api, kind).await {
                        Ok(key) => book = Some(key),
                        Err(error) if error.is_final() => return Err(error),
                        Err(error) => observe::jobs_unread(error.name()),
                    }
                }
                // Spread, so that programs that began together do not ask together.
                let rest = api.interval().mul_f64(1.0 + fastrand::f64());
                watcher.rest(rest).await;
            }
            Ok(())
        }
    }
}
