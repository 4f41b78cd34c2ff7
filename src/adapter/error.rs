//! Reads what a client's error says about its request.

use std::{any::Any, error::Error, io, iter};

use super::lasting::lasting_text;
use crate::words::{Rejected, extension::Failure};

/// Classifies a call that failed without a response. Returns the reason as an error if it would fail each time.
///
/// The error only has to be `'static`. It and its sources are compared with the known types; unknown errors
/// count as [`Interrupted`](Failure::Interrupted).
pub(crate) fn failure<E: 'static>(error: &E) -> Result<Failure, &'static str> {
    let Some(error) = known(error) else {
        return Ok(Failure::Interrupted);
    };
    let mut chain = iter::successors(Some(error), |&error| beneath(error));
    let failure = chain
        .clone()
        .find_map(failure_of)
        .unwrap_or(Failure::Interrupted);
    // The text is only reliable in connection errors.
    let text = |error| lasting_text(error).filter(|_| failure == Failure::NotSent);
    match chain.find_map(|error| lasting(error).or_else(|| text(error))) {
        Some(why) => Err(why),
        None => Ok(failure),
    }
}

/// Whether the error may belong to a redirect that the client has followed, and not to the request itself.
pub(crate) fn may_be_redirected<E: 'static>(error: &E) -> bool {
    #[cfg(feature = "reqwest")]
    if let Some(error) = known(error) {
        let mut chain = iter::successors(Some(error), |&error| beneath(error));
        return chain.any(|error| error.is::<reqwest::Error>());
    }
    let _ = error;
    false
}

fn known(any: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        return Some(&**error);
    }
    if let Some(error) = any.downcast_ref::<Box<dyn Error>>() {
        return Some(&**error);
    }
    if let Some(error) = any.downcast_ref::<io::Error>() {
        return Some(error);
    }
    if let Some(error) = any.downcast_ref::<Rejected>() {
        return Some(error);
    }
    #[cfg(feature = "hyper")]
    if let Some(error) = super::hyper::error(any) {
        return Some(error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = super::reqwest::error(any) {
        return Some(error);
    }
    #[cfg(feature = "tonic")]
    if let Some(error) = super::tonic::error(any) {
        return Some(error);
    }
    None
}

/// The error that caused `error`.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    #[cfg(feature = "reqwest-middleware")]
    if let Some(inner) = super::reqwest::beneath(error) {
        return Some(inner);
    }
    // A wrapping `io::Error` returns the inner error's source as its own, which would skip the inner error.
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Classifies a single error of a chain, if it is known.
fn failure_of(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            // Unreachable hosts and networks are not included: an established connection may end with them.
            io::ErrorKind::ConnectionRefused => Some(Failure::NotSent),
            // The system's own timeout means a dead connection.
            io::ErrorKind::TimedOut if error.raw_os_error().is_none() => Some(Failure::TimedOut),
            _ => None,
        };
    }
    #[cfg(feature = "tonic")]
    if let Some(failure) = super::tonic::failure_of(error) {
        return Some(failure);
    }
    #[cfg(feature = "hyper")]
    if let Some(failure) = super::hyper::failure_of(error) {
        return Some(failure);
    }
    let text = error.to_string();
    TIMEOUTS.contains(&&*text).then_some(Failure::TimedOut)
}

/// Exact messages of timeouts: tokio's, tower's and reqwest's.
const TIMEOUTS: [&str; 3] = [
    "deadline has elapsed",
    "request timed out",
    "operation timed out",
];

/// Why an error is permanent, judged by its type.
fn lasting(error: &(dyn Error + 'static)) -> Option<&'static str> {
    #[cfg(feature = "reqwest")]
    if let Some(why) = super::reqwest::lasting(error) {
        return Some(why);
    }
    #[cfg(feature = "hyper")]
    if let Some(why) = super::hyper::lasting(error) {
        return Some(why);
    }
    let rejected = error.is::<Rejected>();
    rejected.then_some("a limiter beneath has rejected it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Endpoint, Reason};

    type BoxError = Box<dyn Error + Send + Sync>;

    #[test]
    fn an_error_is_known_by_its_type_or_by_one_of_its_sources() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(failure(&refused()), Ok(Failure::NotSent));
        assert_eq!(failure::<BoxError>(&refused().into()), Ok(Failure::NotSent));
        assert_eq!(
            failure::<Box<dyn Error>>(&refused().into()),
            Ok(Failure::NotSent)
        );
        let wrapped = io::Error::other(io::Error::other(refused()));
        assert_eq!(failure(&wrapped), Ok(Failure::NotSent));
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::HostUnreachable,
        ] {
            assert_eq!(failure(&io::Error::from(kind)), Ok(Failure::Interrupted));
        }
        assert_eq!(
            failure::<BoxError>(&"too slow".into()),
            Ok(Failure::Interrupted)
        );
        assert_eq!(failure(&()), Ok(Failure::Interrupted));
    }

    /// A client that uses a limiter directly may return its rejection as an error.
    #[test]
    fn a_rejection_is_final_as_an_error_too() {
        let rejected = || Rejected::new(Reason::MaxWait, Endpoint::Images, None);
        assert!(failure(&rejected()).is_err());
        assert!(failure::<BoxError>(&rejected().into()).is_err());
        assert!(failure(&io::Error::other(rejected())).is_err());
    }
}
