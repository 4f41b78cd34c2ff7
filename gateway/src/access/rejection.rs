//! Responses to rejected callers, which say how to get access.

use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Uri,
    header::{HOST, WWW_AUTHENTICATE},
};

use crate::error;

pub(crate) fn unknown() -> Response<Body> {
    error::lasting(
        StatusCode::UNAUTHORIZED,
        "invalid_gateway_token",
        "this gateway knows no such token: send one of its GATEWAY_TOKENS as \
         `authorization: Bearer TOKEN`, which is where SDKs put their API key",
    )
}

/// Makes a browser ask its user for the token.
pub(crate) fn ask_for_token() -> Response<Body> {
    let mut response = error::lasting(
        StatusCode::UNAUTHORIZED,
        "invalid_gateway_token",
        "from other machines this is seen with one of the gateway's GATEWAY_TOKENS: in a browser as \
         the password, with any name; by a program as `authorization: Bearer TOKEN`",
    );
    response.headers_mut().insert(WWW_AUTHENTICATE, BASIC);
    response
}

pub(crate) fn web_page() -> Response<Body> {
    error::lasting(
        StatusCode::FORBIDDEN,
        "web_page",
        "web pages of other sites may not call this gateway: call it from a program, or set \
         GATEWAY_TOKENS",
    )
}

pub(crate) fn websocket() -> Response<Body> {
    error::lasting(
        StatusCode::NOT_IMPLEMENTED,
        "websocket",
        "websockets do not pass this gateway: connect to the API itself",
    )
}

pub(crate) fn foreign_host(uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    let asked = headers.get(HOST).map(|host| host.as_bytes());
    let asked = asked.or(uri.authority().map(|host| host.as_str().as_bytes()));
    let asked = String::from_utf8_lossy(asked.unwrap_or(b"no host"));
    error::lasting(
        StatusCode::FORBIDDEN,
        "foreign_host",
        &format!(
            "this gateway is not known as {asked}, which may be anybody's name for it: call it by its \
             address or as localhost. Whoever runs it can allow a name with --host, or set GATEWAY_TOKENS"
        ),
    )
}

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"gateway\", charset=\"UTF-8\"");
