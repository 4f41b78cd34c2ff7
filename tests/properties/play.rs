//! Plays requests that arrive, wait, are dropped or not polled, and records their outcomes.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use testing::{
    now,
    table::{Lane, Table},
    virtual_time,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower_together::{
    Limiter,
    limiter::{Call, Measure, Reason},
};

use crate::tables::lanes;

/// One request. Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) at: u64,
    pub(crate) lane: Lane,
    pub(crate) caller: &'static str,
    pub(crate) tokens: u64,
    pub(crate) again: bool,
    pub(crate) deadline: Option<u64>,
    pub(crate) fate: Handling,
    /// The time that its response takes, in milliseconds.
    pub(crate) takes: u64,
    pub(crate) response: ServerResponse,
}

/// The server's response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServerResponse {
    Fine,
    /// 429, with this wait.
    Throttled(Option<u64>),
    /// 503, with this wait.
    Overloaded(u64),
}

/// The caller's handling of its future.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Handling {
    Awaited,
    /// Dropped after this time, if it is not ready.
    Dropped(u64),
    /// Polled once, and then not for this time.
    Unpolled(u64),
}

/// The events, in order.
pub(crate) type Story = Vec<(Duration, Event)>;

/// The number is the request's, or the table's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Came(usize),
    Left(usize),
    Rejected(usize, Reason),
    Dropped(usize),
    /// The response ended.
    Ended(usize),
    /// The server asked to wait, and its lane is paused until then.
    Paused(usize, Duration),
    /// Another table was put in force.
    Table(usize),
}

/// Plays requests under tables of limits that follow one another, each from its time on.
///
/// # Panics
///
/// If a request is never woken, or a slot is not given back.
pub(crate) fn play(tables: &[(u64, Table)], visits: &[Visit]) -> Story {
    virtual_time().block_on(async {
        let stage = Stage {
            limiter: Limiter::new(tables[0].1.limits()),
            start: now(),
            story: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for (n, visit) in visits.iter().cloned().enumerate() {
            tasks.spawn(stage.clone().visit(n, visit));
        }
        for (n, (at, table)) in tables.iter().cloned().enumerate().skip(1) {
            tasks.spawn(stage.clone().change(n, at, table));
        }
        let all = async { while tasks.join_next().await.transpose().unwrap().is_some() {} };
        let ended = timeout(A_YEAR, all).await;
        assert!(
            ended.is_ok(),
            "somebody is never woken: {:?}",
            stage.limiter
        );
        stage.assert_empty();
        std::mem::take(&mut *stage.story.lock().unwrap())
    })
}

pub(crate) fn call(visit: &Visit) -> Call {
    let mut call = Call::new(visit.lane.0)
        .with_caller(visit.caller)
        .with_tokens(visit.tokens);
    if let Some(model) = visit.lane.1 {
        call = call.with_model(model);
    }
    if let Some(deadline) = visit.deadline {
        call = call.with_deadline(ms(deadline));
    }
    if visit.again { call.as_retry() } else { call }
}

/// Up to `most` requests of all kinds.
pub(crate) fn visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    prop::collection::vec(visit(), 1..=most)
}

/// Up to `most` requests of all kinds, of which the server rejects some.
pub(crate) fn visits_with_rejections(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    let response = prop_oneof![
        3 => Just(ServerResponse::Fine),
        1 => prop::option::of(1..3_000u64).prop_map(ServerResponse::Throttled),
        1 => (1..3_000u64).prop_map(ServerResponse::Overloaded),
    ];
    prop::collection::vec((visit(), response), 1..=most).prop_map(|visits| {
        let responded = visits.into_iter();
        responded
            .map(|(visit, response)| Visit { response, ..visit })
            .collect()
    })
}

/// Requests whose futures are awaited, or dropped at some time.
pub(crate) fn polled_visits(most: usize) -> impl Strategy<Value = Vec<Visit>> {
    visits(most).prop_map(|mut visits| {
        for visit in &mut visits {
            visit.deadline = None;
            if let Handling::Unpolled(_) = visit.fate {
                visit.fate = Handling::Awaited;
            }
        }
        visits
    })
}

fn visit() -> impl Strategy<Value = Visit> {
    let fate = prop_oneof![
        4 => Just(Handling::Awaited),
        2 => (0..4_000u64).prop_map(Handling::Dropped),
        1 => (0..4_000u64).prop_map(Handling::Unpolled),
    ];
    let caller = prop_oneof![Just("a"), Just("b"), Just("c")];
    let at = prop_oneof![Just(0), 0..4_000u64];
    let again = prop::bool::weighted(0.1);
    let deadline = prop::option::weighted(0.1, 0..4_000u64);
    (
        at,
        lanes(),
        caller,
        0..60u64,
        again,
        deadline,
        fate,
        0..2_000u64,
    )
        .prop_map(
            |(at, lane, caller, tokens, again, deadline, fate, takes)| Visit {
                at,
                lane,
                caller,
                tokens,
                again,
                deadline,
                fate,
                takes,
                response: ServerResponse::Fine,
            },
        )
}

#[derive(Clone)]
struct Stage {
    limiter: Limiter,
    start: Instant,
    story: Arc<Mutex<Story>>,
}

impl Stage {
    async fn visit(self, n: usize, visit: Visit) {
        sleep(ms(visit.at)).await;
        self.note(Event::Came(n));
        let mut turn = pin!(self.limiter.acquire(call(&visit)));
        let result = match visit.fate {
            Handling::Awaited => turn.await,
            Handling::Dropped(after) => match timeout(ms(after), turn).await {
                Ok(result) => result,
                Err(_) => return self.note(Event::Dropped(n)),
            },
            Handling::Unpolled(pause) => match futures::poll!(turn.as_mut()) {
                std::task::Poll::Ready(result) => result,
                std::task::Poll::Pending => {
                    sleep(ms(pause)).await;
                    turn.await
                }
            },
        };
        match result {
            Ok(permit) => {
                self.note(Event::Left(n));
                sleep(ms(visit.takes)).await;
                let paused = match visit.response {
                    ServerResponse::Fine => None,
                    ServerResponse::Throttled(wait) => permit.throttled(wait.map(ms)),
                    ServerResponse::Overloaded(wait) => permit.overloaded(ms(wait)),
                };
                if let Some(until) = paused {
                    self.note(Event::Paused(n, until - self.start));
                }
                self.note(Event::Ended(n));
                drop(permit);
            }
            Err(rejected) => self.note(Event::Rejected(n, rejected.reason())),
        }
    }

    async fn change(self, n: usize, at: u64, table: Table) {
        sleep(ms(at)).await;
        self.note(Event::Table(n));
        self.limiter.set_limits(table.limits());
    }

    fn note(&self, event: Event) {
        let entry = (now() - self.start, event);
        self.story.lock().unwrap().push(entry);
    }

    fn assert_empty(&self) {
        let snapshot = self.limiter.snapshot();
        assert_eq!(snapshot.waiting, 0);
        for lane in snapshot.lanes {
            for limit in lane.limits {
                if limit.measure == Measure::InFlight {
                    assert_eq!(limit.left, limit.max, "a slot was not given back");
                }
            }
        }
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
