//! Errors whose body arrives after their head.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{ApiError, Limits, TogetherRateLimitLayer};

use super::{CHAT, exact, post};

/// Parts of a body, each with the milliseconds before it.
type Parts = &'static [(u64, &'static str)];

const WORDS: &str = r#"{"error":{"message":"Credit limit exceeded","type":"credit_limit"}}"#;
const CODE: &str = r#"{"error":{"message":"m","code":"insufficient_quota"}}"#;

/// The number of attempts of a chat that always gets a 429 with this body, and the response to it.
async fn send(parts: Parts, limited: bool) -> (usize, Option<ApiError>, Bytes) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        let parts = stream::iter(parts).then(async |(wait, text)| {
            sleep(Duration::from_millis(*wait)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from(*text)))
        });
        let mut response = Response::new(StreamBody::new(Box::pin(parts)));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let (head, body) = if limited {
        let limits = TogetherRateLimitLayer::new(Limits::none());
        let response = exact()
            .layer(limits.layer(client))
            .oneshot(post(CHAT))
            .await;
        let (head, body) = response.unwrap().into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    } else {
        let response = exact().layer(client).oneshot(post(CHAT)).await;
        let (head, body) = response.unwrap().into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    };
    let error = head.extensions.get::<ApiError>().cloned();
    (sent.load(Ordering::Relaxed), error, body)
}

/// The limiter reads for 100 ms, and the retry layer alone for 1 s. The rest was discarded unread, and the request was
/// sent five times.
#[tokio::test(start_paused = true)]
async fn money_run_out_is_final_however_late_the_body_says_so() {
    for limited in [true, false] {
        let late: [Parts; 5] = [
            &[(150, WORDS)],
            &[(150, CODE)],
            &[
                (0, r#"{"error":{"message":"m","#),
                (250, r#""code":"insufficient_quota"}}"#),
            ],
            &[
                (150, r#"{"error":{"code":"insufficient_quota","#),
                (150, r#""message":"m"}}"#),
            ],
            if limited {
                &[(599, CODE)]
            } else {
                &[(1_499, CODE)]
            },
        ];
        for parts in late {
            let (sent, error, body) = send(parts, limited).await;
            assert_eq!(sent, 1, "{parts:?}");
            assert!(error.unwrap().is_out_of_money(), "{parts:?}");
            let whole: String = parts.iter().map(|(_, text)| *text).collect();
            assert_eq!(body, whole, "the response is handed on whole");
        }
        for parts in [&[(150, "{}")][..], &[(3_000, CODE)]] {
            assert_eq!(send(parts, limited).await.0, 5, "{parts:?}");
        }
    }
}
