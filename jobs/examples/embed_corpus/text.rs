//! Text, as it is found in files and folders.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    ops::ControlFlow::{self, Break, Continue},
    path::{Path, PathBuf},
    str,
};

use walkdir::{DirEntry, WalkDir};

use crate::words::WordCounter;

/// A file of text.
pub(crate) struct TextFile {
    pub(crate) path: PathBuf,
    /// How it is called in the output.
    pub(crate) name: String,
    /// The number of its words; `None` if that is known only when it has been read.
    pub(crate) words: Option<usize>,
}

/// Files that are no text, by the reason.
#[derive(Default)]
pub(crate) struct Skipped(BTreeMap<&'static str, Vec<String>>);

impl Skipped {
    fn add(&mut self, why: &'static str, path: &Path) {
        let names = self.0.entry(why).or_default();
        names.push(path.display().to_string());
    }

    /// All of it in a line; `None` if there is nothing.
    pub(crate) fn line(&self) -> Option<String> {
        let kinds: Vec<_> = self
            .0
            .iter()
            .map(|(why, names)| {
                let mut shown = names[..names.len().min(NAMED)].join(", ");
                if names.len() > NAMED {
                    shown += ", ...";
                }
                format!("{} {why} ({shown})", names.len())
            })
            .collect();
        (!kinds.is_empty()).then(|| format!("skipped: {}", kinds.join("; ")))
    }
}

/// Finds all text at or under a path, sorted by name.
///
/// # Errors
///
/// If nothing is there.
pub(crate) fn find(
    path: &Path,
    root: &Path,
    take: &dyn Fn(&Path) -> bool,
    skipped: &mut Skipped,
) -> io::Result<Vec<TextFile>> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(vec![TextFile {
            path: path.to_owned(),
            name: "standard input".to_owned(),
            words: None,
        }]);
    }
    path.metadata()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let mut sources = Vec::new();
    let mut entries = WalkDir::new(path).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                skipped.add(UNREADABLE, error.path().unwrap_or(path));
                continue;
            }
        };
        let is_folder = entry.file_type().is_dir();
        let why = match why_not(&entry) {
            None if is_folder || !take(entry.path()) => continue,
            None => match count(entry.path()) {
                Ok(words) => {
                    let path = entry.into_path();
                    let name = path.strip_prefix(root).unwrap_or(&path);
                    sources.push(TextFile {
                        name: name.display().to_string(),
                        words: Some(words),
                        path,
                    });
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => "not UTF-8 text",
                Err(_) => UNREADABLE,
            },
            Some(why) => why,
        };
        skipped.add(why, entry.path());
        if is_folder {
            entries.skip_current_dir();
        }
    }
    Ok(sources)
}

/// Why what is within a folder is no text of anybody's. What is named itself is taken as it is.
fn why_not(entry: &DirEntry) -> Option<&'static str> {
    let kind = entry.file_type();
    if entry.depth() == 0 {
        return None;
    }
    if entry.file_name().to_string_lossy().starts_with('.') {
        return Some("hidden");
    }
    if kind.is_symlink() {
        return Some("links");
    }
    if kind.is_dir() {
        // As Cargo's `target` is marked (bford.info/cachedir).
        return entry
            .path()
            .join("CACHEDIR.TAG")
            .exists()
            .then_some("caches");
    }
    (!kind.is_file()).then_some("neither files nor folders")
}

/// The number of words of a file.
fn count(path: &Path) -> io::Result<usize> {
    let mut counter = WordCounter::default();
    pieces(File::open(path)?, |text| {
        counter.push(text);
        Continue(())
    })?;
    Ok(counter.count)
}

/// Reads text piece by piece, until there is no more or no more is wanted.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] if it is not UTF-8, or has a NUL in it.
pub(crate) fn pieces(
    mut from: impl Read,
    mut each: impl FnMut(&str) -> ControlFlow<()>,
) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text");
    let mut buffer = vec![0; PIECE];
    let mut left = 0;
    loop {
        let read = match from.read(&mut buffer[left..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..left + read];
        let whole = match str::from_utf8(bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            Err(_) => return Err(wrong()),
        };
        let text = str::from_utf8(&bytes[..whole]).map_err(|_| wrong())?;
        if text.contains('\0') {
            return Err(wrong());
        }
        if each(text) == Break(()) || read == 0 {
            return Ok(());
        }
        let end = bytes.len();
        buffer.copy_within(whole..end, 0);
        left = end - whole;
    }
}

/// Whether it is what people write in a repository like this one.
pub(crate) fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["lua", "md", "rs", "toml"].contains(&extension))
}

/// The name of standard input among paths.
pub(crate) const STANDARD_INPUT: &str = "-";
const UNREADABLE: &str = "unreadable";
/// Names that are shown of each kind.
const NAMED: usize = 3;
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
