//! Text, cut into overlapping passages.

use std::{ops::Range, path::Path};

use tower::BoxError;

use crate::{
    args::Args,
    text::{File, is_source, read},
};

/// Passages, in the order of their files.
pub(crate) struct Corpus {
    files: Vec<File>,
    passages: Vec<Passage>,
}

struct Passage {
    file: usize,
    span: Range<usize>,
}

impl Corpus {
    /// What the command line names, or the text of the repository this was built from.
    pub(crate) fn new(args: &Args) -> Result<Self, BoxError> {
        let own = args.paths.is_empty();
        let files = if own {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            read(root, root, &|path| is_source(path) && !args.writes(path))?
        } else {
            let read = |path| read(path, Path::new(""), &|path| !args.writes(path));
            let files: Result<Vec<_>, _> = args.paths.iter().map(|path| read(path)).collect();
            files?.into_iter().flatten().collect()
        };
        let requests = args.requests.map(usize::from);
        let enough = if args.moving { MOVING } else { REQUESTS };
        let wanted = requests.or(own.then_some(enough));
        let wanted = wanted.map(|requests| requests.saturating_mul(PER_REQUEST));
        let step = match wanted {
            // Our own text is short: its passages overlap more, until there are enough.
            Some(wanted) if own => (room(&files) / wanted).clamp(1, STEP),
            _ => STEP,
        };
        let mut passages: Vec<_> = cut(&files, step).collect();
        passages.truncate(wanted.unwrap_or(usize::MAX));
        if passages.is_empty() {
            return Err("there is no text to embed: name files or folders that hold some".into());
        }
        Ok(Self { files, passages })
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.passages.len()
    }

    /// How many requests they make.
    pub(crate) fn requests(&self) -> usize {
        self.len().div_ceil(PER_REQUEST)
    }

    /// Which texts a request carries.
    pub(crate) fn range(&self, request: usize) -> Range<usize> {
        let start = request * PER_REQUEST;
        start..self.len().min(start + PER_REQUEST)
    }

    /// The texts themselves.
    pub(crate) fn texts(&self, request: usize) -> Vec<&str> {
        self.range(request)
            .map(|index| self.passage(index).1)
            .collect()
    }

    /// A passage: the name of its file, and its text.
    pub(crate) fn passage(&self, index: usize) -> (&str, &str) {
        let Passage { file, span } = &self.passages[index];
        let file = &self.files[*file];
        (&file.name, &file.text[span.clone()])
    }
}

/// How many words of all files can begin a passage that is not cut short.
fn room(files: &[File]) -> usize {
    let room = |file: &File| file.words.len().saturating_sub(LENGTH);
    files.iter().map(room).sum()
}

/// Passages that begin every `step` words; the last of a file ends where the file does.
fn cut(files: &[File], step: usize) -> impl Iterator<Item = Passage> {
    files.iter().enumerate().flat_map(move |(number, file)| {
        let File { text, words, .. } = file;
        let last = words.len().saturating_sub(LENGTH);
        let starts = if words.is_empty() {
            0
        } else {
            1 + last.div_ceil(step)
        };
        (0..starts).map(move |start| {
            let start = last.min(start * step);
            let end = words.get(start + LENGTH).copied().unwrap_or(text.len());
            let text = text[words[start]..end].trim_end();
            Passage {
                file: number,
                span: words[start]..words[start] + text.len(),
            }
        })
    })
}

/// Texts in a request.
const PER_REQUEST: usize = 20;
/// Requests to make of our own text: a minute's worth at 300 a minute, and a little more.
const REQUESTS: usize = 320;
/// The same while the limit moves: three minutes' worth.
const MOVING: usize = 1_000;
/// Words in a passage: some 500 letters, which fits models that take 512 tokens.
const LENGTH: usize = 80;
/// From one passage's start to the next one's: a quarter is in both.
const STEP: usize = 60;
