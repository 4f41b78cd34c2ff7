//! Generates a gRPC client and server, as `tonic-prost-build` would from this:
//!
//! ```proto
//! package together.stacks;
//! service Chat {
//!   rpc Complete(Prompt) returns (Completion);
//!   rpc Stream(Prompt) returns (stream Completion);
//!   rpc Upload(stream Prompt) returns (Completion);
//!   rpc Talk(stream Prompt) returns (stream Completion);
//! }
//! ```
//!
//! The description in code needs no `protoc`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::chat::Prompt")
            .output_type("crate::chat::Completion")
            .codec_path("tonic_prost::ProstCodec")
    };
    let chat = Service::builder()
        .name("Chat")
        .package("together.stacks")
        .method(method("complete", "Complete").build())
        .method(method("stream", "Stream").server_streaming().build())
        .method(method("upload", "Upload").client_streaming().build())
        .method(
            method("talk", "Talk")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .build();
    Builder::new().compile(&[chat]);
}
