use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{GivenUp, bell::Bell};
use crate::body::{ReplayBuffer, replay_buffer::Reserved};

/// A body and its record, shared by its cursors.
pub(super) struct SharedRecord<B: Body> {
    record: Mutex<Record<B>>,
    pub(super) bell: Arc<Bell>,
    pub(super) given_up: GivenUp<B::Error>,
    /// The source's size hint before any frame was read.
    pub(super) size: SizeHint,
}

pub(super) struct Record<B: Body> {
    pub(super) source: Source<B>,
    pub(super) frames: Vec<Recorded<B::Data>>,
    /// Memory reserved for the frames; `None` once recording has stopped and the frames are dropped.
    reserved: Option<Reserved>,
    /// Whether the reservation covers all remaining data, in frames of ordinary sizes.
    prepaid: bool,
    /// Whether the frames outgrew the reservation while an earlier attempt needed them. No more frames are
    /// recorded then, and that attempt cannot proceed.
    pub(super) stopped: bool,
    /// The number of the current attempt.
    pub(super) attempt: u32,
    /// Whether the current attempt's cursor still exists.
    pub(super) live: bool,
    /// Cursors of earlier attempts that read on, since they cannot be made to fail.
    pub(super) laggards: usize,
    /// Whether there will be no further attempt.
    pub(super) settled: bool,
}

pub(super) enum Source<B: Body> {
    Here(Pin<Box<B>>),
    /// Being polled outside the lock. `missed` tells whether another cursor wanted it meanwhile.
    Away {
        missed: bool,
    },
    Ended,
    /// Failed. The error is kept until the current attempt has taken it.
    Failed(Option<B::Error>),
}

#[derive(Clone)]
pub(super) enum Recorded<D> {
    Data(D),
    Trailers(Box<HeaderMap>),
}

impl<B: Body> SharedRecord<B> {
    /// Returns the body itself if it is certainly too large.
    pub(super) fn new(
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
        Ok(Self {
            record: Mutex::new(record),
            bell: Arc::default(),
            given_up,
            size,
        })
    }

    /// Starts another attempt, and returns its number. `None` if it cannot read the whole body.
    pub(super) fn next_attempt(&self) -> Option<u32> {
        let mut record = self.lock();
        let failed = matches!(record.source, Source::Failed(_));
        if failed || record.stopped || record.reserved.is_none() {
            return None;
        }
        if record.live {
            let reads_on = (self.given_up)().is_none();
            // A cursor that is polling the source may receive a frame that cannot be read twice.
            let reads = matches!(record.source, Source::Away { .. });
            if (reads_on || reads) && !record.prepay(&self.size) {
                return None;
            }
            record.laggards += usize::from(reads_on);
        }
        record.attempt += 1;
        record.live = true;
        let attempt = record.attempt;
        drop(record);
        self.bell.ring();
        Some(attempt)
    }

    /// The only foreign code that runs under this lock is the clone of a frame.
    pub(super) fn lock(&self) -> MutexGuard<'_, Record<B>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> Record<B> {
    /// Records a frame; `counts` tells whether the current attempt has read it, or an earlier one.
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
            // No attempt is behind, and none will follow.
            self.reserved = None;
            self.frames = Vec::new();
        } else {
            self.stopped = !fits;
            self.frames.push(recorded);
        }
    }

    /// Reserves room for all remaining data. Trailers are not known in advance, but they are small.
    fn prepay(&mut self, size: &SizeHint) -> bool {
        let Some(reserved) = &mut self.reserved else {
            return false;
        };
        // Reserve only once, for any number of attempts.
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

/// Minimum bytes charged for a frame: its place in a list that grows by doubling, and its own allocation.
/// Without this, a body in frames of one byte took 150 times its bound.
const FRAME: usize = 128;

/// Frames of a body that are charged no more than their bytes, like the request itself.
const FREE_FRAMES: usize = 64;

fn length(trailers: &HeaderMap) -> usize {
    let pairs = trailers.iter();
    pairs
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}
