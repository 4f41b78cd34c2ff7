//! Which requests are in which batch, on disk.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::Journal;

/// Three lines for each batch: before it is created, once it is created, and when its outcomes have been taken.
/// Clones write to one file, which is locked against all others.
#[derive(Clone, Debug)]
pub(super) struct BatchJournal(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    disk: Journal,
    /// The places of requests of earlier runs whose outcomes were not taken, by the hash of the request. Equal requests
    /// are in it as often as they were sent.
    places: HashMap<String, VecDeque<Place>>,
}

/// A batch that an earlier run has begun.
#[derive(Debug)]
pub(super) struct BegunBatch {
    /// The id of its `input_file_id`.
    pub(super) file: String,
    /// Its own id; `None` if that run ended before it knew the id.
    pub(super) id: Option<String>,
}

/// A batch, and the `custom_id` of a request in it.
type Place = (Arc<BegunBatch>, String);

/// A step of the batch of a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    file: String,
    /// It is about to be created: the hash of each request, by its `custom_id`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: BTreeMap<String, String>,
    /// It was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    /// Those whose outcomes have been taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken: Vec<String>,
}

impl BatchJournal {
    /// Reads what earlier runs wrote, and goes on behind it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // In the order of their files, as they were begun.
        let (mut order, mut all) = (Vec::new(), HashMap::<String, Line>::new());
        let disk = Journal::open(path, |line: Line| {
            let batch = all.entry(line.file.clone()).or_insert_with(|| {
                order.push(line.file.clone());
                Line::default()
            });
            batch.requests.extend(line.requests);
            batch.batch = line.batch.or(batch.batch.take());
            for id in &line.taken {
                batch.requests.remove(id);
            }
        })?;
        let mut places = HashMap::<_, VecDeque<_>>::new();
        for file in order {
            let Line {
                requests, batch, ..
            } = all.remove(&file).unwrap_or_default();
            let begun = Arc::new(BegunBatch { file, id: batch });
            for (id, hash) in requests {
                let places = places.entry(hash).or_default();
                places.push_back((Arc::clone(&begun), id));
            }
        }
        Ok(Self(Arc::new(Mutex::new(Book { disk, places }))))
    }

    /// Takes the place of a request, if it is in a batch of an earlier run.
    pub(super) fn place(&self, request: &Value) -> Option<Place> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.places.get_mut(&hash(request))?.pop_front()
    }

    /// A batch is about to be created, with these requests: the `custom_id` of each, and its body.
    pub(super) fn begin<'a>(
        &self,
        file: &str,
        requests: impl Iterator<Item = (&'a str, &'a Value)>,
    ) -> io::Result<()> {
        self.note(&Line {
            file: file.to_owned(),
            requests: requests
                .map(|(id, request)| (id.to_owned(), hash(request)))
                .collect(),
            ..Line::default()
        })
    }

    /// A batch was created, or found.
    pub(super) fn created(&self, file: &str, id: &str) -> io::Result<()> {
        self.note(&Line {
            file: file.to_owned(),
            batch: Some(id.to_owned()),
            ..Line::default()
        })
    }

    /// The outcomes of these requests have been taken: whether they are sent again is not for this file to say.
    pub(super) fn taken(&self, file: String, taken: Vec<String>) -> io::Result<()> {
        self.note(&Line {
            file,
            taken,
            ..Line::default()
        })
    }

    fn note(&self, line: &Line) -> io::Result<()> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.disk.note(line)
    }
}

/// FNV-1a, of 128 bits, for the standard library's hashes may differ between two builds
/// (datatracker.ietf.org/doc/draft-eastlake-fnv).
fn hash(request: &Value) -> String {
    let text = request.to_string();
    let hash = text.bytes().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    format!("{hash:032x}")
}

const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    /// The journal of two batches of 50,000 requests took a minute to open in a debug build.
    #[test]
    fn the_requests_of_a_large_batch_are_in_it_until_they_are_taken() {
        let path = env::temp_dir().join(format!("batches-large-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let ids = |all: std::ops::Range<usize>| all.map(|id| format!("request-{id}"));
        let journal = BatchJournal::open(&path).unwrap();
        for file in ["file-1", "file-2"] {
            let requests = ids(0..50_000).map(|id| (id.clone(), hash(&Value::from(id))));
            let line = Line {
                file: file.to_owned(),
                requests: requests.collect(),
                ..Line::default()
            };
            journal.note(&line).unwrap();
            let rest = if file == "file-1" { 0 } else { 1 };
            let taken = ids(0..50_000 - rest).collect();
            journal.taken(file.to_owned(), taken).unwrap();
        }
        drop(journal);
        let journal = BatchJournal::open(&path).unwrap();
        let places = |id: String| journal.place(&Value::from(id));
        let found: Vec<_> = ids(0..50_000).filter_map(places).collect();
        let found: Vec<_> = found
            .iter()
            .map(|(begun, id)| (&*begun.file, &**id))
            .collect();
        assert_eq!(found, [("file-2", "request-49999")]);
        fs::remove_file(path).unwrap();
    }
}
