use memchr::{memchr, memchr2};

use super::json::{self, Json};
use crate::{wire::json::MARK, words::Usage};

/// Server-sent events, each with a JSON object as its data, as far as they have come.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    line: Line,
    /// Whether the last line ended with `\r`, of which a `\n` may be the other half.
    returned: bool,
    json: Json,
}

/// What the line is that is being read.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Its beginning: so much of `data:`.
    Begins(usize),
    Data,
    /// A comment, or another field.
    Other,
}

impl Events {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Line::Begins(matched) = self.line {
                if matched == 0 && MARK.contains(&byte) {
                    bytes = rest;
                    continue;
                }
                if let Some(rest) = self.pass_over(bytes) {
                    bytes = rest;
                    continue;
                }
                self.begin(matched, byte);
                bytes = rest;
                continue;
            }
            let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
            let (line, rest) = bytes.split_at(end);
            if matches!(self.line, Line::Data) {
                self.json.read(line);
            }
            bytes = rest;
            if let Some((&byte, rest)) = rest.split_first() {
                self.end(byte);
                bytes = rest;
            }
        }
    }

    pub(super) fn found(&self) -> Option<Usage> {
        self.json.found()
    }

    /// What comes after an event that is whole, of one line, and for certain says nothing of its usage.
    /// Most are such, and looking for a word in them takes a fraction of reading them.
    fn pass_over<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if !matches!(self.line, Line::Begins(0)) || !self.json.is_outside() {
            return None;
        }
        let (line, rest) = bytes.split_at(memchr(b'\n', bytes)?);
        let rest = rest.strip_prefix(b"\n\n")?;
        if line.is_empty() || json::says_of_usage(line) {
            return None;
        }
        self.returned = false;
        self.json.begin_again();
        Some(rest)
    }

    fn begin(&mut self, matched: usize, byte: u8) {
        let returned = std::mem::take(&mut self.returned);
        if byte == DATA[matched] {
            self.line = Line::Begins(matched + 1);
            if matched + 1 == DATA.len() {
                self.line = Line::Data;
                // Some servers leave the empty line between two events out.
                if self.json.is_over() {
                    self.json.begin_again();
                }
            }
        } else if matches!(byte, b'\n' | b'\r') {
            let half = byte == b'\n' && returned;
            // An empty line ends the event; its data may take several lines.
            if matched == 0 && !half {
                self.json.begin_again();
            }
            self.end(byte);
        } else {
            self.line = Line::Other;
        }
    }

    fn end(&mut self, byte: u8) {
        self.line = Line::Begins(0);
        self.returned = byte == b'\r';
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::Begins(0)
    }
}

const DATA: &[u8] = b"data:";
