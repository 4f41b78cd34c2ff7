//! Words, and the passages that are cut of them, of text that comes in pieces.

use std::collections::VecDeque;

/// Tells where words begin. A word that is too long is several: some scripts have no spaces. Of white space no more
/// is kept than of a word, so that the length of a passage has a bound.
#[derive(Default)]
struct Words {
    /// Bytes since the last word began; `None` in white space.
    inside: Option<usize>,
    /// Bytes of the white space before.
    space: usize,
}

impl Words {
    /// Whether a letter begins a word; `None` if it is left out.
    fn next(&mut self, letter: char) -> Option<bool> {
        let bytes = letter.len_utf8();
        if letter.is_whitespace() {
            self.inside = None;
            self.space += bytes;
            return (self.space <= LONGEST).then_some(false);
        }
        self.space = 0;
        let begins = self.inside.is_none_or(|inside| inside >= LONGEST);
        self.inside = Some(bytes + self.inside.filter(|_| !begins).unwrap_or(0));
        Some(begins)
    }
}

/// Counts words.
#[derive(Default)]
pub(crate) struct WordCounter {
    words: Words,
    pub(crate) count: usize,
}

impl WordCounter {
    pub(crate) fn push(&mut self, text: &str) {
        let begin = |letter: &char| self.words.next(*letter) == Some(true);
        self.count += text.chars().filter(begin).count();
    }
}

/// Cuts text into passages that begin every `step` words; the last ends where the text does. It holds no more than
/// two of them.
pub(crate) struct Cutter {
    step: usize,
    words: Words,
    text: String,
    /// The starts of words in `text`, from the first word of the last passage on.
    starts: VecDeque<usize>,
    /// Whether the passage that begins with the first of them was given.
    given: bool,
}

impl Cutter {
    pub(crate) fn new(step: usize) -> Self {
        Self {
            step,
            words: Words::default(),
            text: String::new(),
            starts: VecDeque::new(),
            given: false,
        }
    }

    /// The number of passages of so many words.
    pub(crate) fn passages(words: usize, step: usize) -> usize {
        let last = words.saturating_sub(LENGTH);
        usize::from(words > 0) + last.div_ceil(step)
    }

    /// Takes a letter, and gives the passage that is complete with it.
    pub(crate) fn next(&mut self, letter: char) -> Option<String> {
        let begins = self.words.next(letter)?;
        let mut passage = None;
        if begins {
            let words = self.starts.len();
            if self.given && words == self.step + LENGTH {
                let first = self.starts[self.step];
                self.starts.drain(..self.step);
                self.starts.iter_mut().for_each(|start| *start -= first);
                self.text.drain(..first);
                passage = Some(self.from(0));
            } else if !self.given && words == LENGTH {
                self.given = true;
                passage = Some(self.from(0));
            }
            self.starts.push_back(self.text.len());
        }
        self.text.push(letter);
        passage
    }

    /// Gives the last passage.
    pub(crate) fn end(self) -> Option<String> {
        match self.starts.len() {
            0 => None,
            _ if !self.given => Some(self.from(0)),
            words => Some(self.from(words - LENGTH)),
        }
    }

    fn from(&self, word: usize) -> String {
        self.text[self.starts[word]..].trim_end().to_owned()
    }
}

/// How many words of a text can begin a passage that is not cut short.
pub(crate) fn room(words: usize) -> usize {
    words.saturating_sub(LENGTH)
}

/// Words in a passage: some 500 letters, which fits models that take 512 tokens.
const LENGTH: usize = 80;
/// Bytes in a word, and in the white space between two.
const LONGEST: usize = 24;
