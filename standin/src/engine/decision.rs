//! Charges, and decisions on them.

use std::time::Duration;

use crate::{route::Route, rules::Unit};

/// The response to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It passes, and has been counted by all limits it touches.
    Accept,
    /// It is over at least one limit.
    Reject {
        /// After this time, if nothing else is sent, it would pass; not a microsecond earlier.
        retry_after: Duration,
        /// The unit of the limit with the longest wait; requests if both units have it.
        over: Unit,
    },
}

/// The cost of a request, its caller and its time; to be [decided on], and [settled] if accepted.
///
/// [decided on]: super::Engine::decide_on
/// [settled]: super::Engine::settle
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(super) caller: u64,
    pub(super) route: Route,
    pub(super) tokens: u64,
    pub(super) at: u64,
}
