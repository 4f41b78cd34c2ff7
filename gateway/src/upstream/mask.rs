//! Covers a secret in a text that arrives in pieces.
//!
//! The secret is replaced by as many asterisks. The text keeps its length, which has been announced, and an error that
//! quotes the secret is still readable. A piece's end that may be the beginning of the secret is held back until the
//! next piece decides; all other text is passed on at once.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub(crate) struct Mask {
    secret: Arc<[u8]>,
    cover: u8,
    /// The number of bytes of the secret that the text so far ends with; these are held back.
    held: usize,
}

impl Mask {
    pub(crate) fn new(secret: Arc<[u8]>) -> Self {
        // A character that is not in the secret: covered text could otherwise be part of the secret again.
        let cover = COVERS.iter().find(|cover| !secret.contains(cover));
        Self {
            cover: *cover.unwrap_or(&b'*'),
            secret,
            held: 0,
        }
    }

    /// The text that may be passed on, now that `piece` has arrived.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let mut text = match self.held {
            0 => piece,
            held => Bytes::from([&self.secret[..held], &piece].concat()),
        };
        let mut from = 0;
        while let Some(at) = self.find(&text[from..]) {
            let found = from + at..from + at + self.secret.len();
            from = found.end;
            let mut covered = BytesMut::from(text);
            covered[found].fill(self.cover);
            text = covered.freeze();
        }
        self.held = self.begun(&text[from..]);
        text.truncate(text.len() - self.held);
        text
    }

    /// The number of bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Ends the text, and returns the bytes that were held back, which are not the secret.
    pub(crate) fn end(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        Bytes::copy_from_slice(&self.secret[..held])
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        if self.secret.is_empty() {
            return None;
        }
        let mut windows = text.windows(self.secret.len());
        windows.position(|window| window == &*self.secret)
    }

    /// The length of the longest beginning of the secret that the text ends with.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = self.secret.len().saturating_sub(1).min(text.len());
        let mut lengths = (1..=longest).rev();
        let begun = lengths.find(|length| text.ends_with(&self.secret[..*length]));
        begun.unwrap_or(0)
    }
}

const COVERS: [u8; 4] = *b"*#x0";
