//! The plain data between a process and the ledger.

use crate::words::Span;

/// An instant on the ledger's clock, in whole microseconds. 0 is no instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) u64);

/// The name of a limit or a lane, the same in every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(pub(crate) u64);

/// One call of a process, for one API key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ask {
    pub(crate) process: u64,
    /// Whether the process needs nothing for now, and is to be forgotten.
    pub(crate) leaves: bool,
    /// The number of processes that it knows of.
    pub(crate) known: u64,
    /// The ledger remembers a silent process for this time.
    pub(crate) memory: Span,
    /// Nothing is granted after this instant, since the process no longer waits for the reply. 0 for no bound.
    pub(crate) until: Stamp,
    /// How late a request may depart after its instant, so that the process's timers and its knowledge of the
    /// ledger's clock are good enough.
    pub(crate) lateness: Span,
    /// The time in which each process that has requests is served once.
    pub(crate) cycle: Span,
    pub(crate) terms: Vec<Term>,
    pub(crate) pauses: Vec<Pause>,
    pub(crate) lanes: Vec<LaneAsk>,
}

/// One limit, as the process knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Term {
    pub(crate) name: Name,
    /// The number in each window.
    pub(crate) max: u64,
    pub(crate) window: Span,
    /// How far the instants of two lanes under the limit may be out of order.
    pub(crate) lag: Span,
    /// The latest instant that the ledger has named for the limit. A ledger that has lost it takes it back.
    pub(crate) heard: Stamp,
    /// The cost that departed requests have proved to have beyond what was charged for them. Less than 0 if
    /// something is given back.
    pub(crate) owed: i64,
}

/// The server has rejected a request of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pause {
    pub(crate) lane: Name,
    /// The start of the newest pause that was known when the request was charged.
    pub(crate) since: Stamp,
    pub(crate) wait: Span,
}

/// Requests that wait in a lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneAsk {
    pub(crate) name: Name,
    /// The number of requests that need an instant.
    pub(crate) want: u64,
    /// Whether the lane comes back at the instant that an earlier reply named.
    pub(crate) returns: bool,
    /// The limits that it is under, as places in `terms`, and the cost of each request.
    pub(crate) costs: Vec<(usize, u64)>,
}

/// The ledger's reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) now: Stamp,
    /// The number of processes that share the limits.
    pub(crate) members: u64,
    /// How late a request may depart after its instant, as the process that needs the most needs it.
    pub(crate) lateness: Span,
    /// The instant up to which each limit of the call is granted.
    pub(crate) dues: Vec<Stamp>,
    pub(crate) lanes: Vec<LaneReply>,
}

/// The instants of `n` requests of a lane. If `n` is 0, the lane is to ask again at `first`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LaneReply {
    pub(crate) first: Stamp,
    pub(crate) apart: Span,
    pub(crate) n: u64,
    /// The end of the lane's pause, and the start of the newest pause.
    pub(crate) paused: Stamp,
    pub(crate) since: Stamp,
}

impl Stamp {
    pub(crate) fn as_nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}
