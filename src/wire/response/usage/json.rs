use std::sync::LazyLock;

use memchr::{memchr, memchr2, memmem::Finder};

use super::name::{Name, Text};
use crate::{wire::json::count, words::Usage};

/// One JSON object, as far as it has come: the numbers of the object `usage` in it, at its top.
#[derive(Clone, Debug, Default)]
pub(super) struct Json {
    text: Text,
    depth: u32,
    /// Whether what it is in is the usage itself.
    inside: bool,
    /// Whether a string is a name here.
    names: bool,
    /// Of the value that comes.
    name: Option<Name>,
    /// Whether the string that is being read may be a number.
    quoted: bool,
    number: Number,
    numbers: [Option<u64>; 3],
    found: Option<Usage>,
    /// It has ended, or is no object.
    over: bool,
}

/// A number, as far as it has come, and its length.
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

    /// Another object comes; what was found is kept.
    pub(super) fn begin_again(&mut self) {
        *self = Self {
            found: self.found,
            ..Self::default()
        };
    }

    /// Whether nothing has begun that has not ended.
    pub(super) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !self.over {
            // Most of an answer is its text.
            if self.text.is_plain() && !self.quoted {
                let length = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                bytes = &bytes[length..];
            } else if self.depth > self.level() && !self.text.is_open() {
                // The numbers of an embedding, for example: deeper only strings and brackets matter.
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
            // A zero, or a byte order mark, which is no data.
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

    /// At what depth names matter.
    fn level(&self) -> u32 {
        if self.inside { 2 } else { 1 }
    }

    fn open(&mut self, object: bool) {
        if self.depth == 0 && !object {
            self.over = true;
            return;
        }
        if self.depth == 1 && self.name == Some(Name::Usage) {
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

    /// A byte of a number. Where nothing matters no value has a name.
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
            Some(Name::Prompt) => 0,
            Some(Name::Completion) => 1,
            Some(Name::Total) => 2,
            Some(Name::Usage) | None => {
                self.number.length = 0;
                return;
            }
        };
        let number = std::mem::take(&mut self.number);
        let text = number.bytes.get(..number.length);
        let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
        // Of half a token nobody takes notice.
        self.numbers[index] = text.and_then(count);
    }
}

/// Whether an object may say something of its usage.
pub(super) fn says_of_usage(object: &[u8]) -> bool {
    let escaped = || memchr(b'\\', object).is_some_and(|at| ESCAPE.find(&object[at..]).is_some());
    TOKENS.find(object).is_some() || escaped()
}

/// What all of the three names end with, and nothing in a text: there a quote is escaped.
static TOKENS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"_tokens\""));
/// A letter of a name may be written so.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));

/// Of a number, in bytes: no count is longer.
const LONGEST: usize = 24;
