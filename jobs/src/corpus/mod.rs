//! A lot of requests, or a lot of texts to embed, as a stream.

mod embed;
mod flow;
mod heard;
mod item;
mod send;

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;
use tower_together::jobs::JobsApi;

use self::{flow::Flow, send::Sender};
use crate::failure::BoxError;

pub use self::{embed::vectors, item::Item};

/// Sends all there is of something, as fast as the limiter allows.
///
/// How many requests are under way follows the limiter: one is begun whenever fewer than 16 wait in its
/// queue. The queue is therefore never empty, however long responses take, and no quota is idle. Without a limiter as
/// many are under way as [may be](Corpus::with_max_in_flight).
///
/// # Going on
///
/// Each item has an id of yours, which comes back with what came of it. A program that was stopped leaves
/// out those that it has, and runs the rest; [`Results`](crate::Results) keeps them in a file, and knows them again:
///
/// ```
/// use std::{collections::HashSet, pin::pin};
/// use futures_util::{StreamExt, stream};
/// # use http_body_util::Full;
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # use tower::ServiceBuilder;
/// # use tower_together::TogetherLayer;
/// use tower_together_jobs::{Corpus, JobsApi};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = together_standin::StandIn::start().await?;
/// # let url = format!("{}/v1", server.url());
/// # let client = ServiceBuilder::new()
/// #     .layer(TogetherLayer::default())
/// #     .service(Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>());
/// # let texts = ["one", "two", "three"];
/// let api = JobsApi::new(client).with_base(&url)?.with_key("YOUR_KEY")?;
/// let done: HashSet<usize> = [1].into(); // read from what was written before
/// let open = texts.into_iter().map(str::to_owned).enumerate();
/// let open = open.filter(|(id, _)| !done.contains(id));
///
/// let mut vectors = pin!(Corpus::new(api).embed("BAAI/bge-base-en-v1.5", stream::iter(open)));
/// while let Some(item) = vectors.next().await {
///     match item.result {
///         Ok(vector) => println!("{}: {} numbers", item.id, vector.len()),
///         Err(failure) => eprintln!("{}: {failure}", item.id), // item.input can be sent again
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Back-pressure, and what is lost
///
/// No more is taken of the input than is under way, plus, where results come in order, what is done and
/// waits for those before it; together at most [`with_max_in_flight`](Corpus::with_max_in_flight). If the consumer stops, so
/// does all. Each failure is its own item's, and comes with its input: nothing is lost, and nothing fails as
/// a whole.
///
/// # Cancel safety
///
/// Dropped, what waits for its turn has cost nothing, and what is under way is given up.
#[derive(Clone, Debug)]
#[must_use = "it sends nothing before run() or embed()"]
pub struct Corpus<S> {
    api: JobsApi<S>,
    most: NonZeroUsize,
    ordered: bool,
    texts: NonZeroUsize,
    resubmits: u32,
}

impl<S> Corpus<S> {
    /// At most 256 requests under way, results as they come, 20 texts in a request, 8 resubmits.
    pub fn new(api: JobsApi<S>) -> Self {
        Self {
            api,
            most: const { NonZeroUsize::new(256).unwrap() },
            ordered: false,
            texts: const { NonZeroUsize::new(20).unwrap() },
            resubmits: 8,
        }
    }

    /// The number of requests under way, including those that wait for their turn, or, if done, for those before them.
    /// The parts of a request that failed for what is in it count as one. A limit is fully used if this is more than it allows in the time of one response.
    pub fn with_max_in_flight(mut self, requests: NonZeroUsize) -> Self {
        self.most = requests;
        self
    }

    /// The former name of [`with_max_in_flight`](Self::with_max_in_flight).
    #[deprecated(since = "0.1.0", note = "renamed `with_max_in_flight`")]
    pub fn with_most(self, requests: NonZeroUsize) -> Self {
        self.with_max_in_flight(requests)
    }

    /// Gives results in the order of the input, and not as they come.
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Texts per embeddings request. A request is sent when it is full or the input ends.
    pub fn with_texts_per_request(mut self, texts: NonZeroUsize) -> Self {
        self.texts = texts;
        self
    }

    /// The former name of [`with_texts_per_request`](Self::with_texts_per_request).
    #[deprecated(since = "0.1.0", note = "renamed `with_texts_per_request`")]
    pub fn with_texts(self, texts: NonZeroUsize) -> Self {
        self.with_texts_per_request(texts)
    }

    /// The number of times a request is resubmitted after a transient failure that the layers gave up on,
    /// each a sixth of the [interval](JobsApi::with_interval) (5 s) after the last. Default: 8, which outlasts
    /// an outage of a minute and a half.
    ///
    /// A request that creates something, or an unknown one whose method is not idempotent, is resubmitted only
    /// after a failure that [surely did nothing](crate::Failure::may_be_done), as in the retry layer's
    /// [table](tower_together::retry).
    /// [`Retries::may_repeat`](tower_together::extension::Retries::may_repeat) allows it after any transient
    /// failure, and `Retries::off` after none.
    ///
    /// The layers give up after some seconds, as they should for a caller who waits; a job of hours has the
    /// time. A server that has not sent any response yet is not waited for. No attempt is made after the
    /// request's [`Deadline`](tower_together::extension::Deadline), which counts from the first.
    pub fn with_resubmits(mut self, resubmits: u32) -> Self {
        self.resubmits = resubmits;
        self
    }

    /// Sends requests, such as [`JobsApi::request`] makes them, and returns the responses. A response that is no
    /// success is a [`Failure`](crate::Failure).
    pub fn run<Id, R>(
        self,
        requests: impl Stream<Item = (Id, Request<Full<Bytes>>)>,
    ) -> impl Stream<Item = Item<Id, Request<Full<Bytes>>, Response<Bytes>>>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let sender = Sender::new(self.api, self.resubmits);
        let gauge = sender.gauge.clone();
        let send = move |(id, input): (Id, Request<Full<Bytes>>)| {
            let sender = sender.clone();
            async move {
                let begun = sender.heard.begin();
                let result = sender.send(&input, begun, false, |_, response| Ok(response));
                let result = result.await;
                Item { id, input, result }
            }
        };
        Flow::new(requests, send, self.most.get(), self.ordered, gauge)
    }

    /// Embeds texts with a model, and gives a vector for each.
    ///
    /// A request that fails for what is in it is sent in halves, and those in halves, until only the texts fail
    /// that are the reason. That is so
    ///
    /// - after 400, 413 and 422, and after a 403 that speaks of the context or of tokens, unless the error is about
    ///   the model;
    /// - after a response whose vectors are not one for each text, or hold `NaN` or `null`;
    /// - after a 5xx, but only while the server responds to other requests: during an outage nothing is halved.
    ///   If a request is the only one, nothing tells the two apart: send its texts one by one then
    ///   ([`with_texts_per_request`](Corpus::with_texts_per_request)).
    pub fn embed<Id, R>(
        self,
        model: &str,
        texts: impl Stream<Item = (Id, String)>,
    ) -> impl Stream<Item = Item<Id, String, Vec<f32>>>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let sender = Sender::new(self.api, self.resubmits);
        let (gauge, model) = (sender.gauge.clone(), model.to_owned());
        let send = move |texts: Vec<(Id, String)>| {
            let (sender, model) = (sender.clone(), model.clone());
            async move { embed::embed(&sender, &model, texts).await }
        };
        let texts = texts.chunks(self.texts.get());
        Flow::new(texts, send, self.most.get(), self.ordered, gauge)
            .flat_map(futures_util::stream::iter)
    }
}
