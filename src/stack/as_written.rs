#[cfg(feature = "reqwest-middleware")]
use std::mem;

use http::Request;
use reqwest::{Body, Url};

/// Properties of a `reqwest::Request` that an `http::Request` lacks. They travel in its extensions.
#[derive(Clone)]
pub(super) struct AsWritten {
    url: Url,
    bodiless: bool,
}

impl AsWritten {
    pub(super) fn keep(request: reqwest::Request) -> Result<Request<Body>, reqwest::Error> {
        let url = request.url().clone();
        let bodiless = request.body().is_none();
        let mut request = Request::try_from(request)?;
        let written = Self { url, bodiless };
        request.extensions_mut().insert(written);
        Ok(request)
    }

    /// Adds these extensions to the request. Those that it already has are kept.
    #[cfg(feature = "reqwest-middleware")]
    pub(super) fn with(
        request: reqwest::Request,
        extensions: &http::Extensions,
    ) -> Result<reqwest::Request, reqwest::Error> {
        let mut request = Self::keep(request)?;
        let own = mem::replace(request.extensions_mut(), extensions.clone());
        request.extensions_mut().extend(own);
        Self::restore(request)
    }

    pub(super) fn restore(mut request: Request<Body>) -> Result<reqwest::Request, reqwest::Error> {
        let written = request.extensions_mut().remove::<Self>();
        let mut request = reqwest::Request::try_from(request)?;
        if let Some(written) = written {
            *request.url_mut() = written.url;
            let empty = request.body().and_then(Body::as_bytes) == Some(b"");
            if written.bodiless && empty {
                *request.body_mut() = None;
            }
        }
        Ok(request)
    }
}
