//! tonic's `Channel` is a service of `http::Request`s, and a generated client works over it and the layers. A server
//! adds a layer with `Server::layer`. A rejection is `RESOURCE_EXHAUSTED`; `grpc-timeout` counts the wait. All methods
//! are `Endpoint::Other` unless a `Classify` decides otherwise.

use futures::future::try_join_all;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tower::ServiceBuilder;
use tower_together::{Endpoint, Limits, Quota, TogetherLayer, TogetherRateLimitLayer};
use tower_together_stacks::{Echo, ExampleError, Prompt, report};
use tower_together_stacks::{chat_client::ChatClient, chat_server::ChatServer};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let limits = Limits::none().requests(Endpoint::Other, Quota::per_minute(600)?);

    // The server's stack:
    let server = Server::builder()
        .layer(TogetherRateLimitLayer::new(limits.clone()))
        .add_service(ChatServer::new(Echo));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let url = format!("http://{}", incoming.local_addr()?);
    tokio::spawn(server.serve_with_incoming(incoming));

    // The client's:
    let channel = ServiceBuilder::new()
        .layer(TogetherLayer::new(limits))
        .service(Channel::from_shared(url)?.connect_lazy());
    let client = ChatClient::new(channel);

    let calls = (0..5).map(|_| async { client.clone().complete(Prompt::from("hello")).await });
    for response in try_join_all(calls).await? {
        report(http::StatusCode::OK, response.extensions())?;
    }
    Ok(())
}
