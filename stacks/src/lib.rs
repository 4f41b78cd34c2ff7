//! What the tests and examples of the stacks share: where the API is, and, for tonic's, a gRPC
//! service, generated.

mod api;
mod echo;

pub use self::{
    api::{Api, CHAT, Failure, report},
    echo::Echo,
};

/// What is asked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Prompt {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        let text = text.to_owned();
        Self { text }
    }
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Completion {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
}

#[allow(
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated"
)]
mod chat {
    include!(concat!(env!("OUT_DIR"), "/together.stacks.Chat.rs"));
}

pub use chat::{chat_client, chat_server};
