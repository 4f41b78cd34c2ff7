//! The gateway's key, which is shown nowhere.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, StatusCode};
use tower::BoxError;

use crate::{
    config::args,
    upstream::{mask::Mask, masked::Masked},
};

pub(crate) struct Key {
    header: HeaderValue,
    /// `None` if the API behind needs none.
    secret: Option<Arc<[u8]>>,
}

impl Key {
    /// `TOGETHER_API_KEY`, if there is one.
    pub(crate) fn from_env() -> Result<Self, BoxError> {
        let secret = args::env("TOGETHER_API_KEY")?.unwrap_or_default();
        Self::new(secret.trim())
    }

    fn new(secret: &str) -> Result<Self, BoxError> {
        let sent = if secret.is_empty() { "none" } else { secret };
        let mut header = HeaderValue::try_from(format!("Bearer {sent}"))
            .map_err(|_| "TOGETHER_API_KEY holds what no header may: copy it anew")?;
        // Not to be shown by anything that shows headers, nor kept in HTTP/2's table of them.
        header.set_sensitive(true);
        Ok(Self {
            header,
            secret: (!secret.is_empty()).then(|| secret.as_bytes().into()),
        })
    }

    pub(crate) fn is_set(&self) -> bool {
        self.secret.is_some()
    }

    /// The `authorization` to send.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Whether somebody quotes it.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let Some(secret) = &self.secret else {
            return false;
        };
        text.windows(secret.len()).any(|part| part == &**secret)
    }

    /// The body of an answer, without it.
    pub(crate) fn out_of(&self, body: Body, status: StatusCode) -> Body {
        match &self.secret {
            Some(secret) if secret.len() >= SECRET || !status.is_success() => {
                Body::new(Masked::new(body, Mask::new(Arc::clone(secret))))
            }
            _ => body,
        }
    }
}

/// What is shorter, as `test` of a server that takes any key, may be a word that a model says.
const SECRET: usize = 16;
