//! The effect of each setting of the retry layer.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use testing::script::{Script, status};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{ApiError, TogetherRetryLayer, retry::Budget};

use super::{CHAT, exact, post, send};

#[tokio::test(start_paused = true)]
async fn a_setting_takes_effect_and_keeps_those_before_it() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    fastrand::seed(1);
    for (layer, replies, instants) in [
        (
            exact().with_max_retries(1),
            vec![status(429).header("retry-after", 3); 9],
            [0, 3_000],
        ),
        (
            exact().with_wait_after_429(minutes(1)),
            vec![status(429)],
            [0, 60_000],
        ),
        (
            exact().with_longest_hint(minutes(5)),
            vec![status(429).header("retry-after", 300)],
            [0, 300_000],
        ),
    ] {
        assert_eq!(send(&layer, post(CHAT), replies).await.0, instants);
    }
}

/// A failed response is read before it is returned only if it can be an error of the API that no other layer has read.
#[tokio::test(start_paused = true)]
async fn an_error_body_is_read_once_and_of_grpc_never() {
    for (status, is_read, millis) in [(503, false, 1_000), (503, true, 0), (200, false, 0)] {
        let endless = service_fn(move |_: Request<Full<Bytes>>| async move {
            let frames = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let mut response = Response::new(StreamBody::new(frames));
            *response.status_mut() = status.try_into().unwrap();
            let headers = response.headers_mut();
            if status == 200 {
                headers.insert("grpc-status", 14.into());
            }
            if is_read {
                let error = ApiError::parse(response.status(), response.headers(), b"");
                response.extensions_mut().insert(error);
            }
            Ok::<_, Infallible>(response)
        });
        let layer = exact().with_max_retries(0);
        let start = Instant::now();
        layer.layer(endless).oneshot(post(CHAT)).await.unwrap();
        let took = start.elapsed().as_millis();
        assert_eq!(took, millis, "{status}, {is_read}");
    }
}

#[test]
fn debug_output_shows_the_budget_and_no_request() {
    let budget = |budget| format!("{:?}", TogetherRetryLayer::new().with_budget(budget));
    assert!(budget(Budget::new(0.5, 7)).contains("Budget { ratio: 0.5, per_minute: 7 }"));
    assert!(budget(Budget::unlimited()).contains("Budget { unlimited: true }"));
    let mut request = post(CHAT);
    let secret = "Bearer secret".parse().unwrap();
    request.headers_mut().insert("authorization", secret);
    let future = exact().layer(Script::new([]).client()).call(request);
    assert_eq!(format!("{future:?}"), "ResponseFuture { .. }");
}
