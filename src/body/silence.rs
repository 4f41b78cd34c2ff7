use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

/// How long nothing of a body has come: since it was first waited for.
#[derive(Default)]
pub(super) struct Silence {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Ready once it has lasted for `max`; never where there is no runtime to make a timer in.
    pub(super) fn poll(&mut self, max: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.is_none() && (max == Duration::MAX || Handle::try_current().is_err()) {
            return Poll::Pending;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(max)));
        sleep.as_mut().poll(cx)
    }
}
