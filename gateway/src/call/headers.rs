//! The headers that are passed on, in both directions.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE,
        SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};

/// A program's headers as the API gets them. The gateway is the caller, so only headers that are known to hold no
/// credential are passed on; a list of those to remove could never be complete.
pub(crate) fn for_api(mut headers: HeaderMap, key: HeaderValue) -> HeaderMap {
    if headers.contains_key(TRANSFER_ENCODING) {
        // `Transfer-Encoding` overrides `Content-Length` (RFC 9112, section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop(&mut headers);
    let unknown: Vec<_> = headers
        .keys()
        .filter(|name| !goes_on(name))
        .cloned()
        .collect();
    for name in unknown {
        headers.remove(name);
    }
    headers.insert(AUTHORIZATION, key);
    // Cloudflare, in front of the API, rejects requests without a `User-Agent`.
    let own = HeaderValue::from_static(concat!("tower-together/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(own);
    headers
}

/// The API's headers as a program gets them.
pub(crate) fn for_program(headers: &mut HeaderMap, is_secret: impl Fn(&[u8]) -> bool) {
    hop_by_hop(headers);
    for name in OF_API {
        headers.remove(name);
    }
    let telltale: Vec<_> = headers
        .iter()
        .filter(|(_, value)| is_secret(value.as_bytes()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in telltale {
        headers.remove(name);
    }
}

fn goes_on(name: &HeaderName) -> bool {
    let begins = |prefix: &&str| name.as_str().starts_with(prefix);
    TO_API.contains(name) || FAMILIES.iter().any(begins)
}

/// Removes the headers that are meant for the next hop only (RFC 9110, section 7.6.1).
fn hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that describe the request, the calling product, or tell one request from another. `accept-encoding` is left
/// out: without it, responses are not compressed and can be read.
const TO_API: [HeaderName; 15] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    RANGE,
    USER_AGENT,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-client-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-request-id"),
];

/// Prefixes of headers about the body, and of those in which SDKs describe themselves.
const FAMILIES: [&str; 2] = ["content-", "x-stainless-"];

/// Headers between the API and the gateway. Clients would apply the last two to the gateway's address.
const OF_API: [HeaderName; 3] = [
    SET_COOKIE,
    HeaderName::from_static("alt-svc"),
    STRICT_TRANSPORT_SECURITY,
];
