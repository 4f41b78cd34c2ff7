use crate::words::Instant;

/// Whether a request may depart. It is never a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The request may depart now.
    Now,
    /// The request may not depart before this instant.
    At(Instant),
    /// The request has to wait for a slot, which comes free at an unknown instant. Ask again at this instant
    /// at the latest.
    Full(Instant),
    /// The request never fits, not even alone.
    Never,
}
