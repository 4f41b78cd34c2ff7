//! One attempt, and whether its task was woken.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use bytes::Bytes;
use http_body::Frame;

use crate::source::Script;

pub(crate) struct Attempt<B> {
    pub(crate) body: Pin<Box<B>>,
    pub(crate) woken: Arc<Woken>,
    /// The number of frames that it got, and their bytes.
    pub(crate) next: usize,
    pub(crate) passed: u64,
    pub(crate) is_done: bool,
}

/// Whether the task was woken.
pub(crate) struct Woken(pub(crate) AtomicBool);

impl<B> Attempt<B> {
    pub(crate) fn new(body: B) -> Box<Self> {
        Box::new(Self {
            body: Box::pin(body),
            woken: Woken::yes(),
            next: 0,
            passed: 0,
            is_done: false,
        })
    }

    pub(crate) fn take(&mut self, frame: &Frame<Bytes>, script: &Script, place: usize) {
        assert!(
            script.is(self.next, frame),
            "{place} got {frame:?} for number {}",
            self.next
        );
        self.next += 1;
        self.passed += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

impl Woken {
    pub(crate) fn yes() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
