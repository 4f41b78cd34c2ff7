//! What a client that follows redirects tells of them.

use http::{Extensions, Uri};

use crate::words::extension::Redirected;

/// Whether a response to a request for `uri` is from another URL; `None` if the client does not tell.
pub(crate) fn is_redirected(response: &Extensions, uri: &Uri) -> Option<bool> {
    if let Some(Redirected(redirected)) = response.get() {
        return Some(*redirected);
    }
    #[cfg(feature = "tower-http")]
    if let Some(from) = response.get::<tower_http::follow_redirect::RequestUri>() {
        return Some(from.0 != *uri);
    }
    let _ = uri;
    None
}
