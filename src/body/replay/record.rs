use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{GivenUp, Replay, bell::Bell};
use crate::body::{ReplayBuffer, replay_buffer::Reserved};

/// What is kept of a recorded body, to make it again. Dropped, nothing more is recorded.
pub struct Kept<B: Body> {
    shared: Arc<Shared<B>>,
}

/// One body, its record, and whoever waits for it.
pub(super) struct Shared<B: Body> {
    record: Mutex<Record<B>>,
    pub(super) bell: Arc<Bell>,
    pub(super) given_up: GivenUp<B::Error>,
    /// What the body said of its size at first.
    pub(super) size: SizeHint,
}

pub(super) struct Record<B: Body> {
    pub(super) source: Source<B>,
    pub(super) frames: Vec<Recorded<B::Data>>,
    /// Room for the frames; `None` once recording has stopped, and there are none.
    reserved: Option<Reserved>,
    /// Whether that is enough for all data to come, in frames of ordinary sizes.
    prepaid: bool,
    /// Whether the frames came to need more room than there was, while an earlier attempt needed them: no
    /// more are recorded, and that attempt gets no further.
    pub(super) stopped: bool,
    /// The number of the attempt that counts.
    pub(super) attempt: u32,
    /// Whether its cursor is still there.
    pub(super) live: bool,
    /// Cursors of earlier attempts that read on, since they cannot be told to stop.
    pub(super) laggards: usize,
    /// Whether there will be no further attempt.
    settled: bool,
}

pub(super) enum Source<B: Body> {
    Here(Pin<Box<B>>),
    /// It is being polled, outside the lock. Whether somebody else wanted it meanwhile.
    Away {
        missed: bool,
    },
    Ended,
    /// With its error, until the attempt that counts has had it.
    Failed(Option<B::Error>),
}

#[derive(Clone)]
pub(super) enum Recorded<D> {
    Data(D),
    Trailers(Box<HeaderMap>),
}

impl<B: Body> Kept<B> {
    /// Gives the body back if it is surely too large.
    pub(crate) fn new(
        body: B,
        memory: &ReplayBuffer,
        given_up: GivenUp<B::Error>,
    ) -> Result<Self, B> {
        let size = body.size_hint();
        let least = usize::try_from(size.lower()).unwrap_or(usize::MAX);
        if memory.reserve(least).is_none() {
            return Err(body);
        }
        let record = Record {
            source: Source::Here(Box::pin(body)),
            frames: Vec::new(),
            reserved: memory.reserve(0),
            prepaid: false,
            stopped: false,
            attempt: 0,
            live: false,
            laggards: 0,
            settled: false,
        };
        let shared = Shared {
            record: Mutex::new(record),
            bell: Arc::default(),
            given_up,
            size,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    pub(crate) fn first(&self) -> Replay<B> {
        self.shared.lock().live = true;
        Replay::new(Arc::clone(&self.shared), 0)
    }

    /// The body from its beginning, for another attempt; those before it end with an error. `None`
    /// if it was too large to be kept, or failed, or the attempt before cannot be ended and may come
    /// to need what is not kept.
    pub(crate) fn again(&self) -> Option<Replay<B>> {
        let mut record = self.shared.lock();
        let failed = matches!(record.source, Source::Failed(_));
        if failed || record.stopped || record.reserved.is_none() {
            return None;
        }
        if record.live {
            let reads_on = (self.shared.given_up)().is_none();
            // One that is just reading the source may be given what is not there a second time.
            let reads = matches!(record.source, Source::Away { .. });
            if (reads_on || reads) && !record.prepay(&self.shared.size) {
                return None;
            }
            record.laggards += usize::from(reads_on);
        }
        record.attempt += 1;
        record.live = true;
        let attempt = record.attempt;
        drop(record);
        self.shared.bell.ring();
        Some(Replay::new(Arc::clone(&self.shared), attempt))
    }
}

impl<B: Body> Drop for Kept<B> {
    fn drop(&mut self) {
        self.shared.lock().settled = true;
    }
}

impl<B: Body> Shared<B> {
    /// Nothing of others' runs under this lock but the clone of a frame.
    pub(super) fn lock(&self) -> MutexGuard<'_, Record<B>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> Record<B> {
    /// Keeps a frame that was just read, by the attempt that `counts` or by one before it.
    pub(super) fn keep(&mut self, frame: &Frame<B::Data>, counts: bool)
    where
        B::Data: Clone,
    {
        let Some(reserved) = self.reserved.as_mut().filter(|_| !self.stopped) else {
            return;
        };
        let (recorded, bytes) = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => (Recorded::Data(data.clone()), data.remaining()),
            (_, Some(trailers)) => (
                Recorded::Trailers(Box::new(trailers.clone())),
                length(trailers),
            ),
            _ => return,
        };
        let least = match self.frames.len() {
            ..FREE_FRAMES => 0,
            _ => FRAME,
        };
        let more = least.saturating_sub(bytes);
        let fits = reserved.grow(if self.prepaid { more } else { bytes + more });
        if counts && self.laggards == 0 && (self.settled || !fits) {
            // Nobody is behind, and nobody will begin again.
            self.reserved = None;
            self.frames = Vec::new();
        } else {
            self.stopped = !fits;
            self.frames.push(recorded);
        }
    }

    /// Has room for all that can come. Trailers count too, and nobody knows them: they are small.
    fn prepay(&mut self, size: &SizeHint) -> bool {
        let Some(reserved) = &mut self.reserved else {
            return false;
        };
        // Once is enough, however many attempts come.
        if !self.prepaid {
            let kept: usize = self.frames.iter().map(Recorded::len).sum();
            let most = size.upper().and_then(|most| usize::try_from(most).ok());
            self.prepaid = most.is_some_and(|most| reserved.grow(most.saturating_sub(kept)));
        }
        self.prepaid
    }
}

impl<D: Buf> Recorded<D> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.remaining(),
            Self::Trailers(trailers) => length(trailers),
        }
    }
}

impl<D> From<Recorded<D>> for Frame<D> {
    fn from(recorded: Recorded<D>) -> Self {
        match recorded {
            Recorded::Data(data) => Self::data(data),
            Recorded::Trailers(trailers) => Self::trailers(*trailers),
        }
    }
}

/// Bytes that a frame takes at least: its place in a list that grows by doubling, and an allocation of
/// its own. Without it, a body in frames of one byte took 150 times its bound.
const FRAME: usize = 128;

/// Frames of a body that take no more than their bytes, as a request itself does.
const FREE_FRAMES: usize = 64;

fn length(trailers: &HeaderMap) -> usize {
    let pairs = trailers.iter();
    pairs
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

impl<B: Body> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
