//! The limiter's tools for sharing between threads, and its time: those of std and Tokio, or of the model
//! checker.

#[cfg(all(test, shuttle))]
mod time;

#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(all(test, shuttle))]
pub(super) use self::time::{NOW, now};
#[cfg(not(all(test, shuttle)))]
pub(super) use crate::clock::now;

/// Nothing is left half done under these locks, so a lock poisoned by a panicking `Waker` is sound.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
