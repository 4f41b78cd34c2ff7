//! Retry over rate limit, which is the right order, and the reverse order.

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_together::{TogetherLayer, TogetherRetryLayer};

use crate::server::{Server, chat, every};

#[tokio::test(start_paused = true)]
async fn under_retry_each_attempt_is_admitted_by_itself() {
    for both in [false, true] {
        let server = Server::new(100).responding([502, 502]);
        let limit = every(10);
        let limiter = limit.limiter().clone();
        let response = if both {
            let layer = ServiceBuilder::new().layer(TogetherLayer::from(limit));
            let client = layer.service(server.client());
            client.oneshot(chat()).await.unwrap().status()
        } else {
            let retry = ServiceBuilder::new().layer(TogetherRetryLayer::default());
            let client = retry.layer(limit).service(server.client());
            client.oneshot(chat()).await.unwrap().status()
        };
        assert_eq!(response, StatusCode::OK);
        assert_eq!(server.left(), [0, 10, 20]);
        assert_eq!(limiter.snapshot().admitted, 3);
    }
}

/// A known mistake: three requests in a few seconds, where one in ten seconds is allowed.
#[tokio::test(start_paused = true)]
async fn over_retry_all_attempts_go_as_one() {
    let server = Server::new(100).responding([502, 502]);
    let limit = every(10);
    let limiter = limit.limiter().clone();
    let client = ServiceBuilder::new()
        .layer(limit)
        .layer(TogetherRetryLayer::default())
        .service(server.client());
    let response = client.oneshot(chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(limiter.snapshot().admitted, 1);
    // The backoffs between them are at most 1 s and 2 s.
    let left = server.left();
    assert_eq!(left.len(), 3);
    assert!(left[2] <= 3, "{left:?}");
}
