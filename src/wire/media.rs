use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// Whether a body with these headers is uncompressed.
pub(in crate::wire) fn is_plain(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.all(|coding| {
        let coding = coding.trim_ascii();
        PLAIN.iter().any(|plain| coding.eq_ignore_ascii_case(plain))
    })
}

/// The format of a readable body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Media {
    Json,
    /// Server-sent events.
    Events,
}

impl Media {
    /// The format of a body with these headers; `None` if it cannot be read. A body without a content type is
    /// treated as JSON.
    pub(in crate::wire) fn of(headers: &HeaderMap) -> Option<Self> {
        if !is_plain(headers) {
            return None;
        }
        let full = headers.get(CONTENT_TYPE);
        let full = full.map_or(&b"application/json"[..], |value| value.as_bytes());
        let end = full.iter().position(|byte| *byte == b';');
        let media = full[..end.unwrap_or(full.len())].trim_ascii();
        let suffix = &media[media.len().saturating_sub(5)..];
        if media.eq_ignore_ascii_case(b"text/event-stream") {
            Some(Self::Events)
        } else if media.eq_ignore_ascii_case(b"application/json")
            || suffix.eq_ignore_ascii_case(b"+json")
        {
            Some(Self::Json)
        } else {
            None
        }
    }
}

/// Content codings that change nothing, and charsets that servers send in this header by mistake.
const PLAIN: [&[u8]; 8] = [
    b"",
    b"identity",
    b"none",
    b"utf-8",
    b"utf8",
    b"us-ascii",
    b"iso-8859-1",
    b"binary",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(encodings: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for encoding in encodings {
            headers.append(CONTENT_ENCODING, encoding.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_body_is_compressed_only_if_its_encoding_says_so() {
        for plain in [
            &[][..],
            &[""],
            &["identity"],
            &["Identity"],
            &["identity, identity"],
            &["identity", "identity"],
            &["none"],
            &["UTF-8"],
            &["utf8"],
            &["ISO-8859-1"],
            &[" , identity,"],
        ] {
            assert!(is_plain(&headers(plain)), "{plain:?}");
        }
        for compressed in [
            &["gzip"][..],
            &["br"],
            &["identity, gzip"],
            &["identity", "zstd"],
            &["identity gzip"],
            &["unheard-of"],
        ] {
            assert!(!is_plain(&headers(compressed)), "{compressed:?}");
        }
    }
}
