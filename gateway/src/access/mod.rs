//! Access to the gateway's calls and to its pages.
//!
//! With tokens, a call must send one of them; the pages also open without a token on this machine. Without tokens,
//! every program on this machine may call, but no web page that is open in its browser.

pub(crate) mod cors;
pub(crate) mod credentials;
pub(crate) mod rejection;
pub(crate) mod tokens;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::body::Body;
use http::{
    HeaderMap, HeaderName, Response, Uri,
    header::{FORWARDED, HOST, ORIGIN, VIA},
    uri::Authority,
};

use crate::access::{
    credentials::{bearer, credential, password},
    tokens::AccessTokens,
};

/// The callers that are accepted: every program on this machine, or those that send one of the tokens.
pub(crate) struct Access {
    tokens: AccessTokens,
    /// The gateway's own host names.
    hosts: Vec<String>,
}

impl Access {
    pub(crate) fn new(tokens: AccessTokens, hosts: Vec<String>) -> Self {
        Self { tokens, hosts }
    }

    /// The name of the calling program: its token's name, or else a number that stands for its credential in this run,
    /// or else its address.
    pub(crate) fn program(&self, headers: &HeaderMap, from: IpAddr) -> Arc<str> {
        match credential(headers) {
            Some(credential) => self.tokens.name(credential),
            None => from.to_canonical().to_string().into(),
        }
    }

    pub(crate) fn wants_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Checks whether the gateway may listen on `address`: every caller that reaches it spends the key's money.
    pub(crate) fn allows(&self, address: SocketAddr) -> Result<(), String> {
        if address.ip().is_loopback() || self.wants_token() {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other machines, and whoever reaches it uses your key: \
             set GATEWAY_TOKENS=TOKEN,ANOTHER and give each program one as its API key, or listen on \
             127.0.0.1:{}",
            address.port()
        ))
    }

    /// The rejection of a call; `None` if the call is accepted.
    pub(crate) fn rejects_call(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
        match self.wants_token() {
            true if self.knows(bearer(headers)) => None,
            true => Some(rejection::unknown()),
            false if !self.is_own_name(uri, headers) => Some(rejection::foreign_host(uri, headers)),
            false if is_of_web_page(uri, headers) => Some(rejection::web_page()),
            false => None,
        }
    }

    /// The rejection of a request for the page and its numbers; `None` if it is accepted. They hold no secrets, but
    /// show which models are in use, and how much.
    pub(crate) fn rejects_look(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Option<Response<Body>> {
        if !self.wants_token() {
            let is_own = self.is_own_name(uri, headers);
            return (!is_own).then(|| rejection::foreign_host(uri, headers));
        }
        let at_machine = from.to_canonical().is_loopback() && is_here(uri, headers);
        if at_machine && !is_proxied(headers) {
            return None;
        }
        let known = self.knows(bearer(headers)) || self.knows(password(headers).as_deref());
        (!known).then(rejection::ask_for_token)
    }

    /// Whether the request's host is a name that no web page's author can make resolve to this machine: an address, a
    /// name of the local network, or a name given by the gateway's operator. Browsers always send a `Host`.
    fn is_own_name(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(host) = host(uri, headers) else {
            return !headers.contains_key(HOST) && !is_of_browser(headers);
        };
        let name = host.host().trim_end_matches('.').to_ascii_lowercase();
        let is_local = !name.contains('.') || name.ends_with(".localhost");
        let is_given = self.hosts.iter().any(|own| own.eq_ignore_ascii_case(&name));
        is_local || is_given || is_here(uri, headers)
    }

    fn knows(&self, sent: Option<&[u8]>) -> bool {
        self.tokens.contain(sent)
    }
}

/// Whether the request's host is `localhost` or an address. Another host name could be made to resolve to this machine,
/// and its owner's web page could then call and read as if it were the gateway's own.
fn is_here(uri: &Uri, headers: &HeaderMap) -> bool {
    host(uri, headers).is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

/// Whether a proxy on this machine forwards the request, in which case the caller may be anywhere.
fn is_proxied(headers: &HeaderMap) -> bool {
    let names = [FORWARDED, VIA, FORWARDED_FOR, REAL_IP];
    names.iter().any(|name| headers.contains_key(name))
}

/// Whether a page of another site sends the request, from a browser on this machine. Such a request needs no
/// permission, and would spend the key's money.
fn is_of_web_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let other_site = matches!(text(&FETCH_SITE), Some("cross-site" | "same-site"));
    let own = host(uri, headers).map(|host| format!("http://{host}"));
    other_site || (headers.contains_key(ORIGIN) && text(&ORIGIN) != own.as_deref())
}

fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(FETCH_SITE)
}

fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match headers.get(HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        // HTTP/2 has the host in the URI's authority.
        None => uri.authority().cloned(),
    }
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
