//! All files and jobs, and what is asked of them. The time is an argument.

use std::time::Duration;

use axum::{body::Bytes, http::StatusCode};
use serde_json::{Value, json};

use super::{
    batch::{self, Line},
    files::Files,
    fine_tune, hints,
    job::{Job, JobState},
    kinds::{Fate, JobKind, JobReport},
    rules::Jobs,
    upload::Upload,
};
use crate::answer::Answer;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rules: Jobs,
    files: Files,
    jobs: Vec<Job>,
    /// Those that callers created.
    created: usize,
    /// The most at a time of one key.
    most: [usize; 2],
}

/// One request.
pub(crate) struct JobRequest<'a> {
    pub(crate) method: &'a str,
    /// Without its version.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) owner: u64,
    pub(crate) body: &'a [u8],
    pub(crate) upload: Option<&'a Upload>,
    /// The host that the caller knows the server by.
    pub(crate) host: &'a str,
    pub(crate) now: Duration,
}

impl World {
    pub(crate) fn new(rules: Jobs) -> Self {
        Self {
            rules,
            files: Files::default(),
            jobs: Vec::new(),
            created: 0,
            most: [0; 2],
        }
    }

    /// Whether a request is one about files or jobs.
    pub(crate) fn takes(path: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        matches!(first, "files" | "fine-tunes" | "batches")
    }

    /// Whether the body of such a request is JSON, rather than a form.
    pub(crate) fn takes_json(path: &str) -> bool {
        !path.starts_with("/files")
    }

    /// The time from a request's arrival to its response; zero stands for the server's latency.
    pub(crate) fn delay(&self, asked: &JobRequest<'_>) -> Duration {
        match (asked.method, asked.path) {
            ("POST", "/fine-tunes" | "/batches") => self.rules.delays.iter().sum(),
            _ => Duration::ZERO,
        }
    }

    /// Responds to it. `response` makes the result of a batch's line.
    pub(crate) fn ask(
        &mut self,
        asked: &JobRequest<'_>,
        response: impl Fn(&Line) -> Result<Value, String>,
    ) -> Answer {
        self.settle(asked.now, response);
        let path: Vec<&str> = asked.path.split('/').skip(1).collect();
        let told = match (asked.method, &path[..]) {
            ("POST", ["files"]) if asked.upload.is_some_and(|upload| upload.bytes.is_none()) => {
                return self.announce(asked);
            }
            ("POST", ["files"] | ["files", "upload"]) => self.upload(asked),
            ("GET", ["files"]) => (200, self.files.list(asked.owner)),
            ("GET", ["files", id, "content"]) => match self.files.of(asked.owner, id) {
                Some(file) => return Answer::status(200).body(file.bytes.clone()),
                None => no_file(id),
            },
            ("GET", ["files", id]) | ("POST", ["files", id, "preprocess"]) => {
                match self.files.of(asked.owner, id) {
                    Some(file) => (200, file.json(id)),
                    None => no_file(id),
                }
            }
            ("DELETE", ["files", id]) => match self.files.remove(asked.owner, id) {
                true => (200, json!({"id": id, "deleted": true})),
                false => no_file(id),
            },
            ("GET", ["fine-tunes", "models", "limits"]) => (200, hints::limits()),
            ("POST", ["fine-tunes", "estimate-price"]) => (200, hints::price()),
            ("GET", ["fine-tunes", id, "events" | "checkpoints"]) => {
                self.with("fine-tunes", id, asked, |_, _| (200, hints::none()))
            }
            ("POST", ["fine-tunes"]) => self.create(JobKind::FineTune, asked),
            ("POST", ["batches"]) => self.create(JobKind::Batch, asked),
            ("GET", ["fine-tunes"]) => {
                let (jobs, more) = self.list(JobKind::FineTune, asked);
                (200, json!({"data": jobs, "has_more": more}))
            }
            ("GET", ["batches"]) => (200, self.list(JobKind::Batch, asked).0.into()),
            ("GET", [kind, id]) => {
                self.with(kind, id, asked, |job, state| (200, json_of(job, state)))
            }
            ("POST", [kind, id, "cancel"]) => {
                self.with(kind, id, asked, |job, state| cancel(job, state, asked.now))
            }
            ("DELETE", ["fine-tunes", id]) => self.delete(id, asked),
            _ => error(404, "not_found", "there is nothing at this path"),
        };
        Answer::status(told.0).body(told.1.to_string())
    }

    /// Keeps the bytes that were put into storage.
    pub(crate) fn store(&mut self, id: &str, bytes: Bytes) -> StatusCode {
        self.files.fill(id, bytes)
    }

    pub(crate) fn reports(&self, now: Duration) -> Vec<JobReport> {
        let created = self.jobs.iter().filter(|job| job.born <= now);
        created.map(|job| job.report(now)).collect()
    }

    pub(crate) fn most(&self, kind: JobKind) -> usize {
        self.most[kind as usize]
    }

    /// Does what has happened of itself by now.
    fn settle(&mut self, now: Duration, response: impl Fn(&Line) -> Result<Value, String>) {
        let mut restarted = Vec::new();
        for job in &mut self.jobs {
            let state = job.state(now);
            if job.fate == Fate::Restarts && state.status == "error" {
                job.fate = Fate::Fails;
                restarted.push((job.owner, job.said.clone(), job.born + job.lasts / 2));
            }
            let makes = matches!(state.status, "COMPLETED" | "EXPIRED");
            if makes && job.made == [None, None] {
                let input = job.said["input_file_id"].as_str().unwrap_or_default();
                let input = self.files.of(job.owner, input);
                let lines = input.map(|file| batch::read(&file.bytes));
                let lines = lines.and_then(Result::ok).unwrap_or_default();
                let made = batch::results(&job.id, &lines, job.fate, &response);
                let names = ["output", "errors"];
                for ((place, text), name) in job.made.iter_mut().zip(made).zip(names) {
                    if !text.is_empty() || name == "output" {
                        let name = format!("{}-{name}.jsonl", job.id);
                        *place = self
                            .files
                            .add(job.owner, &name, "batch-output", text.into());
                    }
                }
            }
        }
        for (owner, said, born) in restarted {
            let mut job = self.job(JobKind::FineTune, owner, said, born);
            (job.fate, job.restarted) = (Fate::Completes, true);
            self.jobs.push(job);
            self.count(JobKind::FineTune, owner, now);
        }
    }

    /// Redirects to storage, as the API does: the caller puts the bytes there, without its key.
    fn announce(&mut self, asked: &JobRequest<'_>) -> Answer {
        let upload = asked.upload.expect("a form");
        let id = (self.files).announce(asked.owner, &upload.name, &upload.purpose);
        Answer::status(302)
            .header("location", format!("http://{}{STORAGE}{id}", asked.host))
            .header("x-together-file-id", id)
    }

    fn upload(&mut self, asked: &JobRequest<'_>) -> (u16, Value) {
        let form = asked.upload;
        let Some((form, bytes)) = form.and_then(|form| Some((form, form.bytes.clone()?))) else {
            let message = "a form with `purpose`, `file_name` and `file` is required";
            return error(400, "invalid_request_error", message);
        };
        let owner = asked.owner;
        let id = self.files.add(owner, &form.name, &form.purpose, bytes);
        match id.and_then(|id| Some((self.files.of(owner, &id)?, id))) {
            Some((file, id)) => (200, file.json(&id)),
            None => error(413, "request_too_large", "there is no room for it"),
        }
    }

    fn create(&mut self, kind: JobKind, asked: &JobRequest<'_>) -> (u16, Value) {
        let said: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let text = |name: &str| said[name].as_str().filter(|text| !text.is_empty());
        let (file, other) = match kind {
            JobKind::FineTune => ("training_file", "model"),
            JobKind::Batch => ("input_file_id", "endpoint"),
        };
        let (Some(file), Some(other)) = (text(file), text(other)) else {
            let message = format!("`{file}` and `{other}` are required");
            return error(400, "invalid_request_error", &message);
        };
        if kind == JobKind::Batch && other != "/v1/chat/completions" {
            let message = format!("batches to {other} are not supported");
            return error(400, "invalid_request_error", &message);
        }
        let input = self.files.of(asked.owner, file);
        if kind == JobKind::FineTune && input.is_none() {
            return error(
                400,
                "invalid_request_error",
                &format!("there is no file {file}"),
            );
        }
        let running = self.running(kind, asked.owner, asked.now);
        if let Some(cap) = self.rules.caps[kind as usize].filter(|cap| running >= *cap) {
            let what = match kind {
                JobKind::FineTune => "fine-tuning jobs",
                JobKind::Batch => "batches",
            };
            let message = format!("Too many concurrent {what}: {running} of {cap} are running");
            let (status, mut body) = error(409, "conflict", &message);
            body["error"]["code"] = "concurrent_job_limit".into();
            return (status, body);
        }
        // A batch's file is looked at only when it is validated.
        let invalid = match (kind, input) {
            (JobKind::FineTune, _) => None,
            (JobKind::Batch, Some(file)) => batch::read(&file.bytes).err(),
            (JobKind::Batch, None) => Some(format!("there is no file {file}")),
        };
        let born = asked.now + self.rules.delays[0];
        let mut job = self.job(kind, asked.owner, said, born);
        job.fate = self.rules.fate(self.created);
        job.invalid = invalid;
        self.created += 1;
        let json = json_of(&job, job.state(asked.now));
        self.jobs.push(job);
        self.count(kind, asked.owner, asked.now);
        match kind {
            JobKind::FineTune => (200, json),
            JobKind::Batch => (201, json!({"job": json})),
        }
    }

    fn job(&self, kind: JobKind, owner: u64, said: Value, born: Duration) -> Job {
        let number = self.jobs.len() + 1;
        let prefix = match kind {
            JobKind::FineTune => "ft-",
            JobKind::Batch => "",
        };
        Job {
            id: format!("{prefix}{number:08x}-0000-4000-8000-000000000000"),
            kind,
            owner,
            born,
            lasts: self.rules.times[kind as usize],
            fate: Fate::Completes,
            cancelled: None,
            restarted: false,
            said,
            invalid: None,
            made: [None, None],
        }
    }

    /// The newest first, and whether there are more.
    fn list(&self, kind: JobKind, asked: &JobRequest<'_>) -> (Vec<Value>, bool) {
        let there =
            self.jobs.iter().rev().filter(|job| {
                job.kind == kind && job.owner == asked.owner && job.is_there(asked.now)
            });
        let there: Vec<&Job> = there.collect();
        let mut options = asked
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let after = options.clone().find(|(name, _)| *name == "after");
        let limit = options.find(|(name, _)| *name == "limit");
        let limit = limit.and_then(|(_, limit)| limit.parse().ok());
        let page = self.rules.page.min(limit.unwrap_or(usize::MAX));
        let place = |id: &str| there.iter().position(|job| job.id == id);
        let start = after
            .and_then(|(_, id)| place(id))
            .map_or(0, |place| place + 1);
        let end = there.len().min(start.saturating_add(page));
        let shown = there[start..end].iter();
        let shown = shown.map(|job| json_of(job, job.state(asked.now)));
        (shown.collect(), end < there.len())
    }

    fn with(
        &mut self,
        kind: &str,
        id: &str,
        asked: &JobRequest<'_>,
        act: impl FnOnce(&mut Job, JobState) -> (u16, Value),
    ) -> (u16, Value) {
        let kind = match kind {
            "fine-tunes" => JobKind::FineTune,
            _ => JobKind::Batch,
        };
        let same = |job: &&mut Job| job.kind == kind && job.id == id && job.owner == asked.owner;
        match self.jobs.iter_mut().find(same) {
            Some(job) if job.is_there(asked.now) => {
                let state = job.state(asked.now);
                act(job, state)
            }
            _ => no_job(id),
        }
    }

    fn delete(&mut self, id: &str, asked: &JobRequest<'_>) -> (u16, Value) {
        let (status, body) = self.with("fine-tunes", id, asked, |_, state| match state.over {
            true => (200, json!({"message": format!("{id} was deleted")})),
            false => error(400, "invalid_request_error", "it runs: cancel it first"),
        });
        if status == 200 {
            self.jobs.retain(|job| job.id != id);
        }
        (status, body)
    }

    fn running(&self, kind: JobKind, owner: u64, now: Duration) -> usize {
        let same = |job: &&Job| job.kind == kind && job.owner == owner;
        let running = self.jobs.iter().filter(same);
        running.filter(|job| !job.state(now).over).count()
    }

    fn count(&mut self, kind: JobKind, owner: u64, now: Duration) {
        let running = self.running(kind, owner, now);
        let most = &mut self.most[kind as usize];
        *most = running.max(*most);
    }
}

fn json_of(job: &Job, state: JobState) -> Value {
    match job.kind {
        JobKind::FineTune => fine_tune::json(job, state),
        JobKind::Batch => batch::json(job, state),
    }
}

fn cancel(job: &mut Job, state: JobState, now: Duration) -> (u16, Value) {
    match (state.over, job.kind) {
        (true, JobKind::Batch) => {
            let message = "Cannot cancel job - already in terminal state";
            (
                409,
                json!({"error": format!("{message}: {}", state.status)}),
            )
        }
        (true, JobKind::FineTune) => error(400, "invalid_request_error", "it has ended"),
        (false, _) => {
            job.cancelled.get_or_insert(now);
            let state = job.state(now);
            (200, json_of(job, state))
        }
    }
}

fn no_file(id: &str) -> (u16, Value) {
    error(404, "not_found", &format!("File {id} not found"))
}

fn no_job(id: &str) -> (u16, Value) {
    error(404, "not_found", &format!("Job {id} not found"))
}

fn error(status: u16, kind: &str, message: &str) -> (u16, Value) {
    let error = json!({"message": message, "type": kind, "param": null, "code": null});
    (status, json!({"error": error}))
}

/// The path below which a [redirected](crate#responses) upload puts its file.
pub(crate) const STORAGE: &str = "/standin/storage/";
