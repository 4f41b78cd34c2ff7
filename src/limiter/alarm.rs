//! One timer for all waiting requests, and no task.
//!
//! A timer belongs to a runtime. It stops with the runtime, or while the runtime is not driven. There is
//! therefore one timer for each runtime in which a request waits, all set to the same instant. The first to
//! fire does the work that is due for all. It wakes the limiter itself, so no waiter depends on another being
//! polled.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Waker},
};

use tokio::{
    runtime::{Handle, Id},
    time::Sleep,
};

use super::clock::Clock;
use crate::words::Instant;

#[derive(Default)]
pub(super) struct Alarms {
    /// The waker that the timers wake, made when a request first waits.
    waker: Option<Waker>,
    alarms: Vec<Alarm>,
}

struct Alarm {
    runtime: Id,
    sleep: Pin<Box<Sleep>>,
    /// The instant at which it goes off; [`Instant::NEVER`] if it is not set.
    at: Instant,
    waiting: usize,
}

/// The runtime in which a request waits.
pub(super) type Runtime = Id;

/// The runtime that is polling now.
///
/// # Panics
///
/// Outside a Tokio runtime.
pub(super) fn this_runtime() -> Runtime {
    Handle::try_current()
        .expect(
            "a request that must wait for its turn needs a Tokio runtime with its timer enabled: \
             poll it inside one",
        )
        .id()
}

impl Alarms {
    /// A request starts to wait in the runtime that is polling now. Its alarm is not set yet.
    pub(super) fn enter(&mut self, runtime: Runtime, clock: &Clock, waker: impl FnOnce() -> Waker) {
        self.waker.get_or_insert_with(waker);
        if let Some(alarm) = self.find(runtime) {
            alarm.waiting += 1;
            return;
        }
        self.alarms.push(Alarm {
            runtime,
            sleep: Box::pin(tokio::time::sleep_until(clock.instant_now())),
            at: Instant::NEVER,
            waiting: 1,
        });
    }

    /// A request there has stopped waiting.
    pub(super) fn leave(&mut self, runtime: Runtime) {
        let Some(alarm) = self.find(runtime) else {
            return;
        };
        alarm.waiting -= 1;
        if alarm.waiting == 0 {
            self.alarms.retain(|alarm| alarm.runtime != runtime);
        }
    }

    /// Sets all alarms. Returns whether the instant has passed already.
    #[must_use]
    pub(super) fn set(&mut self, at: Instant, clock: &Clock) -> bool {
        let (Some(instant), Some(waker)) = (clock.instant(at), &self.waker) else {
            return false;
        };
        let mut passed = false;
        for alarm in &mut self.alarms {
            if alarm.at == at && !alarm.sleep.is_elapsed() {
                continue;
            }
            alarm.at = at;
            alarm.sleep.as_mut().reset(instant);
            passed |= if alarm.sleep.is_elapsed() {
                // A timer that fires early means that its runtime has shut down. No task is polled there any
                // more, and a timer panics when it is polled.
                instant <= clock.instant_now()
            } else {
                alarm.listen(waker)
            };
        }
        passed
    }

    fn find(&mut self, runtime: Runtime) -> Option<&mut Alarm> {
        self.alarms
            .iter_mut()
            .find(|alarm| alarm.runtime == runtime)
    }
}

impl Alarm {
    /// Has the timer wake `waker`. Returns whether it has gone off already.
    fn listen(&mut self, waker: &Waker) -> bool {
        // Runs outside the budget of the task that happens to set it. If that budget is spent, a timer wakes
        // at once.
        let sleep = tokio::task::unconstrained(self.sleep.as_mut());
        let mut sleep = std::pin::pin!(sleep);
        let poll = || {
            let mut context = Context::from_waker(waker);
            sleep.as_mut().poll(&mut context).is_ready()
        };
        // A timer panics if another thread is shutting its runtime down at this moment.
        std::panic::catch_unwind(AssertUnwindSafe(poll)).unwrap_or(false)
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms")
            .field("runtimes", &self.alarms.len())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::words::Span;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_is_set_again_after_it_has_gone_off_and_tells_that_its_instant_has_passed() {
        let second = Duration::from_secs(1);
        let at = Instant::START + Span::SECOND;
        let (clock, mut alarms) = (Clock::new(), Alarms::default());
        alarms.enter(this_runtime(), &clock, || Waker::noop().clone());
        assert!(!alarms.set(at, &clock));
        advance(second).await;
        assert!(alarms.set(at, &clock));
        assert!(!alarms.set(at + Span::SECOND, &clock));
        assert!(alarms.set(at, &clock));
    }
}
