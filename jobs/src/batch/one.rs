//! One batch, from its file to its results.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;
use tower_together::jobs::JobsApi;

use super::{
    cut::{self, RequestLines},
    journal::BatchJournal,
    outcome::{Outcome, Reason},
    results::{self, Results},
};
use crate::{
    call::{Tolerance, call, json, patiently, state},
    failure::{BoxError, Failure},
};

/// The results of one batch.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    /// Its file, and the requests that a later run is not to look for in it, once their outcomes have been taken.
    pub(super) begun: Option<(String, Vec<String>)>,
}

/// Runs the requests as one batch, or waits for the one that an earlier run has begun with them.
pub(super) async fn run<S, R>(
    api: &JobsApi<S>,
    journal: Option<&BatchJournal>,
    lines: RequestLines,
) -> Done
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let batch = Batch { api, journal };
    let file = match lines.begun() {
        Some(begun) => Ok(begun.file.clone()),
        None => batch.upload(&lines.text()).await,
    };
    let file = match file {
        Ok(file) => file,
        Err(reason) => {
            let outcomes = lines.missing(&reason);
            return Done {
                outcomes,
                begun: None,
            };
        }
    };
    let ids: Vec<_> = lines.0.iter().map(|line| line.id.clone()).collect();
    let outcomes = match batch.id(&file, &lines).await {
        Ok(id) => batch.outcomes(id, lines).await,
        Err(reason) => {
            if let (Some(journal), Reason::NotCreated(_)) = (journal, &reason) {
                // There is no batch to look for, whether or not this run goes on. If this is not written, a later run
                // looks for it.
                let _ = journal.taken(file.clone(), ids.clone());
            }
            lines.missing(&reason)
        }
    };
    let ids = ids.into_iter().zip(&outcomes);
    let over = ids.filter_map(|(id, outcome)| (!outcome.is_open()).then_some(id));
    let begun = Some((file, over.collect()));
    Done { outcomes, begun }
}

pub(super) struct Batch<'a, S> {
    pub(super) api: &'a JobsApi<S>,
    pub(super) journal: Option<&'a BatchJournal>,
}

impl<S, R> Batch<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Waits for a batch, and reads what came of these requests.
    async fn outcomes(&self, id: String, lines: RequestLines) -> Vec<Outcome> {
        let (mut results, missing) = match self.end(&id).await {
            Ok(job) => self.results(&id, &job).await,
            Err(failure) => {
                let message = failure.to_string();
                return lines.missing(&Reason::Lost { batch: id, message });
            }
        };
        let outcome = |line: cut::RequestLine| match results.remove(&line.id) {
            Some(Ok(response)) => Outcome {
                index: line.index,
                result: Ok(response),
            },
            Some(Err(reason)) => line.missing(reason),
            None => line.missing(missing.clone()),
        };
        lines.0.into_iter().map(outcome).collect()
    }

    /// Waits for the batch to end.
    async fn end(&self, id: &str) -> Result<Value, Failure> {
        let path = format!("batches/{id}");
        loop {
            sleep(self.api.interval().mul_f64(1.0 + fastrand::f64())).await;
            let ask = || json(self.api, Method::GET, &path, None, state);
            let job = match patiently(self.api.interval(), Tolerance::WithAll, ask).await {
                Ok(job) => job,
                Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => {
                    return Ok(json!({"status": "gone", "error": failure.to_string()}));
                }
                Err(failure) => return Err(failure),
            };
            let status = job["status"].as_str().unwrap_or_default();
            if ENDED.iter().any(|ended| status.eq_ignore_ascii_case(ended)) {
                return Ok(job);
            }
        }
    }

    /// Reads what an ended batch has made, and why the other lines have no response. What can be read counts,
    /// whatever becomes of the rest.
    async fn results(&self, id: &str, job: &Value) -> (Results, Reason) {
        let mut results = Results::new();
        let batch = id.to_owned();
        let lost = self.read(job, "output_file_id", &mut results).await.err();
        let other = self.read(job, "error_file_id", &mut results).await.err();
        let missing = match (lost, other) {
            (Some(message), _) => Reason::Lost { batch, message },
            (None, other) => Reason::Ended {
                batch,
                status: job["status"].as_str().unwrap_or_default().to_owned(),
                message: other.unwrap_or_else(|| results::words(&job["error"])),
            },
        };
        (results, missing)
    }

    /// Reads a file that a job names, if it names one.
    async fn read(&self, job: &Value, name: &str, results: &mut Results) -> Result<(), String> {
        let Some(file) = job[name].as_str().filter(|file| !file.is_empty()) else {
            return Ok(());
        };
        let path = format!("files/{file}/content");
        let ask = || {
            call(self.api, Method::GET, &path, None, LARGEST, |file| {
                Ok(file.clone())
            })
        };
        let file = patiently(self.api.interval(), Tolerance::WithAll, ask).await;
        let file = file.map_err(|failure| format!("{path} could not be read: {failure}"))?;
        results::read(&file, results);
        Ok(())
    }
}

/// The states in which a batch stays (the SDK for Python, `togethercomputer/together-py`).
const ENDED: [&str; 5] = ["COMPLETED", "FAILED", "EXPIRED", "CANCELLED", "CANCELED"];

/// Bytes of a file of results: 50,000 responses of 20 KB.
const LARGEST: usize = 1 << 30;
