//! The facts in a snapshot about each lane.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    limiter::{Call, Measure},
};

use super::{CHAT, chat, pass, per_minute};

/// After a burst, `max - burst + 1` requests leave per window.
#[tokio::test(start_paused = true)]
async fn a_burst_leaves_at_once_and_a_snapshot_tells_what_is_left_of_it() {
    for measure in [Measure::Requests, Measure::Tokens] {
        let quota = Quota::per_minute(63).unwrap().with_burst(4).unwrap();
        let limiter = Limiter::new(match measure {
            Measure::Tokens => Limits::none().tokens(CHAT, quota),
            _ => Limits::none().requests(CHAT, quota),
        });
        let left = || {
            let limit = &limiter.snapshot().lanes[0].limits[0];
            assert_eq!(limit.measure, measure);
            limit.left
        };
        let one = || chat().with_tokens(1);
        let start = Instant::now();
        for expected in (0..4).rev() {
            pass(&limiter, one()).await;
            assert_eq!(left(), expected);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // 60 a minute and the margin make one each 1,003.3 ms.
        for n in 1..=5 {
            pass(&limiter, one()).await;
            let late = start.elapsed().as_micros() - 1_003_333 * n;
            assert!(late <= 2_000, "{n}: {late} us");
        }
        sleep(Duration::from_millis(2_500)).await;
        assert_eq!(left(), 2);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(left(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_whether_a_request_may_leave_under_a_paced_limit() {
    let limiter = Limiter::new(per_minute(60));
    let left = || limiter.snapshot().lanes[0].limits[0].left;
    pass(&limiter, chat()).await;
    assert_eq!(left(), 0);
    sleep(Duration::from_millis(1_003)).await;
    assert_eq!(left(), 0);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(left(), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(left(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_whether_a_request_may_leave_at_a_learned_pace() {
    let limiter = Limiter::default();
    let learned = || {
        let lane = limiter.snapshot().lanes.remove(0);
        let [limit] = &lane.limits[..] else {
            panic!("{lane:?}")
        };
        assert!(limit.learned);
        (limit.max, limit.per.unwrap().as_secs(), limit.left)
    };
    limiter.acquire(chat()).await.unwrap().told(2.0);
    assert_eq!(learned(), (120, 60, 1));
    pass(&limiter, chat()).await;
    assert_eq!(learned(), (120, 60, 0));
    sleep(Duration::from_millis(490)).await;
    assert_eq!(learned(), (120, 60, 0));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(learned(), (120, 60, 1));
    // Fewer than ten a minute are told per hour, less the margin for the network.
    limiter.acquire(chat()).await.unwrap().told(0.1);
    assert_eq!(learned(), (359, 3_600, 0));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_counts_requests_rejected_on_arrival_and_while_they_wait() {
    let one = NonZeroU32::MIN;
    let tokens = Quota::per_minute(100).unwrap();
    let limits = Limits::none().in_flight(CHAT, one).tokens(CHAT, tokens);
    let limiter = Limiter::new(limits.clone()).with_max_waiting(1);
    let rejections = || {
        let snapshot = limiter.snapshot();
        (snapshot.lanes[0].refused, snapshot.refused)
    };
    let held = limiter.acquire(chat().with_tokens(1)).await.unwrap();
    // On arrival.
    limiter.try_acquire(chat()).unwrap_err();
    assert_eq!(rejections(), (1, 1));
    limiter.acquire(chat().with_tokens(101)).await.unwrap_err();
    assert_eq!(rejections(), (2, 2));
    let mut waiting = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(5))));
    assert_pending!(waiting.poll());
    limiter.acquire(chat()).await.unwrap_err();
    assert_eq!(rejections(), (3, 3));
    // While they wait: no slot came free in time,
    sleep(Duration::from_secs(6)).await;
    assert_eq!(rejections(), (4, 4));
    let rejected = assert_ready!(waiting.poll()).unwrap_err();
    assert_eq!(rejected.waited().as_secs(), 5);
    // a pause outlasted the deadline,
    let mut waiting = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(5))));
    assert_pending!(waiting.poll());
    held.overloaded(Duration::from_secs(10));
    assert_eq!(rejections(), (5, 5));
    assert_ready!(waiting.poll()).unwrap_err();
    // the cost exceeds a new limit,
    let mut waiting = task::spawn(limiter.acquire(chat().with_tokens(60)));
    assert_pending!(waiting.poll());
    let fewer = Quota::per_minute(50).unwrap();
    limiter.set_limits(limits.tokens(CHAT, fewer));
    assert_eq!(rejections(), (6, 6));
    assert_ready!(waiting.poll()).unwrap_err();
    // and the limiter was closed. A dropped request does not count.
    let mut impatient = task::spawn(limiter.acquire(chat()));
    assert_pending!(impatient.poll());
    drop(impatient);
    assert_eq!(rejections(), (6, 6));
    let mut waiting = task::spawn(limiter.acquire(chat()));
    assert_pending!(waiting.poll());
    limiter.close();
    assert_eq!(rejections(), (7, 7));
    assert_ready!(waiting.poll()).unwrap_err();
    // A closed limiter does not look for the lane.
    limiter.try_acquire(chat()).unwrap_err();
    assert_eq!(rejections(), (7, 8));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_when_the_next_may_leave_until_that_instant() {
    let limiter = Limiter::new(per_minute(60));
    let next = || limiter.snapshot().lanes[0].next;
    pass(&limiter, chat()).await;
    let at = next().unwrap();
    advance(at - Instant::now() - Duration::from_nanos(1)).await;
    assert_eq!(next(), Some(at));
    advance(Duration::from_nanos(1)).await;
    assert_eq!(next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_several_models_is_shared() {
    let limiter = Limiter::new(per_minute(6_000));
    let shared = || {
        let lanes = limiter.snapshot().lanes.into_iter();
        lanes.map(|lane| lane.limits[0].shared).collect::<Vec<_>>()
    };
    pass(&limiter, chat().with_model("one")).await;
    assert_eq!(shared(), [false]);
    pass(&limiter, chat().with_model("two")).await;
    assert_eq!(shared(), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_counts_the_429s_of_each_lane_and_of_all() {
    let limiter = Limiter::new(Limits::none());
    for endpoint in [CHAT, Endpoint::Images] {
        let permit = limiter.acquire(Call::new(endpoint)).await.unwrap();
        permit.throttled(Some(Duration::from_secs(1)));
        permit.overloaded(Duration::from_secs(1));
    }
    let snapshot = limiter.snapshot();
    let of_lanes = snapshot.lanes.iter().map(|lane| lane.throttled_count);
    assert!(of_lanes.eq([1, 1]));
    assert_eq!(snapshot.throttled_count, 2);
}

#[tokio::test(start_paused = true)]
async fn a_permit_shows_how_long_it_waited_and_whether_it_holds_a_slot() {
    let one = NonZeroU32::MIN;
    for (limits, holds) in [
        (Limits::none(), false),
        (Limits::none().in_flight(CHAT, one), true),
    ] {
        let permit = Limiter::new(limits).acquire(chat()).await.unwrap();
        let expected = format!("Permit {{ waited: 0ns, holds_slot: {holds}, .. }}");
        assert_eq!(format!("{permit:?}"), expected);
    }
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
        (
            snapshot.admitted,
            snapshot.refused,
            snapshot.throttled_count
        ),
        (1, 0, 0)
    );
    let [lane] = &snapshot.lanes[..] else {
        panic!("{snapshot:?}")
    };
    assert_eq!(
        (lane.key.as_str(), lane.endpoint),
        ("anonymous", Endpoint::Embeddings)
    );
    assert_eq!(
        (lane.waiting, lane.admitted, lane.throttled_count),
        (3, 1, 0)
    );
    assert!(lane.next.unwrap() > Instant::now());
    let limits = || -> Vec<_> {
        let lane = limiter.snapshot().lanes.remove(0);
        let limits = lane.limits.iter();
        limits
            .map(|l| (l.max, l.left, l.shared, l.learned))
            .collect()
    };
    assert_eq!(limits(), [(300, 0, false, false), (600, 0, true, false)]);
    // The server's limit replaces a missing one.
    first.told(2.5);
    assert_eq!(limits(), [(150, 1, false, true)]);
}

/// Promise: a lane's mean wait can be computed for any stretch of time.
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
    // Dropped and rejected requests do not count as having waited.
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
    // The other lane has none.
    let images = Call::new(Endpoint::Images);
    pass(&limiter, images).await;
    assert_eq!(limiter.snapshot().lanes[1].waited, Duration::ZERO);
}
