use std::fmt;

use serde_json::Value;

/// What came of one request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The request's place among those given, from 0.
    pub index: usize,
    /// The answer, as `POST /chat/completions` gives it; or why there is none.
    pub result: Result<Value, Missing>,
}

/// A request without an answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Missing {
    /// The request, to be sent again.
    pub request: Value,
    /// Why.
    pub reason: Reason,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The request is longer than a line may be, 10 MB, and was not sent.
    TooLong,
    /// The file could not be uploaded: nothing was sent. In words, why.
    NotUploaded(String),
    /// No batch could be created of it: nothing was sent. In words, why.
    NotCreated(String),
    /// This request failed in its batch. In words, why.
    Failed(String),
    /// The batch ended without an answer to it.
    Ended {
        /// The batch.
        batch: String,
        /// Its state: `FAILED`, `EXPIRED`, `CANCELLED`, or `COMPLETED`.
        status: String,
        /// What the server says of it; empty if that is nothing.
        message: String,
    },
    /// What became of the batch could not be read; it may have gone on.
    Lost {
        /// The batch.
        batch: String,
        /// Why, in words.
        message: String,
    },
}

impl Reason {
    /// Whether the same request may be answered next time.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::TooLong | Self::Failed(_))
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
            Self::Failed(why) => write!(f, "it failed in its batch: {why}"),
            Self::Ended {
                batch,
                status,
                message,
            } => {
                write!(f, "batch {batch} ended without an answer to it ({status})")?;
                match message.as_str() {
                    "" => f.write_str("; send it again"),
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
