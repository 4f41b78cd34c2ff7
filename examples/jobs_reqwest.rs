//! Many requests over reqwest: `HttpOverReqwest` sends the requests of `tower-together-jobs`. The same client also
//! serves its `Batches` and `FineTunes`, and `Limiter::sync_jobs` and `watch_jobs`.

use std::pin::pin;

use futures::{StreamExt, stream};
use tower::ServiceBuilder;
use tower_together::{TogetherLayer, stack::HttpOverReqwest};
use tower_together_jobs::{Corpus, JobsApi};
use tower_together_stacks::{Api, ExampleError, report};

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    let api = Api::from_env().await?;
    let http = reqwest::Client::builder()
        .retry(reqwest::retry::never())
        .build()?;

    // The stack:
    let client = ServiceBuilder::new()
        .layer(TogetherLayer::default())
        .service(HttpOverReqwest::new(http));

    let jobs = JobsApi::new(client)
        .with_base(&format!("{}/v1", api.url))?
        .with_key(&api.key)?;
    let chats = stream::iter((0..5).map(|number| (number, api.chat())));
    let mut responses = pin!(Corpus::new(jobs).ordered().run(chats));
    while let Some(item) = responses.next().await {
        let response = item.result?;
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
