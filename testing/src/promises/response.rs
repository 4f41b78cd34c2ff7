//! A response in the format of `corpus/`.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Parses a status, headers, an empty line and a body. Invalid lines are left out.
pub(super) fn parse(mut rest: &[u8]) -> (StatusCode, HeaderMap, &[u8]) {
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.get(1..).unwrap_or_default();
        line.trim_ascii()
    };
    let status = StatusCode::from_bytes(line()).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let mut headers = HeaderMap::new();
    loop {
        let line = line();
        if line.is_empty() {
            return (status, headers, rest);
        }
        let mut sides = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(sides.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(sides.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            // Headers beyond the map's capacity are left out too.
            let _ = headers.try_append(name, value);
        }
    }
}
