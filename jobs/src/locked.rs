//! Files that one run at a time writes.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use fs4::{FileExt, TryLockError};

/// Opens a file to read and to write, creates it if there is none, and locks it against all other runs. A link is
/// followed. The lock ends with the file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let at =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let error = io::Error::other("not a regular file: name one, or a new one");
            return Err(at(error));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(at)?;
    match FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(at(error)),
        Err(TryLockError::WouldBlock) => {
            let error = "another run is writing it: wait for its end, or name another file";
            Err(at(io::Error::new(io::ErrorKind::WouldBlock, error)))
        }
    }
}
