//! Reads what a response says about jobs: fine-tunes and batches.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::wire::{media::Media, read_json};
use crate::words::Job;

#[cfg(test)]
mod tests;

/// The jobs in a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) jobs: Vec<Job>,
    /// Whether it is a list and not a single job.
    pub(crate) is_list: bool,
    /// Whether another page follows the last of these jobs.
    pub(crate) more: bool,
}

/// Buffers a response as it passes, to read its jobs at its end.
#[derive(Debug, Default)]
pub(crate) struct JobsReader {
    bytes: Vec<u8>,
    /// Whether the body is too long to be kept.
    over: bool,
}

impl JobsReader {
    /// A reader for the body of a response with these headers; `None` if the body cannot be read.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let media = Media::of(headers)?;
        (media == Media::Json).then(Self::default)
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.over |= self.bytes.len() + bytes.len() > MOST;
        if self.over {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Ids of the jobs that have ended.
    pub(crate) fn ended(&self) -> Vec<Arc<str>> {
        // A truncated or too long body has none.
        let jobs = jobs(&self.bytes).unwrap_or_default().jobs.into_iter();
        jobs.filter(|job| job.ended).map(|job| job.id).collect()
    }

    /// The job that the response to a create request describes.
    pub(crate) fn creation(&self) -> Creation {
        creation(&self.bytes)
    }
}

/// Reads the jobs of a response in each known shape: a job itself, a job in `job`, and several in an array or
/// in `data`. Other entries are skipped. Returns `None` if the body is not JSON in one of these shapes.
pub(crate) fn jobs(body: &[u8]) -> Option<Listed> {
    let (several, is_list, more) = match read_json(body).ok()? {
        Value::Array(several) => (several, true, false),
        Value::Object(mut object) => match (object.remove("data"), object.remove("job")) {
            (Some(Value::Array(several)), _) => {
                let more = object.get("has_more") == Some(&Value::Bool(true));
                (several, true, more)
            }
            (_, Some(job @ Value::Object(_))) => (vec![job], false, false),
            _ => (vec![Value::Object(object)], false, false),
        },
        _ => return None,
    };
    let objects = several.iter().filter_map(Value::as_object);
    Some(Listed {
        jobs: objects.filter_map(job).collect(),
        is_list,
        more,
    })
}

/// The outcome of a create request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    Job(Arc<str>),
    /// A job was probably created, but the response is missing or truncated.
    Unnamed,
    /// No job runs.
    Nothing,
}

pub(crate) fn creation(body: &[u8]) -> Creation {
    let first = match read_json(body) {
        Ok(Value::Array(jobs)) => jobs.into_iter().next(),
        Ok(Value::Object(mut object)) => {
            let job = object.remove("job").filter(Value::is_object);
            job.or(Some(Value::Object(object)))
        }
        _ => return Creation::Unnamed,
    };
    let Some(Value::Object(job)) = first else {
        return Creation::Nothing;
    };
    match (text(&job, "id"), text(&job, "status")) {
        (_, Some(status)) if has_ended(status) => Creation::Nothing,
        (Some(id), _) => Creation::Job(id.into()),
        (None, None) if !job.contains_key("id") => Creation::Nothing,
        (None, _) => Creation::Unnamed,
    }
}

fn job(object: &Map<String, Value>) -> Option<Job> {
    let model = text(object, "model").or_else(|| text(object, "model_id"));
    Some(Job {
        ended: has_ended(text(object, "status")?),
        id: text(object, "id")?.into(),
        model: model.map(Into::into),
    })
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = object.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

fn has_ended(status: &str) -> bool {
    ENDED.iter().any(|ended| status.eq_ignore_ascii_case(ended))
}

/// The states that end a job, in lower case. The OpenAPI specification (`togethercomputer/openapi`) has those
/// of batches in upper case. `user_error` is in the SDK for Python (`togethercomputer/together-py`), and
/// `canceled` is the spelling of other APIs.
const ENDED: [&str; 7] = [
    "completed",
    "failed",
    "expired",
    "cancelled",
    "canceled",
    "error",
    "user_error",
];

/// Maximum bytes kept of a response. A list of a thousand fine-tunes with their events is smaller.
const MOST: usize = 4 << 20;

/// Maximum length of an id or a model, in bytes: real ones are shorter.
const LONGEST: usize = 256;
