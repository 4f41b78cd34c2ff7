//! The shape of a batch, and what comes of its lines.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    fine_tune::at,
    job::{Job, JobState},
    kinds::Fate,
};
use crate::{
    call::Call,
    replies::{Reply, Shape, reply},
    route::Route,
};

/// A line of a batch's file.
pub(crate) struct Line {
    pub(super) custom_id: String,
    pub(super) body: Value,
}

impl Line {
    /// The body of its response, or why it failed.
    pub(crate) fn response(&self, key: &str, shape: &Shape) -> Result<Value, String> {
        let model = self.body["model"].as_str().unwrap_or_default();
        if model.starts_with("unknown") {
            return Err(format!(
                "Unable to access model {model}: there is no such model."
            ));
        }
        let call = Call {
            id: self.custom_id.clone(),
            route: Route::Chat,
            key: key.to_owned(),
            model: model.to_owned(),
            body: self.body.clone(),
        };
        match reply(&call, shape) {
            Ok(Reply::Json(response)) => Ok(response),
            Ok(Reply::Events(_)) => Err("`stream` is not supported in a batch".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

/// Reads a batch's file, or says what is wrong with it, as validation does.
pub(super) fn read(file: &[u8]) -> Result<Vec<Line>, String> {
    if file.len() > MOST_BYTES {
        return Err(format!("the file is larger than {MOST_BYTES} bytes"));
    }
    let mut ids = HashSet::new();
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line: Value =
            serde_json::from_slice(text).map_err(|_| format!("line {number} is not valid JSON"))?;
        let id = line["custom_id"].as_str().unwrap_or_default();
        let body = &line["body"];
        if id.is_empty() || !body.is_object() {
            return Err(format!("line {number} has no custom_id or no body"));
        }
        if id.chars().count() > LONGEST_ID {
            return Err(format!(
                "line {number}: custom_id is longer than {LONGEST_ID}"
            ));
        }
        if !ids.insert(id.to_owned()) {
            return Err(format!("line {number}: custom_id {id} is there twice"));
        }
        if body["model"].as_str().is_none_or(str::is_empty) {
            return Err(format!("line {number} names no model"));
        }
        lines.push(Line {
            custom_id: id.to_owned(),
            body: body.clone(),
        });
    }
    match lines.len() {
        0 => Err("the file has no line".to_owned()),
        1..=MOST_LINES => Ok(lines),
        _ => Err(format!("the file has more than {MOST_LINES} lines")),
    }
}

/// The files that a batch makes at its end: the responses, and the errors. Neither is in the order
/// of the lines.
pub(super) fn results(
    id: &str,
    lines: &[Line],
    fate: Fate,
    response: impl Fn(&Line) -> Result<Value, String>,
) -> [String; 2] {
    let done = match fate {
        Fate::Expires => lines.len() / 2,
        _ => lines.len(),
    };
    let (mut output, mut errors) = (String::new(), String::new());
    for (number, line) in lines[..done].iter().enumerate().rev() {
        let response = match fate {
            Fate::HalfFails if number % 2 == 1 => Err("the model was not available".to_owned()),
            _ => response(line),
        };
        let id = format!("{id}-{number}");
        let (file, line) = match response {
            Ok(body) => (
                &mut output,
                json!({"id": id, "custom_id": line.custom_id, "response": {
                    "status_code": 200, "request_id": id, "body": body,
                }}),
            ),
            Err(message) => (
                &mut errors,
                json!({"id": id, "custom_id": line.custom_id, "error": {
                    "code": "batch_client_error", "message": message,
                }}),
            ),
        };
        file.push_str(&line.to_string());
        file.push('\n');
    }
    [output, errors]
}

pub(super) fn json(job: &Job, state: JobState) -> Value {
    let mut json = json!({
        "id": job.id,
        "user_id": "standin",
        "input_file_id": job.said["input_file_id"],
        "status": state.status,
        "created_at": at(job.born.as_secs()),
        "job_deadline": at(job.born.as_secs()),
        "endpoint": job.said["endpoint"],
        "progress": state.progress,
    });
    let names = ["output_file_id", "error_file_id"];
    for (name, id) in names.into_iter().zip(&job.made) {
        if let Some(id) = id {
            json[name] = id.as_str().into();
        }
    }
    if state.over {
        json["completed_at"] = at((job.born + job.lasts).as_secs()).into();
    }
    if state.status == "FAILED" {
        let error = job.invalid.as_deref();
        json["error"] = error.unwrap_or("something went wrong").into();
    }
    json
}

/// The limits that Together documents: docs.together.ai/docs/inference/batch/overview.
const MOST_LINES: usize = 50_000;
const MOST_BYTES: usize = 100_000_000;
const LONGEST_ID: usize = 64;
