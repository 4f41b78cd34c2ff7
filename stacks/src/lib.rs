//! What the tests and examples of the stacks share: where the API is, and, for tonic's, a gRPC
//! service, generated.

mod api;
mod chat;
mod echo;

pub use self::{
    api::{Api, CHAT, Failure, report},
    chat::{Completion, Prompt, chat_client, chat_server},
    echo::Echo,
};
