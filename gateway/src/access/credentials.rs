//! The credentials that programs and browsers send.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

/// Identifies the caller by its credential, or by its address if it sends none. The result is only ever hashed.
pub(crate) fn caller(headers: &HeaderMap, ip: IpAddr) -> String {
    match credential(headers) {
        Some(credential) => format!("key {}", String::from_utf8_lossy(credential)),
        None => format!("ip {}", ip.to_canonical()),
    }
}

/// The credential in a program's headers.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let named = ["x-api-key", "api-key"].iter();
    let mut named = named.filter_map(|name| headers.get(*name));
    bearer(headers).or_else(|| named.next().map(|value| value.as_bytes()))
}

/// The bearer token, in which SDKs send their API key.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    after(headers, "bearer ")
}

/// The password of basic authentication, which browsers send once their user has typed it; any user name is accepted.
pub(crate) fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let login = STANDARD.decode(after(headers, "basic ")?).ok()?;
    let colon = login.iter().position(|byte| *byte == b':')?;
    Some(login[colon + 1..].to_vec())
}

fn after<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (sent, credential) = value.split_at_checked(scheme.len())?;
    let credential = credential.trim_ascii();
    let same = sent.eq_ignore_ascii_case(scheme.as_bytes());
    (same && !credential.is_empty()).then_some(credential)
}
