//! Bodies of requests and of failed responses.

use std::{convert::Infallible, pin::pin, time::Duration};

use PassedOver::Overloaded;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Limits,
    body::ReplayBuffer,
    extension::{Deadline, Fallback, Model, PassedOver, RetryReport},
};

use crate::api::{Api, status};
use crate::{both, chain, chat, exact, instead, post, send, served, with};

#[tokio::test(start_paused = true)]
async fn nothing_but_the_model_is_another_one() {
    let body = r#" { "n":1.50, "model" : "a" ,"x":{"model":"a"},"s":"é\u00e9"} "#;
    let mut request = post("/v1/chat/completions?x=y", "a").map(|_| Full::from(body));
    request.extensions_mut().insert(Model::new("alias"));
    request
        .extensions_mut()
        .insert(Fallback::to(["\"long\" one"]));
    let headers = request.headers_mut();
    headers.insert("content-length", body.len().into());
    headers.insert("authorization", "Bearer key".parse().unwrap());
    let api = Api::new([("a", vec![status(503); 9])]);
    send(&chain().with_max_503s(1), request, &api).await;
    let [first, second] = api.sent().try_into().unwrap();
    assert_eq!(first.body, body);
    assert_eq!(first.said.as_deref(), Some("alias"));
    assert_eq!(second.body, body.replacen(r#""a""#, r#""\"long\" one""#, 1));
    assert_eq!(second.said.as_deref(), Some("\"long\" one"));
    assert_eq!(second.path, first.path);
    assert_eq!(
        second.headers["content-length"],
        second.body.len().to_string()
    );
    let mut headers = second.headers;
    headers.insert("content-length", first.headers["content-length"].clone());
    assert_eq!(headers, first.headers);
    // Absent headers and extensions stay absent.
    let api = Api::new([("a", vec![status(503); 9])]);
    send(&chain().with_max_503s(1), chat(), &api).await;
    assert!(api.sent()[1].headers.is_empty());
    assert_eq!(api.sent()[1].said, None);
}

/// The body is read so that its connection can be reused, but not for long: at most half of the time left to the
/// deadline.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_thrown_away_is_read_to_its_end() {
    let forever = 1_000_000;
    for (takes, deadline, asked) in [
        (100, 60_000, 100),
        (forever, 60_000, 500),
        (forever, 200, 100),
    ] {
        let start = Instant::now();
        let client = service_fn(move |request: Request<Full<Bytes>>| async move {
            let body = request.into_body().collect().await?.to_bytes();
            let large = body.starts_with(br#"{"model":"a""#);
            let takes = Duration::from_millis(if large { takes } else { 0 });
            let frames = futures::stream::once(async move {
                sleep(takes).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from("{}")))
            });
            let mut response = Response::new(StreamBody::new(Box::pin(frames)));
            if large {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
                .headers_mut()
                .insert("at", (start.elapsed().as_millis() as u64).into());
            Ok::<_, Infallible>(response)
        });
        let request = with(Deadline::within(Duration::from_millis(deadline)));
        let response = chain().layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["at"], asked.to_string());
        assert_eq!(served(&response), instead("b", &[("a", Overloaded)]));
    }
}

/// A body that cannot be read has no model that could be changed; the request passes as if the layer were not there.
#[tokio::test(start_paused = true)]
async fn a_stream_is_left_alone() {
    async fn api(request: Request<axum::body::Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"model":"a"}"#);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok(response)
    }
    let stack = chain().layer(both(Limits::none()).layer(service_fn(api)));
    let mut request = Request::post("https://api.together.ai/v1/chat/completions")
        .body(axum::body::Body::from(r#"{"model":"a"}"#))
        .unwrap();
    request.extensions_mut().insert(Fallback::to(["b"]));
    let response = stack.oneshot(request).await.unwrap();
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 5);
    assert_eq!(served(&response), None);
}

/// A request too large to keep stays with its model, with the whole patience of a single model.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_the_memory_is_left_alone() {
    for (each, attempts) in [(13, 2), (12, 5)] {
        let client = service_fn(|request: Request<Vec<u8>>| async move {
            let mut response = Response::new(Full::<Bytes>::default());
            if request.into_body() == br#"{"model":"a"}"# {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, Infallible>(response)
        });
        let layer = chain().with_replay_buffer(ReplayBuffer::new(each, each));
        let request = chat().map(|_| br#"{"model":"a"}"#.to_vec());
        let response = layer.layer(exact().layer(client)).oneshot(request).await;
        let response = response.unwrap();
        assert_eq!(response.status() == 200, attempts == 2);
        if attempts == 5 {
            let report = response.extensions().get::<RetryReport>().unwrap();
            assert_eq!(report.attempts(), 5);
        }
    }
}

/// A future may be kept after its response, as in a `join_all`.
#[tokio::test]
async fn the_memory_of_a_request_is_free_once_its_response_is_returned() {
    let memory = ReplayBuffer::new(13, 13);
    let client = service_fn(|_: Request<Vec<u8>>| async {
        assert!(memory.reserve(1).is_none());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut service = chain().with_replay_buffer(memory.clone()).layer(client);
    let request = chat().map(|_| br#"{"model":"a"}"#.to_vec());
    let mut future = pin!(service.call(request));
    future.as_mut().await.unwrap();
    assert!(memory.reserve(13).is_some());
}
