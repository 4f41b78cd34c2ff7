//! Text, as it is found in files and folders.

use std::{fs, io, path::Path};

use tower::BoxError;
use walkdir::{DirEntry, WalkDir};

/// A file of text.
pub(crate) struct File {
    /// Its path.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
    /// Where a passage may begin: at each word.
    pub(crate) words: Vec<usize>,
}

/// Reads all text at or under a path, sorted by name. What is hidden, and Cargo's `target`, is no
/// text of anybody's, and what is not UTF-8 is no text.
pub(crate) fn read(
    path: &Path,
    root: &Path,
    take: &dyn Fn(&Path) -> bool,
) -> Result<Vec<File>, BoxError> {
    let visible = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || name == "target")
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible)
    {
        let entry = entry?;
        let path = entry.path();
        // Within folders no links, pipes and devices; what is named itself may be one.
        let is_file = entry.file_type().is_file() || (entry.depth() == 0 && !path.is_dir());
        if !is_file || !take(path) {
            continue;
        }
        match fs::read_to_string(path) {
            Ok(text) if !text.contains('\0') => files.push(File {
                name: path
                    .strip_prefix(root)
                    .unwrap_or(path)
                    .display()
                    .to_string(),
                words: words(&text),
                text,
            }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        }
    }
    Ok(files)
}

/// Whether it is what people write in a repository like this one.
pub(crate) fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["lua", "md", "rs", "toml"].contains(&extension))
}

/// Where words begin. One too long to be a word is several: some scripts have no spaces.
fn words(text: &str) -> Vec<usize> {
    let mut words: Vec<usize> = Vec::new();
    let mut inside = false;
    for (at, letter) in text.char_indices() {
        let long = words.last().is_some_and(|start| at - start >= LONGEST_WORD);
        if !letter.is_whitespace() && (!inside || long) {
            words.push(at);
        }
        inside = !letter.is_whitespace();
    }
    words
}

/// Bytes in a word, so that the length of a passage has a bound.
const LONGEST_WORD: usize = 24;
