//! Extensions for the retry layer, and from it.

use std::{fmt, time::Duration};

use http::StatusCode;

/// Request: how often it may be retried. Replaces the layer's own number.
///
/// ```
/// use tower_together::extension::Retries;
///
/// let hurried = http::Request::post("https://api.together.ai/v1/chat/completions")
///     .extension(Retries::off())
///     .body(())?;
/// // The caller finds a fine-tune made twice, by its suffix, and deletes one.
/// let sure = http::Request::post("https://api.together.ai/v1/fine-tunes")
///     .extension(Retries::default().may_repeat())
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    at_most: Option<u32>,
    may_repeat: bool,
}

impl Retries {
    /// The request is not retried.
    pub fn off() -> Self {
        Self::at_most(0)
    }

    /// The request is retried up to `retries` times.
    pub fn at_most(retries: u32) -> Self {
        Self {
            at_most: Some(retries),
            may_repeat: false,
        }
    }

    /// The request is retried until it succeeds, or its [`Deadline`](super::Deadline) is near.
    pub fn unlimited() -> Self {
        Self::at_most(u32::MAX)
    }

    /// Allows the request to be done twice. It creates something, and is retried even if the server may
    /// already have processed it.
    #[must_use]
    pub fn may_repeat(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    /// The retries that remain after `sent` of them.
    pub(crate) fn after(mut self, sent: u32) -> Self {
        self.at_most = self.at_most.map(|retries| retries.saturating_sub(sent));
        self
    }

    pub(crate) fn limit(self) -> Option<u32> {
        self.at_most
    }

    pub(crate) fn repeats(self) -> bool {
        self.may_repeat
    }
}

/// Response: the retries of the request. Absent if there were none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryReport {
    attempts: u32,
    waited: Duration,
    failures: Vec<Failure>,
}

impl RetryReport {
    pub(crate) fn new(attempts: u32, waited: Duration, failures: Vec<Failure>) -> Self {
        Self {
            attempts,
            waited,
            failures,
        }
    }

    /// The number of times the request was sent. A last attempt that was [rejected](crate::Rejected) is not
    /// counted.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The total wait between each attempt's response and the next attempt. It does not include the wait in a
    /// paused lane: [`Waited`](super::Waited) gives that of the last attempt.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The reasons of the retries, in order; the first 32.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

/// Response: whether it is from another URL than the request's, if a client that follows redirects tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirected(pub(crate) bool);

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The server responded with this status.
    Status(StatusCode),
    /// The server responded to a gRPC request with this status.
    Grpc(u32),
    /// The request did not reach the server, or the server states that it has not processed it.
    NotSent,
    /// The connection failed, or the response came too late. The server may have processed the request.
    Interrupted,
    /// The server ended the request with HTTP/2's `ENHANCE_YOUR_CALM`. That is a 429 that states neither a
    /// wait nor whether the request was processed.
    Throttled,
    /// The client gave up waiting for the response. This is a timeout of its own, not of a connection.
    TimedOut,
}

/// A few words, for a log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{}", status.as_u16()),
            Self::Grpc(status) => write!(f, "grpc-status {status}"),
            Self::NotSent => f.write_str("not sent"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Throttled => f.write_str("throttled"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}
