//! Which jobs there are, and what becomes of them.

/// A kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobKind {
    /// `POST /fine-tunes`
    FineTune,
    /// `POST /batches`
    Batch,
}

/// The way a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It does all it was to do.
    Completes,
    /// A fine-tune ends half way with `error`, a batch with `FAILED`.
    Fails,
    /// A fine-tune ends half way with `user_error`, a batch with `FAILED`.
    UserError,
    /// The server cancels it half way.
    Cancelled,
    /// A fine-tune ends half way with `error`, and begins again under another id. A batch completes.
    Restarts,
    /// Half way it is in no list any more, and nowhere to be found.
    Vanishes,
    /// A batch is `EXPIRED` at its end, with responses to half of its lines. A fine-tune fails.
    Expires,
    /// A batch completes, and every other line has failed. A fine-tune completes.
    HalfFails,
}

/// One job, as [`StandIn::jobs`](crate::StandIn::jobs) tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobReport {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: JobKind,
    /// The `suffix` that a fine-tune was created with.
    pub suffix: Option<String>,
    /// Its status, as the API writes it.
    pub status: &'static str,
    /// Whether the server began it of itself.
    pub restarted: bool,
}
