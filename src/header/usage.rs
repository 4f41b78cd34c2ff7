//! What an answer says that its request cost, found in its body as it passes.

mod events;
mod json;
mod name;

use self::{events::Events, json::Json};
use crate::words::Usage;

/// Reads a body of JSON, or of server-sent events whose data is JSON, piece by piece, however it is
/// cut. It keeps a few dozen bytes.
#[derive(Clone, Debug)]
pub(crate) struct UsageReader(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Json(Json),
    Events(Events),
}

impl UsageReader {
    /// For a body of this content type and encoding, as the headers say; `None` where it cannot be
    /// read. Without a type it is taken for JSON.
    pub(crate) fn new(content_type: Option<&[u8]>, encoding: Option<&[u8]>) -> Option<Self> {
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return None;
        }
        let full = content_type.unwrap_or(b"application/json");
        let end = full.iter().position(|byte| *byte == b';');
        let media = full[..end.unwrap_or(full.len())].trim_ascii();
        let suffix = &media[media.len().saturating_sub(5)..];
        if media.eq_ignore_ascii_case(b"text/event-stream") {
            Some(Self(Kind::Events(Events::default())))
        } else if media.eq_ignore_ascii_case(b"application/json")
            || suffix.eq_ignore_ascii_case(b"+json")
        {
            Some(Self(Kind::Json(Json::default())))
        } else {
            None
        }
    }

    /// The next bytes of the body.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Json(json) => json.read(bytes),
            Kind::Events(events) => events.read(bytes),
        }
    }

    /// What was found so far: the last there was.
    pub(crate) fn found(&self) -> Option<Usage> {
        match &self.0 {
            Kind::Json(json) => json.found(),
            Kind::Events(events) => events.found(),
        }
    }
}

#[cfg(test)]
mod tests;
