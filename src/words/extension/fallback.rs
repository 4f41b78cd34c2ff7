//! What is said to, and by, the fallback layer.

use std::{fmt, sync::Arc, time::Duration};

/// Request: which models may answer it, where its own is overloaded or would make it wait too long;
/// instead of the [layer](crate::fallback)'s chain for its model.
///
/// ```
/// use tower_together::extension::Fallback;
///
/// let any_answer = http::Request::post("https://api.together.ai/v1/chat/completions")
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
    /// These models, in this order.
    ///
    /// # Panics
    ///
    /// If one of them has no name.
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

    /// Its own model or none.
    pub fn off() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn models(&self) -> &[Arc<str>] {
        &self.0
    }
}

/// Request: how long the layers beneath stay with its model, since there is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// So many answers 503 are enough.
    pub(crate) overloads: u32,
    /// No turn is waited for longer.
    pub(crate) wait: Option<Duration>,
}

/// Response: another model answered than the request had named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    model: Arc<str>,
    before: Vec<(Arc<str>, PassedOver)>,
}

impl Served {
    pub(crate) fn new(model: Arc<str>, before: Vec<(Arc<str>, PassedOver)>) -> Self {
        Self { model, before }
    }

    /// The model that this answer is from, whatever it is.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The models that were asked before, the request's own first, and why each did not serve.
    pub fn passed_over(&self) -> impl Iterator<Item = (&str, PassedOver)> {
        self.before.iter().map(|(model, why)| (&**model, *why))
    }
}

/// Why a model did not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PassedOver {
    /// The server answered 503, once or more.
    Overloaded,
    /// The request would have waited for it longer than it may.
    LongWait,
    /// The request costs more tokens than the model's limit ever lets through.
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
