//! The gateway's key, which is never shown.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, StatusCode};
use tower::BoxError;

use crate::{
    config::args,
    upstream::{mask::Mask, masked::Masked},
};

pub(crate) struct UpstreamKey {
    header: HeaderValue,
    /// `None` if the API needs no key.
    secret: Option<Arc<[u8]>>,
}

impl UpstreamKey {
    /// Reads `TOGETHER_API_KEY`, if it is set.
    pub(crate) fn from_env() -> Result<Self, BoxError> {
        let secret = args::env("TOGETHER_API_KEY")?.unwrap_or_default();
        Self::new(secret.trim())
    }

    fn new(secret: &str) -> Result<Self, BoxError> {
        let sent = if secret.is_empty() { "none" } else { secret };
        let mut header = HeaderValue::try_from(format!("Bearer {sent}"))
            .map_err(|_| "TOGETHER_API_KEY holds what no header may: copy it again")?;
        // Keeps the key out of every output that shows headers, and out of HTTP/2's header table.
        header.set_sensitive(true);
        Ok(Self {
            header,
            secret: (!secret.is_empty()).then(|| secret.as_bytes().into()),
        })
    }

    pub(crate) fn is_set(&self) -> bool {
        self.secret.is_some()
    }

    /// The `authorization` header to send.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Whether `text` contains the key.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let Some(secret) = &self.secret else {
            return false;
        };
        text.windows(secret.len()).any(|part| part == &**secret)
    }

    /// The body of a response, with the key covered.
    pub(crate) fn out_of(&self, body: Body, status: StatusCode) -> Body {
        match &self.secret {
            Some(secret) if secret.len() >= SECRET || !status.is_success() => {
                Body::new(Masked::new(body, Mask::new(Arc::clone(secret))))
            }
            _ => body,
        }
    }
}

/// The shortest key that is covered. A shorter one, such as `test` for a server that takes any key, may be an ordinary
/// word in a model's output.
const SECRET: usize = 16;
