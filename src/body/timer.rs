use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep, sleep_until},
};

/// A timer that is created at its first poll, in the runtime that polls it.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready when `after` has passed since the timer was set. `None` outside a runtime.
    pub(crate) fn poll(&mut self, after: Duration, cx: &mut Context<'_>) -> Option<Poll<()>> {
        // A timer fires when its runtime is dropped, and panics if polled after that. So an elapsed timer is always
        // created again.
        let gone = self.sleep.take_if(|sleep| sleep.is_elapsed());
        if self.sleep.is_none() {
            Handle::try_current().ok()?;
        }
        let again = || match gone {
            Some(gone) => sleep_until(gone.deadline()),
            None => sleep(after),
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(again()));
        Some(sleep.as_mut().poll(cx))
    }
}
