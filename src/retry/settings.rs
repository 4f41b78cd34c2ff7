use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Budget, backoff::Backoff, hook::Hook};
use crate::{
    body::{Bound, ReplayBuffer},
    observe::{self, Repeats},
    words::Classify,
};

/// A layer's settings, shared by its clones and services.
#[derive(Clone, Debug)]
pub(super) struct RetrySettings {
    pub(super) max_retries: u32,
    pub(super) max_retries_after_timeout: u32,
    pub(super) longest_hint: Duration,
    /// Whether the client follows redirects, if set.
    pub(super) redirects: Option<bool>,
    pub(super) backoff: Backoff,
    pub(super) budget: Arc<Budget>,
    pub(super) memory: ReplayBuffer,
    pub(super) drain: Bound,
    pub(super) error_body: Bound,
    /// The maximum wait for the beginning of a success.
    pub(super) first_frame: Duration,
    pub(super) classify: Classify,
    pub(super) hook: Option<Hook>,
    pub(super) repeats: Repeats,
    warned: Arc<AtomicBool>,
}

impl RetrySettings {
    /// Warns once that the layer is around a server's own routes.
    pub(super) fn warn_of_server(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            observe::around_server();
        }
    }
}

/// The layer's setters give the source of each number.
impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_retries: 4,
            max_retries_after_timeout: 1,
            longest_hint: Duration::from_secs(120),
            redirects: None,
            backoff: Backoff::default(),
            budget: Arc::default(),
            memory: ReplayBuffer::default(),
            drain: Bound::DRAIN,
            error_body: Bound::ERROR,
            first_frame: Duration::ZERO,
            classify: Classify::default(),
            hook: None,
            repeats: Repeats::default(),
            warned: Arc::default(),
        }
    }
}
