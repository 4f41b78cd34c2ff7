//! The identity of an API key beyond this process.

use std::fmt;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a key under which processes share its limits.
pub(crate) type Digest = [u8; 32];

/// The source of a request's digest.
#[derive(Clone)]
pub(crate) enum Identity {
    Anonymous,
    /// The value of `authorization`, and the part of it that is the key.
    Header(HeaderValue, fn(&[u8]) -> &[u8]),
    Digest(Digest),
}

impl Identity {
    /// The part of an `authorization` header that `key` finds.
    pub(crate) fn of_header(value: &HeaderValue, key: fn(&[u8]) -> &[u8]) -> Self {
        Self::Header(value.clone(), key)
    }

    pub(crate) fn of_secret(secret: &[u8]) -> Self {
        Self::Digest(sha256(&[b"key", secret]))
    }

    pub(crate) fn of_name(name: &str) -> Self {
        Self::Digest(sha256(&[b"name", name.as_bytes()]))
    }

    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Anonymous => sha256(&[b"none"]),
            Self::Header(value, key) => sha256(&[b"key", key(value.as_bytes())]),
            Self::Digest(digest) => *digest,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// The SHA-256 of some parts, which are kept apart by a zero byte.
pub(crate) fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into()
}
