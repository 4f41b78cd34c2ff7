//! The parts that every clone of a limiter shares: the state under its lock, and what wakes it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
    task::{Wake, Waker},
    time::Duration,
};

use super::{
    alarm::Alarms,
    clock::Clock,
    mistakes,
    moment::Moment,
    rules::bit,
    settings::Settings,
    state::State,
    sync::{AtomicUsize, Mutex, Ordering, lock},
};
use crate::{
    observe::{self, Repeats},
    words::{Endpoint, Limits, Span},
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// The endpoints whose tokens are counted, read without the lock, which most requests need not take.
    metered: AtomicUsize,
    state: Mutex<State>,
    /// These settings are read without the lock, which most requests need not take.
    learning: AtomicBool,
    max_silence: AtomicU64,
    alarms: Mutex<Alarms>,
    /// 1 once a layer has marked a request.
    marked: AtomicUsize,
    /// The number of requests that layers have passed through.
    left_alone: AtomicUsize,
    /// The calls of `kick` since no thread was doing its work; 0 if none is.
    kicks: AtomicUsize,
    /// The rejections that were logged.
    pub(super) repeats: Repeats,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State::new(limits);
        let shared = Self {
            clock: Clock::new(),
            metered: AtomicUsize::new(state.metered),
            state: Mutex::new(state),
            alarms: Mutex::new(Alarms::default()),
            marked: AtomicUsize::new(0),
            left_alone: AtomicUsize::new(0),
            kicks: AtomicUsize::new(0),
            learning: AtomicBool::default(),
            max_silence: AtomicU64::default(),
            repeats: Repeats::default(),
        };
        shared.set(|_| {});
        Arc::new(shared)
    }

    /// Changes the settings for requests that come from now on.
    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) {
        let settings = self.with(|state, _| {
            change(&mut state.settings);
            state.settings
        });
        self.learning.store(settings.learning, Ordering::Relaxed);
        let silence = Span::from(settings.max_silence).as_nanos();
        self.max_silence.store(silence, Ordering::Relaxed);
    }

    pub(super) fn learns(&self) -> bool {
        self.learning.load(Ordering::Relaxed)
    }

    /// How long a response that is read may be silent and keep its slot; `Duration::MAX` for no bound.
    pub(super) fn max_silence(&self) -> Duration {
        match self.max_silence.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// Puts another table in force.
    pub(super) fn set_limits(&self, limits: Limits) {
        self.with(|state, moment| state.set_limits(limits, moment));
    }

    /// Returns true once.
    pub(super) fn marks(&self) -> bool {
        self.marked.load(Ordering::Relaxed) == 0 && self.marked.swap(1, Ordering::Relaxed) == 0
    }

    /// Counts a request that a layer passes through. Warns at the hundredth if no request was limited so far.
    pub(super) fn leave_alone(&self) {
        if self.left_alone.fetch_add(1, Ordering::Relaxed) + 1 == mistakes::MANY as usize
            && self.with(|state, _| !state.seen.limits())
        {
            observe::left_alone();
        }
    }

    /// Whether `test` is true of the state, if the tokens of any request to an endpoint are counted. Costs a
    /// read of one number if they are not.
    pub(super) fn metered(&self, endpoint: Endpoint, test: impl FnOnce(&State) -> bool) -> bool {
        self.may_count_tokens(endpoint) && test(&lock(&self.state))
    }

    /// Whether the tokens of any request to an endpoint are counted.
    pub(super) fn may_count_tokens(&self, endpoint: Endpoint) -> bool {
        self.metered.load(Ordering::Relaxed) & bit(endpoint) != 0
    }

    /// Calls `act` under the lock, and then does outside it what follows.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, &mut Moment) -> T) -> T {
        // The clock is read before the lock is taken, so that two threads hold the lock for a third less.
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let mut moment = Moment::new(state.advance(now));
        let before = state.next_due();
        let result = act(&mut state, &mut moment);
        let changed = state.next_due() != before;
        let dispatch = state.dispatch();
        // Written only if it changed, since all threads read it.
        if self.metered.load(Ordering::Relaxed) != state.metered {
            self.metered.store(state.metered, Ordering::Relaxed);
        }
        drop(state);
        moment.wakes.wake();
        moment.mistakes.warn();
        moment.lanes.log();
        if let Some(dispatch) = dispatch {
            dispatch.run();
        }
        if changed {
            self.kick();
        }
        result
    }

    /// Does the work that is due, and sets the alarms for the next.
    ///
    /// One thread does this at a time: a thread that finds another at it leaves a note and returns. It is
    /// therefore safe to call this from a timer that fires while it is being set.
    pub(super) fn kick(&self) {
        if self.kicks.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut seen = 1;
        loop {
            let now = self.clock.now();
            let mut state = lock(&self.state);
            let mut moment = Moment::new(state.advance(now));
            state.run(&mut moment);
            let next = state.next_due();
            let dispatch = state.dispatch();
            drop(state);
            moment.wakes.wake();
            moment.lanes.log();
            if let Some(dispatch) = dispatch {
                dispatch.run();
            }
            if lock(&self.alarms).set(next, &self.clock) {
                continue;
            }
            match self
                .kicks
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(notes) => seen = notes,
            }
        }
    }

    /// The waker that the timers wake.
    pub(super) fn timer_waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(TimerWaker(Arc::downgrade(self))))
    }

    pub(super) fn alarms<T>(&self, act: impl FnOnce(&mut Alarms) -> T) -> T {
        act(&mut lock(&self.alarms))
    }
}

/// Kicks a limiter that still exists. A timer must not keep it alive.
struct TimerWaker(Weak<Shared>);

impl Wake for TimerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.0.upgrade() {
            shared.kick();
        }
    }
}
