//! The layers are also reqwest-middleware's `Middleware`, and requests are sent as usual. Middleware after them in the
//! chain runs for each attempt. Do not add reqwest-retry: its retries would multiply with ours. The layers read the
//! extensions set by `with_extension`, such as a `Deadline`, which counts the wait.

use std::time::Duration;

use futures::future::try_join_all;
use reqwest_middleware::ClientBuilder;
use tower_together::{TogetherLayer, extension::Deadline};
use tower_together_stacks::{Api, CHAT, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let http = reqwest::Client::builder()
        .user_agent("my-program/1.0")
        .retry(reqwest::retry::never())
        .build()?;

    // The stack:
    let client = ClientBuilder::new(http)
        .with(TogetherLayer::default())
        .build();

    let calls = (0..5).map(|_| {
        let request = client.post(api.chats()).bearer_auth(&api.key);
        let request = request
            .header("content-type", "application/json")
            .body(CHAT);
        let deadline = Deadline::within(Duration::from_secs(60));
        request.with_extension(deadline).send()
    });
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
