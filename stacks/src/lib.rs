//! A gRPC service, generated, for the tests and examples of tonic's stack.

/// What is asked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Prompt {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Completion {
    /// The words.
    #[prost(string, tag = "1")]
    pub text: String,
}

#[allow(
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
