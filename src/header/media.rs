/// What a body is, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    /// Server-sent events.
    Events,
}

impl Media {
    /// Of a body of this content type and encoding, as the headers say; `None` where it cannot be read.
    /// Without a type it is taken for JSON.
    pub(super) fn of(content_type: Option<&[u8]>, encoding: Option<&[u8]>) -> Option<Self> {
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return None;
        }
        let full = content_type.unwrap_or(b"application/json");
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
