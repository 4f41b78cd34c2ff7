//! Which jobs were created, on disk.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::locked;

/// A line for each job: its suffix and its id. Clones write to one file, which is locked against all others.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Mutex<Book<File>>>);

#[derive(Debug)]
struct Book<F> {
    file: F,
    /// Whether the file may end within a line.
    torn: bool,
    ids: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    suffix: String,
    id: String,
}

impl Journal {
    /// Reads what an earlier run wrote, and goes on behind it. What is no line, such as one that a kill or a
    /// full disk cut short, is passed over.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut book = Book {
            file: locked::open(path)?,
            torn: false,
            ids: HashMap::new(),
        };
        book.read()?;
        Ok(Self(Arc::new(Mutex::new(book))))
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
        book.write(&line)?;
        book.file.sync_data()?;
        book.ids.insert(line.suffix, line.id);
        Ok(())
    }
}

impl Book<File> {
    fn read(&mut self) -> io::Result<()> {
        let mut file = BufReader::new(&self.file);
        let mut text = Vec::new();
        while file.read_until(b'\n', &mut text)? > 0 {
            if let Ok(Line { suffix, id }) = serde_json::from_slice(&text) {
                self.ids.insert(suffix, id);
            }
            self.torn = text.pop() != Some(b'\n');
            text.clear();
        }
        Ok(())
    }
}

impl<F: Write> Book<F> {
    /// Writes a line of its own, whatever an earlier write has left.
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = match self.torn {
            true => vec![b'\n'],
            false => Vec::new(),
        };
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        self.torn = true;
        self.file.write_all(&text)?;
        self.torn = false;
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
        drop(journal);
        Journal::open(&path).unwrap().note("c", "ft-3").unwrap();
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.id("a").as_deref(), Some("ft-1"));
        assert_eq!(again.id("b"), None);
        assert_eq!(again.id("c").as_deref(), Some("ft-3"));
        fs::remove_file(path).unwrap();
    }
    /// A disk with room for so many more bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend(&bytes[..taken]);
            self.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The next job's line was glued to the torn one, and both were lost.
    #[test]
    fn a_line_after_one_that_a_full_disk_cut_short_is_a_line_of_its_own() {
        let line = |suffix: &str| Line {
            suffix: suffix.into(),
            id: "ft-1".into(),
        };
        for room in 0..27 {
            let mut book = Book {
                file: Disk(Vec::new(), room),
                torn: false,
                ids: HashMap::new(),
            };
            assert!(book.write(&line("a")).is_err());
            book.file.1 = 5;
            assert!(book.write(&line("a")).is_err());
            book.file.1 = usize::MAX;
            book.write(&line("b")).unwrap();
            book.write(&line("c")).unwrap();
            let lines = book.file.0.split(|byte| *byte == b'\n');
            let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
            let suffixes: Vec<_> = lines.map(|line| line.suffix).collect();
            assert!(
                suffixes.ends_with(&["b".into(), "c".into()]),
                "{room}: {suffixes:?}"
            );
        }
    }

    /// Two writers overwrote each other's lines.
    #[test]
    fn a_second_run_is_told_that_the_journal_is_in_use() {
        let path = env::temp_dir().join(format!("journal-two-{}", std::process::id()));
        let first = Journal::open(&path).unwrap();
        let second = Journal::open(&path).unwrap_err();
        assert!(
            second.to_string().contains("a run that goes on"),
            "{second}"
        );
        let clone = first.clone();
        drop(first);
        assert!(Journal::open(&path).is_err());
        clone.note("a", "ft-1").unwrap();
        drop(clone);
        assert_eq!(
            Journal::open(&path).unwrap().id("a").as_deref(),
            Some("ft-1")
        );
        fs::remove_file(path).unwrap();
    }
}
