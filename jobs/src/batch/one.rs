//! One batch, from its file to its results.

use std::io;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;
use tower_together::jobs::read_json;

use super::{
    Outcome, Reason,
    cut::{self, Lines},
    journal::Journal,
    results::{self, Results},
    upload,
};
use crate::{
    Failure, JobsApi,
    call::{BoxError, Patience, call, json, patiently, state},
    list,
};

/// What came of the requests of one batch.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    /// Its file and the requests, if it was begun.
    pub(super) begun: Option<(String, Vec<String>)>,
}

/// Has the requests answered as one batch, or waits for the one that an earlier run has begun with them.
pub(super) async fn run<S, R>(api: &JobsApi<S>, journal: Option<&Journal>, lines: Lines) -> Done
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
    let ids = lines.0.iter().map(|line| line.id.clone()).collect();
    let outcomes = match batch.id(&file, &lines).await {
        Ok(id) => batch.outcomes(id, lines).await,
        Err(reason) => lines.missing(&reason),
    };
    let begun = Some((file, ids));
    Done { outcomes, begun }
}

struct Batch<'a, S> {
    api: &'a JobsApi<S>,
    journal: Option<&'a Journal>,
}

impl<S, R> Batch<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Uploads a file, once: it is sent again only if the failed attempt surely did nothing.
    async fn upload(&self, text: &str) -> Result<String, Reason> {
        // 128 random bits are in no other name, nor in a file.
        let random = format!("{:032x}", fastrand::u128(..));
        let name = format!("batch-{random}.jsonl");
        let mut tries = TRIES;
        loop {
            let (kind, form) = upload::form(&random, &name, text);
            let form = Some((&*kind, form));
            let read = |body: &Bytes| id(read_json(body).unwrap_or_default());
            let uploaded = call(self.api, Method::POST, "files/upload", form, MOST, read).await;
            match uploaded {
                Ok(id) => return Ok(id),
                Err(failure) if failure.may_be_done() => {
                    let found = self.look("files", |file| file["filename"] == name).await;
                    return found.map_err(|why| Reason::may_exist(name, failure, why));
                }
                Err(failure) if failure.is_passing() && tries > 1 => tries -= 1,
                Err(failure) => return Err(Reason::NotUploaded(failure)),
            }
            sleep(self.api.interval() / 30).await;
        }
    }

    /// The batch of a file: that of an earlier run, or else a new one.
    async fn id(&self, file: &str, lines: &Lines) -> Result<String, Reason> {
        let note = |write: &dyn Fn(&Journal) -> io::Result<()>| {
            let written = self.journal.map_or(Ok(()), write);
            written.map_err(|error| format!("its journal could not be written: {error}"))
        };
        let id = match lines.begun() {
            Some(begun) => match &begun.id {
                Some(id) => return Ok(id.clone()),
                None => self.find(file).await?,
            },
            None => {
                let noted = note(&|journal| journal.begin(file, lines));
                noted.map_err(|message| Reason::NotCreated(Failure::wrong(message)))?;
                self.create(file).await?
            }
        };
        match note(&|journal| journal.created(file, &id)) {
            Ok(()) => Ok(id),
            Err(message) => Err(Reason::Lost { batch: id, message }),
        }
    }

    /// Waits for a batch, and reads what came of these requests.
    async fn outcomes(&self, id: String, lines: Lines) -> Vec<Outcome> {
        let (mut results, missing) = match self.end(&id).await {
            Ok(job) => self.results(&id, &job).await,
            Err(failure) => {
                let message = failure.to_string();
                return lines.missing(&Reason::Lost { batch: id, message });
            }
        };
        let outcome = |line: cut::Line| match results.remove(&line.id) {
            Some(Ok(answer)) => Outcome {
                index: line.index,
                result: Ok(answer),
            },
            Some(Err(reason)) => line.missing(reason),
            None => line.missing(missing.clone()),
        };
        lines.0.into_iter().map(outcome).collect()
    }

    /// The batch of a file that an earlier run may have created.
    async fn find(&self, file: &str) -> Result<String, Reason> {
        let found = self.look("batches", |batch| batch["input_file_id"] == file);
        found.await.map_err(|why| {
            let stopped = "the run that was about to create it ended before the response";
            Reason::may_exist(file.to_owned(), Failure::wrong(stopped), why)
        })
    }

    /// Creates the batch of a file, once: it is sent again only if the failed attempt surely did nothing. If the
    /// response is lost, the batch is looked for: there is one batch of a file at most.
    async fn create(&self, file: &str) -> Result<String, Reason> {
        let request = json!({
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        });
        let read = |mut answer: Value| match answer.get_mut("job") {
            Some(job) => id(job.take()),
            None => id(answer),
        };
        let mut tries = TRIES;
        loop {
            match json(self.api, Method::POST, "batches", Some(&request), read).await {
                Ok(id) => return Ok(id),
                Err(failure) if failure.may_be_done() => {
                    let found = self.look("batches", |batch| batch["input_file_id"] == file);
                    let found = found.await;
                    return found.map_err(|why| Reason::may_exist(file.to_owned(), failure, why));
                }
                Err(failure) if failure.is_passing() && tries > 1 => tries -= 1,
                Err(failure) => return Err(Reason::NotCreated(failure)),
            }
            sleep(self.api.interval()).await;
        }
    }

    /// Looks for what a request has created whose response was lost, a few times, for it may take effect, and
    /// appear in the list, only after the request seems to have failed. Returns why it was not found.
    async fn look(
        &self,
        path: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<String, Option<Failure>> {
        for _ in 0..LOOKS {
            sleep(self.api.interval()).await;
            let mut found = None;
            let look = list::each(self.api, path, Patience::WithAll, |object| {
                if is_it(object) {
                    found = object["id"].as_str().map(str::to_owned);
                }
            });
            look.await.map_err(Some)?;
            if let Some(id) = found {
                return Ok(id);
            }
        }
        Err(None)
    }

    /// Waits for the batch to end.
    async fn end(&self, id: &str) -> Result<Value, Failure> {
        let path = format!("batches/{id}");
        loop {
            sleep(self.api.interval().mul_f64(1.0 + fastrand::f64())).await;
            let ask = || json(self.api, Method::GET, &path, None, state);
            let job = match patiently(self.api.interval(), Patience::WithAll, ask).await {
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

    /// Reads what an ended batch has made, and why the other lines have no answer. What can be read counts,
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
        let file = patiently(self.api.interval(), Patience::WithAll, ask).await;
        let file = file.map_err(|failure| format!("{path} could not be read: {failure}"))?;
        results::read(&file, results);
        Ok(())
    }
}

/// The id of what a response tells of.
fn id(told: Value) -> Result<String, String> {
    let id = told["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| format!("the server says {told}"))
}

/// The states in which a batch stays (the SDK for Python, `togethercomputer/together-py`).
const ENDED: [&str; 5] = ["COMPLETED", "FAILED", "EXPIRED", "CANCELLED", "CANCELED"];

/// Tries of what the layers have tried already.
const TRIES: u32 = 3;

/// Looks for what may have been created.
const LOOKS: u32 = 3;

/// Bytes of an answer that is no file.
const MOST: usize = 1 << 20;

/// Bytes of a file of results: 50,000 answers of 20 KB.
const LARGEST: usize = 1 << 30;
