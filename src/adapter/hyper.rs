use std::{any::Any, error::Error};

use hyper::body::Incoming;
use hyper_util::client::legacy;

use crate::{
    body::{Memory, RequestBody},
    words::extension::Failure,
};

/// Sent once: wrap it in [`Opaque`](crate::body::Opaque) to have it sent again.
impl RequestBody for Incoming {
    type Again = ();

    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }

    fn replayable(self, _: &Memory) -> (Self, ()) {
        (self, ())
    }

    fn again((): &()) -> Option<Self> {
        None
    }
}

/// The errors of hyper and its clients, as such.
pub(super) fn error(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = any.downcast_ref::<legacy::Error>() {
        return Some(error);
    }
    if let Some(error) = any.downcast_ref::<hyper::Error>() {
        return Some(error);
    }
    Some(any.downcast_ref::<h2::Error>()?)
}

/// What one of them says of the request; the outer `None` if nothing, the inner one if it is no use
/// to send it again.
pub(super) fn told(error: &(dyn Error + 'static)) -> Option<Option<Failure>> {
    if let Some(error) = error.downcast_ref::<legacy::Error>() {
        return error.is_connect().then_some(Some(Failure::NotSent));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Of a request that is canceled nothing was written yet; with one that is wrong in itself,
        // or whose body fails, sending it again changes nothing. HTTP/2 may say more of any other;
        // the system's word does not count any more, for a connection that is lost long after it was
        // made may report that there is no way to the host.
        return match error {
            _ if error.is_canceled() => Some(Some(Failure::NotSent)),
            _ if error.is_user() => Some(None),
            _ if error
                .source()
                .is_some_and(|source| source.is::<h2::Error>()) =>
            {
                None
            }
            _ => Some(Some(Failure::Interrupted)),
        };
    }
    let error = error.downcast_ref::<h2::Error>()?;
    // "... REFUSED_STREAM: the stream was closed prior to any processing having occurred", and a
    // GOAWAY says the same of the streams it does not name (RFC 9113, section 8.7).
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    (error.is_remote() && (refused || leaving)).then_some(Some(Failure::NotSent))
}
