//! The path and query of a program's request.

/// Whether a server may read `path` as a way up, out of the API's base path. A `%2f` alone does not count: models'
/// names contain it.
pub(crate) fn leads_up(path: &str) -> bool {
    let plain = decoded(path);
    let mut segments = plain.split(|byte| matches!(byte, b'/' | b'\\'));
    segments.any(|segment| {
        // Some servers first remove everything after a semicolon.
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    })
}

/// A query without the credentials that some APIs expect there; `None` if nothing remains.
pub(crate) fn without_credentials(query: &str) -> Option<String> {
    let is_credential = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = decoded(name).to_ascii_lowercase();
        CREDENTIALS.iter().any(|known| known.as_bytes() == name)
    };
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !is_credential(pair))
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// Decodes the `%` escapes of a text.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        let code = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                plain.push(high * 16 + low);
                rest = &after[2..];
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

const CREDENTIALS: [&str; 10] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "key",
    "password",
    "secret",
    "token",
];
