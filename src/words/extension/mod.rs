//! Values in the `extensions` of a request or a response.
//!
//! In a request the caller may state its name, the cost and more. Without these the layers read the request
//! itself. In a response the layers state what they did, if they did anything.
//!
//! ```
//! use std::time::Duration;
//! use tower_together::extension::{Caller, Deadline};
//!
//! let request = http::Request::post("https://api.together.ai/v1/chat/completions")
//!     .extension(Caller::new("nightly-eval"))
//!     .extension(Deadline::within(Duration::from_secs(20)))
//!     .body(())?;
//! # Ok::<(), http::Error>(())
//! ```

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{CallerId, Identity, KeyId, hash};

mod fallback;
mod jobs;
mod queue_gauge;
mod retry;

pub(crate) use self::{
    fallback::Patience,
    jobs::{AsksForJobs, Crowded},
    queue_gauge::Stand,
    retry::Redirected,
};
pub use self::{
    fallback::{Fallback, PassedOver, Served},
    queue_gauge::QueueGauge,
    retry::{Failure, Retries, RetryReport},
};

/// The former name of [`QueueGauge`].
#[deprecated(since = "0.1.0", note = "renamed `QueueGauge`")]
pub type InLine = QueueGauge;

/// Request: the API key whose limits it uses, instead of the one in `authorization`.
///
/// The key itself is hashed at once and never kept.
#[derive(Clone)]
pub struct ApiKey {
    id: KeyId,
    identity: Identity,
    name: Option<Arc<str>>,
}

impl ApiKey {
    /// The key as it stands after `Bearer ` in the `authorization` header.
    pub fn new(secret: &str) -> Self {
        Self {
            id: KeyId::of_secret(secret.trim().as_bytes()),
            identity: Identity::of_secret(secret.trim().as_bytes()),
            name: None,
        }
    }

    /// A name instead of a key, for several keys of one organization. Together limits the organization, so
    /// they share one set of limits. Unlike a key, the name is shown in [snapshots](crate::limiter::Snapshot).
    pub fn named(name: &str) -> Self {
        Self {
            id: KeyId::of_name(name),
            identity: Identity::of_name(name),
            name: Some(name.into()),
        }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    pub(crate) fn into_name(self) -> Option<Arc<str>> {
        self.name
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        (self.id, &self.name) == (other.id, &other.name)
    }
}

impl Eq for ApiKey {}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.debug_tuple("ApiKey").field(name).finish(),
            None => f.write_str("ApiKey(..)"),
        }
    }
}

/// Request: its caller, if several programs or users share one key.
///
/// Callers of one lane are served in turn, so that one's thousand requests do not delay another's ten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller(CallerId);

impl Caller {
    /// A caller by name. The name is hashed, so it may be a credential.
    pub fn new(name: &str) -> Self {
        Self(CallerId(hash(&name)))
    }

    pub(crate) fn id(self) -> CallerId {
        self.0
    }
}

/// Request: the model, if the body does not name it or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model(Arc<str>);

impl Model {
    /// The model as the API names it.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Request: its cost in a token quota, if that is not to be [read](crate::rate_limit#tokens) from its body.
/// If the response states the cost, the difference is settled. A cost of 0 is never settled: the request
/// counts no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    tokens: u64,
}

impl Cost {
    /// Prompt and expected response together, in tokens.
    pub fn of_tokens(tokens: u64) -> Self {
        Self { tokens }
    }

    /// The former name of [`of_tokens`](Self::of_tokens).
    #[deprecated(since = "0.1.0", note = "renamed `of_tokens`")]
    pub fn tokens(tokens: u64) -> Self {
        Self::of_tokens(tokens)
    }

    pub(crate) fn get(self) -> u64 {
        self.tokens
    }
}

/// Request: how long its caller waits for its turn, and for retries.
///
/// Without one, `grpc-timeout`, `x-stainless-timeout` and `x-stainless-read-timeout` are read. A request that
/// cannot depart in time is rejected at once. If the next attempt does not fit, the last response is
/// returned. The deadline is checked again right before each attempt, and no error's body is read past it. A
/// response that is under way is not cut short: use a timeout for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Expiry);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Instant),
    Within(Duration),
}

impl Deadline {
    /// Expires at this instant.
    pub fn at(instant: Instant) -> Self {
        Self(Expiry::At(instant))
    }

    /// Expires `duration` after the request's future is first polled.
    pub fn within(duration: Duration) -> Self {
        Self(Expiry::Within(duration))
    }

    /// The sooner of the two deadlines, for a request that arrived at `now`.
    pub(crate) fn or_sooner(self, other: Option<Self>, now: Instant) -> Self {
        let both = [Some(self), other].map(|one| one?.counted_from(now));
        both.into_iter().flatten().min().map_or(self, Self::at)
    }

    /// The instant of the deadline, for a request that arrived at `now`; `None` if it is centuries away.
    pub(crate) fn counted_from(self, now: Instant) -> Option<Instant> {
        match self.0 {
            Expiry::At(instant) => Some(instant),
            Expiry::Within(duration) => now.checked_add(duration),
        }
    }
}

/// Request: the number of this attempt, counted from 1; absent on the first. Set by the program or layer that
/// retries. From the second attempt on a request goes in front of its lane and past the queue bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(u32);

impl Attempt {
    /// The attempt of this number, counted from 1.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the attempt, counted from 1.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Request: a rate limit layer has let it depart. Set on the first request of each limiter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetGo;

/// Response: a 429 that pauses no lane, and whose retry its lane paces all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone;

/// Response: how long its request waited. Absent if it did not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited(Duration);

impl Waited {
    pub(crate) fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The time from when the limiter first saw the request to its departure.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Response: the server asked to wait, and the request's lane is paused. A retry of the request through the
/// same limiter waits there, in front of its lane, and need not wait outside, unless the server named an
/// instant more than an hour away. A lane is paused for an hour at most, and then tries another request. Absent if only
/// this request has to wait, since its 429 was [alone among many requests](crate::limiter#what-it-learns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    until: Instant,
    named: Option<Instant>,
}

impl Paused {
    pub(crate) fn new(until: Instant, named: Option<Instant>) -> Self {
        Self { until, named }
    }

    /// The end of the lane's pause.
    pub fn until(self) -> Instant {
        self.until
    }

    /// The earliest instant at which this request may be retried: the one that the server named, or the end
    /// of the lane's pause if that is later.
    pub fn not_before(self) -> Instant {
        self.named.map_or(self.until, |named| named.max(self.until))
    }
}
