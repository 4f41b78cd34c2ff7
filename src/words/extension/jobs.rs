use tokio::time::Instant;

/// Request: its caller watches the limiter's jobs, and the response is to name the key that it used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsksForJobs;

/// Response: the server runs too many jobs to create this one. A retry of the request through the same
/// limiter waits there, in front of its lane, until one of them has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded {
    /// The instant that the server named, before which the request is not to be sent.
    pub(crate) not_before: Option<Instant>,
    /// Whether any job of the key is known to run.
    pub(crate) known: bool,
}
