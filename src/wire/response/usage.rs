//! Reads a request's token usage from its response's body as the body passes.

mod events;
mod json;
mod name;

use http::HeaderMap;

use self::{events::Events, json::Json};
use crate::wire::media::Media;
use crate::words::Usage;

/// Reads a body of JSON, or of server-sent events with JSON as their data, in pieces of any size. It keeps a
/// few dozen bytes.
#[derive(Clone, Debug)]
pub(crate) struct UsageReader(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Json(Json),
    Events(Events),
}

impl UsageReader {
    /// A reader for the body of a response with these headers; `None` if the body cannot be read.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Some(Self(match Media::of(headers)? {
            Media::Json => Kind::Json(Json::default()),
            Media::Events => Kind::Events(Events::default()),
        }))
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Json(json) => json.read(bytes),
            Kind::Events(events) => events.read(bytes),
        }
    }

    /// The last usage found so far.
    pub(crate) fn found(&self) -> Option<Usage> {
        match &self.0 {
            Kind::Json(json) => json.found(),
            Kind::Events(events) => events.found(),
        }
    }
}

#[cfg(test)]
mod tests;
