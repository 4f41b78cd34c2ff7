//! Bounds on waiting: the deadline, `max_wait`, the queue, and limits that a request can never fit.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{Limiter, Limits, Quota, limiter::Reason};

use crate::{CHAT, chat, pass, per_minute};

#[tokio::test(start_paused = true)]
async fn what_cannot_leave_in_time_is_rejected_at_once() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    let start = Instant::now();
    let rejected = limiter
        .acquire(chat().with_deadline(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(rejected.reason(), Reason::Deadline);
    let wait = rejected.retry_after().unwrap();
    assert!((1_900..=2_010).contains(&wait.as_millis()), "{wait:?}");
    // The request ahead is dropped: two seconds were enough.
    let permit = limiter
        .acquire(chat().with_deadline(Duration::from_millis(2_010)))
        .await;
    drop(waiting);
    drop(permit.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_rejects_those_who_can_no_longer_go_in_time() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let mut patient = task::spawn(limiter.acquire(chat()));
    let mut hasty = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(3))));
    assert_pending!(patient.poll());
    assert_pending!(hasty.poll());
    limiter.set_limits(per_minute(6));
    assert!(hasty.is_woken());
    let rejected = assert_ready!(hasty.poll()).unwrap_err();
    assert_eq!(rejected.reason(), Reason::Deadline);
    let start = Instant::now();
    drop(patient.await.unwrap());
    let waited = start.elapsed();
    assert!((9_500..=10_050).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_rejects_and_lets_the_retried_past() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    pass(&limiter, chat()).await;
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    let rejected = limiter.acquire(chat()).await.unwrap_err();
    assert_eq!(rejected.reason(), Reason::QueueFull);
    assert!(rejected.retry_after().is_some());
    let mut again = task::spawn(limiter.acquire(chat().as_retry()));
    assert_pending!(again.poll());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_max_wait() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN))
        .with_max_wait(Duration::from_secs(5));
    let _held = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    // It is unknown when a slot comes free, so the request waits as long as it may.
    let rejected = limiter.acquire(chat()).await.unwrap_err();
    assert_eq!(rejected.reason(), Reason::MaxWait);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn closing_rejects_those_who_wait_and_those_who_come() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    limiter.close();
    assert!(waiting.is_woken());
    let rejected = assert_ready!(waiting.poll()).unwrap_err();
    assert_eq!(rejected.reason(), Reason::Closed);
    assert_eq!(
        limiter.acquire(chat()).await.unwrap_err().reason(),
        Reason::Closed
    );
    assert!(limiter.snapshot().closed);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_new_limits_make_impossible_is_told_what_it_costs() {
    let tokens = |max| Limits::none().tokens(CHAT, Quota::per_minute(max).unwrap());
    let limiter = Limiter::new(tokens(1_000));
    drop(limiter.acquire(chat().with_tokens(900)).await.unwrap());
    let waiting = limiter.acquire(chat().with_tokens(900));
    let hopeless = limiter.acquire(
        chat()
            .with_tokens(500)
            .with_deadline(Duration::from_secs(40)),
    );
    let change = async { limiter.set_limits(tokens(600)) };
    let (waiting, hopeless, ()) = tokio::join!(waiting, hopeless, change);
    let never = waiting.unwrap_err();
    assert_eq!(never.reason(), Reason::NeverFits);
    assert!(
        format!("{never:?} {never}").contains("900"),
        "{never:?} {never}"
    );
    let late = hopeless.unwrap_err();
    assert_eq!(late.reason(), Reason::Deadline);
    assert!(!format!("{late}").contains("500"), "{late}");
}

#[test]
fn who_must_wait_outside_a_runtime_is_told_and_leaves_no_trace() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(chat()).unwrap());
    let waiting = limiter.acquire(chat());
    let poll = std::panic::catch_unwind(move || {
        let mut waiting = task::spawn(waiting);
        assert_pending!(waiting.poll());
    });
    let told = poll.unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("needs a Tokio runtime"), "{told}");
    assert_eq!(limiter.snapshot().waiting, 0);
}
