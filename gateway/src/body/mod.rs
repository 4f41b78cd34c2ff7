//! A request's body, read ahead.
//!
//! A call is queued once its body has been read. This has four effects:
//!
//! - A program that sends slowly does so before its turn, and holds no slot.
//! - A program that hangs up while its call waits is noticed; HTTP/1 shows this only if none of the body is unread.
//! - The body names the model, which decides the lane.
//! - The call can be retried.
//!
//! The memory for this is bounded, for each body and for all. A longer body waits on disk, or streams through if its
//! endpoint has no limits.

pub(crate) mod ahead;
pub(crate) mod disk;

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::Response;
use http_body::Body as _;
use http_body_util::Full;
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_together::{Endpoint, extension::Model};

use crate::{
    body::{ahead::Ahead, disk::Disk},
    error,
    say::say,
};

/// The memory for the bodies of all calls that have arrived, or are arriving, and have no response yet.
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    /// The most memory that one body may use.
    each: usize,
    disk: Disk,
}

/// The part of a body that was read, and its share of the memory, which the last clone gives back.
struct ReadPart {
    bytes: BytesMut,
    taken: Option<OwnedSemaphorePermit>,
}

/// The reason for which reading a body stops.
pub(crate) enum ReadError {
    Broken(axum::Error),
    Full,
    Disk(io::Error),
    Slow,
}

/// The facts about a call that its body states.
#[derive(Default)]
pub(crate) struct BodyFacts {
    pub(crate) model: Option<Model>,
    /// Whether the response is to be a stream.
    pub(crate) streams: bool,
}

impl Memory {
    /// Allows `all` bytes of memory and `disk` bytes of disk.
    pub(crate) fn new(all: usize, disk: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            each: all / SHARE,
            disk: Disk::new(disk),
        }
    }

    pub(crate) fn each(&self) -> usize {
        self.each
    }

    /// Returns the same body, with the facts that it states if they are needed.
    pub(crate) async fn read_ahead(
        &self,
        body: Body,
        endpoint: Endpoint,
    ) -> Result<(Ahead, BodyFacts), Response<Body>> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        // Endpoints that take no model have no limits, so their calls hold no slot.
        let streams_by = announced > self.each && !endpoint.takes_model();
        if body.is_end_stream() || streams_by {
            return Ok((Ahead::Streams(body), BodyFacts::default()));
        }
        let mut rest = body.into_data_stream();
        let mut read = ReadPart {
            // Reserves less than `announced`, because announcing a large body costs a program nothing.
            bytes: BytesMut::with_capacity(announced.min(AHEAD)),
            taken: None,
        };
        let whole = loop {
            let goal = (read.bytes.len() + AHEAD).min(self.each);
            match timeout(SLOWEST, self.read_to(goal, &mut rest, &mut read)).await {
                Ok(Ok(true)) => break true,
                Ok(Ok(false)) if read.bytes.len() >= self.each => break false,
                Ok(Ok(false)) => {}
                Ok(Err(stop)) => {
                    // Gives its share of the memory back now.
                    drop(read);
                    return Err(stop.response(rest).await);
                }
                Err(_) => return Err(ReadError::Slow.response(rest).await),
            }
        };
        let read = Bytes::from_owner(read);
        if whole {
            let said = endpoint.takes_model().then(|| said(&read));
            return Ok((Ahead::Whole(Full::new(read)), said.unwrap_or_default()));
        }
        let body = match endpoint.takes_model() {
            true => match self.disk.keep(read, &mut rest).await {
                Ok(body) => body,
                Err(stop) => return Err(stop.response(rest).await),
            },
            false => Body::from_stream(stream::iter([Ok(read)]).chain(rest)),
        };
        Ok((Ahead::Streams(body), BodyFacts::default()))
    }

    /// Reads on until there is so much, or the end, which it tells.
    async fn read_to(
        &self,
        goal: usize,
        rest: &mut BodyDataStream,
        read: &mut ReadPart,
    ) -> Result<bool, ReadError> {
        while read.bytes.len() < goal {
            let Some(piece) = rest.next().await else {
                return Ok(true);
            };
            let piece = piece.map_err(ReadError::Broken)?;
            let size = u32::try_from(piece.len()).map_err(|_| ReadError::Full)?;
            let free = Arc::clone(&self.free);
            let taken = free.try_acquire_many_owned(size);
            let taken = taken.map_err(|_| ReadError::Full)?;
            match &mut read.taken {
                Some(all) => all.merge(taken),
                none => *none = Some(taken),
            }
            read.bytes.extend_from_slice(&piece);
        }
        Ok(false)
    }
}

impl ReadError {
    async fn response(self, rest: BodyDataStream) -> Response<Body> {
        match self {
            Self::Broken(error) => error::body_broken(&error),
            Self::Slow => error::body_too_slow(),
            Self::Full => {
                drain(rest).await;
                error::full()
            }
            Self::Disk(error) => {
                say(&format!("a long body cannot be kept on disk: {error}"));
                drain(rest).await;
                error::full()
            }
        }
    }
}

impl AsRef<[u8]> for ReadPart {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads and drops the rest of a body. Most clients look for a response once they have sent everything; if the
/// connection is closed before that, they report only the closed connection.
async fn drain(mut rest: BodyDataStream) {
    let reading = async { while let Some(Ok(_)) = rest.next().await {} };
    let _ = timeout(DRAIN, reading).await;
}

/// The `model` and `stream` of a JSON object. Any other body is left for the API to reject.
fn said(body: &Bytes) -> BodyFacts {
    #[derive(Default, Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Option<Cow<'a, str>>,
        stream: Option<bool>,
    }
    let named: Named<'_> = serde_json::from_slice(body).unwrap_or_default();
    let known = 1..=LONGEST_NAME;
    let model = named.model.filter(|model| known.contains(&model.len()));
    BodyFacts {
        model: model.map(|model| Model::new(&*model)),
        streams: named.stream == Some(true),
    }
}

/// One body's share of all memory is 1 in `SHARE`: a few large bodies leave room for the small ones.
const SHARE: usize = 8;
/// Bytes that may take [`SLOWEST`]: half a million tokens of prompt, or a minute of speech.
pub(crate) const AHEAD: usize = 1024 * 1024;
pub(crate) const SLOWEST: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(5);
/// The longest model name that is read: no model has a longer name, and names are shown.
const LONGEST_NAME: usize = 256;
