//! `Send`, `Sync`, `Clone`, `Unpin` and `'static`: each stack has the traits of its client, and those that its users
//! require. All of it is checked at compile time.

mod local;

use std::{fmt::Debug, future::Future};

use axum::{Router, routing::Route};
use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::{
    Full,
    combinators::{BoxBody, UnsyncBoxBody},
};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use tonic::transport::Channel;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    util::{BoxCloneService, BoxCloneSyncService},
};
use tower_together::{
    ApiError, Classify, Endpoint, Error, Limiter, Limits, Quota, Rejected, TogetherLayer,
    TogetherRateLimitLayer, TogetherRetryLayer,
    body::{Opaque, ReplayBuffer, Whole},
    extension,
    limiter::Permit,
    rate_limit::ResponseBody,
    retry::Budget,
    stack::{AsyncOpenAiLayer, HttpOverReqwest},
};
use tower_together_stacks::{Prompt, chat_client::ChatClient};

/// The service that a layer makes of `S`.
type Of<L, S> = <L as Layer<S>>::Service;
type Hyper<B> = legacy::Client<HttpConnector, B>;
type Boxed<B> = BoxCloneService<Request<B>, Response<B>, BoxError>;
type SyncBoxed<B> = BoxCloneSyncService<Request<B>, Response<B>, BoxError>;

/// The bounds of a value that may be anywhere: in a static, in a task, in an `Arc`.
fn anywhere<T: Send + Sync + Unpin + 'static>() {}

/// The bounds of a service that is cloned for each call, and called in a task of any thread.
fn spawned<S, R>()
where
    S: Service<R, Error: Send, Future: Send + 'static> + Clone + Send + Unpin + 'static,
    S::Response: Send,
{
}

/// The further bounds of axum and async-openai.
fn shared<S: Sync + Service<R>, R>() {}

/// All three layers over one client.
macro_rules! all {
    ($what:ident: $client:ty, $request:ty) => {
        $what::<Of<TogetherRateLimitLayer, $client>, $request>();
        $what::<Of<TogetherRetryLayer, $client>, $request>();
        $what::<Of<TogetherLayer, $client>, $request>();
    };
}

#[test]
fn a_stack_is_spawned_and_shared_as_its_client_is() {
    macro_rules! both {
        ($($client:ty, $request:ty;)*) => {$(
            all!(spawned: $client, $request);
            all!(shared: $client, $request);
        )*};
    }
    both! {
        Hyper<Full<Bytes>>, Request<Full<Bytes>>;
        Hyper<String>, Request<String>;
        Hyper<BoxBody<Bytes, BoxError>>, Request<BoxBody<Bytes, BoxError>>;
        Hyper<UnsyncBoxBody<Bytes, BoxError>>, Request<UnsyncBoxBody<Bytes, BoxError>>;
        Hyper<axum::body::Body>, Request<axum::body::Body>;
        Hyper<Incoming>, Request<Incoming>;
        Hyper<Opaque<Incoming>>, Request<Opaque<Incoming>>;
        reqwest::Client, reqwest::Request;
        &'static reqwest::Client, reqwest::Request;
        reqwest_middleware::ClientWithMiddleware, reqwest::Request;
        HttpOverReqwest<reqwest::Client>, Request<reqwest::Body>;
        HttpOverReqwest<reqwest::Client, String>, Request<String>;
        Channel, Request<tonic::body::Body>;
        Route, Request<axum::body::Body>;
        Router, Request<axum::body::Body>;
        SyncBoxed<Full<Bytes>>, Request<Full<Bytes>>;
    }
    // `Boxed` is not `Sync`, so the stack is not `Sync` either; but it can be spawned.
    all!(spawned: Boxed<Full<Bytes>>, Request<Full<Bytes>>);
}

/// `ServiceBuilder::boxed_clone_sync` requires that, although `BoxCloneSyncService` itself does not.
#[test]
fn a_future_is_sync_if_its_clients_is() {
    fn sync<S: Service<R, Future: Sync>, R>() {}
    all!(sync: Hyper<Full<Bytes>>, Request<Full<Bytes>>);
    all!(sync: reqwest::Client, reqwest::Request);
    all!(sync: HttpOverReqwest<reqwest::Client>, Request<reqwest::Body>);
}

/// Over a `Box<dyn Error>`, the limiter can be used in any block, and a retry layer if its call is boxed.
#[test]
fn a_block_that_uses_a_stack_over_a_boxed_error_is_spawned() {
    fn spawned(_: impl Future + Send + 'static) {}
    fn limited(client: Of<TogetherRateLimitLayer, Boxed<Full<Bytes>>>) {
        spawned(async move { client.oneshot(Request::default()).await.is_ok() });
    }
    fn both(client: Of<TogetherLayer, Boxed<Full<Bytes>>>) {
        spawned(async move { client.oneshot(Request::default()).boxed().await.is_ok() });
    }
    let _ = (limited, both);
}

#[test]
fn layers_and_all_that_travels_may_be_anywhere() {
    fn cloned<T: Clone + Debug + Send + Sync + Unpin + 'static>() {
        anywhere::<T>();
    }
    cloned::<TogetherLayer>();
    cloned::<TogetherRateLimitLayer>();
    cloned::<TogetherRetryLayer>();
    cloned::<AsyncOpenAiLayer>();
    cloned::<Limiter>();
    cloned::<Limits>();
    cloned::<Quota>();
    cloned::<Endpoint>();
    cloned::<Classify>();
    cloned::<Rejected>();
    cloned::<ApiError>();
    cloned::<ReplayBuffer>();
    cloned::<extension::ApiKey>();
    cloned::<extension::Caller>();
    cloned::<extension::Deadline>();
    cloned::<extension::Waited>();
    cloned::<extension::Paused>();
    cloned::<extension::Retries>();
    cloned::<extension::RetryReport>();
    anywhere::<Budget>();
    anywhere::<Permit>();
    anywhere::<Error>();
}

#[test]
fn a_responses_body_may_go_where_the_clients_may() {
    anywhere::<ResponseBody<Incoming>>();
    anywhere::<Whole<ResponseBody<reqwest::Body>>>();
    anywhere::<ResponseBody<Full<Bytes>>>();
    fn sent<T: Send + Unpin + 'static>() {}
    sent::<ResponseBody<axum::body::Body>>();
    sent::<ResponseBody<tonic::body::Body>>();
}

/// A future that goes into `tokio::spawn`.
fn task<F: Future<Output: Send> + Send + 'static>(_: F) {}

#[tokio::test]
async fn calls_of_every_client_go_into_tasks() {
    let reqwest = reqwest::Client::new();
    let get = || reqwest.get("http://localhost");
    let stack = TogetherLayer::default().layer(reqwest.clone());
    task(stack.clone().oneshot(get().build().unwrap()));

    let client = reqwest_middleware::ClientBuilder::new(reqwest.clone())
        .with(TogetherLayer::default())
        .with(TogetherRetryLayer::default())
        .with(TogetherRateLimitLayer::default())
        .build();
    task(client.get("http://localhost").send());

    let layers = ServiceBuilder::new().layer(AsyncOpenAiLayer);
    let stack = layers.service(stack);
    anywhere::<async_openai::Client<async_openai::config::OpenAIConfig>>();
    let client = async_openai::Client::new().with_http_service(stack);
    task(async move { client.chat().create(Default::default()).await });

    let channel = Channel::from_static("http://localhost").connect_lazy();
    let mut client = ChatClient::new(TogetherLayer::default().layer(channel));
    task(async move { client.complete(Prompt::default()).await });

    let app = Router::new().layer(TogetherLayer::default());
    anywhere::<Router>();
    task(async move { app.oneshot(Request::new(axum::body::Body::empty())).await });
}
