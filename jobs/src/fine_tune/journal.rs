//! Which jobs were created, on disk.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// A line for each job: its suffix and its id. Clones write to one file.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    file: File,
    ids: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    suffix: String,
    id: String,
}

impl Journal {
    /// Reads what an earlier run wrote, and goes on behind it. What is no line, such as one that a kill
    /// cut short, is passed over.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        let mut ids = HashMap::new();
        for line in BufReader::new(&file).split(b'\n') {
            if let Ok(Line { suffix, id }) = serde_json::from_slice(&line?) {
                ids.insert(suffix, id);
            }
        }
        let end = file.seek(SeekFrom::End(0))?;
        let mut last = [b'\n'];
        if end > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self(Arc::new(Mutex::new(Book { file, ids }))))
    }

    /// The job of a suffix, if it was created.
    pub(super) fn id(&self, suffix: &str) -> Option<String> {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.ids.get(suffix).cloned()
    }

    /// A job was created, or found. On disk when this returns.
    pub(super) fn note(&self, suffix: &str, id: &str) -> io::Result<()> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if book.ids.contains_key(suffix) {
            return Ok(());
        }
        let (suffix, id) = (suffix.to_owned(), id.to_owned());
        let line = Line { suffix, id };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        book.file.write_all(&text)?;
        book.file.sync_data()?;
        book.ids.insert(line.suffix, line.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn what_was_noted_is_known_again_whatever_a_kill_left_behind_it() {
        let path = env::temp_dir().join(format!("journal-{}", std::process::id()));
        let journal = Journal::open(&path).unwrap();
        journal.note("a", "ft-1").unwrap();
        journal.note("a", "ft-2").unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"suffix\":\"b\",\"i"))
            .unwrap();
        Journal::open(&path).unwrap().note("c", "ft-3").unwrap();
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.id("a").as_deref(), Some("ft-1"));
        assert_eq!(again.id("b"), None);
        assert_eq!(again.id("c").as_deref(), Some("ft-3"));
        fs::remove_file(path).unwrap();
    }
}
