//! `GET /`: the page for people, served from one file.

pub(crate) mod lanes;

use std::hash::{BuildHasher, RandomState};

use axum::body::Body;
use http::{
    HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};

pub(crate) async fn page() -> Response<Body> {
    // An unpredictable number: the standard library makes it from the system's randomness.
    let nonce = format!("{:016x}", RandomState::new().hash_one(()));
    let policy = POLICY.replace("NONCE", &nonce);
    let policy = HeaderValue::try_from(policy).expect("letters a header may have");
    let mut response = Response::new(Body::from(PAGE.replace("NONCE", &nonce)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Only scripts and styles in the page itself run, and they connect only to the gateway.
const POLICY: &str = "default-src 'none'; script-src 'nonce-NONCE'; style-src 'nonce-NONCE'; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
const PAGE: &str = include_str!("page.html");
const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
