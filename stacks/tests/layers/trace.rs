//! tower-http's `TraceLayer`: the responses it sees, and how often.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::trace::TraceLayer;
use tower_together::{
    TogetherRetryLayer,
    extension::{RetryReport, Waited},
};

use crate::server::{Server, chat, every};

/// The status of each response that was seen.
type Seen = Arc<Mutex<Vec<u16>>>;

macro_rules! trace {
    ($seen:expr) => {{
        let seen: Seen = Arc::clone(&$seen);
        let see = move |response: &http::Response<_>, _: Duration, _: &_| {
            seen.lock().unwrap().push(response.status().as_u16());
        };
        TraceLayer::new_for_http().on_response(see)
    }};
}

#[tokio::test(start_paused = true)]
async fn outside_it_sees_calls_and_further_inside_attempts() {
    let server = Server::new(100).responding([502, 502]);
    let [outside, between, inside] = [(); 3].map(|()| Seen::default());
    let client = ServiceBuilder::new()
        .layer(trace!(outside))
        .layer(TogetherRetryLayer::default())
        .layer(trace!(between))
        .layer(every(5))
        .layer(trace!(inside))
        .service(server.client());
    let response = client.oneshot(chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*outside.lock().unwrap(), [200]);
    assert_eq!(*between.lock().unwrap(), [502, 502, 200]);
    assert_eq!(*inside.lock().unwrap(), [502, 502, 200]);
    assert_eq!(server.left(), [0, 5, 10]);

    // The layers' reports pass through, and so does the body.
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 3);
    assert!(response.extensions().get::<Waited>().is_some());
    assert!(response.body().is_end_stream());
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}
