//! Creates that wait for another job to end.

use std::{num::NonZeroU32, time::Duration};

use testing::script::{Script, status};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_together::{Endpoint, Limiter, Limits, TogetherLayer};

use crate::{CHAT, FINE_TUNES, both, exact, post};

/// A job that ended earlier let it go before.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_job_waits_for_the_instant_that_it_was_told_too() {
    for (told, ends, sent) in [(60, 10, 60), (60, 100, 100), (60, 60, 60)] {
        let created = r#"{"id":"ft-1","status":"pending"}"#;
        let words = r#"{"error":{"message":"Too many concurrent fine-tuning jobs"}}"#;
        let busy = status(429).header("retry-after", told).body(words);
        let script = Script::new([status(200).body(created), busy]);
        let limits = Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::new(2).unwrap());
        let limiter = Limiter::new(limits);
        let layer = TogetherLayer::from(limiter.clone()).with_retry(exact());
        let service = layer.layer(script.client());
        service.clone().oneshot(post(FINE_TUNES)).await.unwrap();
        let waits = tokio::spawn(service.oneshot(post(FINE_TUNES)));
        sleep(Duration::from_secs(ends)).await;
        assert!(limiter.job_ended("ft-1"));
        assert_eq!(waits.await.unwrap().unwrap().status(), 200);
        assert_eq!(script.sent()[2].at.as_secs(), sent);
    }
}

/// A create waits for another job to end only if the limiter limits jobs.
#[tokio::test(start_paused = true)]
async fn a_429_that_speaks_of_jobs_pauses_its_lane_where_no_jobs_are_limited() {
    for path in [CHAT, "/v1/fine-tunes"] {
        let words = r#"{"error":{"message":"too many jobs are running"}}"#;
        let rejection = status(429).header("retry-after", 7).body(words);
        let script = Script::new([rejection]);
        let service = both(Limits::none()).layer(script.client());
        service.oneshot(post(path)).await.unwrap();
        assert_eq!(script.millis(), [0, 7_000], "{path}");
    }
}
