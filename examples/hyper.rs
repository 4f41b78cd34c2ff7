//! hyper's client is a service of `http::Request`s with one body type, so the layers wrap it directly. Its own retries
//! are switched off. It has no timeout, and a timeout inside the layers would not count the wait. Put a timeout around
//! the call, or a `Deadline` into the request's extensions.

use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{ServiceBuilder, ServiceExt};
use tower_together::TogetherLayer;
use tower_together_stacks::{Api, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let https = HttpsConnectorBuilder::new().with_webpki_roots();
    let https = https.https_or_http().enable_all_versions().build();
    let http = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build(https);

    // The stack:
    let client = ServiceBuilder::new()
        .layer(TogetherLayer::default())
        .service(http);

    let calls = (0..5).map(|_| client.clone().oneshot(api.chat::<Full<Bytes>>()));
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
