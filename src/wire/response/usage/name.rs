//! Matches the names of the fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Usage,
    Prompt,
    Completion,
    Total,
}

/// The current string, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CurrentString {
    at: At,
    /// The beginning of a name, with its length.
    bytes: [u8; LONGEST],
    length: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Outside,
    /// In a string that is not a name.
    Plain,
    PlainEscape,
    Name,
    NameEscape,
    /// In the four digits of an escape: the number of digits read, and their value.
    NameCode(u8, u32),
}

impl CurrentString {
    /// Starts a string; `name` tells whether it may be a name.
    pub(super) fn open(&mut self, name: bool) {
        self.length = 0;
        self.at = if name { At::Name } else { At::Plain };
    }

    pub(super) fn is_open(&self) -> bool {
        self.at != At::Outside
    }

    /// Whether all bytes but a quote and a backslash can be skipped.
    pub(super) fn is_plain(&self) -> bool {
        self.at == At::Plain
    }

    /// Reads the next byte. At the end of a name, returns which of the names that matter it is.
    pub(super) fn next(&mut self, byte: u8) -> Option<Option<Field>> {
        self.at = match (self.at, byte) {
            (At::Outside, _) | (At::Plain, b'"') => At::Outside,
            (At::Plain, b'\\') => At::PlainEscape,
            (At::Plain | At::PlainEscape, _) => At::Plain,
            (At::Name, b'"') => {
                self.at = At::Outside;
                return Some(self.name());
            }
            (At::Name, b'\\') => At::NameEscape,
            (At::Name, _) => self.push(byte),
            (At::NameEscape, b'u') => At::NameCode(0, 0),
            (At::NameCode(..), b'"') => {
                self.at = At::Outside;
                return Some(None);
            }
            // The names that matter contain no quote, slash or control character.
            (At::NameEscape, _) => self.push(0),
            (At::NameCode(digits, code), _) => {
                let code = code << 4 | char::from(byte).to_digit(16).unwrap_or(0);
                match digits {
                    3 => self.push(u8::try_from(code).unwrap_or(0)),
                    _ => At::NameCode(digits + 1, code),
                }
            }
        };
        None
    }

    fn push(&mut self, byte: u8) -> At {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
        At::Name
    }

    fn name(&self) -> Option<Field> {
        match self.bytes.get(..self.length)? {
            b"usage" => Some(Field::Usage),
            b"prompt_tokens" => Some(Field::Prompt),
            b"completion_tokens" => Some(Field::Completion),
            b"total_tokens" => Some(Field::Total),
            _ => None,
        }
    }
}

/// Length of `completion_tokens`.
const LONGEST: usize = 17;
