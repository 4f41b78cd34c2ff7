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

/// A timer that is set when it is first waited for, in the runtime that polls then.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready `after` this since it was set. `None` where there is no runtime to set it in.
    pub(crate) fn poll(&mut self, after: Duration, cx: &mut Context<'_>) -> Option<Poll<()>> {
        // A timer goes off when its runtime is dropped, and panics when it is polled after that. So whatever
        // has gone off is set again.
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
