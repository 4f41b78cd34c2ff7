//! Text, cut into overlapping passages as it is read.

use std::{
    collections::HashSet,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    ops::ControlFlow::{self, Break, Continue},
    path::Path,
    sync::Arc,
    thread,
};

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tower::BoxError;

use crate::{
    args::Args,
    text::{STANDARD_INPUT, Skipped, TextFile, find, is_source, pieces},
    words::{Cutter, room},
};

/// The name of a passage's file, and its text.
pub(crate) type Passage = (Arc<str>, String);

/// Passages, in the order of their files. Only their files are known, and none is in memory.
pub(crate) struct Passages {
    sources: Vec<TextFile>,
    step: usize,
    /// The largest number of different passages to read.
    wanted: Option<usize>,
    skipped: Skipped,
}

impl Passages {
    /// Finds the files that the command line names, or the text of the repository this was built from.
    pub(crate) fn find(args: &Args) -> Result<Self, BoxError> {
        let own = args.paths.is_empty();
        let mut skipped = Skipped::default();
        let mut sources = Vec::new();
        for path in &args.paths {
            let root = Path::new("");
            let found = find(path, root, &|path| !args.writes(path), &mut skipped)?;
            sources.extend(found);
        }
        if own {
            let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
            let take = |path: &Path| is_source(path) && !args.writes(path);
            sources = find(root, root, &take, &mut skipped)?;
            skipped = Skipped::default();
        }
        let requests = args.requests.map(usize::from);
        let enough = if args.moving { MOVING } else { REQUESTS };
        let wanted = requests.or(own.then_some(enough));
        let wanted = wanted.map(|requests| requests.saturating_mul(PER_REQUEST));
        let words = |source: &TextFile| source.words.unwrap_or(usize::MAX);
        let step = match wanted {
            // Our own text is short: its passages overlap more, until there are enough.
            Some(wanted) if own => {
                let room: usize = sources.iter().map(|source| room(words(source))).sum();
                (room / wanted).clamp(1, STEP)
            }
            _ => STEP,
        };
        if !sources.iter().any(|source| words(source) > 0) {
            let skipped = skipped.line().map(|line| format!("; {line}"));
            let skipped = skipped.unwrap_or_default();
            return Err(format!(
                "there is no text to embed: name files or folders that hold some{skipped}"
            )
            .into());
        }
        Ok(Self {
            sources,
            step,
            wanted,
            skipped,
        })
    }

    /// The number of files.
    pub(crate) fn files(&self) -> usize {
        self.sources.len()
    }

    /// The number of passages, equal ones included; `None` if that is known only when all is read.
    pub(crate) fn len(&self) -> Option<u64> {
        let passages = |source: &TextFile| Some(Cutter::passages(source.words?, self.step));
        let all = self.sources.iter().map(passages).sum::<Option<usize>>();
        let most = all.map(|all| all.min(self.wanted.unwrap_or(usize::MAX)));
        most.map(|most| most as u64)
    }

    /// Files that are no text.
    pub(crate) fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The passages. They are read by a thread of their own, for a file or a pipe may be slow, and no more of them
    /// than are taken, and a few.
    pub(crate) fn passages(&self) -> impl Stream<Item = io::Result<Passage>> + use<> {
        let (give, mut passages) = mpsc::channel(PER_REQUEST);
        let files: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                let name: Arc<str> = source.name.as_str().into();
                (source.path.clone(), name)
            })
            .collect();
        let (step, wanted) = (self.step, self.wanted);
        // A thread, and no task: nobody waits for its end if it waits for standard input.
        thread::spawn(move || {
            let (mut seen, hasher) = (HashSet::new(), RandomState::new());
            for (path, name) in files {
                let passage = |text: String| {
                    if wanted.is_some_and(|wanted| seen.len() >= wanted) {
                        return Break(());
                    }
                    if wanted.is_some() && !seen.insert(hasher.hash_one(&text)) {
                        return Continue(());
                    }
                    let sent = give.blocking_send(Ok((Arc::clone(&name), text)));
                    if sent.is_ok() {
                        Continue(())
                    } else {
                        Break(())
                    }
                };
                if let Err(error) = cut(&path, step, passage) {
                    let error = io::Error::new(error.kind(), format!("{name}: {error}"));
                    let _ = give.blocking_send(Err(error));
                }
            }
        });
        stream::poll_fn(move |cx| passages.poll_recv(cx))
    }
}

/// Gives the passages of a file.
fn cut(
    path: &Path,
    step: usize,
    mut give: impl FnMut(String) -> ControlFlow<()>,
) -> io::Result<()> {
    let file: Box<dyn Read> = match path == Path::new(STANDARD_INPUT) {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path)?),
    };
    let mut cutter = Cutter::new(step);
    let mut enough = false;
    pieces(file, |text| {
        let mut passages = text.chars().filter_map(|letter| cutter.next(letter));
        let given = passages.try_for_each(&mut give);
        enough = given.is_break();
        given
    })?;
    if let Some(last) = cutter.end().filter(|_| !enough) {
        let _ = give(last);
    }
    Ok(())
}

/// Texts in a request.
pub(crate) const PER_REQUEST: usize = 20;
/// Requests to make of our own text: a minute's worth at 300 a minute, and a little more.
const REQUESTS: usize = 320;
/// The same while the limit moves: three minutes' worth.
const MOVING: usize = 1_000;
/// From one passage's start to the next one's: a quarter is in both.
const STEP: usize = 60;
