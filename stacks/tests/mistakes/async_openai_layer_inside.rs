//~ fails: E0277
//~ says: TogetherRetry<TogetherRateLimit<AsyncOpenAi<
//~ says: Service<HttpRequestFactory>

//! `AsyncOpenAiLayer` inside the layers: it goes outermost.

use async_openai::{Client, config::OpenAIConfig};
use tower::ServiceBuilder;
use tower_together::{TogetherLayer, stack::AsyncOpenAiLayer};

pub fn client() -> Client<OpenAIConfig> {
    let stack = ServiceBuilder::new()
        .layer(TogetherLayer::default())
        .layer(AsyncOpenAiLayer)
        .service(reqwest::Client::new());
    Client::with_config(OpenAIConfig::new()).with_http_service(stack)
}

fn main() {}
