use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Endpoint, KeyId,
    extension::{ApiKey, Deadline},
    hash,
};

/// One request as the limiter sees it: who asks, what for, how much and by when.
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
    pub(crate) key_name: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) caller: u64,
    pub(crate) charge: Charge,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) again: bool,
}

impl Call {
    /// A request to `endpoint` with the anonymous key, no model, no known tokens, no deadline. Of a request
    /// that is at hand [`Call::of`] reads all of these.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            key: KeyId::ANONYMOUS,
            key_name: None,
            model: None,
            caller: 0,
            charge: Charge::NOTHING,
            deadline: None,
            again: false,
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
        self.key_name = key.into_name();
        self
    }

    /// The model the request names.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Who asks: callers of one lane are served in turn.
    #[must_use]
    pub fn with_caller(mut self, caller: &str) -> Self {
        self.caller = hash(&caller);
        self
    }

    /// What the request will cost in tokens, prompt and answer together.
    #[must_use]
    pub fn with_tokens(mut self, tokens: u64) -> Self {
        self.charge = Charge::Given(tokens);
        self
    }

    /// How long the caller is ready to wait, from when the limiter first sees the request.
    #[must_use]
    pub fn with_deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(Deadline::within(within));
        self
    }

    /// Until when the caller is ready to wait.
    #[must_use]
    pub fn with_deadline_at(mut self, at: Instant) -> Self {
        self.deadline = Some(Deadline::at(at));
        self
    }

    /// Says that this request was sent before and refused by the server: it goes in front of its
    /// lane and past the queue bound.
    #[must_use]
    pub fn as_retry(mut self) -> Self {
        self.again = true;
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

/// What a request is charged of its token quotas, until its answer says what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// So many tokens: somebody said so.
    Given(u64),
    /// A prompt, and answers of a length that only the lane can guess.
    Expected {
        prompt: u64,
        /// How many; 0 where there is no text in the answer.
        answers: u32,
        /// How long each may be.
        most: Option<u64>,
    },
}

impl Charge {
    pub(crate) const NOTHING: Self = Self::Given(0);

    /// How many answers of a length to be guessed it is for.
    pub(crate) fn answers(self) -> u8 {
        match self {
            Self::Given(_) => 0,
            Self::Expected { answers, .. } => u8::try_from(answers).unwrap_or(u8::MAX),
        }
    }
}
