//! Who waits, and when whose turn comes.

mod acquire;
#[cfg_attr(all(test, shuttle), path = "model/alarm.rs")]
mod alarm;
mod clock;
mod handle;
mod key;
mod lane;
mod line;
#[cfg(all(test, shuttle))]
mod model;
mod permit;
mod registry;
mod rules;
mod settings;
mod shared;
mod snapshot;
mod state;
mod sync;
mod turn;
mod waiter;

pub(crate) use self::turn::{Inner, Lost, Turn};
pub use self::{
    acquire::Acquire,
    handle::Limiter,
    permit::Permit,
    snapshot::{LaneSnapshot, LimitSnapshot, Measure, Snapshot},
};
pub use crate::words::{Call, Reason, Rejected};
