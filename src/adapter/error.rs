//! What a client's error tells of the request.

use std::{any::Any, error::Error, io, iter};

use crate::words::extension::Failure;

/// How a call failed that brought no answer; `None` if it would fail so each time.
///
/// All that is asked of the error is that it is `'static`: it is looked at as the types that are
/// known, and so is each of its sources. An error of which nothing is known counts as
/// [`Interrupted`](Failure::Interrupted).
pub(crate) fn failure<E: 'static>(error: &E) -> Option<Failure> {
    let Some(error) = known(error) else {
        return Some(Failure::Interrupted);
    };
    let mut chain = iter::successors(Some(error), |&error| beneath(error));
    #[cfg(feature = "reqwest")]
    if chain.clone().any(super::reqwest::is_lasting) {
        return None;
    }
    Some(chain.find_map(told).unwrap_or(Failure::Interrupted))
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

/// The error that one error is about.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    #[cfg(feature = "reqwest-middleware")]
    if let Some(inner) = super::reqwest::beneath(error) {
        return Some(inner);
    }
    // One that wraps another has that other's source for its own, as if it were not there.
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// What one error of a chain says, if anything.
fn told(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // Not so those that say that there is no way: an old connection may end with them.
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        return refused.then_some(Failure::NotSent);
    }
    #[cfg(feature = "tonic")]
    if let Some(told) = super::tonic::told(error) {
        return Some(told);
    }
    #[cfg(feature = "hyper")]
    if let Some(told) = super::hyper::told(error) {
        return Some(told);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    type BoxError = Box<dyn Error + Send + Sync>;

    #[test]
    fn an_error_is_known_by_its_type_or_by_one_of_its_sources() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(failure(&refused()), Some(Failure::NotSent));
        assert_eq!(
            failure::<BoxError>(&refused().into()),
            Some(Failure::NotSent)
        );
        assert_eq!(
            failure::<Box<dyn Error>>(&refused().into()),
            Some(Failure::NotSent)
        );
        let wrapped = io::Error::other(io::Error::other(refused()));
        assert_eq!(failure(&wrapped), Some(Failure::NotSent));
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::HostUnreachable,
        ] {
            assert_eq!(failure(&io::Error::from(kind)), Some(Failure::Interrupted));
        }
        assert_eq!(
            failure::<BoxError>(&"too slow".into()),
            Some(Failure::Interrupted)
        );
        assert_eq!(failure(&()), Some(Failure::Interrupted));
    }
}
