//! One job, and where it stands.

use std::time::Duration;

use serde_json::Value;

use super::kinds::{Fate, JobKind, JobReport};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) kind: JobKind,
    /// The hash of its caller's key.
    pub(super) owner: u64,
    /// When it was created. From its create's arrival until then it takes a slot, and nothing shows it.
    pub(super) born: Duration,
    pub(super) lasts: Duration,
    pub(super) fate: Fate,
    pub(super) cancelled: Option<Duration>,
    pub(super) restarted: bool,
    /// The body of its create.
    pub(super) said: Value,
    /// The fault in a batch's file, if it has one.
    pub(super) invalid: Option<String>,
    /// The files that a batch has made.
    pub(super) made: [Option<String>; 2],
}

/// The state of a job at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobState {
    pub(super) status: &'static str,
    pub(super) over: bool,
    pub(super) gone: bool,
    /// In percent.
    pub(super) progress: u32,
}

impl Job {
    pub(super) fn state(&self, now: Duration) -> JobState {
        let age = now.saturating_sub(self.born);
        let progress = match self.lasts.as_nanos() {
            0 => 100,
            lasts => (age.as_nanos() * 100 / lasts).min(100) as u32,
        };
        let state = |status, over| JobState {
            status,
            over,
            gone: false,
            progress,
        };
        let batch = self.kind == JobKind::Batch;
        if let Some(at) = self.cancelled {
            let done = now.saturating_sub(at) >= self.lasts / 8;
            return match (batch, done) {
                (true, false) => state("CANCELING", false),
                (true, true) => state("CANCELLED", true),
                (false, false) => state("cancel_requested", false),
                (false, true) => state("cancelled", true),
            };
        }
        if self.invalid.is_some() && progress >= 10 {
            return state("FAILED", true);
        }
        let early = progress >= 50;
        match self.fate {
            Fate::Vanishes if early => JobState {
                gone: true,
                ..state("vanished", true)
            },
            Fate::Cancelled if early => state(if batch { "CANCELLED" } else { "cancelled" }, true),
            Fate::Fails if early => state(if batch { "FAILED" } else { "error" }, true),
            Fate::UserError if early => state(if batch { "FAILED" } else { "user_error" }, true),
            Fate::Restarts | Fate::Expires if early && !batch => state("error", true),
            Fate::Expires if progress == 100 => state("EXPIRED", true),
            _ if batch => match progress {
                100 => state("COMPLETED", true),
                ..10 => state("VALIDATING", false),
                _ => state("IN_PROGRESS", false),
            },
            _ => match progress {
                100 => state("completed", true),
                ..5 => state("pending", false),
                5..10 => state("queued", false),
                10..80 => state("running", false),
                80..90 => state("compressing", false),
                _ => state("uploading", false),
            },
        }
    }

    /// Whether lists show it.
    pub(super) fn is_there(&self, now: Duration) -> bool {
        self.born <= now && !self.state(now).gone
    }

    pub(super) fn report(&self, now: Duration) -> JobReport {
        JobReport {
            id: self.id.clone(),
            kind: self.kind,
            suffix: self.said["suffix"].as_str().map(str::to_owned),
            status: self.state(now).status,
            restarted: self.restarted,
        }
    }
}
