//! Which headers go on, both ways.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE,
        SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};

/// A program's headers as the API gets them: whoever the program says it is, it is the gateway that
/// asks. What is not known to say nothing of that stays here: there are more names for credentials
/// than anybody knows.
pub(crate) fn for_api(mut headers: HeaderMap, key: HeaderValue) -> HeaderMap {
    if headers.contains_key(TRANSFER_ENCODING) {
        // Of the two this one counts (RFC 9112, section 6.3).
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
    // Cloudflare, in front of the API, refuses requests that do not say who sends them.
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

/// What is said to the next in line and to nobody behind it (RFC 9110, section 7.6.1).
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

/// What is wanted, who wants it as a product, and what tells one request from another. Not
/// `accept-encoding`: without it answers come as they are, and can be read.
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

/// The body's, and what the SDKs say of themselves.
const FAMILIES: [&str; 2] = ["content-", "x-stainless-"];

/// What is between the API and the gateway; the last two would be believed of the gateway's address.
const OF_API: [HeaderName; 3] = [
    SET_COOKIE,
    HeaderName::from_static("alt-svc"),
    STRICT_TRANSPORT_SECURITY,
];
