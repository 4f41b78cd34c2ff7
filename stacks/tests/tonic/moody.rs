//! A service that echoes, after its scripted failures.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::MetadataMap,
    transport::{Server, server::TcpIncoming},
};
use tower_together_stacks::{
    Completion, Prompt,
    chat_server::{Chat, ChatServer},
};

/// The course of one call.
#[derive(Clone, Copy)]
pub(crate) enum Mood {
    /// It fails at once, with a wait before a retry if there is one.
    Unavailable(Option<i64>),
    /// It fails, as it would each time.
    Invalid,
    /// It responds, and then fails.
    Midway,
    /// It sends nothing.
    Silent,
}

#[derive(Clone)]
pub(crate) struct Moody(Arc<Mutex<State>>);

struct State {
    moods: VecDeque<Mood>,
    calls: usize,
}

impl Moody {
    pub(crate) async fn start(moods: impl IntoIterator<Item = Mood>) -> (Self, String) {
        let moods = moods.into_iter().collect();
        let moody = Self(Arc::new(Mutex::new(State { moods, calls: 0 })));
        let listener = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(ChatServer::new(moody.clone()));
        tokio::spawn(server.serve_with_incoming(listener));
        (moody, url)
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// The error that ends the call after its first message, if there is one.
    async fn mood(&self) -> Result<Option<Status>, Status> {
        let mood = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.moods.pop_front()
        };
        match mood {
            None => Ok(None),
            Some(Mood::Midway) => Ok(Some(Status::unavailable("moody"))),
            Some(Mood::Invalid) => Err(Status::invalid_argument("moody")),
            Some(Mood::Silent) => pending().await,
            Some(Mood::Unavailable(pushback)) => {
                let mut metadata = MetadataMap::new();
                if let Some(pushback) = pushback {
                    let pushback = pushback.to_string().parse().unwrap();
                    metadata.insert("grpc-retry-pushback-ms", pushback);
                }
                Err(Status::with_metadata(Code::Unavailable, "moody", metadata))
            }
        }
    }
}

fn echo(prompt: Prompt) -> Completion {
    Completion { text: prompt.text }
}

#[tonic::async_trait]
impl Chat for Moody {
    type StreamStream = BoxStream<'static, Result<Completion, Status>>;
    type TalkStream = Self::StreamStream;

    async fn complete(&self, request: Request<Prompt>) -> Result<Response<Completion>, Status> {
        self.mood().await?;
        Ok(Response::new(echo(request.into_inner())))
    }

    async fn stream(
        &self,
        request: Request<Prompt>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let end = self.mood().await?;
        let said = [Some(Ok(echo(request.into_inner()))), end.map(Err)];
        let said = stream::iter(said.into_iter().flatten());
        Ok(Response::new(said.boxed()))
    }

    async fn upload(&self, _: Request<Streaming<Prompt>>) -> Result<Response<Completion>, Status> {
        Err(Status::unimplemented("nobody uploads here"))
    }

    async fn talk(
        &self,
        request: Request<Streaming<Prompt>>,
    ) -> Result<Response<Self::TalkStream>, Status> {
        self.mood().await?;
        let said = request.into_inner().map(|prompt| prompt.map(echo));
        Ok(Response::new(said.boxed()))
    }
}
