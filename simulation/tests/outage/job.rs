//! A corpus that is embedded text by text as each arrives, whatever the outcome of earlier texts.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testing::{now, virtual_time};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limits, Quota, TogetherLayer, TogetherRetryLayer,
    extension::{Deadline, Retries},
    retry::Budget,
};

use crate::server::{Ledger, OUTAGE, Outage, Server};

/// The retry settings of the job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asks {
    /// The defaults; the job submits a text again a minute after it failed.
    Defaults,
    /// Retries for five minutes, without a limit on their number.
    Patience,
}

/// The outcome of a corpus.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ledger: Ledger,
    pub(crate) texts: usize,
    /// The number of texts that arrived during the outage.
    pub(crate) came: usize,
    /// The texts whose response the job has, ordered by number.
    pub(crate) received: Vec<usize>,
    /// The number of times that the job submitted a text again.
    pub(crate) resubmitted: usize,
    /// The duration of the longest call.
    pub(crate) longest: Duration,
}

/// The outcome of one text.
struct Done {
    text: usize,
    submissions: usize,
    longest: Duration,
}

/// Embeds texts for five minutes, of which the third is the outage.
pub(crate) fn embed(asks: Asks, outage: Outage, seed: u64) -> Outcome {
    // The retry layer draws its jitter from the thread's generator, and the whole run is on one thread.
    fastrand::seed(seed);
    let arrivals = arrivals(fastrand::Rng::with_seed(seed));
    virtual_time().block_on(async {
        let server = Server::new(outage);
        let client = server.clone();
        let client = service_fn(move |request| {
            let server = client.clone();
            async move { server.send(request).await }
        });
        let service = layer(asks).layer(client);
        let start = now();
        let mut texts = JoinSet::new();
        for (text, at) in arrivals.iter().enumerate() {
            sleep_until(start + *at).await;
            texts.spawn(submit(service.clone(), text, asks));
        }
        let done = texts.join_all().await;
        let mut received: Vec<_> = done.iter().map(|done| done.text).collect();
        received.sort_unstable();
        Outcome {
            ledger: server.ledger(),
            texts: arrivals.len(),
            came: arrivals.iter().filter(|at| OUTAGE.contains(at)).count(),
            received,
            resubmitted: done.iter().map(|done| done.submissions - 1).sum(),
            longest: done.iter().map(|done| done.longest).max().unwrap(),
        }
    })
}

/// Random instants, 300 a minute on average.
fn arrivals(mut random: fastrand::Rng) -> Vec<Duration> {
    let mut at = Duration::ZERO;
    let gaps = std::iter::repeat_with(|| {
        at += Duration::from_secs_f64(-0.2 * (1.0 - random.f64()).ln());
        at
    });
    gaps.take_while(|at| *at < FIVE_MINUTES).collect()
}

fn layer(asks: Asks) -> TogetherLayer {
    // Ten times the arrivals, so that only the retry layer decides about retries.
    let quota = Quota::per_minute(3_000).unwrap();
    let layer = TogetherLayer::new(Limits::none().requests(Endpoint::Embeddings, quota));
    match asks {
        Asks::Defaults => layer,
        Asks::Patience => {
            layer.with_retry(TogetherRetryLayer::default().with_budget(Budget::unlimited()))
        }
    }
}

async fn submit<S, B>(mut service: S, text: usize, asks: Asks) -> Done
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>, Error = BoxError>,
{
    let mut longest = Duration::ZERO;
    for submissions in 1.. {
        let since = now();
        let response = service
            .ready()
            .await
            .unwrap()
            .call(request(text, asks))
            .await;
        longest = longest.max(since.elapsed());
        if response.is_ok_and(|response| response.status().is_success()) {
            return Done {
                text,
                submissions,
                longest,
            };
        }
        sleep(A_MINUTE).await;
    }
    unreachable!("it is submitted until it succeeds")
}

fn request(text: usize, asks: Asks) -> Request<Full<Bytes>> {
    let request = Request::post("https://api.together.ai/v1/embeddings");
    let request = match asks {
        Asks::Defaults => request,
        Asks::Patience => request
            .extension(Retries::unlimited())
            .extension(Deadline::within(FIVE_MINUTES)),
    };
    request.body(text.to_string().into()).unwrap()
}

const A_MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
