//! Deadlines, over services that are ready late, and responses whose body arrives slowly.

mod api;

use std::{convert::Infallible, future::poll_fn, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_together::{
    ApiError, Limits, Rejected, TogetherFallbackLayer, TogetherRateLimitLayer,
    extension::{Deadline, RetryReport, Served},
    limiter::Reason,
};

use self::api::{Api, reply};
use super::{CHAT, exact, post};

fn with_deadline(path: &str, millis: u64) -> Request<Full<Bytes>> {
    let mut request = post(path);
    let deadline = Deadline::within(Duration::from_millis(millis));
    request.extensions_mut().insert(deadline);
    request
}

/// Sends a request. Returns the response's head, and when it arrived.
async fn send<S, R>(service: S, request: Request<Full<Bytes>>, api: &Api) -> (Response<()>, u64)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    let response = service.oneshot(request).await.unwrap();
    (response.map(drop), api.now())
}

fn is_late<T>(response: &Response<T>) -> bool {
    let rejected = response.extensions().get::<Rejected>();
    rejected.is_some_and(|rejected| rejected.reason() == Reason::Deadline)
}

/// Behind a full `ConcurrencyLimit`, a second attempt was sent 9.5 s after the deadline.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_its_client_is_rejected_at_the_deadline() {
    for limited in [false, true] {
        // The slot is free for the first attempt, and then taken until 10 s.
        let api = Api::new(&[reply(500)], &[]);
        let slot = ConcurrencyLimit::new(api.client(), 1);
        let mut taken = slot.clone();
        let busy = tokio::spawn(async move {
            sleep(Duration::from_nanos(1)).await;
            poll_fn(|cx| taken.poll_ready(cx)).await.unwrap();
            sleep(Duration::from_secs(10)).await;
        });
        fastrand::seed(7);
        let layer = exact().with_backoff(Duration::from_millis(400), Duration::from_millis(400));
        let request = with_deadline(CHAT, 500);
        let (response, at) = match limited {
            true => {
                let limits = TogetherRateLimitLayer::new(Limits::none());
                send(layer.layer(limits.layer(slot)), request, &api).await
            }
            false => send(layer.layer(slot), request, &api).await,
        };
        assert_eq!(
            (response.status(), at),
            (StatusCode::TOO_MANY_REQUESTS, 500)
        );
        assert!(is_late(&response));
        let report = response.extensions().get::<RetryReport>().unwrap();
        assert_eq!(report.failures().len(), 1);
        busy.await.unwrap();
        assert_eq!(api.sent(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_waits_for_its_client_is_rejected_at_the_deadline() {
    for (busy, deadline, sent) in [
        (0..10_000, 500, None),
        (0..501, 500, None),
        (0..500, 500, Some(500)),
        (0..499, 500, Some(499)),
        (0..0, 0, Some(0)),
        (0..10, 0, None),
    ] {
        let api = Api::new(&[], &[busy]);
        let request = with_deadline(CHAT, deadline);
        let (response, at) = send(exact().layer(api.client()), request, &api).await;
        assert_eq!(is_late(&response), sent.is_none());
        assert_eq!(api.sent(), Vec::from_iter(sent));
        assert_eq!(at, sent.unwrap_or(deadline));
    }
    // The same with gRPC's statuses, and with the deadline in a header.
    let api = Api::new(&[], &[0..9_000, 9_000..10_000]);
    let mut request = post(CHAT);
    for (name, value) in [
        ("grpc-timeout", "500m"),
        ("content-type", "application/grpc"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let (response, at) = send(exact().layer(api.client()), request, &api).await;
    assert_eq!(
        (response.headers()["grpc-status"].as_bytes(), at),
        (&b"8"[..], 500)
    );
    assert!(is_late(&response));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_has_passed_is_never_sent() {
    let limits = TogetherRateLimitLayer::new(Limits::none());
    let past = Deadline::at(Instant::now());
    sleep(Duration::from_millis(10)).await;
    let api = Api::new(&[], &[]);
    let late = || {
        let mut request = post(CHAT);
        request.extensions_mut().insert(past);
        request
    };
    for (response, at) in [
        send(exact().layer(api.client()), late(), &api).await,
        send(limits.layer(api.client()), late(), &api).await,
        send(exact().layer(limits.layer(api.client())), late(), &api).await,
    ] {
        assert!(is_late(&response));
        assert_eq!(at, 0);
    }
    assert_eq!(api.sent(), [0; 0]);
}

/// Its future kept the permit for as long as it lived.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_late_keeps_nothing_of_its_client() {
    let second = Duration::from_secs(1);
    // The request is late from the start, or waits for the permit until the deadline.
    for waits in [false, true] {
        let api = Api::new(&[reply(200).takes(1_000)], &[]);
        let one = ConcurrencyLimit::new(api.client(), 1);
        let past = Deadline::at(Instant::now());
        sleep(Duration::from_millis(10)).await;
        let mut late = with_deadline(CHAT, 500);
        let before = waits.then(|| tokio::spawn(one.clone().oneshot(post(CHAT))));
        if !waits {
            late.extensions_mut().insert(past);
        }
        tokio::task::yield_now().await;
        let mut late = pin!(exact().layer(one.clone()).call(late));
        let response = late.as_mut().await.unwrap();
        assert!(is_late(&response));
        let next = timeout(2 * second, one.oneshot(post(CHAT)));
        next.await.expect("the permit is held").unwrap();
        assert_eq!(api.sent().len(), 1 + usize::from(before.is_some()));
    }
}

/// The body of an error delayed its response up to 1 s past the deadline, over the rate limit layer.
#[tokio::test(start_paused = true)]
async fn the_body_of_an_error_is_read_no_longer_than_to_the_deadline() {
    for status in [400, 429, 500, 503] {
        for takes in [0, 400, 450, 495] {
            let dribble = reply(status).takes(takes).dribbles(100, 70);
            let limits = || TogetherRateLimitLayer::new(Limits::none());
            let api = Api::new(&[dribble; 3], &[]);
            let request = || with_deadline(CHAT, 500);
            let once = exact().with_max_retries(0);
            let (one, two, both) = tokio::join!(
                send(once.layer(api.client()), request(), &api),
                send(limits().layer(api.client()), request(), &api),
                send(once.layer(limits().layer(api.client())), request(), &api),
            );
            for (response, at) in [one, two, both] {
                assert_eq!(response.status().as_u16(), status);
                assert!(response.extensions().get::<ApiError>().is_some());
                // A head that arrives in the last 10 ms gets 10 ms for its body.
                assert!(at <= 500.max(takes + 10), "{status} {takes} {at}");
            }
        }
    }
}

/// The client has not yet passed on the bytes that arrived with the head.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_with_its_head_is_read_after_the_deadline_too() {
    for (apart, read) in [(2, true), (20, false)] {
        let api = Api::new(&[reply(400).takes(900).dribbles(1, apart)], &[]);
        let limits = TogetherRateLimitLayer::new(Limits::none());
        let request = with_deadline(CHAT, 500);
        let (response, at) = send(limits.layer(api.client()), request, &api).await;
        let error = response.extensions().get::<ApiError>().unwrap();
        assert_eq!(error.text().is_empty(), !read);
        assert_eq!(at, if read { 902 } else { 910 });
    }
}

/// The next model was called at the deadline.
#[tokio::test(start_paused = true)]
async fn a_response_that_dribbles_leaves_time_for_the_next_model() {
    let fallback = TogetherFallbackLayer::new().with_chain("a", ["b"]);
    for (deadline, asked_at) in [(10_000, 500), (600, 300), (100, 50)] {
        let api = Api::new(&[reply(503).dribbles(100, 70)], &[]);
        let mut request = with_deadline(CHAT, deadline);
        *request.body_mut() = Full::from(r#"{"model":"a"}"#);
        let (response, at) = send(fallback.layer(api.client()), request, &api).await;
        assert!(response.extensions().get::<Served>().is_some());
        assert_eq!((api.sent(), at), (vec![0, asked_at], asked_at));
    }
}

/// Clients that are ready now and then, and responses that arrive in parts, through every stack.
#[tokio::test(start_paused = true)]
async fn no_attempt_is_sent_and_no_error_is_read_after_the_deadline() {
    let (mut late, mut retried, mut served) = (0, 0, 0);
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        fastrand::seed(seed);
        let mut at = 0;
        let busy = std::iter::repeat_with(|| {
            let from = at + random.u64(0..600);
            at = from + random.u64(1..600);
            from..at
        });
        let busy: Vec<_> = busy.take(5).collect();
        let replies = std::iter::repeat_with(|| {
            let status = [200, 400, 429, 500, 503][random.usize(0..5)];
            let takes = [0, random.u64(0..400)][random.usize(0..2)];
            reply(status)
                .takes(takes)
                .dribbles(random.u64(0..30), random.u64(1..90))
        });
        let replies: Vec<_> = replies.take(4).collect();
        let deadline = random.u64(0..1_500);
        let api = Api::new(&replies, &busy);
        let mut request = with_deadline(CHAT, deadline);
        *request.body_mut() = Full::from(r#"{"model":"a"}"#);
        let limits = TogetherRateLimitLayer::new(Limits::none());
        let chain = TogetherFallbackLayer::new().with_chain("a", ["b"]);
        let retry = exact().with_wait_after_429(Duration::from_millis(100));
        let client = api.client();
        let (response, ended) = match seed % 4 {
            0 => send(retry.layer(client), request, &api).await,
            1 => send(limits.layer(client), request, &api).await,
            2 => send(retry.layer(limits.layer(client)), request, &api).await,
            _ => {
                let stack = retry.layer(limits.layer(client));
                send(chain.layer(stack), request, &api).await
            }
        };
        let sent = api.sent();
        assert!(
            sent.iter().all(|at| *at <= deadline),
            "{seed}: {sent:?} {deadline}"
        );
        // Tokio's timer counts milliseconds; a head that arrives late gets 10 ms for its body.
        let head = sent.last().zip(sent.len().checked_sub(1));
        let head = head.map_or(0, |(at, nth)| {
            at + replies.get(nth).map_or(0, |it| it.takes)
        });
        let bound = (deadline + 1).max(head + 11);
        assert!(ended <= bound, "{seed}: {ended} {deadline} {head}");
        late += u32::from(is_late(&response));
        retried += u32::from(sent.len() > 1);
        served += u32::from(response.status() == 200);
    }
    assert!(
        late > 100 && retried > 300 && served > 300,
        "{late} {retried} {served}"
    );
}
