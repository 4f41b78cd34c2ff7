//! A request's body, read ahead.
//!
//! A call gets in line when its body is there. So whoever sends slowly does so before its turn, and
//! holds nothing; a program that hangs up while its call waits is noticed, which over HTTP/1 it is
//! only if nothing of the body is left unread; the model can be read, which tells lanes apart; and
//! the call can be sent again. All that costs memory, which is bounded: of each body and of all. A body that is
//! longer waits on disk, unless its endpoint has no limits: then it streams by.

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

/// The memory for all bodies that have come, or are coming, and have not been answered.
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    /// What one body may have of it.
    each: usize,
    disk: Disk,
}

/// What was read of a body, and its part of the memory, which comes back with the last clone.
struct Read {
    bytes: BytesMut,
    taken: Option<OwnedSemaphorePermit>,
}

/// Why no more of a body is read.
pub(crate) enum Stop {
    Broken(axum::Error),
    Full,
    Disk(io::Error),
    Slow,
}

/// What a body says of its call.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) model: Option<Model>,
    /// Whether the response is to be a stream.
    pub(crate) streams: bool,
}

impl Memory {
    /// So many bytes of memory, and of disk.
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

    /// The same body, and what it says if that is to be known.
    pub(crate) async fn read_ahead(
        &self,
        body: Body,
        endpoint: Endpoint,
    ) -> Result<(Ahead, Said), Response<Body>> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        // Those that take no model have no limits, and hold nothing.
        let streams_by = announced > self.each && !endpoint.takes_model();
        if body.is_end_stream() || streams_by {
            return Ok((Ahead::Streams(body), Said::default()));
        }
        let mut rest = body.into_data_stream();
        let mut read = Read {
            // Not all that was announced: that is soon said.
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
                    // Its part comes back now.
                    drop(read);
                    return Err(stop.answer(rest).await);
                }
                Err(_) => return Err(Stop::Slow.answer(rest).await),
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
                Err(stop) => return Err(stop.answer(rest).await),
            },
            false => Body::from_stream(stream::iter([Ok(read)]).chain(rest)),
        };
        Ok((Ahead::Streams(body), Said::default()))
    }

    /// Reads on until there is so much, or the end, which it tells.
    async fn read_to(
        &self,
        goal: usize,
        rest: &mut BodyDataStream,
        read: &mut Read,
    ) -> Result<bool, Stop> {
        while read.bytes.len() < goal {
            let Some(piece) = rest.next().await else {
                return Ok(true);
            };
            let piece = piece.map_err(Stop::Broken)?;
            let size = u32::try_from(piece.len()).map_err(|_| Stop::Full)?;
            let free = Arc::clone(&self.free);
            let taken = free.try_acquire_many_owned(size);
            let taken = taken.map_err(|_| Stop::Full)?;
            match &mut read.taken {
                Some(all) => all.merge(taken),
                none => *none = Some(taken),
            }
            read.bytes.extend_from_slice(&piece);
        }
        Ok(false)
    }
}

impl Stop {
    async fn answer(self, rest: BodyDataStream) -> Response<Body> {
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

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads what still comes and forgets it: most clients look for an answer when all is sent, and of a
/// connection that is closed before that they report the end alone.
async fn drain(mut rest: BodyDataStream) {
    let reading = async { while let Some(Ok(_)) = rest.next().await {} };
    let _ = timeout(DRAIN, reading).await;
}

/// The `model` and `stream` of a JSON object; what is none is the API's to complain about.
fn said(body: &Bytes) -> Said {
    #[derive(Default, Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Option<Cow<'a, str>>,
        stream: Option<bool>,
    }
    let named: Named<'_> = serde_json::from_slice(body).unwrap_or_default();
    let known = 1..=LONGEST_NAME;
    let model = named.model.filter(|model| known.contains(&model.len()));
    Said {
        model: model.map(|model| Model::new(&*model)),
        streams: named.stream == Some(true),
    }
}

/// Of all memory: a few large bodies leave room for the small ones.
const SHARE: usize = 8;
/// How much may take [`SLOWEST`]: half a million tokens of prompt, a minute of speech.
pub(crate) const AHEAD: usize = 1024 * 1024;
pub(crate) const SLOWEST: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(5);
/// No model has a longer one, and it is shown.
const LONGEST_NAME: usize = 256;
