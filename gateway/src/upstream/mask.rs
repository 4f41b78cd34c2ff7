//! A secret taken out of a text that comes in pieces.
//!
//! It is covered by as many asterisks: the text keeps its length, which has been announced, and an
//! error that quotes the secret still says what went wrong. What may be the beginning of it is held
//! back until the next piece tells; any other text goes on at once.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub(crate) struct Mask {
    secret: Arc<[u8]>,
    cover: u8,
    /// How many bytes of the secret the text so far ends with: these are held back.
    held: usize,
}

impl Mask {
    pub(crate) fn new(secret: Arc<[u8]>) -> Self {
        // One that is not in the secret, or what is covered could be part of it again.
        let cover = COVERS.iter().find(|cover| !secret.contains(cover));
        Self {
            cover: *cover.unwrap_or(&b'*'),
            secret,
            held: 0,
        }
    }

    /// What may go on of the text, now that this much more of it is known.
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

    /// How much is held back.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The text has ended: what was held back is no secret.
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

    /// The longest beginning of the secret that the text ends with.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = self.secret.len().saturating_sub(1).min(text.len());
        let mut lengths = (1..=longest).rev();
        let begun = lengths.find(|length| text.ends_with(&self.secret[..*length]));
        begun.unwrap_or(0)
    }
}

const COVERS: [u8; 4] = *b"*#x0";
