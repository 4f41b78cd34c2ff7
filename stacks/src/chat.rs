//! The messages of a gRPC service, and the service, generated.

/// A request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Prompt {
    /// The text.
    #[prost(string, tag = "1")]
    pub text: String,
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        let text = text.to_owned();
        Self { text }
    }
}

/// A response.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Completion {
    /// The text.
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
mod generated {
    include!(concat!(env!("OUT_DIR"), "/together.stacks.Chat.rs"));
}

pub use self::generated::{chat_client, chat_server};
