//! One limit for many processes: what a process asks of the shared ledger, what the ledger decides, and the
//! instants that the process gets.
//!
//! The ledger stands in Redis, where a script decides. [`Ledger`] decides the same in this process: for its
//! part of the limits while Redis does not respond, and in tests.

mod ask;
mod lane;
mod lease;
mod ledger;
mod offset;

pub(crate) use self::{
    ask::{
        Ask, Bound, Event, LaneAsk, LaneReply, Name, Pace, Reply, Report, ReportReply, Stamp, Term,
        What,
    },
    lease::{Lease, Run},
    ledger::Ledger,
    offset::Offset,
};
