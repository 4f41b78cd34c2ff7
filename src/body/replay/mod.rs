//! A streamed request body that can be sent again.
//!
//! The first attempt reads the source, and its frames are recorded. The next attempt reads the record, and
//! continues with the source where the record ends. Each attempt has its own cursor ([`Replay`]), so it does
//! not matter how far one got before another began.
//!
//! # Abandoned attempts
//!
//! A response may arrive while the body is still being sent, and the next attempt may begin while the old
//! connection still reads. The old connection must not see an end of the body, or the server would take the
//! part for the whole. So the old attempt's body fails, which ends the upload and frees the connection.
//!
//! Some error types have no value for that (`Infallible` has none, and only hyper can make a `hyper::Error`).
//! There the old attempt reads the record to its true end, and the request is retried only if the whole body
//! certainly fits. The source may still fail, or its frames may be so many and so small that they do not fit.
//! Then the new attempt continues, and the old one, which can neither fail nor end, waits until its server
//! closes the connection.

mod bell;
mod cursor;
mod kept;
mod record;

use std::{any::Any, error::Error, io};

use http_body::Body;

pub(crate) use self::cursor::Replay;
pub use self::kept::Kept;
use super::ReplayBuffer;

/// Makes the error that ends an abandoned upload, if the error type has one.
pub(crate) type GivenUp<E> = fn() -> Option<E>;

/// Records a body while it is sent, inside a box of the same type. A body that is certainly too large is
/// returned as it is, and not recorded.
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

/// The error of an abandoned upload, for the error types that can be created here.
pub(crate) fn given_up<E: 'static>() -> Option<E> {
    const WHY: &str = "the upload was given up: its request got a response and is retried";
    let boxed: Box<dyn Error + Send + Sync> = WHY.into();
    let mut made: [Box<dyn Any>; 2] = [
        Box::new(Some(boxed)),
        Box::new(Some(io::Error::new(io::ErrorKind::ConnectionAborted, WHY))),
    ];
    made.iter_mut()
        .find_map(|made| made.downcast_mut::<Option<E>>())
        .and_then(Option::take)
}
