//! Fine-tunes, each created once, whatever happens to the program.

mod journal;
mod known;
mod outcome;
mod run;

use std::{collections::HashSet, io, mem, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tower_service::Service;
use tower_together::{Limiter, jobs::JobsApi};

use self::{journal::FineTuneJournal, run::FineTuneRun};
use crate::failure::BoxError;

pub use self::outcome::{FineTune, Untrained};

/// Creates fine-tunes, as many at a time as the limiter allows, and waits for them.
///
/// Each request has a `suffix` of its own, which Together makes part of the model's name. A job whose
/// suffix is in `GET /fine-tunes` was created already, be it by this program before it was killed: it is
/// awaited, and not made again. So the same program, started again with the same requests, goes on. Of a
/// job that is in no list any more only a [journal](FineTunes::with_journal) knows that it was there.
///
/// No job is created again because it is in no list. If the response to a create is lost, the job is looked
/// for three times, each after the [settle time](FineTunes::with_settle). A job that is not listed by then is
/// [`Untrained::MayExist`]: look at `GET /fine-tunes` yourself, and start the program again once the list shows
/// the job, or once you are sure that there is none.
///
/// ```no_run
/// # async fn f(client: tower::util::BoxCloneService<http::Request<http_body_util::Full<bytes::Bytes>>,
/// #     http::Response<http_body_util::Full<bytes::Bytes>>, std::convert::Infallible>,
/// #     limiter: tower_together::Limiter) -> Result<(), Box<dyn std::error::Error>> {
/// use std::pin::pin;
/// use futures_util::StreamExt;
/// use serde_json::json;
/// use tower_together_jobs::{FineTunes, JobsApi};
///
/// // `client` has the layer of `limiter` around it.
/// let api = JobsApi::new(client).with_key("YOUR_KEY")?;
/// let wanted = (0..50).map(|seed| {
///     json!({"model": "m", "training_file": "file-1", "seed": seed, "suffix": format!("run-7-{seed}")})
/// });
/// let mut tunes = pin!(FineTunes::new(api, limiter).run(wanted));
/// while let Some(tune) = tunes.next().await {
///     match tune.result {
///         Ok(job) => println!("{}", job["model_output_name"]),
///         Err(why) => eprintln!("{}: {why}", tune.request["suffix"]),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it creates nothing before run()"]
pub struct FineTunes<S> {
    api: JobsApi<S>,
    limiter: Limiter,
    settle: Duration,
    journal: Option<FineTuneJournal>,
}

impl<S> FineTunes<S> {
    /// Fine-tunes through a service that passes through this limiter, asked about every 30 to 60 s each
    /// ([`JobsApi::with_interval`]).
    pub fn new(api: JobsApi<S>, limiter: Limiter) -> Self {
        Self {
            api,
            limiter,
            settle: Duration::from_secs(30),
            journal: None,
        }
    }

    /// The time to wait before it is read which jobs there are. What a killed program sent last may take effect,
    /// and appear in the list, that much later: a job that appears later still is created twice. Default: 30 s.
    pub fn with_settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// Writes down in a file which jobs were created, and reads there which an earlier run has: one that is
    /// in no list any more is then known to be gone, and not created again. A line is written, to disk, for
    /// each job, before it is waited for.
    ///
    /// The file is locked until the run ends. A line that could not be written whole, to a full disk, is
    /// passed over by later runs, and its job is [`Untrained::Lost`].
    ///
    /// # Errors
    ///
    /// If the file can be neither read nor made, or if another run goes on with it.
    pub fn with_journal(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.journal = Some(FineTuneJournal::open(path.as_ref())?);
        Ok(self)
    }

    /// Creates those that are not there, and gives what comes of each, as they end.
    ///
    /// `wanted` are bodies of `POST /fine-tunes`. If the list of jobs cannot be read, or is no list, none is
    /// created, and each is [`Untrained::NotCreated`].
    ///
    /// A job that ends with `error` and that Together begins again under another id is followed there.
    ///
    /// # Cancel safety
    ///
    /// Dropped, or killed, it is begun again with the same requests.
    ///
    /// # Panics
    ///
    /// When polled outside a Tokio runtime with its timer enabled.
    pub fn run<R, I>(self, wanted: I) -> impl Stream<Item = FineTune>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
        I: IntoIterator<Item = Value>,
    {
        let Self {
            api,
            limiter,
            settle,
            journal,
        } = self;
        let begin = async move { FineTuneRun::begin(api, &limiter, settle, journal).await };
        let mut suffixes = HashSet::new();
        let mut wanted: Vec<(usize, Value, bool)> = wanted
            .into_iter()
            .enumerate()
            .map(|(index, request)| {
                let suffix = request["suffix"].as_str().unwrap_or_default();
                let own = !suffix.is_empty() && suffixes.insert(suffix.to_owned());
                (index, request, own)
            })
            .collect();
        stream::once(begin).flat_map(move |session| {
            // There is one session.
            stream::iter(mem::take(&mut wanted))
                .map(move |(index, request, own)| {
                    let session = session.clone();
                    async move {
                        let result = match (session, own) {
                            (_, false) => Err(Untrained::NoSuffix),
                            (Ok(session), true) => session.train(&request).await,
                            (Err(failure), true) => Err(Untrained::NotCreated(failure)),
                        };
                        FineTune {
                            index,
                            request,
                            result,
                        }
                    }
                })
                // All of them: the limiter keeps those that must wait.
                .buffer_unordered(usize::MAX)
        })
    }
}
