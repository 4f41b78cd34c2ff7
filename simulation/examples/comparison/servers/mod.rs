//! The servers and the work, each a row of the comparison.

mod list;

use std::time::Duration;

use simulation::{
    server::{Rules, Says},
    setting::{Setting, alone},
};

pub(crate) use self::list::all;
use crate::clients::Given;

/// A server, and the work that its clients have.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rules: Rules,
    pub(crate) says: Says,
    pub(crate) network: Network,
    pub(crate) work: Work,
    /// Processes that do not know each other, with an equal part of the work each.
    pub(crate) processes: usize,
    /// The limits that the user of a client has read.
    pub(crate) given: Given,
}

/// The network and the time for responses, both in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) delay: (u64, u64),
    pub(crate) thinks: (u64, u64),
}

/// The calls.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// In each process this many callers, which send one call after the other until all are done.
    Steady { calls: usize, callers: usize },
    /// Ten times this many calls at once, a minute apart.
    Bursts(usize),
}

impl Work {
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Steady { calls, .. } => calls,
            Self::Bursts(each) => BURSTS * each,
        }
    }

    /// The number of times at which calls arrive.
    pub(crate) fn batches(self) -> usize {
        match self {
            Self::Steady { .. } => 1,
            Self::Bursts(_) => BURSTS,
        }
    }
}

/// The time at which a burst arrives, or all calls if there is but one.
pub(crate) fn arrival(burst: usize) -> Duration {
    Duration::from_secs(60) * burst as u32
}

impl Server {
    /// The simulation of the server for at most four hours.
    pub(crate) fn setting(&self) -> Setting<()> {
        Setting {
            servers: vec![self.rules],
            delay: self.network.delay,
            thinks: self.network.thinks,
            clients: vec![(); self.processes],
            seconds: 4 * 3_600,
            ..alone((), self.rules.kind, self.rules.moves, self.says)
        }
    }
}

const BURSTS: usize = 10;
