//! Which jobs were created, on disk.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::journal::Journal;

/// A line for each job: its suffix and its id. Clones write to one file, which is locked against all others.
#[derive(Clone, Debug)]
pub(super) struct FineTuneJournal(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    disk: Journal,
    ids: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    suffix: String,
    id: String,
}

impl FineTuneJournal {
    /// Reads what an earlier run wrote, and goes on behind it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut ids = HashMap::new();
        let disk = Journal::open(path, |Line { suffix, id }| {
            ids.insert(suffix, id);
        })?;
        Ok(Self(Arc::new(Mutex::new(Book { disk, ids }))))
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
        book.disk.note(&line)?;
        book.ids.insert(line.suffix, line.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, io::Write};

    use super::*;

    #[test]
    fn what_was_noted_is_known_again_whatever_a_kill_left_behind_it() {
        let path = env::temp_dir().join(format!("journal-{}", std::process::id()));
        let journal = FineTuneJournal::open(&path).unwrap();
        journal.note("a", "ft-1").unwrap();
        journal.note("a", "ft-2").unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"suffix\":\"b\",\"i"))
            .unwrap();
        drop(journal);
        FineTuneJournal::open(&path)
            .unwrap()
            .note("c", "ft-3")
            .unwrap();
        let again = FineTuneJournal::open(&path).unwrap();
        assert_eq!(again.id("a").as_deref(), Some("ft-1"));
        assert_eq!(again.id("b"), None);
        assert_eq!(again.id("c").as_deref(), Some("ft-3"));
        fs::remove_file(path).unwrap();
    }

    /// Two writers overwrote each other's lines.
    #[test]
    fn a_second_run_is_told_that_the_journal_is_in_use() {
        let path = env::temp_dir().join(format!("journal-two-{}", std::process::id()));
        let first = FineTuneJournal::open(&path).unwrap();
        let second = FineTuneJournal::open(&path).unwrap_err();
        assert!(
            second.to_string().contains("another run is writing it"),
            "{second}"
        );
        let clone = first.clone();
        drop(first);
        assert!(FineTuneJournal::open(&path).is_err());
        clone.note("a", "ft-1").unwrap();
        drop(clone);
        assert_eq!(
            FineTuneJournal::open(&path).unwrap().id("a").as_deref(),
            Some("ft-1")
        );
        fs::remove_file(path).unwrap();
    }
}
