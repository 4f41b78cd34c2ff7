mod api;
mod declined;
mod too_many;
mod transient;

use std::fmt;

pub use self::api::ApiError;
pub(crate) use self::{
    api::{ErrorFields, Present},
    transient::is_transient,
};

/// An invalid configuration, rejected where it was given.
///
/// The text of the error says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ErrorKind {
    Quota(String),
    Api(&'static str),
    #[cfg(feature = "redis")]
    Redis(String),
}

impl Error {
    pub(crate) fn quota(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Quota(text.into()),
        }
    }

    pub(crate) fn api(text: &'static str) -> Self {
        Self {
            kind: ErrorKind::Api(text),
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn redis(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Redis(text.into()),
        }
    }

    /// Whether the error is an invalid [`Quota`](crate::Quota).
    pub fn is_quota(&self) -> bool {
        matches!(self.kind, ErrorKind::Quota(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::Quota(text) => f.write_str(text),
            #[cfg(feature = "redis")]
            ErrorKind::Redis(text) => f.write_str(text),
            ErrorKind::Api(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
