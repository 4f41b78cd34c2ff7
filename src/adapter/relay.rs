//! How a rate limit layer learns what an error says that it cannot read.
//!
//! Only a `'static` error can be read, and an `async` block that is spawned cannot use a service that asks for
//! that over a `Box<dyn Error>` (rust-lang/rust#102211). So the rate limit layer asks for nothing: it leaves on
//! its thread what to do if it was throttled. The layer around it polls it there, and reads the error.

use std::cell::Cell;

use crate::words::extension::Failure;

thread_local! {
    static LEFT: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// A rate limit layer returns an error. `act` is what to do if that says that it was throttled.
pub(crate) fn leave(act: impl FnOnce() + 'static) {
    LEFT.set(Some(Box::new(act)));
}

/// A layer that reads errors is about to poll what is inside: what was left before is nothing to it.
pub(crate) fn listen() {
    LEFT.take();
}

/// It has read the error that came from inside.
pub(crate) fn hear(failure: Failure) {
    if let Some(act) = LEFT.take().filter(|_| failure == Failure::Throttled) {
        act();
    }
}
