//! How a request can end without a response.

use std::time::Duration;

use h2::Reason;

/// A failure in place of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The stream is reset, or the HTTP/1 connection closed.
    Reset,
    /// The same, but the client is told that nothing was done with the request.
    RefusedStream,
    /// The same, and the whole connection takes leave; its other streams may finish.
    GoAway,
    /// The whole server is gone for this long.
    Outage(Duration),
}

impl Fault {
    /// The reason of the HTTP/2 reset.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Reset | Self::Outage(_) => Reason::INTERNAL_ERROR,
            Self::RefusedStream | Self::GoAway => Reason::REFUSED_STREAM,
        }
    }
}
