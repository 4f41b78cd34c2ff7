//! `HttpOverReqwest` makes reqwest's client a service of `http::Request`s, for layers that accept no other type, such
//! as those of tower-http. Outside the rate limit, such a layer acts once per call and counts the wait. Inside, it acts
//! once per attempt and does not count the wait.

use futures::future::try_join_all;
use http::{HeaderValue, header::USER_AGENT};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::{set_header::SetRequestHeaderLayer, trace::TraceLayer};
use tower_together::{TogetherLayer, stack::HttpOverReqwest};
use tower_together_stacks::{Api, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let http = reqwest::Client::builder()
        .retry(reqwest::retry::never())
        .build()?;
    let agent = HeaderValue::from_static("my-program/1.0");

    // The stack:
    let client = ServiceBuilder::new()
        .layer(SetRequestHeaderLayer::overriding(USER_AGENT, agent))
        .layer(TogetherLayer::default())
        .layer(TraceLayer::new_for_http())
        .service(HttpOverReqwest::new(http));

    let calls = (0..5).map(|_| client.clone().oneshot(api.chat::<reqwest::Body>()));
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
