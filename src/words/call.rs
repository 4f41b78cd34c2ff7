use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    CallerId, Endpoint, Identity, KeyId,
    extension::{ApiKey, Caller, Deadline},
};

/// One request as the limiter sees it: its endpoint, key, model, caller, cost and deadline.
///
/// The tower layer reads it from the `http::Request`, and so does [`Call::of`]. It can be written by hand
/// too. **Name the key**: a call without one uses the limits of the anonymous key, beside those of the
/// requests that the layer sends with a key.
///
/// ```
/// use std::time::Duration;
/// use tower_together::{Endpoint, extension::ApiKey, limiter::Call};
///
/// let call = Call::new(Endpoint::ChatCompletions)
///     .with_key(ApiKey::new("YOUR_KEY"))
///     .with_model("meta-llama/Llama-3.3-70B-Instruct-Turbo")
///     .with_tokens(1_200)
///     .with_deadline(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) key: KeyId,
    pub(crate) identity: Identity,
    pub(crate) key_name: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) caller: CallerId,
    pub(crate) charge: Charge,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) retry: bool,
}

impl Call {
    /// A request to `endpoint` with the anonymous key, no model, no known tokens and no deadline.
    /// [`Call::of`] reads all of these from a request.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            key: KeyId::ANONYMOUS,
            identity: Identity::Anonymous,
            key_name: None,
            model: None,
            caller: CallerId::default(),
            charge: Charge::NOTHING,
            deadline: None,
            retry: false,
        }
    }

    /// The endpoint, as [`Report::read`](super::Report::read) takes it.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The API key whose limits this request uses.
    #[must_use]
    pub fn with_key(mut self, key: ApiKey) -> Self {
        self.key = key.id();
        self.identity = key.identity();
        self.key_name = key.into_name();
        self
    }

    /// The model that the request names.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// The caller of the request. Callers of one lane are served in turn.
    #[must_use]
    pub fn with_caller(mut self, caller: &str) -> Self {
        self.caller = Caller::new(caller).id();
        self
    }

    /// The expected cost of the request in tokens, prompt and response together.
    #[must_use]
    pub fn with_tokens(mut self, tokens: u64) -> Self {
        self.charge = Charge::Given(tokens);
        self
    }

    /// The longest time that the caller waits, from when the limiter first sees the request.
    #[must_use]
    pub fn with_deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(Deadline::within(within));
        self
    }

    /// The instant until which the caller waits.
    #[must_use]
    pub fn with_deadline_at(mut self, at: Instant) -> Self {
        self.deadline = Some(Deadline::at(at));
        self
    }

    /// Marks this request as a retry after a rejection by the server. It goes in front of its lane and past
    /// the queue bound.
    #[must_use]
    pub fn as_retry(mut self) -> Self {
        self.retry = true;
        self
    }

    /// The former name of [`as_retry`](Self::as_retry).
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed `as_retry`")]
    pub fn again(self) -> Self {
        self.as_retry()
    }
}

impl From<&Call> for Call {
    fn from(call: &Call) -> Self {
        call.clone()
    }
}

/// The charge of a request to its token quotas, until its response states the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// This number of tokens, as the caller stated it.
    Given(u64),
    /// A prompt, and choices of a length that the lane has to guess.
    Expected {
        prompt: u64,
        /// The number of choices in the response (`n`); 0 if it has no text.
        choices: u32,
        /// The longest that each choice may be.
        most: Option<u64>,
    },
}

impl Charge {
    pub(crate) const NOTHING: Self = Self::Given(0);

    /// The number of choices whose length has to be guessed, 255 at most.
    pub(crate) fn choices(self) -> u8 {
        match self {
            Self::Given(_) => 0,
            Self::Expected { choices, .. } => u8::try_from(choices).unwrap_or(u8::MAX),
        }
    }
}
