//! The plain data between a process and the ledger.

use crate::{
    quota::News,
    words::{Each, Span, Unit},
};

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
    pub(crate) reports: Vec<Report>,
    pub(crate) terms: Vec<Term>,
    pub(crate) lanes: Vec<LaneAsk>,
}

/// One limit, as the process knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Term {
    pub(crate) name: Name,
    pub(crate) bound: Bound,
    /// How far the instants of two lanes under the limit may be out of order.
    pub(crate) lag: Span,
    /// The latest instant that the ledger has named for the limit. A ledger that has lost it takes it back.
    pub(crate) heard: Stamp,
    /// The cost that departed requests have proved to have beyond what was charged for them. Less than 0 if
    /// something is given back.
    pub(crate) owed: i64,
}

/// The grants of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// So many in each window.
    Window { max: u64, window: Span },
    /// The learned pace of a lane, as the report at this place names it.
    Pace { report: usize, of: Unit },
}

impl Default for Bound {
    fn default() -> Self {
        Self::Window {
            max: 1,
            window: Span::ZERO,
        }
    }
}

/// The report of a process on a lane. One process learns the lane's pace for all, from the reports of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) lane: Name,
    /// Whether the process can learn the pace.
    pub(crate) learns: bool,
    /// The requests that departed since the last report, and their tokens as they are known by now.
    pub(crate) requests: u64,
    pub(crate) tokens: i64,
    /// The paces that it knows.
    pub(crate) paces: Each<Pace>,
    pub(crate) events: Vec<Event>,
}

/// A learned pace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// The picoseconds that a weight of 1 takes; 0 if the table leads.
    pub(crate) apart: u64,
    /// The newest pace has the highest number.
    pub(crate) epoch: u64,
}

/// A statement of the server in a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) of: Unit,
    /// The start of the newest pause that was known when the request was charged.
    pub(crate) since: Stamp,
    pub(crate) wait: Span,
    /// The request's departure.
    pub(crate) at: Stamp,
    /// The request's weight, or the named limit in millionths of a second's.
    pub(crate) amount: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The server is overloaded, and asks for a pause.
    Overloaded,
    /// A rejection.
    Rejected(News),
    /// The server has named its limit.
    Named,
}

/// Requests that wait in a lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneAsk {
    /// The place of the lane's report.
    pub(crate) report: usize,
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
    pub(crate) reports: Vec<ReportReply>,
    pub(crate) lanes: Vec<LaneReply>,
}

/// The state of a lane that a process reports on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReportReply {
    /// Whether this process learns the lane's pace for all.
    pub(crate) learns: bool,
    /// The end of the lane's pause, and the start of the newest pause.
    pub(crate) paused: Stamp,
    pub(crate) since: Stamp,
    /// The departures that all processes have reported.
    pub(crate) departed: Each<u64>,
    pub(crate) paces: Each<Pace>,
    /// Events that the process that learns has not heard of yet.
    pub(crate) events: Vec<Event>,
}

/// The instants of `n` requests of a lane. If `n` is 0, the lane is to ask again at `first`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LaneReply {
    pub(crate) first: Stamp,
    pub(crate) apart: Span,
    pub(crate) n: u64,
}

impl Stamp {
    pub(crate) fn as_nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}

impl What {
    /// Its number in a call of the script.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Overloaded => 0,
            Self::Rejected(News::Nothing) => 1,
            Self::Rejected(News::TooSoon) => 2,
            // In a lane that processes share, each rejection pauses.
            Self::Rejected(News::TooFast | News::Alone(_) | News::Retried) => 3,
            Self::Named => 4,
        }
    }

    pub(crate) fn of_code(code: u64) -> Option<Self> {
        const ALL: [What; 5] = [
            What::Overloaded,
            What::Rejected(News::Nothing),
            What::Rejected(News::TooSoon),
            What::Rejected(News::TooFast),
            What::Named,
        ];
        ALL.get(usize::try_from(code).ok()?).copied()
    }
}

impl Pace {
    /// An hour.
    pub(crate) const LONGEST: u64 = 3_600_000_000_000_000;

    /// Requests, or tokens, a second; `None` if the table leads.
    pub(crate) fn per_second(self) -> Option<f64> {
        (self.apart > 0).then(|| SECOND / self.apart as f64)
    }

    /// The next pace after this one, if it is another.
    pub(crate) fn then(self, per_second: Option<f64>) -> Self {
        let apart = per_second.map_or(0, |rate| ((SECOND / rate) as u64).clamp(1, Self::LONGEST));
        match apart == self.apart {
            true => self,
            false => Self {
                apart,
                epoch: self.epoch + 1,
            },
        }
    }
}

/// The whole microseconds of a time, in which the ledger counts.
pub(super) fn micros(span: Span) -> f64 {
    (span.as_nanos() as f64 / 1e3).ceil()
}

const SECOND: f64 = 1e12;
