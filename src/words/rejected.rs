use std::{fmt, time::Duration};

use http::Extensions;

use super::{Endpoint, Quota};

/// A request that the limiter itself rejected. It was never sent, and cost nothing.
///
/// The layer responds with the API's own error shape, and with this as an extension of the response, which
/// tells it from a rejection by the server. [`Limiter::acquire`] returns it as its error. Look for it before
/// anything turns the status into an error, as reqwest's `error_for_status` does:
///
/// ```
/// use tower_together::Rejected;
///
/// fn was_sent<B>(response: &http::Response<B>) -> bool {
///     Rejected::of(response.extensions()).is_none()
/// }
/// # assert!(was_sent(&http::Response::new(())));
/// ```
///
/// In a chain of reqwest-middleware it can be [an error](crate::stack#rejections-as-errors).
///
/// [`Limiter::acquire`]: crate::Limiter::acquire
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    reason: Reason,
    endpoint: Endpoint,
    retry_after: Option<Duration>,
    waited: Duration,
    excess: Option<Excess>,
}

/// The cost of a request that never fits, and the quota that it exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Excess {
    tokens: u64,
    max: u64,
    per: Duration,
}

/// Why the limiter rejected a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The request could not depart before its caller's deadline.
    Deadline,
    /// The request could not depart within the limiter's `max_wait`.
    MaxWait,
    /// The queue is at its bound.
    QueueFull,
    /// Every key that the limiter has room for is in use.
    KeysFull,
    /// The request alone costs more than a whole window's quota.
    NeverFits,
    /// The request would have to wait, and the caller asked not to.
    WouldWait,
    /// The limiter was closed.
    Closed,
    /// Redis, which shares the limits with other processes, does not reply, and the limiter was told [to reject
    /// requests](https://docs.rs/tower-together/latest/tower_together/redis/struct.Redis.html#method.closed_while_away) then.
    RedisAway,
}

impl Rejected {
    pub(crate) fn new(reason: Reason, endpoint: Endpoint, retry_after: Option<Duration>) -> Self {
        Self {
            reason,
            endpoint,
            retry_after,
            waited: Duration::ZERO,
            excess: None,
        }
    }

    /// Adds the cost of a request that exceeds a whole quota.
    pub(crate) fn costing(mut self, tokens: u64, quota: Quota) -> Self {
        self.excess = Some(Excess {
            tokens,
            max: quota.max(),
            per: quota.per(),
        });
        self
    }

    pub(crate) fn after(mut self, waited: Duration) -> Self {
        self.waited = waited;
        self
    }

    /// The rejection that a response carries in its extensions; `None` if the response is the server's.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Why the request was rejected.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The endpoint of the request.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// How long the request had waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The time until another try makes sense, as exactly as it is known. The `Retry-After` of the response
    /// is this in whole seconds, rounded up. 1 s if a slot must come free at an unknown instant. `None` if
    /// another try never makes sense, or if the time is unknown.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl Reason {
    /// The reason as a word, for a metric's label or the `code` of an error body.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::MaxWait => "max_wait",
            Self::QueueFull => "queue_full",
            Self::KeysFull => "keys_full",
            Self::NeverFits => "never_fits",
            Self::WouldWait => "would_wait",
            Self::Closed => "closed",
            Self::RedisAway => "redis_away",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} request not sent: ", self.endpoint)?;
        if let Some(Excess { tokens, max, per }) = self.excess {
            return write!(
                f,
                "it takes {tokens} tokens, and its whole quota is {max} tokens in {per:?}; make it \
                 smaller, ask for fewer or shorter responses, or raise the quota of tokens"
            );
        }
        f.write_str(match self.reason {
            Reason::Deadline => "it could not depart before its deadline; wait longer or send less",
            Reason::MaxWait => {
                "the rate limit would delay it longer than max_wait; raise max_wait or send less"
            }
            Reason::QueueFull => {
                "too many requests wait already; send later or raise the queue bound"
            }
            Reason::KeysFull => {
                "too many API keys are in use at once; send later or raise the bound on keys"
            }
            Reason::NeverFits => {
                "it costs more than a whole window of its token quota; make it smaller"
            }
            Reason::WouldWait => "it would have to wait for its turn; use acquire to wait",
            Reason::Closed => "the limiter was closed; the program is shutting down",
            Reason::RedisAway => "Redis, which shares the limits, does not reply; retry later",
        })?;
        if let Some(wait) = self.retry_after {
            write!(f, " (try again in {:.1} s)", wait.as_secs_f64())?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}
