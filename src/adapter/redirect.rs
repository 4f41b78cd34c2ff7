//! Reads what a client reports about the redirects it has followed.

use http::{Extensions, Uri};

use crate::words::extension::Redirected;

/// Whether a response comes from another URL than the request's `uri`; `None` if the client does not tell.
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
