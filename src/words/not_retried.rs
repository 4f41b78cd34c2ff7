use std::time::Duration;

/// The reason why a failed request is not retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRetried {
    /// The failure is not transient, or the response says so.
    Final,
    /// The client's error is the same at each attempt. Holds what to do about it.
    Permanent(&'static str),
    /// The request creates something, and the server may have done so.
    MayBeDone,
    /// The request creates something, and the response is from another URL.
    Redirected,
    /// The client timed out, and what the model generates is paid for.
    Paid,
    /// The server says that too many jobs run, and none is known to run.
    NoKnownJob,
    MaxRetries,
    /// An outer layer goes to the next model.
    NextModel,
    /// The server asks for a wait that is too long.
    LongestHint(Duration),
    Deadline,
    Budget,
    /// The body cannot be sent again.
    Body,
    Hook,
}
