//! Code that the stacks' tests and examples share: the address of the API and, for tonic's, a generated gRPC service.

mod api;
mod chat;
mod echo;

pub use self::{
    api::{Api, CHAT, ExampleError, report},
    chat::{Completion, Prompt, chat_client, chat_server},
    echo::Echo,
};
