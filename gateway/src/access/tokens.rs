//! The tokens of `GATEWAY_TOKENS`, and the names of the programs that send them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use crate::config::args;

/// The tokens are kept as hashes under a random key of this process. Comparing equal hashes takes the same time
/// whatever was sent, and no secret is kept that could be shown.
#[derive(Default)]
pub(crate) struct AccessTokens {
    known: Vec<(u64, Option<Arc<str>>)>,
    state: RandomState,
}

impl AccessTokens {
    /// Parses comma-separated entries, each `NAME=TOKEN` or `TOKEN`.
    pub(crate) fn from_env() -> Result<Self, String> {
        let set = args::env("GATEWAY_TOKENS")?;
        let mut tokens = Self::default();
        for entry in set.as_deref().unwrap_or_default().split(',') {
            let (name, token) = named(entry.trim());
            if !token.is_empty() {
                let hash = tokens.hash(token.as_bytes());
                tokens.known.push((hash, name.map(Into::into)));
            }
        }
        if set.is_some() && tokens.is_empty() {
            // An empty variable was meant to restrict access, so it is an error.
            return Err(
                "GATEWAY_TOKENS is set and holds no token: write GATEWAY_TOKENS=NAME=TOKEN,NAME=TOKEN, \
                 or unset it to serve this machine alone"
                    .to_owned(),
            );
        }
        Ok(tokens)
    }

    pub(crate) fn add(&mut self, name: &str, token: &str) {
        let hash = self.hash(token.as_bytes());
        self.known.push((hash, Some(name.into())));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn contain(&self, sent: Option<&[u8]>) -> bool {
        let sent = sent.map(|token| self.hash(token));
        // Compares with all tokens, so that the time does not tell which one matched.
        let known = self.known.iter();
        known.fold(false, |found, (token, _)| found | (sent == Some(*token)))
    }

    /// The name of the program that sends `credential`: its token's name, or a number that reveals nothing of the
    /// token.
    pub(crate) fn name(&self, credential: &[u8]) -> Arc<str> {
        let hash = self.hash(credential);
        let known = self.known.iter().find(|(token, _)| *token == hash);
        match known {
            Some((_, Some(name))) => Arc::clone(name),
            _ => format!("key-{:08x}", hash >> 32).into(),
        }
    }

    fn hash(&self, token: &[u8]) -> u64 {
        self.state.hash_one(token)
    }
}

/// Splits an entry into name and token. A token that ends with `=`, as base64 does, has no name.
fn named(entry: &str) -> (Option<&str>, &str) {
    match entry.split_once('=') {
        Some((name, token)) if is_name(name) && !token.trim_matches('=').is_empty() => {
            (Some(name), token.trim())
        }
        _ => (None, entry),
    }
}

fn is_name(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(of_name)
}
