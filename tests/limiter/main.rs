//! The limiter without tower, in virtual time: what its users are promised.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod call;

mod keys;
mod rejected;
mod report;
mod restart;
mod snapshot;

use std::{
    future::Future,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    extension::ApiKey,
    limiter::{Call, Reason, Report},
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn per_minute(max: u64) -> Limits {
    Limits::none().requests(CHAT, Quota::per_minute(max).unwrap())
}

fn chat() -> Call {
    Call::new(CHAT)
}

/// Lets a request pass, and its answer end at once.
async fn pass(limiter: &Limiter, call: Call) {
    drop(limiter.acquire(call).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn requests_leave_one_by_one_in_the_order_they_came() {
    let limiter = Limiter::new(per_minute(600));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let permit = limiter.acquire(chat()).await.unwrap();
            (n, start.elapsed(), permit.waited())
        });
        tokio::task::yield_now().await;
    }
    let mut left = Vec::new();
    while let Some(done) = tasks.join_next().await {
        left.push(done.unwrap());
    }
    assert!(left.is_sorted_by_key(|(n, ..)| *n));
    for pair in left.windows(2) {
        let gap = pair[1].1 - pair[0].1;
        assert!((99..=102).contains(&gap.as_millis()), "{gap:?}");
    }
    let last = left.last().unwrap();
    assert_eq!(last.1, last.2);
    assert!(
        (19_900..=20_000).contains(&last.1.as_millis()),
        "{:?}",
        last.1
    );
}

/// Whoever left after a quiet time counted as late, so that the next left 50 ms early: a server that
/// takes one a second refused it.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_early_because_nobody_wanted_to_leave_before() {
    let limiter = Limiter::new(per_minute(60).in_flight(CHAT, NonZeroU32::MIN));
    let mut before = None;
    let mut keeps_apart = |what: &str| {
        let gap = before.replace(Instant::now()).map(|at| at.elapsed());
        let enough = gap.is_none_or(|gap| gap >= Duration::from_secs(1));
        assert!(enough, "after {what}: {gap:?}");
    };
    for what in ["a quiet time", "the first", "the second"] {
        sleep(Duration::from_secs(if what == "a quiet time" {
            60
        } else {
            0
        }))
        .await;
        pass(&limiter, chat()).await;
        keeps_apart(what);
    }
    // It waits for a slot, not for the pace.
    let slow = limiter.acquire(chat()).await.unwrap();
    keeps_apart("the third");
    let freed = async {
        sleep(Duration::from_secs(10)).await;
        drop(slow);
    };
    tokio::join!(pass(&limiter, chat()), freed);
    keeps_apart("a slot");
    pass(&limiter, chat()).await;
    keeps_apart("one that waited for a slot");
    // It waits for the server.
    let refused = limiter.acquire(chat()).await.unwrap();
    keeps_apart("the pace");
    refused.throttled(Some(Duration::from_secs(5)));
    drop(refused);
    for _ in 0..20 {
        pass(&limiter, chat()).await;
        keeps_apart("a pause");
    }
}

/// The paced limit counted what a window had kept as late, and the next left early; and so after
/// another table came.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_early_after_a_window_or_a_change_of_table() {
    let rarely = Quota::new(1, Duration::from_secs(10)).unwrap().unpaced();
    let shared = Quota::per_minute(60).unwrap();
    let both = Limits::none()
        .requests(CHAT, rarely)
        .shared([CHAT, Endpoint::Images], shared);
    let limiter = Limiter::new(both);
    let images = || Call::new(Endpoint::Images);
    pass(&limiter, chat()).await;
    // Kept for ten seconds by the window alone.
    pass(&limiter, chat()).await;
    let left = Instant::now();
    pass(&limiter, images()).await;
    assert!(
        left.elapsed() >= Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );

    let limiter = Limiter::new(per_minute(1));
    pass(&limiter, chat()).await;
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    sleep(Duration::from_secs(5)).await;
    limiter.set_limits(Limits::none().shared([CHAT, Endpoint::Images], shared));
    let left = Instant::now();
    drop(second.await.unwrap());
    pass(&limiter, images()).await;
    assert!(
        left.elapsed() >= Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );
}

/// Promise: late by up to 50 ms, even if its own task was busy.
#[tokio::test(start_paused = true)]
async fn who_is_polled_late_delays_nobody_after_it() {
    let limiter = Limiter::new(per_minute(600));
    let start = Instant::now();
    pass(&limiter, chat()).await;
    let mut late = task::spawn(limiter.acquire(chat()));
    assert_pending!(late.poll());
    sleep(Duration::from_millis(141)).await;
    drop(assert_ready!(late.poll()).unwrap());
    pass(&limiter, chat()).await;
    assert!(
        start.elapsed() <= Duration::from_millis(202),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_one_who_waits_costs_nothing_and_the_next_moves_up() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    let mut second = task::spawn(limiter.acquire(chat()));
    let mut third = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    sleep(Duration::from_millis(500)).await;
    drop(second);
    drop(third.await.unwrap());
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_is_not_polled_delays_the_others_by_ten_milliseconds_once() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    let mut parked = task::spawn(limiter.acquire(chat()));
    assert_pending!(parked.poll());
    for n in 1..=3 {
        pass(&limiter, chat()).await;
        let due = Duration::from_micros(1_003_334) * n;
        let late = start.elapsed().saturating_sub(due);
        assert!(late <= Duration::from_millis(11), "{n}: {late:?}");
    }
    assert!(parked.is_woken());
    // It kept its place: polled again it is the next.
    assert_pending!(parked.poll());
    let other = limiter.acquire(chat());
    tokio::pin!(other);
    tokio::select! {
        biased;
        permit = &mut other => panic!("overtaken: {permit:?}"),
        permit = &mut parked => drop(permit.unwrap()),
    }
}

/// Each request that arrives makes the limiter look at the lane again. This does not prolong a turn.
#[tokio::test(start_paused = true)]
async fn a_turn_lapses_after_ten_milliseconds_however_often_the_limiter_looks_at_the_lane() {
    for polled_after in [9, 11] {
        let limiter = Limiter::new(per_minute(60));
        pass(&limiter, chat()).await;
        let mut parked = task::spawn(limiter.acquire(chat()));
        assert_pending!(parked.poll());
        let mut second = task::spawn(limiter.acquire(chat()));
        assert_pending!(second.poll());
        // Tokio's timers fire at whole milliseconds.
        sleep(Duration::from_millis(1_004)).await;
        assert!(parked.is_woken() && !second.is_woken());
        let mut later = Vec::new();
        for _ in 0..3 {
            sleep(Duration::from_millis(3)).await;
            let mut third = task::spawn(limiter.acquire(chat()));
            assert_pending!(third.poll());
            later.push(third);
            assert!(!second.is_woken());
        }
        sleep(Duration::from_millis(polled_after - 9)).await;
        assert_eq!(second.is_woken(), polled_after > 10);
        let (next, last) = match polled_after {
            9 => (&mut parked, &mut second),
            _ => (&mut second, &mut parked),
        };
        drop(assert_ready!(next.poll()).unwrap());
        assert_pending!(last.poll());
        // The skipped request keeps its place before later ones.
        let left = Instant::now();
        drop(last.await.unwrap());
        let waited = left.elapsed().as_millis();
        assert!((950..=1_004).contains(&waited), "{waited}");
        assert!(later.iter().all(|third| !third.is_woken()));
    }
}

/// A waiter that was polled and lost its turn would never be woken again.
#[tokio::test(start_paused = true)]
async fn a_turn_does_not_lapse_while_it_is_claimed() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut late = task::spawn(limiter.acquire(chat()));
    assert_pending!(late.poll());
    sleep(Duration::from_millis(1_004)).await;
    assert!(late.is_woken());
    // The turn is over by the clock, and the timer has not fired yet.
    let mut passing = task::spawn(tokio::time::advance(Duration::from_millis(11)));
    assert_pending!(passing.poll());
    drop(assert_ready!(late.poll()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_leave_in_time_is_refused_at_once() {
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
    // The one ahead goes away: two seconds were enough.
    let permit = limiter
        .acquire(chat().with_deadline(Duration::from_millis(2_010)))
        .await;
    drop(waiting);
    drop(permit.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_refuses_those_who_can_no_longer_go_in_time() {
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
async fn a_higher_limit_is_felt_at_once() {
    let limiter = Limiter::new(per_minute(1));
    let _first = limiter.acquire(chat()).await.unwrap();
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    limiter.set_limits(per_minute(600));
    let start = Instant::now();
    drop(second.await.unwrap());
    assert!(
        start.elapsed() <= Duration::from_millis(102),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn slots_are_given_back_when_the_permit_is_dropped() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let first = limiter.acquire(chat()).await.unwrap();
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    assert_eq!(
        limiter.try_acquire(&chat()).unwrap_err().reason(),
        Reason::WouldWait
    );
    drop(first);
    assert!(second.is_woken());
    let second = assert_ready!(second.poll()).unwrap();
    // A permit without a slot gives none back, and one with a slot holds it under the next table too.
    limiter.set_limits(Limits::none());
    let third = limiter.try_acquire(&chat()).unwrap();
    limiter.set_limits(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    drop(third);
    assert!(limiter.try_acquire(&chat()).is_err());
    drop(second);
    assert!(limiter.try_acquire(&chat()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_named_job_keeps_its_slot_until_it_ends() {
    let create = Call::new(Endpoint::FineTuneCreate);
    let limiter = Limiter::new(Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN));
    let mut permit = limiter.try_acquire(&create).unwrap();
    permit.hold_for_job("ft-1");
    drop(permit);
    let mut next = task::spawn(limiter.acquire(create));
    assert_pending!(next.poll());
    assert!(!limiter.job_ended("ft-2"));
    assert!(limiter.job_ended("ft-1"));
    assert!(!limiter.job_ended("ft-1"));
    assert!(next.is_woken());
    let _permit = assert_ready!(next.poll()).unwrap();
}

/// Its slot was one of a limit that was gone, and another job could be created beside it.
#[tokio::test(start_paused = true)]
async fn a_job_whose_create_is_under_way_when_the_limits_change_has_a_slot() {
    let create = Call::new(Endpoint::FineTuneCreate).with_model("m");
    let jobs = || Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN);
    let own = || Limits::none().for_model("m", jobs());
    let unreadable = || {
        let (ok, headers) = (StatusCode::OK, HeaderMap::new());
        let now = SystemTime::UNIX_EPOCH;
        Report::read(Endpoint::FineTuneCreate, ok, &headers, b"<html>", now)
    };
    for tables in [
        vec![jobs(), jobs()],
        vec![jobs(), own()],
        vec![own(), jobs()],
        vec![jobs(), Limits::none(), jobs()],
        vec![jobs(), Limits::none(), own()],
    ] {
        for is_named in [true, false] {
            let mut tables = tables.clone().into_iter();
            let limiter = Limiter::new(tables.next().unwrap());
            let mut permit = limiter.try_acquire(&create).unwrap();
            for table in tables {
                limiter.set_limits(table);
            }
            match is_named {
                true => permit.hold_for_job("ft-1"),
                false => drop(permit.report(&unreadable())),
            }
            drop(permit);
            let full = limiter.try_acquire(&create).unwrap_err();
            assert_eq!(full.reason(), Reason::WouldWait);
            match is_named {
                true => assert!(limiter.job_ended("ft-1")),
                false => sleep(Duration::from_secs(3_600)).await,
            }
            drop(limiter.try_acquire(&create).unwrap());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_known_only_where_jobs_are_limited_and_ends_whichever_key_it_is_of() {
    let create = |key| Call::new(Endpoint::FineTuneCreate).with_key(ApiKey::new(key));
    for (limits, known) in [
        (Limits::none(), false),
        (
            Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN),
            true,
        ),
    ] {
        let limiter = Limiter::new(limits);
        for (key, job) in [("a", "ft-a"), ("b", "ft-b")] {
            limiter.try_acquire(&create(key)).unwrap().hold_for_job(job);
        }
        assert_eq!(limiter.snapshot().jobs.len(), if known { 2 } else { 0 });
        assert_eq!(limiter.job_ended("ft-b"), known);
        drop(limiter.try_acquire(&create("b")).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_lane_go_in_turn() {
    let limiter = Limiter::new(per_minute(600));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_010 {
        let limiter = limiter.clone();
        let caller = if n < 1_000 { "many" } else { "few" };
        tasks.spawn(async move {
            pass(&limiter, chat().with_caller(caller)).await;
            caller
        });
        tokio::task::yield_now().await;
    }
    let mut few = 0;
    for departures in 1.. {
        few += u32::from(tasks.join_next().await.unwrap().unwrap() == "few");
        if few == 10 {
            assert!(departures <= 22, "the ten were done after {departures}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_behind_a_shared_limit_is_not_starved_by_light_ones() {
    let embeddings = Endpoint::Embeddings;
    let quota = Quota::per_minute(6_000).unwrap();
    let limiter = Limiter::new(Limits::none().shared_tokens([CHAT, embeddings], quota));
    pass(&limiter, chat().with_tokens(1_000)).await;
    let heavy = limiter.acquire(chat().with_tokens(3_000));
    let mut heavy = task::spawn(heavy);
    assert_pending!(heavy.poll());
    for light in 0.. {
        let mut next = task::spawn(limiter.acquire(Call::new(embeddings).with_tokens(10)));
        tokio::select! {
            biased;
            permit = &mut heavy => { drop(permit.unwrap()); break }
            permit = &mut next => drop(permit.unwrap()),
        }
        assert!(light < 2, "overtaken {light} times");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_blocked_by_its_own_limit_holds_nobody_back() {
    let embeddings = Endpoint::Embeddings;
    let limiter =
        Limiter::new(per_minute(1).shared([CHAT, embeddings], Quota::per_minute(600).unwrap()));
    pass(&limiter, chat()).await;
    let mut blocked = task::spawn(limiter.acquire(chat()));
    assert_pending!(blocked.poll());
    let start = Instant::now();
    for _ in 0..50 {
        pass(&limiter, Call::new(embeddings)).await;
    }
    assert!(
        start.elapsed() < Duration::from_millis(5_100),
        "{:?}",
        start.elapsed()
    );
    assert_pending!(blocked.poll());
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_by_the_server_goes_in_front() {
    let limiter = Limiter::new(per_minute(60)).clone();
    pass(&limiter, chat()).await;
    let mut first = task::spawn(limiter.acquire(chat()));
    let mut again = task::spawn(limiter.acquire(chat().again()));
    assert_pending!(first.poll());
    assert_pending!(again.poll());
    sleep(Duration::from_millis(1_005)).await;
    assert!(again.is_woken());
    let _ = assert_ready!(again.poll()).unwrap();
    assert_pending!(first.poll());
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_before_a_request_that_has_the_turn() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut first = task::spawn(limiter.acquire(chat()));
    assert_pending!(first.poll());
    sleep(Duration::from_millis(1_004)).await;
    assert!(first.is_woken());
    let mut again = task::spawn(limiter.acquire(chat().again()));
    drop(assert_ready!(again.poll()).unwrap());
    assert_pending!(first.poll());
    drop(first.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_lets_the_retried_past() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    pass(&limiter, chat()).await;
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    let rejected = limiter.acquire(chat()).await.unwrap_err();
    assert_eq!(rejected.reason(), Reason::QueueFull);
    assert!(rejected.retry_after().is_some());
    let mut again = task::spawn(limiter.acquire(chat().again()));
    assert_pending!(again.poll());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_max_wait() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN))
        .with_max_wait(Duration::from_secs(5));
    let _held = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    // Nobody knows when a slot comes free, so it waits as long as it may.
    let rejected = limiter.acquire(chat()).await.unwrap_err();
    assert_eq!(rejected.reason(), Reason::MaxWait);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_those_who_wait_and_those_who_come() {
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
async fn tokens_are_settled_both_ways() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, Quota::per_minute(6_000).unwrap()));
    let start = Instant::now();
    let mut permit = limiter.acquire(chat().with_tokens(1_000)).await.unwrap();
    permit.settle(100);
    permit.settle(100);
    pass(&limiter, chat().with_tokens(1)).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
    let never = limiter
        .acquire(chat().with_tokens(6_001))
        .await
        .unwrap_err();
    assert_eq!(never.reason(), Reason::NeverFits);
}

#[tokio::test(start_paused = true)]
async fn an_absurd_cost_does_not_stop_a_lane_for_good() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, Quota::per_minute(6_000).unwrap()));
    let start = Instant::now();
    let mut permit = limiter.acquire(chat().with_tokens(1)).await.unwrap();
    permit.settle(u64::MAX);
    pass(&limiter, chat().with_tokens(1)).await;
    let minutes = start.elapsed().as_secs() / 60;
    assert_eq!(minutes, 10);
    permit.settle(1);
    permit.settle(0);
    pass(&limiter, chat().with_tokens(1)).await;
    assert!(start.elapsed().as_secs() / 60 == 10);
}

/// Over all keys there are four lanes for each key there may be.
#[tokio::test(start_paused = true)]
async fn models_beyond_the_bound_share_a_lane_until_keys_are_forgotten() {
    let limiter = Limiter::new(per_minute(6_000)).with_max_keys(1);
    for key in ["a", "b"] {
        for model in 0..10 {
            let call = chat().with_key(ApiKey::named(key));
            pass(&limiter, call.with_model(format!("model-{model}"))).await;
        }
        let lanes = limiter.snapshot().lanes;
        assert!(lanes.iter().all(|lane| lane.key == key));
        let named: Vec<_> = lanes.iter().filter(|lane| !lane.overflow).collect();
        assert_eq!((lanes.len(), named.len()), (5, 4));
        assert_eq!(lanes[4].admitted, 6);
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_free_is_offered_to_one_lane() {
    let limits = Limits::none().in_flight(CHAT, NonZeroU32::MIN);
    let limiter = Limiter::new(limits).with_learning(false);
    let of_model = |model: &str| chat().with_model(model);
    let permit = limiter.acquire(of_model("a")).await.unwrap();
    let mut first = task::spawn(limiter.acquire(of_model("b")));
    let mut second = task::spawn(limiter.acquire(of_model("c")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(permit);
    assert!(first.is_woken() && !second.is_woken());
    assert!(limiter.try_acquire(&of_model("a")).is_err());
    drop(assert_ready!(first.poll()).unwrap());
    assert!(second.is_woken());
}

/// A lane that may leave now holds the place of its request in a shared limit: one that comes to another
/// lane does not pass it.
#[tokio::test(start_paused = true)]
async fn the_last_of_a_burst_is_for_the_lane_whose_turn_it_is() {
    let limits = Limits::none().shared(
        [CHAT, Endpoint::Embeddings],
        Quota::per_minute(60).unwrap().unpaced(),
    );
    let limiter = Limiter::new(limits).with_learning(false);
    for _ in 0..60 {
        drop(limiter.acquire(chat()).await.unwrap());
    }
    let mut first = task::spawn(limiter.acquire(chat()));
    assert_pending!(first.poll());
    tokio::time::advance(Duration::from_millis(60_205)).await;
    // Sixty have left the window: one is for the first, 59 are free.
    for _ in 0..59 {
        drop(
            limiter
                .try_acquire(&Call::new(Endpoint::Embeddings))
                .unwrap(),
        );
    }
    assert!(
        limiter
            .try_acquire(&Call::new(Endpoint::Embeddings))
            .is_err()
    );
    drop(assert_ready!(first.poll()).unwrap());
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

#[tokio::test(start_paused = true)]
async fn a_key_has_lanes_for_as_many_models_as_it_may() {
    let limiter = Limiter::new(per_minute(6_000)).with_max_lanes(3);
    for model in ["a", "b", "c", "d", "e"] {
        pass(&limiter, chat().with_model(model)).await;
    }
    let lanes = limiter.snapshot().lanes;
    let overflow: Vec<_> = lanes.iter().map(|lane| lane.overflow).collect();
    assert_eq!(overflow, [false, false, false, true]);
    assert_eq!(lanes[0].limits[0].max, 6_000);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_over_at_the_instant_that_the_server_named() {
    let limiter = Limiter::new(Limits::none()).with_learning(false);
    let permit = limiter.acquire(chat()).await.unwrap();
    permit.overloaded(Duration::from_secs(5));
    let paused = || limiter.snapshot().lanes[0].paused;
    assert!(paused().is_some());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(paused(), None);
}

/// A task that has spent its budget is told by tokio's timers to come again, at once.
#[tokio::test(start_paused = true)]
async fn a_task_that_has_spent_its_budget_can_wait() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    (0..1_000).for_each(|n| send.send(n).unwrap());
    let mut waiting = std::pin::pin!(limiter.acquire(chat()));
    let mut spent = false;
    let permit = std::future::poll_fn(|cx| {
        while receive.poll_recv(cx).is_ready() {}
        spent |= !receive.is_empty();
        waiting.as_mut().poll(cx)
    })
    .await;
    assert!(spent);
    drop(permit.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_each_lane() {
    let limiter = Limiter::default();
    let mut permits = Vec::new();
    let first = limiter
        .acquire(Call::new(Endpoint::Embeddings))
        .await
        .unwrap();
    first.overloaded(Duration::from_secs(1));
    for _ in 0..3 {
        let mut waiting = task::spawn(limiter.acquire(Call::new(Endpoint::Embeddings)));
        assert_pending!(waiting.poll());
        permits.push(waiting);
    }
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.keys, snapshot.waiting), (1, 3));
    assert_eq!(
        (snapshot.admitted, snapshot.refused, snapshot.throttled),
        (1, 0, 0)
    );
    let [lane] = &snapshot.lanes[..] else {
        panic!("{snapshot:?}")
    };
    assert_eq!(
        (lane.key.as_str(), lane.endpoint),
        ("anonymous", Endpoint::Embeddings)
    );
    assert_eq!((lane.waiting, lane.admitted, lane.throttled), (3, 1, 0));
    assert!(lane.next.unwrap() > Instant::now());
    let limits = || -> Vec<_> {
        let lane = limiter.snapshot().lanes.remove(0);
        let limits = lane.limits.iter();
        limits
            .map(|l| (l.max, l.left, l.shared, l.learned))
            .collect()
    };
    assert_eq!(limits(), [(300, 0, false, false), (600, 0, true, false)]);
    // What the server says stands in for what nobody wrote.
    first.told(2.5);
    assert_eq!(limits(), [(150, 1, false, true)]);
}

/// Promise: a lane's mean wait can be told, of any stretch of time.
#[tokio::test(start_paused = true)]
async fn a_snapshot_adds_up_what_was_waited_in_each_lane() {
    let limiter = Limiter::new(per_minute(60));
    let waited = || limiter.snapshot().lanes[0].waited;
    pass(&limiter, chat()).await;
    assert_eq!(waited(), Duration::ZERO);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let limiter = limiter.clone();
        calls.spawn(async move { limiter.acquire(chat()).await.unwrap().waited() });
    }
    // One who gives up, and one who is refused, have waited for nothing.
    let mut dropped = task::spawn(limiter.acquire(chat()));
    assert_pending!(dropped.poll());
    sleep(Duration::from_millis(500)).await;
    drop(dropped);
    let hurried = chat().with_deadline(Duration::from_millis(10));
    limiter.acquire(hurried).await.unwrap_err();
    assert_eq!(waited(), Duration::ZERO);

    let sum: Duration = calls.join_all().await.into_iter().sum();
    assert_eq!(waited(), sum);
    assert!((10..11).contains(&sum.as_secs()), "{sum:?}");
    // Of another lane nothing.
    let images = Call::new(Endpoint::Images);
    pass(&limiter, images).await;
    assert_eq!(limiter.snapshot().lanes[1].waited, Duration::ZERO);
}

#[test]
fn who_must_wait_outside_a_runtime_is_told_and_leaves_no_trace() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(&chat()).unwrap());
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

fn of_key(key: &str) -> Call {
    chat().with_key(ApiKey::new(key))
}

/// A key that the server asked to wait is not forgotten, or it would come back as if new.
#[tokio::test(start_paused = true)]
async fn a_paused_key_is_not_forgotten() {
    let limiter = Limiter::new(Limits::none()).with_max_keys(1);
    let permit = limiter.try_acquire(&of_key("a")).unwrap();
    permit.throttled(Some(Duration::from_secs(60)));
    let other = limiter.try_acquire(&of_key("b")).unwrap_err();
    assert_eq!(other.reason(), Reason::KeysFull);
    let wait = limiter.try_acquire(&of_key("a")).unwrap_err().retry_after();
    assert_eq!(wait, Some(Duration::from_secs(60)));
    // Over the pause, and the slow restart after it.
    sleep(Duration::from_secs(69)).await;
    drop(limiter.try_acquire(&of_key("b")).unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_key_that_is_forgotten_pauses_no_other() {
    let limiter = Limiter::new(Limits::none()).with_max_keys(1);
    let permit = limiter.try_acquire(&of_key("a")).unwrap();
    drop(limiter.try_acquire(&of_key("b")).unwrap());
    assert_eq!(permit.throttled(Some(Duration::from_secs(60))), None);
    drop(limiter.try_acquire(&of_key("b")).unwrap());
}

/// Promise: the refusal comes again when a pause makes it so.
#[tokio::test(start_paused = true)]
async fn a_pause_refuses_those_whose_deadline_it_passes() {
    let limiter = Limiter::new(per_minute(60));
    let permit = limiter.acquire(chat()).await.unwrap();
    let in_time = limiter.acquire(chat().with_deadline(Duration::from_secs(9)));
    let too_late = limiter.acquire(chat().with_deadline(Duration::from_secs(5)));
    let (mut in_time, mut too_late) = (task::spawn(in_time), task::spawn(too_late));
    assert_pending!(too_late.poll());
    assert_pending!(in_time.poll());
    permit.overloaded(Duration::from_secs(7));
    assert!(too_late.is_woken());
    let rejected = assert_ready!(too_late.poll()).unwrap_err();
    assert_eq!(rejected.reason(), Reason::Deadline);
    drop(in_time.await.unwrap());
}

/// Nobody is held back for a lane that is paused for longer than a shared limit makes it wait.
#[tokio::test(start_paused = true)]
async fn a_paused_lane_holds_nobody_back_in_a_shared_limit() {
    let tokens = Quota::per_minute(60).unwrap().unpaced();
    let both = [CHAT, Endpoint::Embeddings];
    let limiter = Limiter::new(Limits::none().shared_tokens(both, tokens));
    let permit = limiter.acquire(chat().with_tokens(10)).await.unwrap();
    let mut dear = task::spawn(limiter.acquire(chat().with_tokens(55)));
    assert_pending!(dear.poll());
    sleep(Duration::from_millis(1)).await;
    // There is room for five beside the dear one, and now for as many.
    let cheap = Call::new(Endpoint::Embeddings).with_tokens(6);
    let mut cheap = task::spawn(limiter.acquire(cheap));
    assert_pending!(cheap.poll());
    permit.throttled(Some(Duration::from_secs(100)));
    assert!(cheap.is_woken());
    drop(assert_ready!(cheap.poll()).unwrap());
}

/// It kept a part of the window free for as long as its pause lasted: an hour.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_paused_for_longer_than_a_window_leaves_all_of_it_to_others() {
    let limiter =
        Limiter::new(Limits::none().requests(CHAT, Quota::per_minute(600).unwrap().unpaced()));
    let of = |model| chat().with_model(model);
    let permit = limiter.acquire(of("paused")).await.unwrap();
    permit.overloaded(Duration::from_secs(3_600));
    let mut paused = task::spawn(limiter.acquire(of("paused")));
    assert_pending!(paused.poll());
    for _ in 0..599 {
        drop(limiter.try_acquire(&of("m")).unwrap());
    }
}

/// It kept a slot free for as long as its pause lasted: an hour.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_paused_for_more_than_a_minute_leaves_job_slots_to_others() {
    const CREATE: Endpoint = Endpoint::FineTuneCreate;
    for (seconds, leaves) in [(60, false), (61, true)] {
        let limiter = Limiter::new(Limits::none().jobs(CREATE, NonZeroU32::new(2).unwrap()));
        let of = |model| Call::new(CREATE).with_model(model);
        let _taken = limiter.acquire(of("m")).await.unwrap();
        let permit = limiter.acquire(of("paused")).await.unwrap();
        let mut paused = task::spawn(limiter.acquire(of("paused")));
        assert_pending!(paused.poll());
        permit.overloaded(Duration::from_secs(seconds));
        drop(permit);
        let mut other = task::spawn(limiter.acquire(of("m")));
        assert_eq!(other.poll().is_ready(), leaves, "paused for {seconds} s");
    }
}
