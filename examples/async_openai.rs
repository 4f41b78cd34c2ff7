//! async-openai sends through the service that is given to `with_http_service`, and then does not retry by itself. Put
//! `AsyncOpenAiLayer` outermost and reqwest's client innermost. The client's own retries are switched off, and its
//! `timeout` does not count the wait.

use async_openai::{Client, config::OpenAIConfig, types::chat::CreateChatCompletionRequest};
use futures::future::try_join_all;
use tower::ServiceBuilder;
use tower_together::{TogetherLayer, stack::AsyncOpenAiLayer};
use tower_together_stacks::{Api, CHAT, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let config = OpenAIConfig::new()
        .with_api_base(format!("{}/v1", api.url))
        .with_api_key(&api.key);
    let http = reqwest::Client::builder()
        .user_agent("my-program/1.0")
        .retry(reqwest::retry::never())
        .build()?;

    // The stack; add any layers between the first and the last:
    let stack = ServiceBuilder::new()
        .layer(AsyncOpenAiLayer)
        .map_response(seen)
        .layer(TogetherLayer::default())
        .service(http);
    let client = Client::with_config(config).with_http_service(stack);

    let request: CreateChatCompletionRequest = serde_json::from_str(CHAT)?;
    let calls = (0..5).map(|_| async { client.chat().create(request.clone()).await });
    try_join_all(calls).await?;
    Ok(())
}

fn seen(response: reqwest::Response) -> reqwest::Response {
    let _ = report(response.status(), response.extensions());
    response
}
