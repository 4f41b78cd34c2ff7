//! Which requests are resubmitted, and until when.

use std::{
    future::Pending,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, service_fn};
use tower_together::{
    Endpoint, Limits, Quota, TogetherLayer,
    extension::{Deadline, Retries},
    limiter::Reason,
};
use tower_together_jobs::{Corpus, Failure, JobsApi};

use crate::asked::{self, Received};

use super::at_most;

/// Sends `GET models` and then a request, to a server that responds to the latter as `response` says.
async fn run(
    base: &str,
    (method, path): (Method, &str),
    change: impl Fn(&mut Request<Full<Bytes>>),
    response: Option<(u16, &'static str)>,
) -> (Failure, Received) {
    let (server, asked) = asked::server(move |what, _| match what {
        _ if what.ends_with("/models") => Some((200, "{}")),
        _ => response,
    });
    let api = JobsApi::new(server).with_base(base).unwrap();
    let requests = [(Method::GET, "models"), (method, path)].map(|(method, path)| {
        let mut request = api.request(method, path).body(Full::default()).unwrap();
        change(&mut request);
        ((), request)
    });
    let corpus = Corpus::new(api.clone()).with_max_in_flight(at_most(1));
    let items: Vec<_> = corpus.run(stream::iter(requests)).collect().await;
    let mut failures = items.into_iter().filter_map(|item| item.result.err());
    (failures.next().unwrap(), asked)
}

/// A `POST /videos` that had created its video and then failed with 500 was sent nine times.
#[tokio::test(start_paused = true)]
async fn a_request_that_creates_something_is_resubmitted_only_if_it_did_nothing() {
    let declined = r#"{"error":{"message":"overloaded"}}"#;
    for (method, path, response, sent, may_be_done) in [
        (Method::POST, "videos", Some((500, "{}")), 1, true),
        (Method::POST, "videos", None, 1, true),
        (Method::POST, "videos", Some((408, "{}")), 1, true),
        (Method::POST, "videos", Some((503, "<html>")), 1, true),
        (Method::POST, "videos", Some((503, declined)), 9, false),
        (Method::POST, "videos", Some((429, "{}")), 9, false),
        (Method::POST, "videos", Some((400, "{}")), 1, false),
        (Method::POST, "fine-tunes", Some((502, "{}")), 1, true),
        (Method::POST, "somewhere/else", Some((502, "{}")), 1, true),
        (Method::PUT, "somewhere/else", Some((502, "{}")), 9, true),
        (
            Method::POST,
            "deployments/d/rollback",
            Some((500, "{}")),
            1,
            true,
        ),
        (Method::POST, "chat/completions", Some((500, "{}")), 9, true),
        (Method::POST, "chat/completions", None, 9, true),
        // An error in the body of a success counts as the status that it names.
        (
            Method::POST,
            "chat/completions",
            Some((200, r#"{"error":{"code":500}}"#)),
            9,
            true,
        ),
        (
            Method::POST,
            "chat/completions",
            Some((200, r#"{"error":{"code":400}}"#)),
            1,
            false,
        ),
    ] {
        // A path in front of the base hides no endpoint.
        for base in ["/v1", "/llm/together/v1"] {
            let url = format!("http://server{base}");
            let request = (method.clone(), path);
            let (failure, asked) = run(&url, request, |_| {}, response).await;
            let what = format!("{method} {base}/{path}");
            assert_eq!(asked.at(&what).len(), sent, "{what} {response:?}");
            assert_eq!(failure.may_be_done(), may_be_done, "{what} {response:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_caller_says_so_is_resubmitted_whatever_it_creates_or_not_at_all() {
    for (path, retries, sent) in [
        ("videos", Retries::default().may_repeat(), 9),
        ("chat/completions", Retries::off(), 1),
    ] {
        let change = |request: &mut Request<_>| {
            request.extensions_mut().insert(retries);
        };
        let request = (Method::POST, path);
        let (_, asked) = run("http://server/v1", request, change, Some((500, "{}"))).await;
        assert_eq!(asked.at(&format!("POST /v1/{path}")).len(), sent, "{path}");
    }
}

/// A deadline of 2 s was begun anew at each resubmit, and ended after 47.8 s.
#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_first_attempt() {
    for (seconds, sent) in [(0, &[0][..]), (2, &[0]), (12, &[0, 5, 10])] {
        let seconds = Duration::from_secs(seconds);
        let at = Deadline::at(Instant::now() + seconds);
        for deadline in [at, Deadline::within(seconds)] {
            let change = |request: &mut Request<_>| {
                request.extensions_mut().insert(deadline);
            };
            let request = (Method::POST, "chat/completions");
            let (_, asked) = run("http://server", request, change, Some((503, "{}"))).await;
            assert_eq!(asked.at("POST /chat/completions"), sent, "{deadline:?}");
        }
    }
    for header in ["x-stainless-timeout", "x-stainless-read-timeout"] {
        let change = |request: &mut Request<_>| {
            let twelve = "12".parse().unwrap();
            request.headers_mut().insert(header, twelve);
        };
        let request = (Method::POST, "chat/completions");
        let (_, asked) = run("http://server", request, change, Some((503, "{}"))).await;
        assert_eq!(asked.at("POST /chat/completions"), [0, 5, 10], "{header}");
    }
}

/// The layers used 2 s of a deadline of 2 s, eight times. A request whose deadline had passed was tried eight times.
#[tokio::test(start_paused = true)]
async fn a_deadline_holds_for_the_layers_and_the_resubmits_together() {
    for seconds in [0, 2] {
        let start = Instant::now();
        let (server, asked) = asked::server(|_, _| Some((503, "{}")));
        let layer = TogetherLayer::new(Limits::none());
        let api = JobsApi::new(layer.layer(server));
        let request = api.request(Method::POST, "chat/completions");
        let request = request.extension(Deadline::within(Duration::from_secs(seconds)));
        let request = ((), request.body(Full::default()).unwrap());
        let items = Corpus::new(api).run(stream::iter([request]));
        let items: Vec<_> = items.collect().await;
        assert!(items[0].result.is_err());
        assert!(start.elapsed() <= Duration::from_secs(seconds));
        let sent = asked.at("POST /v1/chat/completions").len();
        assert!(sent == 1 || seconds > 0, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_what_is_left_of_the_deadline() {
    let end = Deadline::at(Instant::now() + Duration::from_secs(12));
    let server = service_fn(move |request: Request<Full<Bytes>>| async move {
        assert_eq!(request.extensions().get(), Some(&end));
        let response = Response::builder().status(503);
        Ok::<_, BoxError>(response.body(Full::<Bytes>::default())?)
    });
    let api = JobsApi::new(server);
    let request = api.request(Method::POST, "chat/completions");
    let request = request.extension(Deadline::within(Duration::from_secs(12)));
    let request = ((), request.body(Full::default()).unwrap());
    let items = Corpus::new(api).run(stream::iter([request]));
    assert!(items.collect::<Vec<_>>().await[0].result.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_limiter_cannot_send_in_time_is_not_waited_for() {
    let once = Quota::per_minute(1).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, once);
    let (server, asked) = asked::server(|_, _| Some((200, "{}")));
    let api = JobsApi::new(TogetherLayer::new(limits).layer(server));
    let request = api.request(Method::POST, "chat/completions");
    let request = request.extension(Deadline::within(Duration::from_secs(20)));
    let request = ((), request.body(Full::default()).unwrap());
    let start = Instant::now();
    let items = Corpus::new(api).run(stream::iter([request.clone(), request]));
    let items: Vec<_> = items.collect().await;
    let rejected = items.iter().filter_map(|item| item.result.as_ref().err());
    let reasons: Vec<_> = rejected.map(Failure::rejected).collect();
    assert_eq!(reasons, [Some(Reason::Deadline)]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(asked.at("POST /v1/chat/completions"), [0]);
}

/// A server that responded with 503 from the start got no resubmit.
#[tokio::test(start_paused = true)]
async fn a_server_that_responds_is_waited_for_and_one_that_is_not_there_is_not() {
    for (response, sent) in [
        (Some((503, "{}")), &[0, 5, 10][..]),
        (Some((429, "{}")), &[0, 5, 10]),
        (None, &[0]),
    ] {
        let (server, asked) = asked::server(move |_, nth| match nth {
            1..3 => response,
            _ => Some((200, "{}")),
        });
        let api = JobsApi::new(server);
        let request = api.request(Method::POST, "chat/completions");
        let request = ((), request.body(Full::default()).unwrap());
        let items = Corpus::new(api).run(stream::iter([request]));
        let items: Vec<_> = items.collect().await;
        assert_eq!(items[0].result.is_ok(), response.is_some());
        assert_eq!(asked.at("POST /v1/chat/completions"), sent, "{response:?}");
    }
}

/// A service that is not ready has sent nothing.
#[tokio::test]
async fn a_request_of_a_service_that_is_not_ready_was_not_done() {
    #[derive(Clone)]
    struct Broken;

    impl Service<Request<Full<Bytes>>> for Broken {
        type Response = Response<Full<Bytes>>;
        type Error = BoxError;
        type Future = Pending<Result<Self::Response, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Err("it is gone".into()))
        }

        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            unreachable!()
        }
    }

    let api = JobsApi::new(Broken);
    let request = api.request(Method::POST, "videos").body(Full::default());
    let items = Corpus::new(api).run(stream::iter([((), request.unwrap())]));
    let items: Vec<_> = items.collect().await;
    assert!(!items[0].result.as_ref().unwrap_err().may_be_done());
}
