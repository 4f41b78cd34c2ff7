use memchr::{memchr, memchr2};

use super::json::{self, Json};
use crate::{wire::json::MARK, words::Usage};

/// Incremental reader of server-sent events, each with a JSON object as its data.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    line: Line,
    /// Whether the last line ended with `\r`, so that a `\n` may follow.
    returned: bool,
    json: Json,
}

/// The kind of the current line.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// The beginning of a line: this many bytes of `data:` have matched.
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

    /// Returns the rest after an event that is complete, of one line, and certainly without usage. Most events are,
    /// and searching one for a word takes a fraction of the time of parsing it.
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
                // Some servers omit the empty line between two events.
                if self.json.is_over() {
                    self.json.begin_again();
                }
            }
        } else if matches!(byte, b'\n' | b'\r') {
            let half = byte == b'\n' && returned;
            // An empty line ends the event, whose data may take several lines.
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
