//! How a server responds.

use crate::{headers::Headers, latency::Latency, replies::Shape, stream::Streams};

/// How it responds.
#[derive(Debug)]
pub(crate) struct Manner {
    pub(crate) headers: Headers,
    pub(crate) top_level_error_type: bool,
    pub(crate) shape: Shape,
    pub(crate) latency: Latency,
    pub(crate) streams: Streams,
}
