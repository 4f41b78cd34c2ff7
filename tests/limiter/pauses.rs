//! Lanes that a server has paused.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    limiter::{Call, Reason},
};

use crate::{CHAT, chat, of_key, pass, per_minute};

#[tokio::test(start_paused = true)]
async fn a_pause_is_over_at_the_instant_that_the_server_named() {
    let limiter = Limiter::new(Limits::none()).adaptive(false);
    let permit = limiter.acquire(chat()).await.unwrap();
    permit.overloaded(Duration::from_secs(5));
    let paused = || limiter.snapshot().lanes[0].paused;
    assert!(paused().is_some());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(paused(), None);
}

/// A key that the server asked to wait is not forgotten, or it would come back as if new.
#[tokio::test(start_paused = true)]
async fn a_paused_key_is_not_forgotten() {
    let limiter = Limiter::new(Limits::none()).with_max_keys(1);
    let permit = limiter.try_acquire(of_key("a")).unwrap();
    permit.throttled(Some(Duration::from_secs(60)));
    let other = limiter.try_acquire(of_key("b")).unwrap_err();
    assert_eq!(other.reason(), Reason::KeysFull);
    let wait = limiter.try_acquire(of_key("a")).unwrap_err().retry_after();
    assert_eq!(wait, Some(Duration::from_secs(60)));
    // Over the pause, and the slow restart after it.
    sleep(Duration::from_secs(69)).await;
    drop(limiter.try_acquire(of_key("b")).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_response_to_a_key_that_is_forgotten_pauses_no_other() {
    let limiter = Limiter::new(Limits::none()).with_max_keys(1);
    let permit = limiter.try_acquire(of_key("a")).unwrap();
    drop(limiter.try_acquire(of_key("b")).unwrap());
    assert_eq!(permit.throttled(Some(Duration::from_secs(60))), None);
    drop(limiter.try_acquire(of_key("b")).unwrap());
}

/// Promise: a waiting request is rejected if a pause makes it too late.
#[tokio::test(start_paused = true)]
async fn a_pause_rejects_those_whose_deadline_it_passes() {
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

/// A lane that is paused for longer than a shared limit makes it wait delays no other lane.
#[tokio::test(start_paused = true)]
async fn a_paused_lane_holds_nobody_back_in_a_shared_limit() {
    let tokens = Quota::per_minute(60).unwrap().unpaced();
    let both = [CHAT, Endpoint::Embeddings];
    let limiter = Limiter::new(Limits::none().shared_tokens(both, tokens));
    let permit = limiter.acquire(chat().with_tokens(10)).await.unwrap();
    let mut dear = task::spawn(limiter.acquire(chat().with_tokens(55)));
    assert_pending!(dear.poll());
    sleep(Duration::from_millis(1)).await;
    // There is room for five beside the costly one, and now for as many.
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
        drop(limiter.try_acquire(of("m")).unwrap());
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

/// A limiter from which so many first attempts have departed, each delayed by a pace that is near the number written.
async fn busy(departed: u32) -> Limiter {
    let quota = Quota::per_second(10).unwrap();
    let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
    for _ in 0..departed {
        pass(&limiter, chat()).await;
    }
    limiter
}

fn is_paused(limiter: &Limiter) -> bool {
    limiter.snapshot().lanes[0].paused.is_some()
}

#[tokio::test(start_paused = true)]
async fn a_429_that_is_alone_among_many_delays_only_its_own_request() {
    for (wait, pauses) in [(Some(1), false), (None, false), (Some(3), true)] {
        let limiter = busy(20).await;
        let rejected = limiter.acquire(chat()).await.unwrap();
        let until = rejected.throttled(wait.map(Duration::from_secs));
        assert_eq!(until.is_some(), pauses, "{wait:?}");
        assert_eq!(is_paused(&limiter), pauses, "{wait:?}");
        // The second of two in a row pauses them all.
        let second = limiter.acquire(chat()).await.unwrap();
        assert!(second.throttled(wait.map(Duration::from_secs)).is_some());
        assert!(is_paused(&limiter));
    }
}

/// A rate far above the demand would get 429s for ever.
#[tokio::test(start_paused = true)]
async fn a_429_pauses_a_lane_that_its_pace_does_not_delay() {
    let limiter = busy(20).await;
    sleep(Duration::from_secs(5)).await;
    let rejected = limiter.acquire(chat()).await.unwrap();
    assert!(rejected.throttled(Some(Duration::from_secs(1))).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_rejected_again_lets_first_attempts_go_and_then_pauses_nothing() {
    let limiter = busy(4).await;
    let second = Some(Duration::from_secs(1));
    let retry = || chat().as_retry();
    let rejected = limiter.acquire(chat()).await.unwrap();
    assert!(rejected.throttled(second).is_some());
    let order = Arc::new(Mutex::new(String::new()));
    let mut tasks = JoinSet::new();
    for (name, call) in [
        ("r", retry()),
        ("1", chat()),
        ("2", chat()),
        ("3", chat()),
        ("4", chat()),
        ("5", chat()),
    ] {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            let mut call = call;
            loop {
                let permit = limiter.acquire(call.clone()).await.unwrap();
                order.lock().unwrap().push_str(name);
                // The retry is rejected twice.
                let times = order.lock().unwrap().matches('r').count();
                if name != "r" || times == 3 {
                    return;
                }
                let pauses = permit.throttled(second).is_some();
                assert_eq!(pauses, times == 1);
                call = chat().as_retry();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(*order.lock().unwrap(), "r1234rr5");
}

/// At the end of a job only retries are left. Without a pause they would use up their attempts within seconds.
#[tokio::test(start_paused = true)]
async fn where_only_retries_depart_their_429s_pause_the_lane() {
    let limiter = busy(20).await;
    for pauses in [false, false, false, true] {
        let retry = limiter.acquire(chat().as_retry()).await.unwrap();
        let until = retry.throttled(Some(Duration::from_secs(1)));
        assert_eq!(until.is_some(), pauses);
    }
}
