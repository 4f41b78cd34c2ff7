//! Other layers around ours; the position decides what they apply to. Outermost, a layer acts once per call and counts
//! all its waits. Between retry and rate limit, it acts once per attempt and counts that attempt's wait. Innermost, it
//! acts once per attempt, when the attempt leaves.

use std::time::Duration;

use futures::future::try_join_all;
use http::header::{AUTHORIZATION, HeaderValue};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_http::{set_header::SetRequestHeaderLayer, trace::TraceLayer};
use tower_together::{TogetherRateLimitLayer, TogetherRetryLayer, stack::HttpOverReqwest};
use tower_together_stacks::{Api, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let key = HeaderValue::try_from(format!("Bearer {}", api.key))?;
    let http = reqwest::Client::builder().retry(reqwest::retry::never());

    let client = ServiceBuilder::new()
        .layer(BoxCloneSyncService::layer()) // one name for all of it
        .load_shed() // rejects at once what is more than
        .concurrency_limit(100) // a hundred calls, waiting or under way
        .timeout(Duration::from_secs(60)) // for a call as a whole
        .layer(SetRequestHeaderLayer::overriding(AUTHORIZATION, key)) // the limits are this key's
        .layer(TogetherRetryLayer::default())
        .layer(TraceLayer::new_for_http()) // a span for each attempt, with its wait
        .layer(TogetherRateLimitLayer::default())
        .timeout(Duration::from_secs(20)) // for each attempt, from when it leaves
        .concurrency_limit(10) // attempts under way; none that waits is among them
        .buffer(10) // for a client that cannot be cloned
        .service(HttpOverReqwest::new(http.build()?));

    let calls = (0..5).map(|_| client.clone().oneshot(api.chat::<reqwest::Body>()));
    for response in try_join_all(calls).await? {
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
