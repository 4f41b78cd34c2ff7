//! The steps of a run, on disk, for the run after it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::locked;

/// A file of JSON lines, to which each step adds one before the next step. It is locked against all other runs.
#[derive(Debug)]
pub(crate) struct Journal<F = File> {
    file: F,
    /// Whether the file may end within a line.
    torn: bool,
}

impl Journal {
    /// Opens a file, or creates it, and reads the lines of earlier runs. Skips what is no `L`, such as a line that a
    /// kill or a full disk cut short.
    pub(crate) fn open<L: DeserializeOwned>(
        path: &Path,
        mut see: impl FnMut(L),
    ) -> io::Result<Self> {
        let file = locked::open(path)?;
        let (mut torn, mut text) = (false, Vec::new());
        let mut reader = BufReader::new(&file);
        while reader.read_until(b'\n', &mut text)? > 0 {
            if let Ok(line) = serde_json::from_slice(&text) {
                see(line);
            }
            torn = text.pop() != Some(b'\n');
            text.clear();
        }
        Ok(Self { file, torn })
    }

    /// Adds a line. It is on disk when this returns.
    pub(crate) fn note(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.write(line)?;
        self.file.sync_data()
    }
}

impl<F: Write> Journal<F> {
    /// Writes a line of its own, whatever an earlier write has left.
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
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
    use super::*;

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
        for room in 0..27 {
            let mut journal = Journal {
                file: Disk(Vec::new(), room),
                torn: false,
            };
            assert!(journal.write(&["a", "a line of 27 bytes"]).is_err());
            journal.file.1 = 5;
            assert!(journal.write(&["a", "a line of 27 bytes"]).is_err());
            journal.file.1 = usize::MAX;
            journal.write(&["b"]).unwrap();
            journal.write(&["c"]).unwrap();
            let lines = journal.file.0.split(|byte| *byte == b'\n');
            let lines = lines.filter_map(|line| serde_json::from_slice::<Vec<String>>(line).ok());
            let lines: Vec<_> = lines.map(|line| line[0].clone()).collect();
            assert!(
                lines.ends_with(&["b".into(), "c".into()]),
                "{room}: {lines:?}"
            );
        }
    }
}
