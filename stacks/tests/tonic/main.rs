//! Features of gRPC alone: conversations, errors in trailers, pushback; and a channel's own failures.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod moody;

use std::{io, time::Duration};

use futures::StreamExt;
use hyper_util::rt::TokioIo;
use moody::{Mood, Moody};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{pause, sleep},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, transport::Endpoint};
use tower::{ServiceBuilder, service_fn};
use tower_together::{
    Limits, TogetherLayer, TogetherRetryLayer,
    extension::{Failure, RetryReport},
};
use tower_together_stacks::{Prompt, chat_client::ChatClient};

/// The default layer, but quick: it treats unknown requests as ones that create something.
fn quick() -> TogetherLayer {
    let short = Duration::from_millis(2);
    let retry = TogetherRetryLayer::default().with_backoff(short, short);
    TogetherLayer::new(Limits::none()).with_retry(retry.with_max_retries(1))
}

fn prompt() -> Prompt {
    let text = "hello".to_owned();
    Prompt { text }
}

#[tokio::test]
async fn a_conversation_that_is_rejected_begins_again_and_goes_on() {
    let (moody, url) = Moody::start([Mood::Unavailable(None)]).await;
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut client = ChatClient::new(ServiceBuilder::new().layer(quick()).service(channel));
    let (say, said) = mpsc::unbounded_channel();
    say.send(prompt()).unwrap();
    let heard = client.talk(UnboundedReceiverStream::new(said)).await;
    let heard = heard.unwrap();
    let report: &RetryReport = heard.extensions().get().unwrap();
    assert_eq!(report.failures(), [Failure::Grpc(14)]);
    let mut heard = heard.into_inner();
    for _ in 0..3 {
        assert_eq!(heard.next().await.unwrap().unwrap().text, "hello");
        // The next message is sent only after a response to the last one.
        say.send(prompt()).unwrap();
    }
    drop(say);
    assert_eq!(heard.next().await.unwrap().unwrap().text, "hello");
    assert!(heard.next().await.is_none());
    assert_eq!(moody.calls(), 2);
}

#[tokio::test]
async fn what_failed_in_its_trailers_is_not_retried() {
    let (moody, url) = Moody::start([Mood::Midway]).await;
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut client = ChatClient::new(ServiceBuilder::new().layer(quick()).service(channel));
    let mut heard = client.stream(prompt()).await.unwrap().into_inner();
    assert_eq!(heard.next().await.unwrap().unwrap().text, "hello");
    let error = heard.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(moody.calls(), 1);
}

#[tokio::test]
async fn a_negative_pushback_says_never() {
    let (moody, url) = Moody::start([Mood::Unavailable(Some(-1))]).await;
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut client = ChatClient::new(ServiceBuilder::new().layer(quick()).service(channel));
    let error = client.complete(prompt()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, "moody")
    );
    assert_eq!(moody.calls(), 1);
}

#[tokio::test]
async fn an_error_that_the_service_would_repeat_is_not_retried() {
    let (moody, url) = Moody::start([Mood::Invalid]).await;
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut client = ChatClient::new(ServiceBuilder::new().layer(quick()).service(channel));
    let error = client.complete(prompt()).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(moody.calls(), 1);
}

/// A gRPC service is unknown to the layer, so a call is retried only if it was certainly not processed.
#[tokio::test]
async fn no_connection_for_whatever_reason_is_retried() {
    for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut] {
        let (moody, url) = Moody::start([]).await;
        let address = url.trim_start_matches("http://").to_owned();
        let mut connections = 0;
        let connect = service_fn(move |_| {
            connections += 1;
            let (first, address) = (connections == 1, address.clone());
            async move {
                match first {
                    true => Err(io::Error::from(kind)),
                    false => TcpStream::connect(address).await.map(TokioIo::new),
                }
            }
        });
        let endpoint = Endpoint::from_shared(url).unwrap();
        let channel = endpoint.connect_with_connector_lazy(connect);
        let service = ServiceBuilder::new().layer(quick()).service(channel);
        let response = ChatClient::new(service).complete(prompt()).await;
        let response = response.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let report: &RetryReport = response.extensions().get().unwrap();
        assert_eq!(report.failures(), [Failure::NotSent], "{kind}");
        assert_eq!(moody.calls(), 1);
    }
}

#[tokio::test]
async fn a_timeout_of_the_callers_is_not_retried_after_it() {
    let (moody, url) = Moody::start([Mood::Silent]).await;
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut client = ChatClient::new(ServiceBuilder::new().layer(quick()).service(channel));
    let mut request = Request::new(prompt());
    request.set_timeout(Duration::from_secs(3_600));
    let call = tokio::spawn(async move { client.complete(request).await });
    while moody.calls() == 0 && !call.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    // The call has arrived. The clock now jumps to the timeout.
    pause();
    let error = call.await.unwrap().unwrap_err();
    let timed_out = [Code::Cancelled, Code::DeadlineExceeded];
    assert!(timed_out.contains(&error.code()), "{error:?}");
    assert_eq!(moody.calls(), 1);
}
