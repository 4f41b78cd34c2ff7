//! The queue under a model checker: no wake is lost in offer, claim, drop and lapse, in whatever way the
//! threads interleave.
//!
//! Time stands still until nothing else can happen, and then jumps to the alarm. A request that is never
//! woken makes the run end with an error.

mod schedules;

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    num::NonZeroU32,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use shuttle::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    Inner, Limiter, Lost, Measure, Permit,
    shared::Shared,
    sync::{Mutex, NOW, lock},
};
use crate::words::{Call, Endpoint, Instant, Limits, Quota, Rejected};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn per_second(max: u64) -> Limits {
    Limits::none().requests(CHAT, Quota::per_second(max).unwrap())
}

fn acquire(limiter: &Limiter) -> Result<Permit, Rejected> {
    block_on(limiter.acquire(Call::new(CHAT)))
}

/// Starts to wait, and is never polled again.
fn park(limiter: &Limiter) -> impl Sized {
    let mut waiting = Box::pin(limiter.acquire(Call::new(CHAT)));
    let mut context = Context::from_waker(Waker::noop());
    let poll = waiting.as_mut().poll(&mut context);
    (waiting, poll)
}

/// Runs `threads` at once while time passes, in every interleaving that some thousand random schedules reach.
/// All threads must end.
fn check(limits: fn() -> Limits, threads: &'static [fn(&Limiter)]) {
    shuttle::check_random(move || run(limits(), threads), 3_000);
}

fn run(limits: Limits, threads: &'static [fn(&Limiter)]) {
    NOW.set(Instant::START);
    let limiter = Limiter::new(limits);
    let done = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = threads
        .iter()
        .map(|act| {
            let (limiter, done) = (limiter.clone(), Arc::clone(&done));
            thread::spawn(move || {
                act(&limiter);
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    let mut idle = 0;
    while done.load(Ordering::SeqCst) < threads.len() {
        idle = if limiter.shared().ring() { 0 } else { idle + 1 };
        assert!(idle < 10_000, "somebody waits, and nothing will wake him");
        thread::yield_now();
    }
    for handle in handles {
        handle.join().unwrap();
    }
    let snapshot = limiter.snapshot();
    assert_eq!(snapshot.waiting, 0);
    let limits = snapshot.lanes.iter().flat_map(|lane| &lane.limits);
    for slots in limits.filter(|limit| limit.measure == Measure::InFlight) {
        assert_eq!(slots.left, slots.max, "a slot is not given back");
    }
}

impl Shared {
    /// Moves the time to the alarm, if one is set.
    fn ring(&self) -> bool {
        let Some(at) = self.alarms(|alarms| alarms.at()) else {
            return false;
        };
        NOW.set(NOW.get().max(at));
        self.kick();
        true
    }
}

#[test]
fn everyone_gets_a_turn() {
    check(
        || per_second(1),
        &[
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| drop(acquire(limiter).unwrap()),
        ],
    );
}

#[test]
fn dropping_who_waits_wakes_the_next() {
    check(
        || per_second(1),
        &[
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| drop(park(limiter)),
            |limiter| drop(acquire(limiter).unwrap()),
        ],
    );
}

#[test]
fn who_is_not_polled_is_passed_by() {
    check(
        || per_second(1),
        &[
            |limiter| {
                let parked = park(limiter);
                drop(acquire(limiter).unwrap());
                drop(parked);
            },
            |limiter| drop(acquire(limiter).unwrap()),
        ],
    );
}

#[test]
fn a_slot_that_comes_free_is_used() {
    check(
        || Limits::none().in_flight(CHAT, NonZeroU32::MIN),
        &[
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| {
                // The same thread gives up the position. Otherwise it would wait for itself.
                let parked = park(limiter);
                thread::yield_now();
                drop(parked);
            },
            |limiter| drop(acquire(limiter).unwrap()),
        ],
    );
}

#[test]
fn a_change_of_limits_is_felt_by_those_who_wait() {
    check(
        || Limits::none().in_flight(CHAT, NonZeroU32::MIN),
        &[
            |limiter| {
                let permit = acquire(limiter).unwrap();
                limiter.set_limits(per_second(1));
                drop(permit);
            },
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| drop(acquire(limiter).unwrap()),
        ],
    );
}

#[test]
fn closing_wakes_everyone() {
    check(
        || per_second(1),
        &[
            |limiter| drop(acquire(limiter)),
            |limiter| drop(acquire(limiter)),
            |limiter| limiter.close(),
        ],
    );
}

/// Two lanes under one quota, each with a request that is sent.
#[test]
fn lanes_that_share_a_quota_pass_it_on() {
    fn embed(limiter: &Limiter) -> Result<Permit, Rejected> {
        let mut waiting = pin!(limiter.acquire(Call::new(Endpoint::Embeddings)));
        block_on(waiting.as_mut())
    }
    check(
        || Limits::none().shared([CHAT, Endpoint::Embeddings], Quota::per_second(1).unwrap()),
        &[
            |limiter| drop(acquire(limiter).unwrap()),
            |limiter| drop(embed(limiter).unwrap()),
            |limiter| drop(park(limiter)),
            |limiter| drop(embed(limiter).unwrap()),
        ],
    );
}

/// An inner service that is ready for one request at a time, as with a `ConcurrencyLimit` of 1.
#[derive(Default)]
struct Narrow {
    taken: bool,
    waiting: Vec<Waker>,
}

struct NarrowClone {
    narrow: Arc<Mutex<Narrow>>,
    ready: bool,
}

impl Inner for NarrowClone {
    type Error = ();

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let mut narrow = lock(&self.narrow);
        if narrow.taken && !self.ready {
            narrow.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        narrow.taken = true;
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn let_go(&mut self) {
        if std::mem::take(&mut self.ready) {
            let waiting = {
                let mut narrow = lock(&self.narrow);
                narrow.taken = false;
                std::mem::take(&mut narrow.waiting)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for NarrowClone {
    fn drop(&mut self) {
        self.let_go();
    }
}

thread_local!(static NARROW: Cell<Option<Arc<Mutex<Narrow>>>> = const { Cell::new(None) });

fn call(limiter: &Limiter) {
    let narrow = NARROW.take().unwrap_or_default();
    NARROW.set(Some(Arc::clone(&narrow)));
    let mut behind = NarrowClone {
        narrow,
        ready: false,
    };
    let mut turn = limiter.turn();
    let permit = block_on(poll_fn(|cx| {
        if turn.is_queued() {
            turn.wait(&mut behind, cx)
        } else {
            turn.arrive(&Call::new(CHAT), &mut behind, cx)
        }
    }));
    match permit {
        Ok(permit) => drop(permit),
        Err(Lost::Rejected(rejected)) => panic!("{rejected}"),
        Err(Lost::Inner(())) => unreachable!(),
    }
}

#[test]
fn an_inner_service_that_is_busy_loses_nobody() {
    shuttle::check_random(
        || {
            NARROW.set(None);
            run(per_second(1), &[call, call, call]);
        },
        3_000,
    );
}
