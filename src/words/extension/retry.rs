//! What is said to, and by, the retry layer.

use std::{fmt, time::Duration};

use http::StatusCode;

/// Request: how often it may be sent again, where the layer's own number does not fit.
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
    /// Sent once.
    pub fn off() -> Self {
        Self::at_most(0)
    }

    /// Sent again up to so many times.
    pub fn at_most(retries: u32) -> Self {
        Self {
            at_most: Some(retries),
            may_repeat: false,
        }
    }

    /// Sent again until it is answered, or its [`Deadline`](super::Deadline) is near.
    pub fn unlimited() -> Self {
        Self::at_most(u32::MAX)
    }

    /// It may be done twice: it is sent again also when nobody knows whether the server has done
    /// already what it asks for, though it creates something.
    #[must_use]
    pub fn may_repeat(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    /// What is left of it after it was sent so often.
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

/// Response: what the retry layer did, if it retried the request.
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

    /// How often the request was sent. A last attempt that was [rejected](crate::Rejected) is not counted.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long it waited in all, between one attempt's answer and the next attempt. What a paused
    /// lane held back is not in it: [`Waited`](super::Waited) tells that of the last attempt.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Why it was sent again, each time; the first 32.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

/// Response: whether it is from another URL than the request's, where a client that follows redirects tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirected(pub(crate) bool);

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The server's answer.
    Status(StatusCode),
    /// The server's answer to a gRPC request.
    Grpc(u32),
    /// It did not reach the server, or the server says that it has not looked at it.
    NotSent,
    /// Nobody knows how far it got: no answer came, or not in time.
    Interrupted,
    /// The server ended it with HTTP/2's `ENHANCE_YOUR_CALM`: a 429 that does not say for how long, nor
    /// whether the request was processed.
    Throttled,
    /// The client gave up waiting for the response: a timeout of its own, not of a connection.
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
