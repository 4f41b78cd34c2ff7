//! A request's body, read ahead.
//!
//! A call gets in line when its body is there. So whoever sends slowly does so before its turn, and
//! holds nothing; a program that hangs up while its call waits is noticed, which over HTTP/1 it is
//! only if nothing of the body is left unread; the model can be read, which tells lanes apart; and
//! the call can be sent again. All that costs memory, which is bounded: of each body and of all.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::Response;
use http_body::Body as _;
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_together::{Endpoint, extension::Model};

use crate::error;

/// The memory for all bodies that have come, or are coming, and have not been answered.
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    /// What one body may have of it. What is longer is not read ahead, but streams by.
    each: usize,
}

/// What was read of a body, and its part of the memory, which comes back with the last clone.
struct Read {
    bytes: BytesMut,
    taken: Option<OwnedSemaphorePermit>,
}

/// Why no more of a body is read.
enum Stop {
    Broken(axum::Error),
    Full,
}

impl Memory {
    /// So many bytes.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            each: all / SHARE,
        }
    }

    pub(crate) fn each(&self) -> usize {
        self.each
    }

    /// The same body, and the model it names if that is to be known.
    pub(crate) async fn read_ahead(
        &self,
        body: Body,
        endpoint: Endpoint,
    ) -> Result<(Body, Option<Model>), Response<Body>> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if body.is_end_stream() || announced > self.each {
            return Ok((body, None));
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
                Ok(Err(Stop::Broken(error))) => return Err(error::body_broken(&error)),
                Ok(Err(Stop::Full)) => {
                    // Its part comes back now.
                    drop(read);
                    drain(rest).await;
                    return Err(error::full());
                }
                Err(_) => return Err(error::body_too_slow()),
            }
        };
        let read = Bytes::from_owner(read);
        let model = match whole && endpoint.takes_model() {
            true => model(&read),
            false => None,
        };
        let body = match whole {
            true => Body::from(read),
            false => Body::from_stream(stream::iter([Ok(read)]).chain(rest)),
        };
        Ok((body, model))
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

/// The `model` of a JSON object; what is none is the API's to complain about.
fn model(body: &Bytes) -> Option<Model> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: Cow<'a, str>,
    }
    let named: Named<'_> = serde_json::from_slice(body).ok()?;
    let known = 1..=LONGEST_NAME;
    known
        .contains(&named.model.len())
        .then(|| Model::new(&*named.model))
}

/// Of all memory: a few large bodies leave room for the small ones.
const SHARE: usize = 8;
/// How much may take [`SLOWEST`]: half a million tokens of prompt, a minute of speech.
const AHEAD: usize = 1024 * 1024;
const SLOWEST: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(5);
/// No model has a longer one, and it is shown.
const LONGEST_NAME: usize = 256;
