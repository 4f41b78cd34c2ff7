//! Tells a rate limit layer about an error that it cannot read.
//!
//! Only a `'static` error can be read. A spawned `async` block cannot use a service that requires this of a
//! `Box<dyn Error>` (rust-lang/rust#102211), so the rate limit layer does not require it. Instead it leaves a
//! callback on its thread, to be called if the error means that it was throttled. The layer around it is polled
//! on the same thread, and reads the error.

use std::cell::Cell;

use crate::words::extension::Failure;

thread_local! {
    static LEFT: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Called by a rate limit layer that returns an error. `act` runs if the error means that it was throttled.
pub(crate) fn leave(act: impl FnOnce() + 'static) {
    LEFT.set(Some(Box::new(act)));
}

/// Called by a layer that reads errors, before it polls its inner service. Discards an earlier callback.
pub(crate) fn listen() {
    LEFT.take();
}

/// Called by that layer when it has read the error of its inner service.
pub(crate) fn hear(failure: Failure) {
    if let Some(act) = LEFT.take().filter(|_| failure == Failure::Throttled) {
        act();
    }
}
