//! Which headers go on, both ways.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED,
        HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};

/// A program's headers as the API gets them: whoever the program says it is, it is the gateway that
/// asks.
pub(crate) fn for_api(mut headers: HeaderMap, key: HeaderValue) -> HeaderMap {
    if headers.contains_key(TRANSFER_ENCODING) {
        // Of the two this one counts (RFC 9112, section 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop(&mut headers);
    for name in OF_PROGRAMS {
        headers.remove(name);
    }
    for name in OF_PROXIES {
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

/// Credentials, and what only makes sense with them; the host is the gateway's own. Without
/// `accept-encoding` answers come as they are, and an error can be read.
const OF_PROGRAMS: [HeaderName; 9] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HOST,
    ACCEPT_ENCODING,
    EXPECT,
];

/// Who the program is, as other proxies say.
const OF_PROXIES: [HeaderName; 6] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// What is between the API and the gateway; the last two would be believed of the gateway's address.
const OF_API: [HeaderName; 3] = [
    SET_COOKIE,
    HeaderName::from_static("alt-svc"),
    STRICT_TRANSPORT_SECURITY,
];
