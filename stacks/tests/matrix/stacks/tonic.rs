//! tonic's generated client over a channel; the failures are its server's, or those of a proxy in front of it.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use http_body::Body;
use tonic::{
    Code, Request, Response, Status, body,
    client::GrpcService,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::{BoxError, Layer};
use tower_together::extension::Deadline;
use tower_together_stacks::{Completion, Prompt, chat_client::ChatClient, chat_server::ChatServer};

use super::{Shows, Stack, serve};
use crate::{
    ask::{Ask, Kind, MARK},
    grpc::proxied,
    layers::Layers,
    response::{AnyResponse, Seen},
    upstream::Upstream,
};

/// A client whose deadline is an extension.
pub(crate) struct Tonic {
    channel: Channel,
    layers: Layers,
}

impl Stack for Tonic {
    const SHOWS: Shows = Shows::Successes;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let listener = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(ChatServer::new(upstream));
        tokio::spawn(server.serve_with_incoming(listener));
        Self {
            channel: channel(&url),
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let channel = self.layers.clone().both().layer(self.channel.clone());
        call(channel, ask, extension).boxed()
    }
}

/// A client whose deadline is gRPC's own.
pub(crate) struct TonicProxied {
    channel: Channel,
    layers: Layers,
}

impl Stack for TonicProxied {
    const SHOWS: Shows = Shows::Successes;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let url = serve::serve(proxied(upstream)).await;
        Self {
            channel: channel(&url),
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let channel = self.layers.clone().both().layer(self.channel.clone());
        call(channel, ask, timeout).boxed()
    }
}

pub(crate) fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect_lazy()
}

fn extension(ask: &Ask, request: &mut Request<()>) {
    if let Some(deadline) = ask.deadline {
        request.extensions_mut().insert(Deadline::within(deadline));
    }
}

pub(crate) fn timeout(ask: &Ask, request: &mut Request<()>) {
    if let Some(deadline) = ask.deadline {
        request.set_timeout(deadline);
    }
}

/// Makes one call through the generated client.
pub(crate) async fn call<S, R>(
    service: S,
    ask: Ask,
    deadline: fn(&Ask, &mut Request<()>),
) -> AnyResponse
where
    S: GrpcService<body::Body, ResponseBody = R>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    let mut client = ChatClient::new(service);
    let mut head = Request::new(());
    head.metadata_mut().insert("x-mark", MARK.parse().unwrap());
    let key = "Bearer key".parse().unwrap();
    head.metadata_mut().insert("authorization", key);
    deadline(&ask, &mut head);
    let prompt = |text: String| Prompt { text };
    let response = match ask.kind {
        Kind::Whole => {
            let request = head.map(|()| prompt(ask.words.clone()));
            client.complete(request).await.map(whole)
        }
        Kind::Upload => {
            let prompts = stream::iter(ask.pieces().into_iter().map(prompt));
            client.upload(head.map(|()| prompts)).await.map(whole)
        }
        Kind::Streamed => {
            let request = head.map(|()| prompt(ask.words.clone()));
            client.stream(request).await.map(|response| {
                let (metadata, pieces, extensions) = response.into_parts();
                let mut response = AnyResponse::new(200, "");
                response.seen = Some(Seen::said(&metadata.into_headers(), &extensions));
                response.pieces = pieces.map(|piece| piece.unwrap().text).boxed();
                response
            })
        }
    };
    response.unwrap_or_else(rejected)
}

fn whole(response: Response<Completion>) -> AnyResponse {
    let (metadata, completion, extensions) = response.into_parts();
    let mut response = AnyResponse::new(200, completion.text);
    response.seen = Some(Seen::said(&metadata.into_headers(), &extensions));
    response
}

fn rejected(status: Status) -> AnyResponse {
    let code = match status.code() {
        Code::ResourceExhausted => 429,
        Code::Unavailable => 503,
        other => panic!("{other:?}: {status:?}"),
    };
    let mut response = AnyResponse::new(code, status.message());
    let metadata: &MetadataMap = status.metadata();
    let wait = metadata.get("grpc-retry-pushback-ms");
    response.retry_after = wait.map(|wait| wait.to_str().unwrap().parse().unwrap());
    if metadata.contains_key("x-rejected") {
        let headers = metadata.clone().into_headers();
        response.seen = Some(Seen::said(&headers, &http::Extensions::new()));
    }
    response
}
