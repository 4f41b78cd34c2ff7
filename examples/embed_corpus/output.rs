//! Vectors in order, one JSON object a line, and the way back into an unfinished file.
//!
//! A line is written for every text, with its vector or with the reason why there is none, so the
//! file itself tells how far a run got: there is nothing else to keep, and nothing to get out of
//! step with it.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{args::Args, corpus::Corpus, target::Target};

/// The file, as long as it is unfinished.
pub(crate) struct Output {
    file: File,
    part: PathBuf,
    path: PathBuf,
    from: String,
    model: String,
    done: usize,
    found: Found,
}

/// What an earlier run left.
#[derive(Default)]
pub(crate) struct Found {
    /// Requests it had done.
    pub(crate) requests: usize,
    /// Those of them that had failed, and why.
    pub(crate) failed: Vec<(usize, String)>,
    /// Whether its file was about something else, and is overwritten.
    pub(crate) other: bool,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Line<'a> {
    index: usize,
    source: Cow<'a, str>,
    text: Cow<'a, str>,
    model: Cow<'a, str>,
    from: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Cow<'a, [f32]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
}

impl Output {
    /// Opens the file, and keeps of it what this run would write there too.
    pub(crate) fn open(args: &Args, corpus: &Corpus, target: &Target) -> io::Result<Self> {
        let part = args.part();
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&part);
        let mut output = Self {
            file: open.map_err(|error| at(&part, &error))?,
            part,
            path: args.output.clone(),
            from: target.name.clone(),
            model: args.model.clone(),
            done: 0,
            found: Found::default(),
        };
        output
            .resume(corpus)
            .map_err(|error| at(&output.part, &error))?;
        Ok(output)
    }

    /// The finished file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many requests are done.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// What an earlier run left.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// Writes the lines of the next request, and returns its number. They go to the system in one
    /// piece; if even that is cut short, the next run notices.
    pub(crate) fn write(
        &mut self,
        corpus: &Corpus,
        answer: &Result<Vec<Vec<f32>>, String>,
    ) -> io::Result<usize> {
        let request = self.done;
        let mut lines = Vec::new();
        for (place, index) in corpus.range(request).enumerate() {
            let mut line = self.line(corpus, index);
            match answer {
                Ok(vectors) => line.embedding = Some(Cow::Borrowed(&vectors[place])),
                Err(why) => line.error = Some(why.into()),
            }
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        self.file
            .write_all(&lines)
            .map_err(|error| at(&self.part, &error))?;
        self.done += 1;
        Ok(request)
    }

    /// Gives the file its name.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path).map_err(|error| at(&self.path, &error))
    }

    /// Keeps whole requests from the start of the file, as far as they are about the same texts,
    /// model and server, and cuts off the rest.
    fn resume(&mut self, corpus: &Corpus) -> io::Result<()> {
        let mut file = BufReader::new(&self.file);
        let mut found = Found::default();
        let mut kept = 0;
        while found.requests < corpus.requests() {
            let Some((length, failed)) = self.read(&mut file, corpus, found.requests) else {
                break;
            };
            kept += length as u64;
            found.failed.extend(failed.map(|why| (found.requests, why)));
            found.requests += 1;
        }
        found.other = kept == 0 && self.file.metadata()?.len() > 0;
        self.file.set_len(kept)?;
        self.file.seek(SeekFrom::Start(kept))?;
        self.done = found.requests;
        self.found = found;
        Ok(())
    }

    /// The length of a request's lines, and why it failed if it did; `None` if they are not what
    /// this run would write, or were cut short by the end of a run.
    fn read(
        &self,
        file: &mut impl BufRead,
        corpus: &Corpus,
        request: usize,
    ) -> Option<(usize, Option<String>)> {
        let mut length = 0;
        let mut failed = None;
        for index in corpus.range(request) {
            let mut text = String::new();
            length += file.read_line(&mut text).ok()?;
            let mut line: Line<'_> = serde_json::from_str(text.strip_suffix('\n')?).ok()?;
            let (vector, error) = (line.embedding.take(), line.error.take());
            if line != self.line(corpus, index) || vector.is_some() == error.is_some() {
                return None;
            }
            failed = error.map(Cow::into_owned);
        }
        Some((length, failed))
    }

    fn line<'a>(&'a self, corpus: &'a Corpus, index: usize) -> Line<'a> {
        let (source, text) = corpus.passage(index);
        Line {
            index,
            source: source.into(),
            text: text.into(),
            model: (&self.model).into(),
            from: (&self.from).into(),
            embedding: None,
            error: None,
        }
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
