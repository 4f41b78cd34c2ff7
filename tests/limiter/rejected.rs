//! The requests that are rejected, the reason, and the stated wait: at the boundaries.

use std::{
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Limiter, Limits, Quota,
    limiter::{Permit, Reason},
};

use super::{CHAT, chat, pass, per_minute};

const ONE: NonZeroU32 = NonZeroU32::MIN;

/// A paced limiter from which one request has just left, and how long the next one has to wait.
fn paced() -> (Limiter, Duration) {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(chat()).unwrap());
    let wait = limiter.try_acquire(chat()).unwrap_err().retry_after();
    (limiter, wait.unwrap())
}

/// A limiter whose only slot is taken, by this permit.
async fn taken(limits: Limits) -> (Limiter, Permit) {
    let limiter = Limiter::new(limits.in_flight(CHAT, ONE));
    let permit = limiter.acquire(chat()).await.unwrap();
    (limiter, permit)
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_told_only_where_it_is_known() {
    let wait = |limiter: &Limiter| {
        let rejected = limiter.try_acquire(chat()).unwrap_err();
        assert_eq!(rejected.reason(), Reason::WouldWait);
        rejected.retry_after()
    };
    let (limiter, known) = paced();
    assert_eq!(wait(&limiter), Some(known));
    // It is this request's turn by the limit, but another one is before it.
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    advance(known).await;
    assert_eq!(wait(&limiter), None);
    // A slot is taken, and the pace does not allow it either.
    let (limiter, _permit) = taken(Limits::none()).await;
    assert_eq!(wait(&limiter), None);
    let (limiter, _permit) = taken(per_minute(60)).await;
    assert_eq!(wait(&limiter), None);
}

/// The wait was at least a second.
#[tokio::test(start_paused = true)]
async fn a_rejection_states_the_wait_as_it_is() {
    let limits = per_minute(600);
    let rejected = |limiter: &Limiter, call| {
        let rejected = assert_ready!(task::spawn(limiter.acquire(call)).poll());
        rejected.unwrap_err()
    };
    let wait = Duration::from_nanos(100_333_334);
    for (limiter, reason) in [
        (Limiter::new(limits.clone()), Reason::Deadline),
        (
            Limiter::new(limits.clone()).with_max_wait(wait / 2),
            Reason::MaxWait,
        ),
    ] {
        pass(&limiter, chat()).await;
        let call = match reason {
            Reason::Deadline => chat().with_deadline(wait / 2),
            _ => chat(),
        };
        let rejected = rejected(&limiter, call);
        assert_eq!(
            (rejected.reason(), rejected.retry_after()),
            (reason, Some(wait))
        );
    }
    // A request that waits is rejected once a pause takes too long.
    let limiter = Limiter::new(limits);
    let permit = limiter.acquire(chat()).await.unwrap();
    let mut waiting = task::spawn(limiter.acquire(chat().with_deadline(wait * 2)));
    assert_pending!(waiting.poll());
    permit.throttled(Some(wait * 3));
    let rejected_later = assert_ready!(waiting.poll()).unwrap_err();
    assert_eq!(rejected_later.retry_after(), Some(wait * 3));
    // When a full queue has room is not known, nor when a slot comes free.
    let limiter = Limiter::new(per_minute(600)).with_max_waiting(0);
    pass(&limiter, chat()).await;
    let rejected_now = rejected(&limiter, chat());
    assert_eq!(rejected_now.reason(), Reason::QueueFull);
    assert_eq!(rejected_now.retry_after(), Some(Duration::from_secs(1)));
    let (limiter, _permit) = taken(Limits::none()).await;
    let mut waiting = task::spawn(limiter.acquire(chat().with_deadline(wait)));
    assert_pending!(waiting.poll());
    advance(wait * 2).await;
    let timed_out = assert_ready!(waiting.poll()).unwrap_err();
    assert_eq!(timed_out.retry_after(), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_as_long_as_the_longest_wait_is_the_reason() {
    let wait = Duration::from_secs(5);
    for (deadline, reason) in [
        (wait, Reason::Deadline),
        (wait + Duration::from_nanos(1), Reason::MaxWait),
    ] {
        let limits = Limits::none().in_flight(CHAT, ONE);
        let limiter = Limiter::new(limits).with_max_wait(wait);
        let _permit = limiter.acquire(chat()).await.unwrap();
        let rejected = limiter.acquire(chat().with_deadline(deadline)).await;
        assert_eq!(rejected.unwrap_err().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_leave_at_its_deadline() {
    let (limiter, wait) = paced();
    let mut last = task::spawn(limiter.acquire(chat().with_deadline(wait)));
    assert_pending!(last.poll());
    let late = wait - Duration::from_nanos(1);
    let mut late = task::spawn(limiter.acquire(chat().with_deadline(late)));
    assert_eq!(
        assert_ready!(late.poll()).unwrap_err().reason(),
        Reason::Deadline
    );
    // Tokio's timer counts milliseconds and has not fired yet: a request that arrives makes the limiter
    // look at the lane.
    advance(wait).await;
    limiter.try_acquire(chat()).unwrap_err();
    drop(assert_ready!(last.poll()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_at_a_deadline_rejects_no_request() {
    let pause = Duration::from_secs(5);
    for (deadline, rejects) in [(pause, false), (pause - Duration::from_nanos(1), true)] {
        let (limiter, permit) = taken(Limits::none()).await;
        let mut waiting = task::spawn(limiter.acquire(chat().with_deadline(deadline)));
        assert_pending!(waiting.poll());
        permit.overloaded(pause);
        assert_eq!(waiting.is_woken(), rejects);
    }
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_told_by_a_limiter_that_closes_or_for_a_request_that_never_fits() {
    let tokens = |max| Limits::none().tokens(CHAT, Quota::per_minute(max).unwrap());
    for (reason, closes) in [(Reason::Closed, true), (Reason::NeverFits, false)] {
        let limiter = Limiter::new(tokens(6_000));
        pass(&limiter, chat().with_tokens(1_000)).await;
        let mut waiting = task::spawn(limiter.acquire(chat().with_tokens(100)));
        assert_pending!(waiting.poll());
        match closes {
            true => limiter.close(),
            false => limiter.set_limits(tokens(99)),
        }
        let rejected = assert_ready!(waiting.poll()).unwrap_err();
        assert_eq!((rejected.reason(), rejected.retry_after()), (reason, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limiter_closed_for_a_restart_tells_each_caller_when_to_retry() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    let wait = Duration::from_millis(2_500);
    limiter.close_with_retry_after(wait);
    let waited = assert_ready!(waiting.poll()).unwrap_err();
    let arrived = limiter.acquire(chat()).await.unwrap_err();
    let rejected = limiter.try_acquire(chat()).unwrap_err();
    for rejected in [waited, arrived, rejected] {
        let told = (rejected.reason(), rejected.retry_after());
        assert_eq!(told, (Reason::Closed, Some(wait)));
    }
}

/// The first rejection let the next move up, which never fit either: it was rejected twice.
#[tokio::test(start_paused = true)]
async fn each_request_that_a_new_table_rejects_is_counted_once() {
    let tokens = |max| Limits::none().tokens(CHAT, Quota::per_minute(max).unwrap());
    let limiter = Limiter::new(tokens(6_000));
    pass(&limiter, chat().with_tokens(1_000)).await;
    let wait = || task::spawn(limiter.acquire(chat().with_tokens(100)));
    let mut waiting = [wait(), wait(), wait()];
    for one in &mut waiting {
        assert_pending!(one.poll());
    }
    limiter.set_limits(tokens(99));
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.refused, snapshot.lanes[0].refused), (3, 3));
}

/// A task that is dropped with its waker may use the limiter.
struct Dropped(Limiter);

impl Wake for Dropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.snapshot();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_may_use_the_limiter_when_it_is_dropped() {
    let (limiter, _) = paced();
    let mut waiting = Box::pin(limiter.acquire(chat()));
    for _ in 0..2 {
        let waker = Waker::from(Arc::new(Dropped(limiter.clone())));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    drop(waiting);
    assert_eq!(limiter.snapshot().waiting, 0);
}
