//! Extensions for the fallback layer, and from it.

use std::{fmt, sync::Arc, time::Duration};

/// Request: the models that may respond to it if its own is overloaded or would make it wait too long.
/// Replaces the [layer](crate::fallback)'s chain for its model.
///
/// ```
/// use tower_together::extension::Fallback;
///
/// let any_model = http::Request::post("https://api.together.ai/v1/chat/completions")
///     .extension(Fallback::to(["Qwen/Qwen3-235B-A22B", "openai/gpt-oss-20b"]))
///     .body(())?;
/// let this_model_or_none = http::Request::post("https://api.together.ai/v1/chat/completions")
///     .extension(Fallback::off())
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback(Arc<[Arc<str>]>);

impl Fallback {
    /// Falls back to these models, in this order.
    ///
    /// # Panics
    ///
    /// If a model has an empty name.
    pub fn to<I>(models: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
    {
        let models: Arc<[Arc<str>]> = models.into_iter().map(Into::into).collect();
        assert!(
            models.iter().all(|model| !model.is_empty()),
            "no model has an empty name: write it as the API does, \
             and Fallback::off() for no fallback"
        );
        Self(models)
    }

    /// Uses the request's own model only.
    pub fn off() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn models(&self) -> &[Arc<str>] {
        &self.0
    }
}

/// Request: how long the layers beneath stay with its model, since another model may respond instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The number of 503 responses after which to give up.
    pub(crate) overloads: u32,
    /// The longest wait for a turn.
    pub(crate) wait: Option<Duration>,
}

/// Response: the model that it is from. Absent if that is the first model that the request was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    model: Arc<str>,
    before: Vec<(Arc<str>, PassedOver)>,
}

impl Served {
    pub(crate) fn new(model: Arc<str>, before: Vec<(Arc<str>, PassedOver)>) -> Self {
        Self { model, before }
    }

    /// The model that this response is from, whatever its status.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The models that were tried before, the request's own first, and why each did not serve.
    pub fn passed_over(&self) -> impl Iterator<Item = (&str, PassedOver)> {
        self.before.iter().map(|(model, why)| (&**model, *why))
    }
}

/// Why a model did not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PassedOver {
    /// The server responded with 503, once or more.
    Overloaded,
    /// The wait for the model would have been longer than allowed.
    LongWait,
    /// The request costs more tokens than the model's limit ever allows.
    NeverFits,
}

/// A few words, for a log.
impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "overloaded",
            Self::LongWait => "the wait is too long",
            Self::NeverFits => "the request is larger than its limit",
        })
    }
}
