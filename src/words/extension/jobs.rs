use tokio::time::Instant;

/// Request: its caller looks after the limiter's jobs, and is to be told whose key it goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsksForJobs;

/// Response: the server runs too many jobs to create this one. The same request sent again through the
/// same limiter waits there, in front, until one of them has ended. It is not to be sent before the instant that
/// the server named, if it named one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded(pub(crate) Option<Instant>);
