//! Deadlines of requests that are sent more than once.

use std::time::Duration;

use testing::script::{Script, status};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_together::{Rejected, extension::Deadline};

use crate::{CHAT, both, dawdling, exact, per_minute, post, within};

/// No request waits for a pause beyond its deadline. A rejected request gets the server's response, and one that waits
/// or arrives never leaves.
#[tokio::test(start_paused = true)]
async fn a_pause_past_the_deadline_is_told_at_once() {
    let script = Script::new([status(429).header("retry-after", 30)]);
    let service = both(per_minute(60)).layer(script.client());
    let start = Instant::now();
    let (first, second) = tokio::join!(
        service.clone().oneshot(within(5)),
        service.clone().oneshot(within(5))
    );
    let third = service.oneshot(within(5)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let first = first.unwrap();
    assert_eq!(first.status(), 429);
    assert!(first.extensions().get::<Rejected>().is_none());
    for rejected in [second.unwrap(), third] {
        assert!(rejected.extensions().get::<Rejected>().is_some());
        assert_eq!(rejected.headers()["retry-after"], "30");
    }
    assert_eq!(script.sent().len(), 1);
}

/// A response whose body is read, or discarded, past the caller's deadline is the last.
#[tokio::test(start_paused = true)]
async fn no_attempt_leaves_after_the_deadline_however_slow_the_response_before() {
    let half = || ("retry-after-ms", "500".to_owned());
    for takes in [700, 900, 100_000] {
        let start = Instant::now();
        let mut hurried = post(CHAT);
        let deadline = Deadline::within(Duration::from_millis(800));
        hurried.extensions_mut().insert(deadline);
        let service = exact().layer(dawdling(500, half(), takes));
        let response = service.oneshot(hurried).await.unwrap();
        let took = start.elapsed().as_millis();
        assert_eq!(response.status(), if takes == 700 { 200 } else { 500 });
        assert_eq!(took, if takes == 700 { 700 } else { 800 }, "{takes}");
    }
}

/// The deadline includes the time since the first attempt.
#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_same_deadline() {
    let script = Script::new([status(500)]);
    let service = both(per_minute(6)).layer(script.client());
    fastrand::seed(7);
    let start = Instant::now();
    // The second attempt's turn comes after 10.03 s, and it is made a little after the first.
    let response = service.oneshot(within(10)).await.unwrap();
    assert!(response.extensions().get::<Rejected>().is_some());
    assert!(start.elapsed() > Duration::from_millis(50));
    assert!(start.elapsed() < Duration::from_secs(1));
}
