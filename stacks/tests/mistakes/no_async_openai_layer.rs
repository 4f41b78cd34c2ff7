//~ fails: E0277
//~ says: TogetherRetry<TogetherRateLimit<
//~ says: Service<HttpRequestFactory>

//! Without `AsyncOpenAiLayer`: the requests are not those of async-openai.

use async_openai::{Client, config::OpenAIConfig};
use tower::Layer;
use tower_together::TogetherLayer;

pub fn client() -> Client<OpenAIConfig> {
    let stack = TogetherLayer::default().layer(reqwest::Client::new());
    Client::with_config(OpenAIConfig::new()).with_http_service(stack)
}

fn main() {}
