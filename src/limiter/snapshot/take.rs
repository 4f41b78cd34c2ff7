//! Takes a snapshot in short holds of the lock, so that it delays no request for long.

use std::{ops::ControlFlow, sync::Arc, thread, time::Duration};

use super::{
    JobSnapshot, Snapshot,
    lane::{label, lane_of, lanes_under},
};
use crate::{
    limiter::{KeyIndex, WaiterId, clock::Clock, shared::Shared, state::State},
    words::Instant,
};

/// A snapshot that is being taken.
#[derive(Default)]
struct Taking {
    snapshot: Option<Snapshot>,
    /// The keys made before it. A key that was forgotten and made again would be in it twice.
    born: u64,
    /// The place of the next key.
    next: usize,
    /// The last job.
    job: Option<(u64, KeyIndex)>,
}

impl Snapshot {
    pub(in crate::limiter) fn take(shared: &Shared) -> Self {
        let mut taking = Taking::default();
        loop {
            let step = shared.with(|state, moment| taking.step(state, &shared.clock, moment.now));
            if let ControlFlow::Break(snapshot) = step {
                return snapshot;
            }
            taking.make_room();
            rest();
        }
    }

    /// The totals, without lanes and jobs.
    fn totals(state: &State, now: Instant) -> Self {
        Self {
            jobs: Vec::new(),
            lanes: Vec::new(),
            keys: state.registry.len(),
            waiting: state.waiters.len(),
            admitted: state.totals.admitted,
            refused: state.totals.rejected,
            throttled_count: state.totals.throttled,
            #[expect(deprecated, reason = "the former name")]
            throttled: state.totals.throttled,
            closed: state.is_closed(),
            sharing: state.sharing_snapshot(now),
        }
    }
}

impl Taking {
    /// Goes on in one hold of the lock. Returns the snapshot at the end.
    fn step(&mut self, state: &mut State, clock: &Clock, now: Instant) -> ControlFlow<Snapshot> {
        let mut snapshot = self.snapshot.take().unwrap_or_else(|| {
            self.born = state.registry.born();
            Snapshot::totals(state, now)
        });
        let mut looks = 0;
        while looks < A_HOLD && self.next < state.registry.places() {
            looks += 1 + self.take_key(&mut snapshot, state, clock, now);
            self.next += 1;
        }
        let jobs = state.jobs.after(self.job);
        for (place, held) in jobs.take(A_HOLD.saturating_sub(looks)) {
            looks += 1;
            self.job = Some(place);
            snapshot
                .jobs
                .extend(state.registry.living(held.key).map(|key| JobSnapshot {
                    key: label(key),
                    endpoint: held.creation,
                    id: Arc::clone(&held.id),
                }));
        }
        if looks < A_HOLD {
            return ControlFlow::Break(snapshot);
        }
        self.snapshot = Some(snapshot);
        ControlFlow::Continue(())
    }

    /// Adds the lanes of the next key, if there is one. Returns their number.
    fn take_key(
        &self,
        snapshot: &mut Snapshot,
        state: &mut State,
        clock: &Clock,
        now: Instant,
    ) -> usize {
        let key = state.registry.get_mut(KeyIndex::new(self.next));
        let Some(key) = key.filter(|key| key.born <= self.born) else {
            return 0;
        };
        let lanes_under = lanes_under(key);
        let charge = |id: WaiterId| state.waiters[id].charge;
        for lane in key.lane_indices() {
            let lane = lane_of(key, lane, &lanes_under, &state.rules, charge, clock, now);
            snapshot.lanes.push(lane);
        }
        if let Some(sharing) = &mut snapshot.sharing {
            sharing.processes = sharing.processes.max(key.processes());
        }
        key.lanes.len()
    }

    /// Makes room for what the next hold adds, which moves a long list, while the lock is free.
    fn make_room(&mut self) {
        if let Some(Snapshot { lanes, jobs, .. }) = &mut self.snapshot {
            lanes.reserve(A_HOLD);
            jobs.reserve(A_HOLD);
        }
    }
}

/// The number of places, lanes and jobs looked at in one hold of the lock: some 0.2 ms.
const A_HOLD: usize = 1_024;

/// Leaves the lock to a thread that waits for it, which takes about as long to wake. A thread that only yielded would
/// take it again first.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing depends on how long it takes"
)]
fn rest() {
    thread::sleep(Duration::from_micros(50));
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU32};

    use super::*;
    use crate::{
        limiter::Limiter,
        words::{Call, Endpoint, Limits, Quota, extension::ApiKey},
    };

    const CREATE: Endpoint = Endpoint::FineTuneCreate;

    fn call(key: usize) -> Call {
        Call::new(CREATE).with_key(ApiKey::named(&key.to_string()))
    }

    fn with_keys(limits: Limits, keys: usize) -> Limiter {
        let limiter = Limiter::new(limits).with_max_keys(keys);
        (0..keys).for_each(|key| drop(limiter.try_acquire(call(key)).unwrap()));
        limiter
    }

    /// Takes a snapshot with `between` called while the lock is free. Returns the lanes of each hold too.
    fn take(limiter: &Limiter, mut between: impl FnMut()) -> (Snapshot, Vec<usize>) {
        let (mut taking, mut holds) = (Taking::default(), Vec::new());
        let shared = &limiter.shared;
        loop {
            let step = shared.with(|state, moment| taking.step(state, &shared.clock, moment.now));
            let lanes = match &step {
                ControlFlow::Break(snapshot) => snapshot.lanes.len(),
                ControlFlow::Continue(()) => taking.snapshot.as_ref().unwrap().lanes.len(),
            };
            holds.push(lanes - holds.iter().sum::<usize>());
            if let ControlFlow::Break(snapshot) = step {
                return (snapshot, holds);
            }
            taking.make_room();
            between();
        }
    }

    #[test]
    fn no_hold_takes_more_lanes_however_many_keys_there_are() {
        let (snapshot, holds) = take(&with_keys(Limits::none(), 3_000), || {});
        assert!(holds.iter().all(|lanes| *lanes <= A_HOLD), "{holds:?}");
        assert_eq!((snapshot.keys, snapshot.lanes.len()), (3_000, 3_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_forgotten_and_made_again_meanwhile_is_in_it_once() {
        let limits = Limits::none().requests(CREATE, Quota::per_minute(600).unwrap());
        let limiter = with_keys(limits, 2_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut times = 0;
        let (snapshot, holds) = take(&limiter, || {
            times += 1;
            if times == 1 {
                // 700 new keys replace the first 700, of which 50 then replace the next 50.
                let later = (2_000..2_700).chain(0..50);
                later.for_each(|key| drop(limiter.try_acquire(call(key)).unwrap()));
            }
        });
        let shown: Vec<usize> = snapshot
            .lanes
            .iter()
            .map(|lane| lane.key.parse().unwrap())
            .collect();
        let before = 0..holds[0];
        assert!(before.end > 50 && before.end < 700);
        assert_eq!(shown, before.chain(750..2_000).collect::<Vec<_>>());
        assert_eq!(snapshot.keys, 2_000);
    }

    #[test]
    fn the_jobs_that_run_all_the_time_are_in_it_once_each() {
        let limits = Limits::none().jobs(CREATE, NonZeroU32::MAX);
        let limiter = with_keys(limits, A_HOLD);
        let start = |id: usize| {
            limiter
                .try_acquire(call(1))
                .unwrap()
                .hold_for_job(&id.to_string())
        };
        (0..8).for_each(start);
        let mut end = 0..4;
        let (snapshot, holds) = take(&limiter, || {
            if let Some(job) = end.next() {
                assert!(limiter.job_ended(&job.to_string()));
                start(100 + job);
            }
        });
        assert!(holds.len() > 2);
        let jobs: Vec<_> = snapshot.jobs.iter().map(|job| job.id.to_string()).collect();
        let once: BTreeSet<_> = jobs.iter().cloned().collect();
        assert_eq!(once.len(), jobs.len());
        assert!((4..8).all(|id| once.contains(&id.to_string())), "{once:?}");
    }
}
