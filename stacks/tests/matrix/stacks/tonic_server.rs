//! A tonic server that limits and retries in front of its service.

use futures::{FutureExt, future::BoxFuture};
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tower::ServiceBuilder;
use tower_together_stacks::chat_server::ChatServer;

use super::{
    Shows, Stack,
    tonic::{call, channel, timeout},
};
use crate::{
    ask::Ask,
    layers::Layers,
    response::{AnyResponse, Seen},
    upstream::Upstream,
};

pub(crate) struct TonicServer {
    channel: Channel,
}

impl Stack for TonicServer {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let listener = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let layers = ServiceBuilder::new()
            .map_response(Seen::tell)
            .layer(layers.both())
            .into_inner();
        let mut server = Server::builder().layer(layers);
        let server = server.add_service(ChatServer::new(upstream));
        tokio::spawn(server.serve_with_incoming(listener));
        Self {
            channel: channel(&url),
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        call(self.channel.clone(), ask, timeout).boxed()
    }
}
