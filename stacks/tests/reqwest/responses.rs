//! A response loses nothing in the layers, and the layers' own responses are like any other.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode};
use reqwest::{Client, Method, Request};
use tower::{ServiceBuilder, ServiceExt};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, Rejected, TogetherLayer, stack::HttpOverReqwest,
};

use crate::server::{Server, once_more, quick, status};

/// A server at which `/old` redirects.
async fn moved() -> Server {
    Server::start(|_, request| async move {
        if request.uri().path() != "/old" {
            return Response::new(Body::from("new"));
        }
        let mut response = status(StatusCode::TEMPORARY_REDIRECT);
        let new = HeaderValue::from_static("/new?a=1");
        response.headers_mut().insert("location", new);
        response
    })
    .await
}

#[tokio::test]
async fn a_response_knows_where_it_came_from() {
    let server = moved().await;
    let plain = Client::new();
    let reqwests = ServiceBuilder::new().layer(quick()).service(plain.clone());
    let https = ServiceBuilder::new()
        .layer(quick())
        .service(HttpOverReqwest::new(plain.clone()));
    for path in ["/new?b=2#part", "/old"] {
        let url = format!("{}{path}", server.url);
        let expected = plain.get(&url).send().await.unwrap();
        let request = plain.get(&url).build().unwrap();
        let response = reqwests.clone().oneshot(request).await.unwrap();
        let request = http::Request::get(&url).body("").unwrap();
        let http = https
            .clone()
            .oneshot(request.map(reqwest::Body::from))
            .await;
        let http = reqwest::Response::from(http.unwrap().map(reqwest::Body::wrap));
        for response in [response, http] {
            assert_eq!(response.url(), expected.url());
            assert_eq!(response.remote_addr(), expected.remote_addr());
            assert!(response.remote_addr().is_some());
            assert_eq!(response.version(), expected.version());
            assert_eq!(response.content_length(), Some(3));
            assert_eq!(response.text().await.unwrap(), "new");
        }
    }
}

#[tokio::test]
async fn a_rejection_of_our_own_has_the_requests_url() {
    let quota = Quota::new(1, Duration::from_secs(3_600)).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let layer = TogetherLayer::from(limiter).with_retry(once_more());
    let server = Server::failing(0).await;
    let service = ServiceBuilder::new().layer(layer).service(Client::new());
    let url = format!("{}?a=1#part", server.chat());
    let send = || {
        let request = Request::new(Method::POST, url.parse().unwrap());
        service.clone().oneshot(request)
    };
    send().await.unwrap();
    let response = send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.url().as_str(), url);
    assert_eq!(response.remote_addr(), None);
    assert!(response.extensions().get::<Rejected>().is_some());
    let error: serde_json::Value = response.json().await.unwrap();
    assert_eq!(error["error"]["code"], "max_wait");
    assert_eq!(server.heads().len(), 1);
}
