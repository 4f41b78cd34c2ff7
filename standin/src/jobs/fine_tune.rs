//! The shape of a fine-tune.

use serde_json::{Value, json};

use super::job::{Job, JobState};

pub(super) fn json(job: &Job, state: JobState) -> Value {
    let said = &job.said;
    let suffix = said["suffix"].as_str().unwrap_or("tuned");
    json!({
        "id": job.id,
        "status": state.status,
        "created_at": at(job.born.as_secs()),
        "updated_at": at(job.born.as_secs()),
        "model": said["model"],
        "model_output_name": format!("standin/{suffix}"),
        "training_file": said["training_file"],
        "suffix": said["suffix"],
        "n_epochs": said["n_epochs"].as_u64().unwrap_or(1),
        "events": [],
        "progress": {"estimate_available": false, "seconds_remaining": 0},
    })
}

/// An instant of the server's first day, which is always the same.
pub(super) fn at(second: u64) -> String {
    let (minute, second) = (second / 60, second % 60);
    let (hour, minute) = (minute / 60 % 24, minute % 60);
    format!("2026-01-01T{hour:02}:{minute:02}:{second:02}Z")
}
