//! The events of a schedule, and the number of polls.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use testing::now;
use tokio::time::Instant;
use tower_together::limiter::Reason;

/// The number is the request's, or the table's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Came(usize),
    /// The inner service was called.
    Called(usize),
    Rejected(usize, Reason),
    /// The response's head came.
    Head(usize),
    /// The server asked to wait, and the lane is paused until then.
    Paused(usize, Duration),
    /// The response's body ended, and whether it was complete.
    Ended(usize, bool),
    /// The future was dropped.
    Dropped(usize),
    /// The future is polled again.
    Resumed(usize),
    /// A clone of the inner service that was pending is ready.
    Opened,
    /// The inner service is pending, and a turn has lapsed since: another request is offered the turn.
    Lapsed,
    /// Another table was put in force.
    Table(usize),
}

pub(crate) type Events = Vec<(Duration, Event)>;

/// A record of events that all parts of a schedule share, from all of its threads.
#[derive(Clone)]
pub(crate) struct Story {
    start: Instant,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    events: Events,
    /// Polls of waiting futures and of clones of the inner service.
    polls: usize,
    /// Clones of the inner service that are ready, and not called.
    ready: usize,
    /// When a turn last lapsed, as far as is known.
    lapsed: Option<Duration>,
}

impl Story {
    pub(crate) fn begin() -> Self {
        Self {
            start: now(),
            told: Arc::default(),
        }
    }

    pub(crate) fn note(&self, event: Event) {
        let entry = (now() - self.start, event);
        self.lock().events.push(entry);
    }

    /// The inner service is pending. A turn lasts 10 ms, so one of them lapses in that time at most.
    pub(crate) fn is_pending(&self) {
        let at = now() - self.start;
        let mut told = self.lock();
        if told.lapsed.is_none_or(|lapsed| at >= lapsed + TURN) {
            told.lapsed = Some(at);
            told.events.push((at, Event::Lapsed));
        }
    }

    pub(crate) fn paused(&self, n: usize, until: Instant) {
        self.note(Event::Paused(n, until - self.start));
    }

    /// # Panics
    ///
    /// If there were too many polls for what has happened.
    pub(crate) fn polled(&self) {
        let mut told = self.lock();
        told.polls += 1;
        let (polls, events) = (told.polls, told.events.len());
        if polls > POLLS * (events + SLACK) {
            // One request fails, and not all of them.
            told.polls = 0;
            drop(told);
            panic!("they spin: {polls} polls for {events} events");
        }
    }

    pub(crate) fn happened(&self) -> usize {
        self.lock().events.len()
    }

    pub(crate) fn is_called(&self, n: usize) -> bool {
        self.lock()
            .events
            .iter()
            .any(|(_, event)| *event == Event::Called(n))
    }

    pub(crate) fn became_ready(&self) {
        self.lock().ready += 1;
    }

    pub(crate) fn is_ready_no_more(&self) {
        self.lock().ready -= 1;
    }

    pub(crate) fn ready(&self) -> usize {
        self.lock().ready
    }

    pub(crate) fn events(&self) -> Events {
        self.lock().events.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duration of a turn that is not claimed.
const TURN: Duration = Duration::from_millis(10);
/// The most polls of a future and a clone, for each event.
pub(crate) const POLLS: usize = 8;
/// The events that are still to come when those are counted.
pub(crate) const SLACK: usize = 2;
