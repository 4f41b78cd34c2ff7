use std::{fmt, sync::Arc};

use http_body::Body;

use super::{GivenUp, cursor::Replay, record::SharedRecord};
use crate::body::ReplayBuffer;

/// The record of a body, from which it is sent again. Recording stops when this is dropped.
pub struct Kept<B: Body> {
    shared: Arc<SharedRecord<B>>,
}

impl<B: Body> Kept<B> {
    /// Returns the body itself if it is certainly too large.
    pub(crate) fn new(
        body: B,
        memory: &ReplayBuffer,
        given_up: GivenUp<B::Error>,
    ) -> Result<Self, B> {
        let shared = Arc::new(SharedRecord::new(body, memory, given_up)?);
        Ok(Self { shared })
    }

    pub(crate) fn first(&self) -> Replay<B> {
        self.shared.lock().live = true;
        Replay::new(Arc::clone(&self.shared), 0)
    }

    /// The body from its beginning, for another attempt; earlier attempts end with an error. `None` if the body was
    /// too large to be recorded or has failed, or if the attempt before cannot be ended and may need frames that
    /// are not recorded.
    pub(crate) fn again(&self) -> Option<Replay<B>> {
        let attempt = self.shared.next_attempt()?;
        Some(Replay::new(Arc::clone(&self.shared), attempt))
    }
}

impl<B: Body> Drop for Kept<B> {
    fn drop(&mut self) {
        self.shared.lock().settled = true;
    }
}

impl<B: Body> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
