//! A streamed request body that can be sent again.
//!
//! The first attempt reads the source, and what it reads is recorded; the next one reads the record
//! and goes on with the source where that ends. Each has a cursor of its own ([`Replay`]), so it does
//! not matter how far one got before another began.
//!
//! # The attempt that was given up
//!
//! An answer may come while the body is still being sent, and the request may leave again while the
//! old connection still asks for more. What it is told must not look like the end, or the server
//! takes the half for the whole. So it is told that the body failed, which ends the upload and frees
//! the connection. Where no such error can be made (`Infallible` has no values, and nobody else makes
//! a `hyper::Error`), it goes on reading the record to its true end; the request is sent again only if
//! the whole body surely fits then. Should the source fail meanwhile, or come in so many small frames that
//! they do not fit after all, the new attempt goes on, and the old one waits until its server closes: it can
//! neither fail nor end.

mod bell;
mod cursor;
mod record;

use std::{any::Any, error::Error, io};

use http_body::Body;

pub(crate) use self::cursor::Replay;
pub use self::record::Kept;
use super::ReplayBuffer;

/// Makes the error that tells an upload that it was given up, if there is a way to.
pub(crate) type GivenUp<E> = fn() -> Option<E>;

/// Has a body recorded, and puts the recording body into a box of the same type. One that is surely
/// too large is left as it is, and not kept.
pub(crate) fn record<B: Body>(
    body: B,
    memory: &ReplayBuffer,
    boxed: impl FnOnce(Replay<B>) -> B,
    given_up: GivenUp<B::Error>,
) -> (B, Option<Kept<B>>) {
    match Kept::new(body, memory, given_up) {
        Ok(kept) => (boxed(kept.first()), Some(kept)),
        Err(body) => (body, None),
    }
}

/// The error of an upload that is given up, of the types that it can be made of without knowing
/// more.
pub(crate) fn given_up<E: 'static>() -> Option<E> {
    const WHY: &str = "the upload was given up: its request was answered and is sent again";
    let boxed: Box<dyn Error + Send + Sync> = WHY.into();
    let mut made: [Box<dyn Any>; 2] = [
        Box::new(Some(boxed)),
        Box::new(Some(io::Error::new(io::ErrorKind::ConnectionAborted, WHY))),
    ];
    made.iter_mut()
        .find_map(|made| made.downcast_mut::<Option<E>>())
        .and_then(Option::take)
}
