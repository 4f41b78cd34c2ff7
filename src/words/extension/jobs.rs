use tokio::time::Instant;

/// Request: its caller looks after the limiter's jobs, and is to be told whose key it goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsksForJobs;

/// Response: the server runs too many jobs to create this one. The same request sent again through the
/// same limiter waits there, in front, until one of them has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded {
    /// The instant that the server named, before which the request is not to be sent.
    pub(crate) told: Option<Instant>,
    /// Whether any job of the key is known to run.
    pub(crate) known: bool,
}
