//! Clients that follow redirects: a failure of the second hop says nothing about the first.

use std::{future::ready, num::NonZeroUsize, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::{client::legacy, rt::TokioExecutor};
use reqwest::{Client, redirect::Policy};
use tower::{Layer, ServiceExt};
use tower_http::follow_redirect::policy::{Limited, PolicyExt, clone_body_fn};
use tower_together::{
    Limits, TogetherLayer, TogetherRetryLayer, extension::Retries, stack::HttpOverReqwest,
};
use tower_together_jobs::{Corpus, JobsApi};

use crate::server::{CLOSED, Server, once_more};

/// Redirects `/v1/files` and `/v1/embeddings`, and responds with `then` at any other path.
async fn redirecting(status: u16, location: &'static str, then: u16) -> Server {
    Server::start(move |_, request| async move {
        let mut response = Response::new(Body::empty());
        let redirects = request.uri().path().starts_with("/v1/");
        *response.status_mut() = StatusCode::from_u16(match redirects {
            true => status,
            false => then,
        })
        .unwrap();
        if redirects {
            let location = location.parse().unwrap();
            response.headers_mut().insert("location", location);
        } else {
            *response.body_mut() = r#"{"error":{"message":"The server is overloaded"}}"#.into();
            response.headers_mut().insert("retry-after-ms", 1.into());
        }
        response
    })
    .await
}

/// A client of one kind.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Reqwest,
    HttpOverReqwest,
    Middleware,
    FollowRedirect,
}

use Kind::{FollowRedirect, Middleware};

const KINDS: [Kind; 4] = [
    Kind::Reqwest,
    Kind::HttpOverReqwest,
    Middleware,
    FollowRedirect,
];

/// Sends one request. Returns the status, unless it is an error, and the number of attempts.
async fn send(
    kind: Kind,
    retry: TogetherRetryLayer,
    client: Client,
    request: Request<Bytes>,
) -> (Option<StatusCode>, u64) {
    let layer = TogetherLayer::new(Limits::none()).with_retry(retry);
    let limiter = layer.limiter().clone();
    let reqwests = || reqwest::Request::try_from(request.clone()).unwrap();
    let status = match kind {
        Kind::Reqwest => {
            let response = layer.layer(client).oneshot(reqwests()).await;
            response.ok().map(|response| response.status())
        }
        Kind::HttpOverReqwest => {
            let service = layer.layer(HttpOverReqwest::new(client));
            let response = service.oneshot(request.map(reqwest::Body::from)).await;
            response.ok().map(|response| response.status())
        }
        Middleware => {
            let client = reqwest_middleware::ClientBuilder::new(client).with(layer);
            let response = client.build().execute(reqwests()).await;
            response.ok().map(|response| response.status())
        }
        FollowRedirect => {
            let client = legacy::Client::builder(TokioExecutor::new()).build_http();
            let cloned = clone_body_fn(|body: &Full<Bytes>| Some(body.clone()));
            let client = tower_http::follow_redirect::FollowRedirect::with_policy(
                client,
                Limited::new(9).and::<_, _, legacy::Error>(cloned),
            );
            let response = layer.layer(client).oneshot(request.map(Full::from)).await;
            response.ok().map(|response| response.status())
        }
    };
    (status, limiter.snapshot().admitted)
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from("{}")).unwrap()
}

/// The response to `POST /files` is a 302, and the file is created. It was created five times.
#[tokio::test]
async fn a_redirect_that_leads_nowhere_creates_one_file() {
    for kind in KINDS {
        // Only reqwest is known to follow redirects before a response shows it.
        let retry = match kind {
            FollowRedirect => once_more().with_redirects(true),
            _ => once_more(),
        };
        for status in [302, 303, 307] {
            for (path, attempts) in [("/v1/files", 1), ("/v1/embeddings", 2)] {
                let server = redirecting(status, CLOSED, 200).await;
                let request = post(&format!("{}{path}", server.url));
                let sent = send(kind, retry.clone(), Client::new(), request).await;
                assert_eq!(sent, (None, attempts), "{kind:?} {status} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_status_of_the_second_hop_is_not_that_of_the_first() {
    for kind in KINDS {
        for (status, then) in [(302, 429), (302, 503), (307, 429), (308, 503)] {
            for (path, attempts) in [("/v1/files", 1), ("/v1/embeddings", 2)] {
                let server = redirecting(status, "/elsewhere", then).await;
                let request = post(&format!("{}{path}", server.url));
                let sent = send(kind, once_more(), Client::new(), request).await;
                let then = StatusCode::from_u16(then).ok();
                assert_eq!(sent, (then, attempts), "{kind:?} {status} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_status_of_the_only_hop_is_trusted() {
    for kind in KINDS {
        for status in [429, 503] {
            // This also holds with `with_redirects`, if the client reports a response's URL.
            for retry in [once_more(), once_more().with_redirects(true)] {
                let server = redirecting(302, "/", status).await;
                let request = post(&format!("{}/files?purpose=a%20b&x#top", server.url));
                let sent = send(kind, retry, Client::new(), request).await;
                assert_eq!(sent, (StatusCode::from_u16(status).ok(), 2), "{kind:?}");
            }
        }
    }
}

/// The error of a client that may follow redirects does not show which hop was unreachable.
#[tokio::test]
async fn a_creating_request_without_a_connection_is_retried_only_if_redirects_are_off() {
    let create = || post("http://127.0.0.1:1/v1/fine-tunes");
    for kind in KINDS {
        let follows = !matches!(kind, FollowRedirect);
        for (retry, attempts) in [
            (once_more(), if follows { 1 } else { 2 }),
            (once_more().with_redirects(false), 2),
            (once_more().with_redirects(true), 1),
        ] {
            let client = Client::builder().redirect(Policy::none()).build().unwrap();
            let sent = send(kind, retry, client, create()).await;
            assert_eq!(sent, (None, attempts), "{kind:?}");
        }
        let mut sure = create();
        let said = Retries::default().may_repeat();
        sure.extensions_mut().insert(said);
        let sent = send(kind, once_more(), Client::new(), sure).await;
        assert_eq!(sent, (None, 2), "{kind:?}");
    }
}

/// A client that does not report a response's URL.
#[tokio::test]
async fn a_client_that_is_said_to_follow_redirects_is_trusted_in_nothing() {
    for (retry, attempts) in [
        (once_more(), 2),
        (once_more().with_redirects(true), 1),
        (once_more().with_redirects(false), 2),
    ] {
        let server = redirecting(302, "/", 429).await;
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let layer = TogetherLayer::new(Limits::none()).with_retry(retry);
        let request = post(&format!("{}/files", server.url)).map(Full::<Bytes>::from);
        layer.layer(client).oneshot(request).await.unwrap();
        assert_eq!(server.heads().len(), attempts);
    }
}

/// `Corpus` undid the layers' caution: it created nine files.
#[tokio::test]
async fn a_corpus_resubmits_nothing_that_a_redirect_may_have_created() {
    for (location, then) in [(CLOSED, 200), ("/elsewhere", 429), ("/elsewhere", 503)] {
        for (path, resubmitted) in [("files", false), ("embeddings", true)] {
            let server = redirecting(302, location, then).await;
            // There is no limiter, which would wait in real time.
            let client = once_more().layer(HttpOverReqwest::new(Client::new()));
            let api = JobsApi::new(client).with_base(&format!("{}/v1", server.url));
            let api = api.unwrap().with_interval(Duration::from_millis(6));
            let alive = format!("{}/alive", server.url);
            // The corpus does not wait for a server that has not responded yet.
            let alive = Request::get(alive).body(Full::default()).unwrap();
            let sent = api.request(Method::POST, path).body(Full::from("{}"));
            let corpus = Corpus::new(api).with_max_in_flight(NonZeroUsize::MIN);
            let items = corpus.run(stream::iter([(false, alive), (true, sent.unwrap())]));
            let items: Vec<_> = items.filter(|item| ready(item.id)).collect().await;
            let failure = items[0].result.as_ref().unwrap_err();
            assert!(failure.may_be_done() || resubmitted, "{failure}");
            let first = format!("/v1/{path}");
            let heads = server.heads();
            let posts = heads.iter().filter(|head| head.uri.path() == first);
            assert_eq!(posts.count() > 1, resubmitted, "{location} {then} {path}");
        }
    }
}
