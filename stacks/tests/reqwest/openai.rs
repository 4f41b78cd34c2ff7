//! The effects of the layers on async-openai besides responses: its errors, reqwest's, and one attempt at a time.

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    middleware::HttpRequestFactory,
    types::{
        InputSource,
        audio::{AudioInput, CreateTranscriptionRequest},
        chat::CreateChatCompletionRequest,
    },
};
use axum::body::Body;
use http::{Response, StatusCode};
use tower::{Service, ServiceBuilder, limit::ConcurrencyLimitLayer};
use tower_together::{Limits, TogetherLayer, stack::AsyncOpenAiLayer};

use crate::server::{CLOSED, Server, once_more, quick};

/// A client for the API at `url`.
fn client<S>(url: &str, http: S) -> Client<OpenAIConfig>
where
    S: Service<HttpRequestFactory, Response = reqwest::Response, Error = OpenAIError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let base = url.strip_suffix("/chat/completions").unwrap();
    let config = OpenAIConfig::new().with_api_base(base);
    Client::with_config(config.with_api_key("key")).with_http_service(http)
}

async fn well() -> Server {
    let chat = r#"{"id":"1","object":"chat","created":1,"model":"m","choices":[]}"#;
    Server::start(move |_, _| async move { Response::new(Body::from(chat)) }).await
}

async fn chat(client: &Client<OpenAIConfig>) -> Result<(), OpenAIError> {
    let request = CreateChatCompletionRequest::default();
    client.chat().create(request).await.map(drop)
}

/// With async-openai's own retries the request would be sent more than twice.
#[tokio::test]
async fn its_own_retries_are_out() {
    let server = Server::failing(9).await;
    let http = ServiceBuilder::new()
        .layer(AsyncOpenAiLayer)
        .layer(quick())
        .service(reqwest::Client::new());
    let error = chat(&client(&server.chat(), http)).await.unwrap_err();
    let OpenAIError::ApiError(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.status_code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn a_service_beneath_is_called_when_it_is_ready() {
    let server = well().await;
    let http = ServiceBuilder::new()
        .layer(AsyncOpenAiLayer)
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(quick())
        .service(reqwest::Client::new());
    let client = client(&server.chat(), http);
    let (first, second) = tokio::join!(chat(&client), chat(&client));
    first.unwrap();
    second.unwrap();
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn no_connection_is_reqwests_error() {
    let http = ServiceBuilder::new()
        .layer(AsyncOpenAiLayer)
        .layer(quick())
        .service(reqwest::Client::new());
    let error = chat(&client(CLOSED, http)).await.unwrap_err();
    assert!(
        matches!(&error, OpenAIError::Reqwest(error) if error.is_connect()),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_made_is_not_sent_and_costs_nothing() {
    let server = well().await;
    let layer = TogetherLayer::new(Limits::none()).with_retry(once_more());
    let limiter = layer.limiter().clone();
    let http = ServiceBuilder::new()
        .layer(AsyncOpenAiLayer)
        .layer(layer)
        .service(reqwest::Client::new());
    let path = "no/such/file".into();
    let source = InputSource::Path { path };
    let request = CreateTranscriptionRequest {
        file: AudioInput { source },
        ..Default::default()
    };
    let client = client(&server.chat(), http);
    let error = client.audio().transcription().create(request).await;
    assert!(matches!(error, Err(OpenAIError::FileReadError(_))));
    assert_eq!(limiter.snapshot().admitted, 0);
    assert!(server.heads().is_empty());
}
