//! One run, that knows which jobs there are.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{Limiter, jobs::JobsApi};

use super::{journal::FineTuneJournal, known::Known, outcome::Untrained};
use crate::{
    call::{Tolerance, json, patiently, state},
    failure::{BoxError, Failure, with_causes},
    list,
};

#[derive(Clone)]
pub(super) struct FineTuneRun<S> {
    api: JobsApi<S>,
    known: Arc<Known>,
    settle: Duration,
    journal: Option<FineTuneJournal>,
}

impl<S, R> FineTuneRun<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    pub(super) async fn begin(
        api: JobsApi<S>,
        limiter: &Limiter,
        settle: Duration,
        journal: Option<FineTuneJournal>,
    ) -> Result<Self, String> {
        // The last request of a program that was killed may take effect only now.
        sleep(settle).await;
        let sync = limiter.sync_jobs(api.clone()).await;
        sync.map_err(|error| error.map_service(with_causes).to_string())?;
        let known = read_all(&api, Tolerance::WithErrors).await;
        let known = known.map_err(|failure| failure.to_string())?;
        Ok(Self {
            api,
            known: Arc::new(known),
            settle,
            journal,
        })
    }

    /// The job of a request when it is completed, created if it was not there.
    pub(super) async fn train(&self, request: &Value) -> Result<Value, Untrained> {
        let suffix = request["suffix"].as_str().unwrap_or_default();
        let journal = self.journal.as_ref();
        let journaled = || journal.and_then(|journal| journal.id(suffix));
        let id = match self
            .known
            .newest(request)
            .map(str::to_owned)
            .or_else(journaled)
        {
            Some(id) => id,
            None => self.create(request).await?,
        };
        if let Some(Err(error)) = journal.map(|journal| journal.note(suffix, &id)) {
            let message = format!("its journal could not be written: {error}");
            return Err(Untrained::Lost { id, message });
        }
        self.end(id, request).await
    }

    /// Creates a job, once: it is sent again only if the failed attempt surely did nothing. If the response is
    /// lost, the job is looked for by its suffix, a few times: it may take effect, and appear in the list, only
    /// after the request seems to have failed.
    async fn create(&self, request: &Value) -> Result<String, Untrained> {
        let read = |job: Value| {
            let id = job["id"].as_str().map(str::to_owned);
            id.ok_or_else(|| format!("the server says {job}"))
        };
        let mut tries = TRIES;
        let lost = loop {
            match json(&self.api, Method::POST, "fine-tunes", Some(request), read).await {
                Ok(id) => return Ok(id),
                Err(failure) if failure.may_be_done() => break failure,
                Err(failure) if failure.is_transient() && tries > 1 => tries -= 1,
                Err(failure) => return Err(Untrained::NotCreated(failure.to_string())),
            }
            sleep(self.settle).await;
        };
        for _ in 0..LOOKS {
            sleep(self.settle).await;
            match read_all(&self.api, Tolerance::WithAll).await {
                Ok(known) => {
                    if let Some(id) = known.newest(request) {
                        return Ok(id.to_owned());
                    }
                }
                Err(list) => return Err(Untrained::MayExist(format!("{lost}; and then {list}"))),
            }
        }
        Err(Untrained::MayExist(lost.to_string()))
    }

    /// Waits for a job's end, and for that of another that took its place.
    async fn end(&self, mut id: String, request: &Value) -> Result<Value, Untrained> {
        loop {
            let job = match self.job(&id).await {
                Ok(job) => job,
                Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => {
                    let status = "gone".to_owned();
                    return Err(Untrained::Ended { id, status });
                }
                Err(failure) => {
                    let message = failure.to_string();
                    return Err(Untrained::Lost { id, message });
                }
            };
            let status = job["status"].as_str().unwrap_or_default();
            match status.to_ascii_lowercase().as_str() {
                "completed" => return Ok(job),
                "error" => {
                    // Together may begin it again, under another id.
                    let known = read_all(&self.api, Tolerance::WithAll)
                        .await
                        .unwrap_or_default();
                    match known.newest(request) {
                        Some(other) if other != id => id = other.to_owned(),
                        _ => {
                            let status = status.to_owned();
                            return Err(Untrained::Ended { id, status });
                        }
                    }
                }
                "user_error" | "cancelled" | "canceled" => {
                    let status = status.to_owned();
                    return Err(Untrained::Ended { id, status });
                }
                _ => sleep(self.api.interval().mul_f64(1.0 + fastrand::f64())).await,
            }
        }
    }

    async fn job(&self, id: &str) -> Result<Value, Failure> {
        let path = format!("fine-tunes/{id}");
        patiently(self.api.interval(), Tolerance::WithAll, || {
            json(&self.api, Method::GET, &path, None, state)
        })
        .await
    }
}

/// The jobs there are, the newest first.
async fn read_all<S, R>(api: &JobsApi<S>, patience: Tolerance) -> Result<Known, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut known = Known::default();
    list::each(api, "fine-tunes", patience, |job| known.add(job)).await?;
    Ok(known)
}

/// Tries of what the layers have tried already.
const TRIES: u32 = 3;

/// Looks for a job that may have been created.
const LOOKS: u32 = 3;
