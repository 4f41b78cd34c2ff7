//! What a program asks for, as a path and a query.

/// Whether a server may read it as a way up, out of what the gateway is in front of. A `%2f` by
/// itself is none: it is in models' names.
pub(crate) fn leads_up(path: &str) -> bool {
    let plain = decoded(path);
    let mut segments = plain.split(|byte| matches!(byte, b'/' | b'\\'));
    segments.any(|segment| {
        // Some servers leave out what follows a semicolon, and only then look.
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    })
}

/// A query without the credentials that some APIs want there; `None` if nothing is left.
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

/// What its `%` stand for.
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
