//! async-openai: its requests are chats, and its uploads are files to transcribe.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    traits::RequestOptionsBuilder,
    types::{
        InputSource,
        audio::{AudioInput, CreateTranscriptionRequest},
        chat::{
            ChatCompletionRequestMessage, ChatCompletionRequestUserMessage,
            CreateChatCompletionRequest,
        },
    },
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::HeaderMap;
use tower::ServiceBuilder;
use tower_together::stack::AsyncOpenAiLayer;

use super::{Shows, Stack, serve};
use crate::{
    ask::{Ask, Kind, MARK, TIMEOUT},
    layers::Layers,
    response::AnyResponse,
    upstream::Upstream,
};

pub(crate) struct AsyncOpenAi {
    client: Client<OpenAIConfig>,
}

impl Stack for AsyncOpenAi {
    const SHOWS: Shows = Shows::None;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let url = serve::upstream(upstream).await;
        let config = OpenAIConfig::new()
            .with_api_base(format!("{url}/v1"))
            .with_api_key("key");
        let http = ServiceBuilder::new()
            .layer(AsyncOpenAiLayer)
            .layer(layers.both())
            .service(reqwest::Client::new());
        let client = Client::with_config(config).with_http_service(http);
        Self { client }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let client = self.client.clone();
        async move { call(client, ask).await.unwrap_or_else(rejected) }.boxed()
    }
}

async fn call(client: Client<OpenAIConfig>, ask: Ask) -> Result<AnyResponse, OpenAIError> {
    let mut headers = HeaderMap::new();
    headers.insert("x-mark", MARK.parse().unwrap());
    if let Some(deadline) = ask.deadline {
        headers.insert(TIMEOUT, deadline.as_secs().into());
    }
    let chat = client.chat();
    match ask.kind {
        Kind::Whole => {
            let said = chat.headers(headers).create(request(&ask)).await?;
            let text = said.choices[0].message.content.clone();
            Ok(AnyResponse::new(200, text.unwrap()))
        }
        Kind::Streamed => {
            let pieces = chat.headers(headers).create_stream(request(&ask)).await?;
            let pieces =
                pieces.map(|piece| piece.unwrap().choices.remove(0).delta.content.unwrap());
            let mut response = AnyResponse::new(200, "");
            response.pieces = pieces.boxed();
            Ok(response)
        }
        Kind::Upload => {
            let file = File::new(&ask.words);
            let path = file.0.clone();
            let request = CreateTranscriptionRequest {
                file: AudioInput {
                    source: InputSource::Path { path },
                },
                model: "m".to_owned(),
                ..Default::default()
            };
            let said = client.audio().transcription().create(request).await?;
            Ok(AnyResponse::new(200, said.text))
        }
    }
}

fn request(ask: &Ask) -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessage::from(ask.words.as_str());
    CreateChatCompletionRequest {
        model: "m".to_owned(),
        messages: vec![ChatCompletionRequestMessage::User(message)],
        ..Default::default()
    }
}

fn rejected(error: OpenAIError) -> AnyResponse {
    match error {
        OpenAIError::ApiError(error) => {
            let status = error.status_code.as_u16();
            let mut response = AnyResponse::new(status, error.api_error.message);
            response.code = error.api_error.code;
            response
        }
        other => panic!("{other:?}"),
    }
}

/// A file that is deleted when the test ends.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Relaxed);
        let name = format!("upload-{}-{number}", process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
