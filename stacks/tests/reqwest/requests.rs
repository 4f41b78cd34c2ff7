//! A request loses nothing in the layers, and the layers obey its settings.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderValue, StatusCode, Version};
use reqwest::{Client, Method, Request};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_together::extension::{Attempt, Retries, RetryReport};

use crate::server::{Server, quick};

type Spy = Arc<Mutex<Vec<Request>>>;

/// A client that records its requests.
fn spied(spy: &Spy) -> BoxCloneService<Request, reqwest::Response, reqwest::Error> {
    let spy = Arc::clone(spy);
    let look = move |request: Request| {
        let copy = request.try_clone().expect("it lies in memory");
        spy.lock().unwrap().push(copy);
        request
    };
    let client = ServiceBuilder::new()
        .map_request(look)
        .service(Client::new());
    BoxCloneService::new(client)
}

#[tokio::test]
async fn each_attempt_goes_out_as_the_request_was() {
    let server = Server::failing(1).await;
    let url = format!("{}/v1/models?a=1&b=%20c&&d#part", server.url);
    let mut secret = HeaderValue::from_static("Bearer key");
    secret.set_sensitive(true);
    let mut request = Request::new(Method::GET, url.parse().unwrap());
    request.headers_mut().insert("authorization", secret);
    *request.timeout_mut() = Some(Duration::from_secs(40));
    *request.version_mut() = Version::HTTP_11;

    let spy = Spy::default();
    let service = ServiceBuilder::new().layer(quick()).service(spied(&spy));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let given = spy.lock().unwrap();
    assert_eq!(given.len(), 2);
    for request in &*given {
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.url().as_str(), url);
        assert_eq!(request.version(), Version::HTTP_11);
        assert_eq!(request.timeout(), Some(&Duration::from_secs(40)));
        assert!(request.body().is_none());
        assert!(request.headers()["authorization"].is_sensitive());
        assert_eq!(request.headers().len(), 1);
    }
    let heads = server.heads();
    assert_eq!(heads[0].uri, "/v1/models?a=1&b=%20c&&d");
    assert_eq!(heads[0].headers, heads[1].headers);
    for name in ["content-length", "transfer-encoding"] {
        assert!(!heads[0].headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn on_the_wire_there_is_no_difference() {
    let server = Server::failing(0).await;
    let client = Client::new();
    let service = ServiceBuilder::new().layer(quick()).service(client.clone());
    for method in [Method::GET, Method::POST, Method::DELETE] {
        for body in [None, Some(""), Some("{}")] {
            let mut request = Request::new(method.clone(), server.chat().parse().unwrap());
            *request.body_mut() = body.map(Into::into);
            let copy = request.try_clone().unwrap();
            client.execute(copy).await.unwrap();
            service.clone().oneshot(request).await.unwrap();
            let heads = server.heads();
            let [.., plain, ours] = &heads[..] else {
                panic!("two came");
            };
            assert_eq!(plain.headers, ours.headers, "{method} {body:?}");
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Mark(u32);

#[tokio::test]
async fn extensions_go_in_and_come_out() {
    let server = Server::failing(1).await;
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(|request: Request| {
            let request = http::Request::<reqwest::Body>::try_from(request).unwrap();
            assert_eq!(request.extensions().get(), Some(&Mark(1)));
            let attempt = request
                .extensions()
                .get()
                .map(|attempt: &Attempt| attempt.number());
            assert!(matches!(attempt, None | Some(2)));
            Request::try_from(request).unwrap()
        })
        .map_response(|mut response: reqwest::Response| {
            response.extensions_mut().insert(Mark(2));
            response
        })
        .service(Client::new());
    let request = http::Request::post(server.chat())
        .extension(Mark(1))
        .body("");
    let request = Request::try_from(request.unwrap()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Mark(2)));
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 2);
}

#[tokio::test]
async fn a_hint_in_the_extensions_is_heard() {
    let server = Server::failing(9).await;
    let service = ServiceBuilder::new().layer(quick()).service(Client::new());
    let request = http::Request::post(server.chat()).extension(Retries::off());
    let request = Request::try_from(request.body("").unwrap()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.heads().len(), 1);
}
