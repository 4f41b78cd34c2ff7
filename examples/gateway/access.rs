//! Who may use the gateway, and who it is that does.
//!
//! With tokens, whoever sends one. Without, whoever runs on this machine, but no web page that is
//! open in its browser.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
};

use axum::body::Body;
use http::{
    HeaderMap, HeaderName, Response, StatusCode, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};

use crate::error;

/// The tokens that are let in, if not everybody is.
pub(crate) struct Access {
    /// Hashed with a key of this process's own: equal hashes are compared in the same time whatever
    /// was sent, and nothing is kept that could be shown.
    tokens: Vec<u64>,
    state: RandomState,
}

impl Access {
    /// As `GATEWAY_TOKENS` says.
    pub(crate) fn from_env() -> Self {
        let state = RandomState::new();
        let tokens = env::var("GATEWAY_TOKENS").unwrap_or_default();
        let tokens = tokens.split(',').map(str::trim);
        let tokens = tokens.filter(|token| !token.is_empty());
        Self {
            tokens: tokens
                .map(|token| state.hash_one(token.as_bytes()))
                .collect(),
            state,
        }
    }

    /// Whether it may listen there: whoever reaches it spends the key's money.
    pub(crate) fn allows(&self, address: SocketAddr) -> Result<(), String> {
        if address.ip().is_loopback() || !self.tokens.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other machines, and whoever reaches it uses your key: \
             set GATEWAY_TOKENS=TOKEN,ANOTHER and give each program one as its API key, or listen on \
             127.0.0.1:{}",
            address.port()
        ))
    }

    /// What a call is answered that may not go on.
    pub(crate) fn refuses_call(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
        if self.tokens.is_empty() {
            return match is_here(uri, headers) && !is_of_web_page(uri, headers) {
                true => None,
                false => Some(web_page()),
            };
        }
        let sent = bearer(headers).map(|token| self.state.hash_one(token));
        // All of them, so that the time does not tell which.
        let tokens = self.tokens.iter();
        match tokens.fold(false, |known, token| known | (sent == Some(*token))) {
            true => None,
            false => Some(unknown()),
        }
    }

    /// What somebody is answered who may not see the page and its numbers.
    pub(crate) fn refuses_look(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
        match self.tokens.is_empty() && !is_here(uri, headers) {
            true => Some(web_page()),
            false => None,
        }
    }
}

/// Who asks: by its own credential, or else by its address. Only ever hashed.
pub(crate) fn caller(headers: &HeaderMap, ip: IpAddr) -> String {
    let named = ["x-api-key", "api-key"]
        .iter()
        .filter_map(|name| headers.get(*name));
    let named = named.map(|value| value.as_bytes());
    match bearer(headers).or(named.into_iter().next()) {
        Some(credential) => format!("key {}", String::from_utf8_lossy(credential)),
        None => format!("ip {}", ip.to_canonical()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Whether it was asked for by address: a name that is somebody else's may be made to resolve to
/// this machine, and then that somebody's web page may call and read as if it were ours.
fn is_here(uri: &Uri, headers: &HeaderMap) -> bool {
    host(uri, headers).is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

/// Whether a page of another site sends it, from a browser on this machine: that needs nobody's
/// leave, and would spend the key's money.
fn is_of_web_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let other_site = matches!(text(&FETCH_SITE), Some("cross-site" | "same-site"));
    let own = host(uri, headers).map(|host| format!("http://{host}"));
    other_site || (headers.contains_key(ORIGIN) && text(&ORIGIN) != own.as_deref())
}

fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match headers.get(HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        // In HTTP/2 it stands there.
        None => uri.authority().cloned(),
    }
}

fn unknown() -> Response<Body> {
    error::lasting(
        StatusCode::UNAUTHORIZED,
        "invalid_gateway_token",
        "this gateway knows no such token: send one of its GATEWAY_TOKENS as \
         `authorization: Bearer TOKEN`, which is where SDKs put their API key",
    )
}

fn web_page() -> Response<Body> {
    error::lasting(
        StatusCode::FORBIDDEN,
        "web_page",
        "web pages of other sites may not call this gateway: call it from a program, by its \
         address or as localhost, or set GATEWAY_TOKENS",
    )
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
