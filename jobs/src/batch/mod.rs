//! Many requests, as batches.

mod create;
mod cut;
mod journal;
mod one;
mod outcome;
mod results;
mod upload;

use std::{io, iter, num::NonZeroUsize, path::Path};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tower_service::Service;
use tower_together::jobs::JobsApi;

use self::{
    cut::{Cut, Piece},
    journal::BatchJournal,
    one::Done,
};
use crate::failure::BoxError;

pub use self::outcome::{Missing, Outcome, Reason};

/// Sends requests as batches. See the [crate](crate).
#[derive(Clone, Debug)]
#[must_use = "it sends nothing before run()"]
pub struct Batches<S> {
    api: JobsApi<S>,
    size: NonZeroUsize,
    at_once: NonZeroUsize,
    journal: Option<BatchJournal>,
}

impl<S> Batches<S> {
    /// Batches of at most 100 requests, 10 of them at a time, asked about every 30 to 60 s
    /// ([`JobsApi::with_interval`]).
    ///
    /// Ten is the number of [`Limits::default`](tower_together::Limits): both are cautious, for no limit on
    /// batches that run at once is published. Together recommends 1,000 to 10,000 requests a batch
    /// (docs.together.ai/docs/inference/batch/overview).
    pub fn new(api: JobsApi<S>) -> Self {
        Self {
            api,
            size: const { NonZeroUsize::new(100).unwrap() },
            at_once: const { NonZeroUsize::new(10).unwrap() },
            journal: None,
        }
    }

    /// At most so many requests in one batch. A file has at most 50,000 in any case, and 100 MB.
    pub fn with_size(mut self, requests: NonZeroUsize) -> Self {
        self.size = requests;
        self
    }

    /// The number of batches at a time. A limiter's own limit of batches holds as well.
    pub fn with_at_once(mut self, batches: NonZeroUsize) -> Self {
        self.at_once = batches;
        self
    }

    /// Writes down in a file which batches were begun, and with which requests. A later run of the same requests
    /// waits for the batches that are under way, and reads their files, in place of sending those requests again.
    ///
    /// A request counts as under way until its [`Outcome`] has been taken, and the stream has been asked for the next
    /// one: store a response before you ask. A request whose outcome is a [`Missing`] is sent again by a later run,
    /// unless that is [`Reason::Lost`] or [`Reason::MayExist`]: a later run looks for its batch again. If you have looked and
    /// there is none, delete the file.
    ///
    /// If a run ended before the response to a create, its batch is looked for by its file, three times, an
    /// [interval](JobsApi::with_interval) apart. A batch that is not listed by then is [`Reason::MayExist`].
    ///
    /// The file is locked until the run ends. It holds hashes of the requests, and is for one server.
    ///
    /// # Errors
    ///
    /// If the file can be neither read nor made, or if another run goes on with it.
    pub fn with_journal(mut self, path: impl AsRef<Path>) -> io::Result<Self> {
        self.journal = Some(BatchJournal::open(path.as_ref())?);
        Ok(self)
    }

    /// Sends all of the requests, bodies of `POST /chat/completions`, and gives what comes of each, in
    /// their order.
    ///
    /// Nothing fails as a whole: a request without a response has an [`Outcome`] that says why, and has the request
    /// with it. [`Reason::is_transient`] tells which requests to send again.
    ///
    /// No file is uploaded again, and no batch created again, because no list shows it. If the response is lost,
    /// the file is looked for by its name and the batch by its file, three times, an
    /// [interval](JobsApi::with_interval) apart. After that the requests are [`Reason::MayExist`].
    ///
    /// # Back-pressure
    ///
    /// Requests are taken as batches are begun: at most as many as fit in those under way and in one more,
    /// and of finished ones as many wait to be taken as could be under way.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it asks no more. Batches that were created go on, and cost what they cost: a later run with the same
    /// [journal](Self::with_journal) waits for them.
    ///
    /// # Panics
    ///
    /// When polled outside a Tokio runtime with its timer enabled.
    pub fn run<R, I>(self, requests: I) -> impl Stream<Item = Outcome>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
        I: IntoIterator<Item = Value>,
    {
        let Self {
            api,
            size,
            at_once,
            journal,
        } = self;
        let known = journal.clone();
        stream::iter(Cut::new(requests.into_iter(), size, known.clone()))
            .map(move |piece| {
                let (api, journal) = (api.clone(), known.clone());
                async move {
                    match piece {
                        Piece::Batch(lines) => one::run(&api, journal.as_ref(), lines).await,
                        Piece::TooLong(line) => Done {
                            outcomes: vec![line.missing(Reason::TooLong)],
                            begun: None,
                        },
                    }
                }
            })
            .buffered(at_once.get())
            .flat_map(move |Done { outcomes, begun }| {
                let mut begun = journal.clone().zip(begun);
                let taken = iter::from_fn(move || {
                    if let Some((journal, (file, requests))) = begun.take() {
                        // If this is not written, a later run reads the same outcomes once more.
                        let _ = journal.taken(file, requests);
                    }
                    None
                });
                stream::iter(outcomes.into_iter().chain(taken))
            })
    }
}
