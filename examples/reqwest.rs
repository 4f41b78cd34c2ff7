//! reqwest's client is a service of its own requests: the layers wrap it directly, and the response is reqwest's too.
//! Its own retries are switched off. Its `timeout` applies to one attempt and does not count the wait. To limit the
//! whole call, put `tokio::time::timeout` around it.

use std::time::Duration;

use futures::future::try_join_all;
use tower::{ServiceBuilder, ServiceExt};
use tower_together::TogetherLayer;
use tower_together_stacks::{Api, CHAT, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let http = reqwest::Client::builder()
        .user_agent("my-program/1.0")
        .timeout(Duration::from_secs(600))
        .retry(reqwest::retry::never())
        .build()?;

    // The stack:
    let client = ServiceBuilder::new()
        .layer(TogetherLayer::default())
        .service(http.clone());

    // Requests are built by reqwest, and sent by the stack:
    let request = || {
        let request = http.post(api.chats()).bearer_auth(&api.key);
        request
            .header("content-type", "application/json")
            .body(CHAT)
    };
    let calls = (0..5).map(|_| async { client.clone().oneshot(request().build()?).await });
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
