use http::{Extensions, Uri};

use super::verdict::Nature;
use crate::{adapter, words::extension::Failure};

/// Redirects of the client: a result may belong to a request other than the one sent, after the first server has
/// done its work. This matters only for a request that must not be done twice.
#[derive(Clone, Debug)]
pub(super) struct Hops {
    /// The request's URI, if it must not be done twice.
    once_at: Option<Box<Uri>>,
    /// Whether the client follows redirects, if known.
    follows: Option<bool>,
}

impl Hops {
    pub(super) fn new(nature: Nature, uri: &Uri, follows: Option<bool>) -> Self {
        let once_at = (nature == Nature::Once).then(|| Box::new(uri.clone()));
        Self { once_at, follows }
    }

    /// Classifies an attempt that failed with this error. Returns the reason as an error if it fails each time.
    pub(super) fn failure<E: 'static>(&self, error: &E) -> Result<Failure, &'static str> {
        let failure = adapter::failure(error)?;
        let follows = || {
            let known = self.follows;
            known.unwrap_or_else(|| adapter::may_be_redirected(error))
        };
        Ok(match failure {
            // The failed connection may be the second hop's.
            Failure::NotSent if self.once_at.is_some() && follows() => Failure::Interrupted,
            failure => failure,
        })
    }

    /// Whether a response belongs to another URL than the request.
    pub(super) fn is_another(&self, response: &Extensions) -> bool {
        let Some(uri) = &self.once_at else {
            return false;
        };
        self.follows != Some(false)
            && adapter::is_redirected(response, uri).unwrap_or(self.follows == Some(true))
    }
}
