mod lane;
mod take;

use std::{sync::Arc, time::Duration};

use tokio::time;

use crate::words::Endpoint;

/// The state of a limiter, from [`Limiter::snapshot`](super::Limiter::snapshot).
///
/// Requests go on while it is taken. The totals are of the instant at which it begins, and the lanes of a key are of
/// one instant. Up to 500 lanes are of the same instant as the totals. If there are more, a key that is
/// forgotten meanwhile may be missing, and one that is first used meanwhile is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The lanes of all remembered keys.
    pub lanes: Vec<LaneSnapshot>,
    /// The jobs that hold a slot.
    pub jobs: Vec<JobSnapshot>,
    /// The number of remembered keys.
    pub keys: usize,
    /// The number of waiting requests.
    pub waiting: usize,
    /// The number of requests admitted since the limiter was made.
    pub admitted: u64,
    /// The number of requests that the limiter itself has rejected since it was made.
    pub refused: u64,
    /// The number of 429 responses from the server since the limiter was made.
    pub throttled_count: u64,
    /// The former name of [`throttled_count`](Self::throttled_count).
    #[deprecated(since = "0.1.0", note = "renamed `throttled_count`")]
    pub throttled: u64,
    /// Whether the limiter was closed.
    pub closed: bool,
    /// How the limits are [shared with other processes](crate::Limiter#method.shared_by); `None` if they are not.
    pub sharing: Option<SharingSnapshot>,
}

/// How limits are shared with other processes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharingSnapshot {
    /// The number of processes that share the busiest key, as Redis said last; 0 before its first reply.
    pub processes: u64,
    /// For how long Redis has not replied, and why. The process sends its own part of the limits meanwhile, or
    /// nothing. `None` while Redis replies.
    pub away: Option<(Duration, &'static str)>,
}

/// One lane: the requests of one key to one endpoint, with one model where models differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneSnapshot {
    /// The key's name if it has one. Otherwise a number that reveals nothing of the key and changes from run
    /// to run.
    pub key: String,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The model, if the lane's requests name one.
    pub model: Option<Arc<str>>,
    /// Whether this is the lane that the key's further models share.
    pub overflow: bool,
    /// The limits of the lane.
    pub limits: Vec<LimitSnapshot>,
    /// The number of requests waiting in it.
    pub waiting: usize,
    /// The instant at which the next request may be sent. `None` if one may be sent now, or if the instant is
    /// not known because all slots are taken.
    pub next: Option<time::Instant>,
    /// The end of a pause that the server asked for, if it has not passed.
    pub paused: Option<time::Instant>,
    /// The number of requests admitted.
    pub admitted: u64,
    /// The number of requests that the limiter itself rejected.
    pub refused: u64,
    /// The number of 429 responses from the server.
    pub throttled_count: u64,
    /// The former name of [`throttled_count`](Self::throttled_count).
    #[deprecated(since = "0.1.0", note = "renamed `throttled_count`")]
    pub throttled: u64,
    /// The total time that admitted requests waited for their turn. Divide its growth by the growth of
    /// [`admitted`](LaneSnapshot::admitted) to get the mean wait of that time.
    pub waited: Duration,
    /// The instants at which the lane may send that Redis has granted and that have not come; `None` if the
    /// lane's limits are not shared.
    pub granted: Option<u64>,
    /// The granted instants that passed before a request could use them.
    pub lapsed: u64,
}

/// One limit of a lane.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// The thing that the limit counts.
    pub measure: Measure,
    /// The number that it allows. For jobs this is less than the table's number while the server was seen to
    /// allow fewer.
    pub max: u64,
    /// The window of a quota; `None` for limits on requests in flight and on jobs.
    pub per: Option<Duration>,
    /// The number that could be sent at once now, or the number of free slots.
    pub left: u64,
    /// Whether other lanes share it.
    pub shared: bool,
    /// Whether the user wrote the number.
    pub ceiling: bool,
    /// Whether it was learned from the server, and replaces the numbers that this crate supplied.
    pub learned: bool,
}

/// A job that holds a slot, until it is known to have [ended](crate::jobs).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobSnapshot {
    /// The key, as in [`LaneSnapshot::key`].
    pub key: String,
    /// The endpoint that creates such jobs.
    pub endpoint: Endpoint,
    /// The job's id.
    pub id: Arc<str>,
}

/// The thing that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Requests per window.
    Requests,
    /// Tokens per window.
    Tokens,
    /// Requests in flight.
    InFlight,
    /// Jobs that have not ended.
    Jobs,
}
