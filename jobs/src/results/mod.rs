//! Results on disk, one JSON object a line.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::locked;

/// A file of results, one JSON object a line, to which a later run adds what is missing.
///
/// Each result has a key, such as its model and its text. A key is [claimed](Self::claim) before its item is sent, and
/// results are added in any order: so a run that is killed, or begun again with other items, pays for nothing twice.
/// A failure has no line, and is tried again by the next run.
///
/// ```
/// use std::{convert::Infallible, pin::pin};
/// use futures_util::{StreamExt, stream};
/// use serde_json::{Value, json};
/// # use http_body_util::Full;
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # use tower::ServiceBuilder;
/// # use tower_together::TogetherLayer;
/// use tower_together_jobs::{Corpus, JobsApi, Results};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = together_standin::StandIn::start().await?;
/// # let url = format!("{}/v1", server.url());
/// # let client = ServiceBuilder::new()
/// #     .layer(TogetherLayer::default())
/// #     .service(Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>());
/// # let path = std::env::temp_dir().join(format!("results-{}", std::process::id()));
/// let api = JobsApi::new(client).with_base(&url)?.with_key("YOUR_KEY")?;
/// let mut results = Results::open(&path, |line: Value| {
///     Ok::<_, Infallible>(line["text"].as_str().map(str::to_owned))
/// })?;
/// let texts = ["one", "two", "three"].into_iter().filter(|text| results.claim(text));
/// let texts: Vec<_> = texts.map(|text| ((), text.to_owned())).collect();
///
/// let mut items = pin!(Corpus::new(api).embed("BAAI/bge-base-en-v1.5", stream::iter(texts)));
/// while let Some(item) = items.next().await {
///     if let Ok(vector) = item.result {
///         let line = json!({"text": item.input, "embedding": vector});
///         results.write(&item.input, &line)?;
///     }
/// }
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
///
/// # One writer
///
/// The file is locked until this is dropped: a second run is told so by [`open`](Self::open). A link is followed,
/// and what is no regular file is rejected.
///
/// # ReplayBuffer
///
/// A hash of 16 bytes is kept of each key, and no line.
#[derive(Debug)]
pub struct Results {
    file: File,
    path: PathBuf,
    /// Those of results, and those that were claimed.
    keys: HashSet<u128>,
    /// Lines that are results.
    count: usize,
    /// The place at which the next line begins.
    end: u64,
    /// Whether the file may be longer than that.
    torn: bool,
}

impl Results {
    /// Opens a file, or creates it, and reads the keys of its lines. `key` gives that of a line; `None` if the line
    /// is no result, so that its item is sent again.
    ///
    /// A last line that was cut short, by a kill or a full disk, is overwritten by the next one.
    ///
    /// # Errors
    ///
    /// If another run has the file open, if it is no regular file, or if it has a line that is none of these
    /// results: one that is no `L`, or for which `key` returns an error. The message names the file and the line,
    /// and the file is unchanged.
    pub fn open<L, K, E>(
        path: impl AsRef<Path>,
        mut key: impl FnMut(L) -> Result<Option<K>, E>,
    ) -> io::Result<Self>
    where
        L: DeserializeOwned,
        K: Hash,
        E: fmt::Display,
    {
        let path = path.as_ref();
        let mut results = Self::at(path)?;
        let mut file = BufReader::new(results.file.try_clone()?);
        let (mut text, mut whole) = (Vec::new(), true);
        for number in 1_u64.. {
            text.clear();
            let length = file.read_until(b'\n', &mut text);
            let length = length.map_err(|error| at(path, &error))? as u64;
            whole &= length == 0 || text.ends_with(b"\n");
            let line = match serde_json::from_slice(text.trim_ascii_end()) {
                _ if length == 0 => break,
                Ok(line) => key(line).map_err(|error| error.to_string()),
                Err(error) if !whole && error.is_eof() => {
                    results.torn = true;
                    return Ok(results);
                }
                // It counts lines from the start of this one.
                Err(error) => Err(error
                    .to_string()
                    .replace(" at line 1 column ", " at column ")),
            };
            let line = line.map_err(|why| {
                let why = format!("{}, line {number}: {why}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?;
            results.end += length;
            if let Some(key) = line {
                results.keys.insert(hash(&key));
                results.count += 1;
            }
        }
        if !whole {
            results.append(b"\n").map_err(|error| at(path, &error))?;
        }
        Ok(results)
    }

    /// Opens a file, or creates it, to begin anew. All that is in it is deleted with the first
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// If another run has the file open, or if it is no regular file.
    pub fn restart(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut results = Self::at(path.as_ref())?;
        results.torn = true;
        Ok(results)
    }

    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: locked::open(path)?,
            path: path.to_owned(),
            keys: HashSet::new(),
            count: 0,
            end: 0,
            torn: false,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of results.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no result yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Claims a key, whose item is to be sent. False if there is a result for it, or if it was claimed before. Keys
    /// are compared by their [`Hash`]: `&str` and `String` are equal.
    pub fn claim(&mut self, key: &(impl Hash + ?Sized)) -> bool {
        self.keys.insert(hash(key))
    }

    /// Whether there is a result for a key, or the key was claimed.
    pub fn has(&self, key: &(impl Hash + ?Sized)) -> bool {
        self.keys.contains(&hash(key))
    }

    /// Adds a result. It has been given to the system when this returns.
    ///
    /// # Errors
    ///
    /// If it cannot be written: the disk is full, for one. What was written of it is overwritten by the next one.
    pub fn write(&mut self, key: &(impl Hash + ?Sized), line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.append(&text).map_err(|error| at(&self.path, &error))?;
        self.keys.insert(hash(key));
        self.count += 1;
        Ok(())
    }

    /// Waits until all results are on disk.
    ///
    /// # Errors
    ///
    /// If the system fails to write them.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all().map_err(|error| at(&self.path, &error))
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.end)?;
        }
        self.torn = true;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(text)?;
        self.end += text.len() as u64;
        self.torn = false;
        Ok(())
    }
}

/// 128 bits, for 64 of them are equal for two of some billion keys.
fn hash(key: &(impl Hash + ?Sized)) -> u128 {
    let half = |number: u8| {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        key.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
