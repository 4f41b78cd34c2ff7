//! The layers among the middleware of a reqwest-middleware client.

use std::{future::pending, io, time::Duration};

use http::{Extensions, StatusCode};
use reqwest::Client;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Middleware};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, Rejected, TogetherLayer, TogetherRateLimitLayer,
    extension::{Attempt, Deadline, Failure, Retries, RetryReport},
    limiter::Reason,
    stack::RejectionsAsErrors,
};

use crate::{
    server::{CLOSED, Server, once_more, quick},
    witness::{Count, Mark, Witness},
};

fn with(middleware: impl Middleware) -> ClientWithMiddleware {
    ClientBuilder::new(Client::new()).with(middleware).build()
}

/// Both layers over a middleware.
fn over(inside: Witness) -> ClientWithMiddleware {
    let builder = ClientBuilder::new(Client::new());
    builder.with(quick()).with(inside).build()
}

#[tokio::test]
async fn outside_one_call_is_seen_and_inside_each_attempt() {
    let server = Server::failing(1).await;
    let (outside, between, inside) = (Witness::default(), Witness::default(), Witness::default());
    let client = ClientBuilder::new(Client::new())
        .with(outside.clone())
        .with(once_more())
        .with(between.clone())
        .with(TogetherRateLimitLayer::new(Limits::none()))
        .with(inside.clone())
        .build();
    let url = format!("{}?a=1#part", server.chat());
    let request = client.post(&url).timeout(Duration::from_secs(40));
    let response = request.with_extension(Mark("the caller's")).send();
    let response = response.await.unwrap();
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 2);
    assert_eq!(response.text().await.unwrap(), "well");

    let [only] = &outside.seen()[..] else {
        panic!("one call")
    };
    assert_eq!((only.status, only.attempt), (Some(StatusCode::OK), None));
    for witness in [between, inside] {
        let [first, second] = &witness.seen()[..] else {
            panic!("two attempts")
        };
        assert_eq!(first.status, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(second.status, Some(StatusCode::OK));
        assert_eq!((first.attempt, second.attempt), (None, Some(2)));
        for seen in [first, second] {
            assert_eq!(seen.url, url);
            assert!(seen.bodiless);
            assert_eq!(seen.timeout, Some(Duration::from_secs(40)));
            assert_eq!(seen.mark, Some(Mark("the caller's")));
        }
    }
}

/// A dropped call took the extensions with it: when tried once more, it had no deadline and no key.
#[tokio::test]
async fn a_call_that_is_dropped_leaves_its_extensions_as_they_were() {
    let quota = Quota::new(1, HOUR).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let server = Server::failing(0).await;
    let client = with(TogetherRateLimitLayer::new(limits));
    client.post(server.chat()).send().await.unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(Mark("the caller's"));
    let request = client.post(server.chat()).build().unwrap();
    let call = client.execute_with_extensions(request, &mut extensions);
    tokio::time::timeout(Duration::from_millis(20), call)
        .await
        .unwrap_err();
    assert_eq!(extensions.get(), Some(&Mark("the caller's")));
}

#[tokio::test]
async fn what_is_written_inside_is_read_outside() {
    let server = Server::failing(1).await;
    let client = over(Witness::default());
    let request = client.post(server.chat()).build().unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(Mark("the caller's"));
    let response = client.execute_with_extensions(request, &mut extensions);
    response.await.unwrap();
    // The last attempt set it, and the caller's own extension is still there.
    assert_eq!(extensions.get(), Some(&Count(2)));
    assert_eq!(extensions.get(), Some(&Mark("the caller's")));
    assert!(extensions.get::<Attempt>().is_none());
}

#[tokio::test]
async fn hints_given_with_extension_are_heard() {
    let server = Server::failing(9).await;
    let request = with(quick()).post(server.chat());
    let response = request.with_extension(Retries::off()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.heads().len(), 1);

    let quota = Quota::new(1, HOUR).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let client = with(TogetherRateLimitLayer::new(limits));
    let send = || {
        client
            .post(server.chat() + "#part")
            .with_extension(Deadline::within(SOON))
    };
    send().send().await.unwrap();
    let response = send().send().await.unwrap();
    let rejected = Rejected::of(response.extensions()).unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    assert_eq!(response.url().as_str(), server.chat() + "#part");
    assert_eq!(server.heads().len(), 2);
}

/// After `error_for_status` a rejection by the limiter looked like the server's.
#[tokio::test]
async fn a_rejection_is_an_error_by_choice() {
    let quota = Quota::new(1, HOUR).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let server = Server::failing(0).await;
    let retries = Witness::default();
    // Outermost, and where a retry layer sees the error: the rejection is not retried.
    for is_outermost in [true, false] {
        let limiter = TogetherRateLimitLayer::new(limits.clone());
        let builder = ClientBuilder::new(Client::new());
        let builder = match is_outermost {
            true => builder.with(RejectionsAsErrors).with(quick()),
            false => builder
                .with(quick())
                .with(retries.clone())
                .with(RejectionsAsErrors),
        };
        let client = builder.with(limiter).build();
        let send = || {
            client
                .post(server.chat())
                .with_extension(Deadline::within(SOON))
        };
        let response = send().send().await.unwrap();
        assert!(Rejected::of(response.extensions()).is_none());
        let Err(Error::Middleware(error)) = send().send().await else {
            panic!("an error")
        };
        let rejected = error.downcast_ref::<Rejected>().unwrap();
        assert_eq!(rejected.reason(), Reason::Deadline);
    }
    assert_eq!(retries.seen().len(), 2);
    // A response of the server stays a response.
    let failing = Server::failing(9).await;
    let client = ClientBuilder::new(Client::new())
        .with(RejectionsAsErrors)
        .build();
    let response = client.post(failing.chat()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// Each attempt would get the whole time again if the caller's deadline overrode that of the layer above.
#[tokio::test]
async fn a_deadline_given_with_extension_is_one_for_all_attempts() {
    let server = Server::failing(1).await;
    let inside = Witness::default();
    let client = ClientBuilder::new(Client::new())
        .with(once_more())
        .with(TogetherRateLimitLayer::new(Limits::none()))
        .with(inside.clone())
        .build();
    let given = Deadline::within(SOON);
    let request = client.post(server.chat()).with_extension(given);
    request.send().await.unwrap();
    let deadlines: Vec<_> = inside.seen().iter().map(|seen| seen.deadline).collect();
    assert_eq!(deadlines.len(), 2);
    assert_eq!(deadlines[0], Some(given));
    assert!(deadlines[1].is_some() && deadlines[1] != Some(given));
}

const HOUR: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(20 * 60);

#[tokio::test]
async fn no_connection_is_retried_and_is_connect() {
    let inside = Witness::default();
    let client = over(inside.clone());
    let error = client.post(CLOSED).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(inside.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_timeout() {
    let silent = Server::start(|_, _| pending()).await;
    let inside = Witness::default();
    let client = over(inside.clone());
    let request = client.post(silent.chat());
    let request = request.timeout(Duration::from_millis(100));
    let error = request.send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(inside.seen().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_retried() {
    let inside = Witness::default();
    let client = over(inside.clone());
    let url = "ftp://together/v1/chat/completions";
    let error = client.post(url).send().await.unwrap_err();
    assert!(error.is_builder(), "{error:?}");
    assert_eq!(inside.seen().len(), 1);
}

#[tokio::test]
async fn another_middlewares_failure_is_retried() {
    let server = Server::failing(0).await;
    let inside = Witness::failing(1);
    let client = over(inside);
    let response = client.post(server.chat()).send().await.unwrap();
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures(), [Failure::Interrupted]);
    let inside = Witness::failing(9);
    let client = over(inside);
    let error = client.post(server.chat()).send().await.unwrap_err();
    let Error::Middleware(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        error.downcast_ref::<io::Error>().unwrap().to_string(),
        "of its own"
    );
}

#[tokio::test]
async fn the_model_is_read_from_a_body_in_memory() {
    let server = Server::failing(1).await;
    let limiter = Limiter::new(Limits::none());
    let client = ClientBuilder::new(Client::new())
        .with(once_more())
        .with(Witness::default())
        .with(TogetherLayer::from(limiter.clone()).with_retry(once_more()))
        .build();
    let json = serde_json::json!({"model": "m", "messages": []});
    client.post(server.chat()).json(&json).send().await.unwrap();
    let lanes = limiter.snapshot().lanes;
    assert_eq!(lanes.len(), 1);
    assert_eq!(lanes[0].model.as_deref(), Some("m"));
}
