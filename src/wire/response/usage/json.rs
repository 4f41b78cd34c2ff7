use std::sync::LazyLock;

use memchr::{memchr, memchr2, memmem::Finder};

use super::name::{CurrentString, Field};
use crate::{wire::json::count, words::Usage};

/// Incremental reader of a JSON object: reads the numbers of the object `usage` at its top level.
#[derive(Clone, Debug, Default)]
pub(super) struct Json {
    text: CurrentString,
    depth: u32,
    /// Whether the reader is inside `usage`.
    inside: bool,
    /// Whether the next string is a name here.
    names: bool,
    /// The name of the value that comes next.
    name: Option<Field>,
    /// Whether the current string may be a number.
    quoted: bool,
    number: Number,
    numbers: [Option<u64>; 3],
    found: Option<Usage>,
    /// Whether the object has ended, or is not an object.
    over: bool,
}

/// The digits of a number read so far, and their count.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Json {
    pub(super) fn found(&self) -> Option<Usage> {
        self.found
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Starts another object. The usage found so far is kept.
    pub(super) fn begin_again(&mut self) {
        *self = Self {
            found: self.found,
            ..Self::default()
        };
    }

    /// Whether the reader is outside any object or array.
    pub(super) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !self.over {
            // Most of a response is text.
            if self.text.is_plain() && !self.quoted {
                let length = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                bytes = &bytes[length..];
            } else if self.depth > self.level() && !self.text.is_open() {
                // Deeper than names matter, only strings and brackets are read; this skips an embedding's numbers.
                let matters = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
                let length = bytes.iter().position(matters).unwrap_or(bytes.len());
                bytes = &bytes[length..];
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            if !self.text.is_open() {
                self.punctuation(byte);
                continue;
            }
            if self.quoted && byte != b'"' {
                self.digit(byte);
            }
            if let Some(name) = self.text.next(byte) {
                self.name = name;
            }
            self.quoted &= self.text.is_open();
        }
    }

    fn punctuation(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            // Zeros and byte order marks are ignored.
            b'\0' | b'\xef' | b'\xbb' | b'\xbf' => {}
            b'{' | b'[' => self.open(byte == b'{'),
            _ if self.depth == 0 => self.over = true,
            b'}' | b']' => self.close(),
            b',' => {
                self.end_number();
                self.name = None;
                self.names = self.depth == self.level();
            }
            b'"' => {
                self.text.open(self.names);
                self.quoted = !self.names && self.name.is_some();
                self.names = false;
            }
            byte => self.digit(byte),
        }
    }

    /// The depth at which names matter.
    fn level(&self) -> u32 {
        if self.inside { 2 } else { 1 }
    }

    fn open(&mut self, object: bool) {
        if self.depth == 0 && !object {
            self.over = true;
            return;
        }
        if self.depth == 1 && self.name == Some(Field::Usage) {
            self.inside = true;
            self.numbers = [None; 3];
        }
        self.name = None;
        self.depth = self.depth.saturating_add(1);
        self.names = object && self.depth == self.level();
    }

    fn close(&mut self) {
        self.end_number();
        if self.inside && self.depth == 2 {
            let [prompt, completion, total] = self.numbers;
            self.found = Usage::new(prompt, completion, total).or(self.found);
            self.inside = false;
            self.name = None;
        }
        self.names = false;
        self.depth = self.depth.saturating_sub(1);
        self.over = self.depth == 0;
    }

    /// Reads a byte of a number. A value has a name only where names matter.
    fn digit(&mut self, byte: u8) {
        if self.name.is_none() {
            return;
        }
        if let Some(place) = self.number.bytes.get_mut(self.number.length) {
            *place = byte;
        }
        self.number.length = self.number.length.saturating_add(1);
    }

    fn end_number(&mut self) {
        let index = match self.name {
            Some(Field::Prompt) => 0,
            Some(Field::Completion) => 1,
            Some(Field::Total) => 2,
            Some(Field::Usage) | None => {
                self.number.length = 0;
                return;
            }
        };
        let number = std::mem::take(&mut self.number);
        let text = number.bytes.get(..number.length);
        let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
        // Fractions of a token are dropped.
        self.numbers[index] = text.and_then(count);
    }
}

/// Whether an object may contain usage.
pub(super) fn says_of_usage(object: &[u8]) -> bool {
    let escaped = || memchr(b'\\', object).is_some_and(|at| ESCAPE.find(&object[at..]).is_some());
    TOKENS.find(object).is_some() || escaped()
}

/// The end of all three names. A text never contains it, since its quotes are escaped.
static TOKENS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"_tokens\""));
/// An escape, which may be part of a name.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));

/// Maximum length of a number, in bytes: no count is longer.
const LONGEST: usize = 24;
