use http::{Extensions, Uri};

use super::verdict::Nature;
use crate::{adapter, words::extension::Failure};

/// A client that follows redirects: what came may be of another request than the one that was sent, after the
/// first server has done its work. Only a request that must not be done twice needs to know.
#[derive(Clone, Debug)]
pub(super) struct Hops {
    /// Where the request goes, if it must not be done twice.
    once_at: Option<Box<Uri>>,
    /// Whether its client follows redirects, if that is known.
    follows: Option<bool>,
}

impl Hops {
    pub(super) fn new(nature: Nature, uri: &Uri, follows: Option<bool>) -> Self {
        let once_at = (nature == Nature::Once).then(|| Box::new(uri.clone()));
        Self { once_at, follows }
    }

    /// How an attempt failed that brought this error; why it fails each time, if it does.
    pub(super) fn failure<E: 'static>(&self, error: &E) -> Result<Failure, &'static str> {
        let failure = adapter::failure(error)?;
        let follows = || {
            let known = self.follows;
            known.unwrap_or_else(|| adapter::may_be_redirected(error))
        };
        Ok(match failure {
            // The second hop's connection, for all that is known.
            Failure::NotSent if self.once_at.is_some() && follows() => Failure::Interrupted,
            failure => failure,
        })
    }

    /// Whether a response is not that of the request itself.
    pub(super) fn is_another(&self, response: &Extensions) -> bool {
        let Some(uri) = &self.once_at else {
            return false;
        };
        self.follows != Some(false)
            && adapter::is_redirected(response, uri).unwrap_or(self.follows == Some(true))
    }
}
