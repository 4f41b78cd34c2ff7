//! The service, as far as it is implemented.

use std::pin::Pin;

use tonic::{Request, Response, Status, Streaming, codegen::tokio_stream::Stream};

use crate::chat::{Completion, Prompt, chat_server::Chat};

/// Completes each prompt with the prompt's own text; nothing is streamed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

type Completions = Pin<Box<dyn Stream<Item = Result<Completion, Status>> + Send>>;

#[tonic::async_trait]
impl Chat for Echo {
    type StreamStream = Completions;
    type TalkStream = Completions;

    async fn complete(&self, request: Request<Prompt>) -> Result<Response<Completion>, Status> {
        let Prompt { text } = request.into_inner();
        Ok(Response::new(Completion { text }))
    }

    async fn stream(&self, _: Request<Prompt>) -> Result<Response<Completions>, Status> {
        Err(unary())
    }

    async fn upload(&self, _: Request<Streaming<Prompt>>) -> Result<Response<Completion>, Status> {
        Err(unary())
    }

    async fn talk(&self, _: Request<Streaming<Prompt>>) -> Result<Response<Completions>, Status> {
        Err(unary())
    }
}

fn unary() -> Status {
    Status::unimplemented("only Complete is")
}
