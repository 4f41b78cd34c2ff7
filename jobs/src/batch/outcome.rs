use std::fmt;

use serde_json::Value;

use crate::failure::Failure;

/// The result of one request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The request's place among those given, from 0.
    pub index: usize,
    /// The response, as `POST /chat/completions` gives it; or why there is none. `NaN`, infinities and numbers out
    /// of range are `null` in it, and half an emoji is U+FFFD.
    pub result: Result<Value, Missing>,
}

/// A request without a response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Missing {
    /// The request, to be sent again.
    pub request: Value,
    /// Why.
    pub reason: Reason,
}

/// Why there is no response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The request is longer than a line may be, 10 MB, and was not sent.
    TooLong,
    /// The file was not uploaded, and no batch was created.
    NotUploaded(Failure),
    /// No batch was created.
    NotCreated(Failure),
    /// The file was uploaded, or the batch created, as far as anybody knows: the response was lost, and the
    /// lists do not show it yet. Nothing was created again.
    MayExist {
        /// The file's name, or the id of the batch's `input_file_id`.
        file: String,
        /// Why, in words.
        message: String,
    },
    /// This request failed in its batch.
    Failed(Failure),
    /// The batch has a line for this request that is neither a response nor an error, such as one that was
    /// cut short. What it holds was paid for.
    Unreadable {
        /// The line, in which bytes that are not UTF-8 are U+FFFD.
        line: String,
    },
    /// The batch ended without a response to it.
    Ended {
        /// The batch.
        batch: String,
        /// Its state: `FAILED`, `EXPIRED`, `CANCELLED`, or `COMPLETED`.
        status: String,
        /// The server's message; empty if there is none.
        message: String,
    },
    /// The state of the batch could not be read; the batch may have gone on.
    Lost {
        /// The batch.
        batch: String,
        /// Why, in words.
        message: String,
    },
}

impl Outcome {
    /// Whether a later run may learn more of the batch.
    pub(super) fn is_open(&self) -> bool {
        let reason = self.result.as_ref().err().map(|missing| &missing.reason);
        matches!(reason, Some(Reason::MayExist { .. } | Reason::Lost { .. }))
    }
}

impl Reason {
    /// Whether the same request may be sent again, and may succeed then: nothing was created, or what was
    /// has ended, and the failure is transient.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotUploaded(failure) | Self::NotCreated(failure) | Self::Failed(failure) => {
                failure.is_transient()
            }
            Self::TooLong | Self::MayExist { .. } | Self::Unreadable { .. } | Self::Lost { .. } => {
                false
            }
            Self::Ended { .. } => true,
        }
    }

    /// The former name of [`is_transient`](Self::is_transient).
    #[deprecated(since = "0.1.0", note = "renamed `is_transient`")]
    pub fn is_passing(&self) -> bool {
        self.is_transient()
    }

    /// Whether the request may have been done, or may be yet: its batch is not known, or cannot be read. Look for
    /// it before you send the request again.
    pub fn may_be_done(&self) -> bool {
        matches!(
            self,
            Self::MayExist { .. } | Self::Unreadable { .. } | Self::Lost { .. }
        )
    }

    /// Whether all other batches with the same key fail in the same way: see [`Failure::concerns_all`].
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::NotUploaded(failure) | Self::NotCreated(failure) => failure.concerns_all(),
            _ => false,
        }
    }

    /// It in words without the id of a request of the API: equal for failures of one kind.
    pub fn kind(&self) -> String {
        let words = self.to_string();
        match self {
            Self::NotUploaded(failure) | Self::NotCreated(failure) | Self::Failed(failure) => {
                words.replace(&failure.to_string(), &failure.kind())
            }
            _ => words,
        }
    }

    pub(super) fn may_exist(file: String, lost: Failure, list: Option<Failure>) -> Self {
        let message = match list {
            Some(list) => format!("{lost}; and then {list}"),
            None => lost.to_string(),
        };
        Self::MayExist { file, message }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than the 10 MB a line may have; make it shorter"),
            Self::NotUploaded(why) => write!(f, "its file could not be uploaded: {why}"),
            Self::NotCreated(why) => write!(f, "no batch could be created: {why}"),
            Self::MayExist { file, message } => write!(
                f,
                "it may be in a batch of the file {file}: {message}; look at GET /files and \
                 GET /batches before you send it again"
            ),
            Self::Failed(why) => write!(f, "it failed in its batch: {why}"),
            Self::Unreadable { line } => {
                let start: String = line.chars().take(SHOWN).collect();
                write!(f, "its line in the batch's file cannot be read: {start}")
            }
            Self::Ended {
                batch,
                status,
                message,
            } => {
                write!(f, "batch {batch} ended without a response to it ({status})")?;
                match message.as_str() {
                    "" => f.write_str("; retry it"),
                    message => write!(f, ": {message}"),
                }
            }
            Self::Lost { batch, message } => write!(
                f,
                "what became of batch {batch} could not be read: {message}; look at \
                 GET /batches/{batch} before you send it again"
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// Characters of a line that are shown: it may have megabytes.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_why_and_whether_it_may_pass() {
        let ended = |message: &str| Reason::Ended {
            batch: "batch-1".into(),
            status: "EXPIRED".into(),
            message: message.into(),
        };
        let failure = |message| Failure::wrong(message);
        let may_exist = Reason::may_exist("file-1".into(), failure("502"), Some(failure("503")));
        let lost = Reason::Lost {
            batch: "batch-1".into(),
            message: "503".into(),
        };
        for (reason, says, transient) in [
            (
                Reason::TooLong,
                "longer than the 10 MB a line may have; make it shorter",
                false,
            ),
            (
                Reason::NotUploaded(failure("401")),
                "its file could not be uploaded: 401",
                false,
            ),
            (
                Reason::NotCreated(failure("403")),
                "no batch could be created: 403",
                false,
            ),
            (
                may_exist,
                "it may be in a batch of the file file-1: 502; and then 503; look at GET /files and \
                 GET /batches before you send it again",
                false,
            ),
            (
                Reason::Failed(failure("no such model")),
                "it failed in its batch: no such model",
                false,
            ),
            (
                Reason::Unreadable {
                    line: "{".repeat(300),
                },
                &format!(
                    "its line in the batch's file cannot be read: {}",
                    "{".repeat(200)
                ),
                false,
            ),
            (
                ended(""),
                "batch batch-1 ended without a response to it (EXPIRED); retry it",
                true,
            ),
            (
                ended("24 h are over"),
                "batch batch-1 ended without a response to it (EXPIRED): 24 h are over",
                true,
            ),
            (
                lost,
                "what became of batch batch-1 could not be read: 503; look at GET /batches/batch-1 \
                 before you send it again",
                false,
            ),
        ] {
            assert_eq!(reason.to_string(), says);
            assert_eq!(reason.is_transient(), transient, "{says}");
            assert_eq!(reason.kind(), says);
            let looked_for = says.contains("before you") || says.contains("cannot be read");
            assert_eq!(reason.may_be_done(), looked_for, "{says}");
            let missing = Missing {
                request: Value::Null,
                reason,
            };
            assert_eq!(missing.to_string(), says);
        }
    }
}
