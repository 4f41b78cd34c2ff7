//! The spans and events of the feature `tracing`.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod everything;
mod log;
mod mistakes;
mod redis;
mod repeats;
mod table;
mod waits;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testing::script::Client;
use tower::{Layer, Service, ServiceExt};

const CHAT: &str = "chat/completions";
const FINE_TUNES: &str = "fine-tunes";

/// A request with a key of this test's own: a key under two limiters is warned of.
fn post(path: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://api.together.ai/v1/{path}"))
        .header("authorization", format!("Bearer my-secret-key-{}", test()));
    request.body(Full::from(r#"{"model":"m"}"#)).unwrap()
}

/// A name of the test that runs now: each has a thread.
fn test() -> String {
    format!("{:?}", std::thread::current().id())
}

fn with<T: Clone + Send + Sync + 'static>(path: &str, said: T) -> Request<Full<Bytes>> {
    let mut request = post(path);
    request.extensions_mut().insert(said);
    request
}

/// Sends one request through a layer, and drops its response.
async fn send<L>(layer: &L, client: Client, request: Request<Full<Bytes>>)
where
    L: Layer<Client, Service: Service<Request<Full<Bytes>>>>,
{
    drop(layer.layer(client).oneshot(request).await);
}
