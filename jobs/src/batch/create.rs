//! The creation of a batch, from its file to its id.

use std::io;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service;
use tower_together::jobs::read_json;

use super::{cut::RequestLines, journal::BatchJournal, one::Batch, outcome::Reason, upload};
use crate::{
    call::{Tolerance, call, json},
    failure::{BoxError, Failure},
    list,
};

impl<S, R> Batch<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Uploads a file, once: it is sent again only if the failed attempt surely did nothing.
    pub(super) async fn upload(&self, text: &str) -> Result<String, Reason> {
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
                Err(failure) if failure.is_transient() && tries > 1 => tries -= 1,
                Err(failure) => return Err(Reason::NotUploaded(failure)),
            }
            sleep(self.api.interval() / 30).await;
        }
    }

    /// The batch of a file: that of an earlier run, or else a new one.
    pub(super) async fn id(&self, file: &str, lines: &RequestLines) -> Result<String, Reason> {
        let note = |write: &dyn Fn(&BatchJournal) -> io::Result<()>| {
            let written = self.journal.map_or(Ok(()), write);
            written.map_err(|error| format!("its journal could not be written: {error}"))
        };
        let id = match lines.begun() {
            Some(begun) => match &begun.id {
                Some(id) => return Ok(id.clone()),
                None => self.find(file).await?,
            },
            None => {
                let noted = note(&|journal| journal.begin(file, lines.requests()));
                noted.map_err(|message| Reason::NotCreated(Failure::wrong(message)))?;
                self.create(file).await?
            }
        };
        match note(&|journal| journal.created(file, &id)) {
            Ok(()) => Ok(id),
            Err(message) => Err(Reason::Lost { batch: id, message }),
        }
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
        let read = |mut response: Value| match response.get_mut("job") {
            Some(job) => id(job.take()),
            None => id(response),
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
                Err(failure) if failure.is_transient() && tries > 1 => tries -= 1,
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
            let look = list::each(self.api, path, Tolerance::WithAll, |object| {
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
}

/// The id of what a response tells of.
fn id(told: Value) -> Result<String, String> {
    let id = told["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| format!("the server says {told}"))
}

/// Tries of what the layers have tried already.
const TRIES: u32 = 3;

/// Looks for what may have been created.
const LOOKS: u32 = 3;

/// Bytes of a response that is no file.
const MOST: usize = 1 << 20;
