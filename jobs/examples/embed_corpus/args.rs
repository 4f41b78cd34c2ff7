//! The command line.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Parser;
use http::Uri;

/// Embeds text over real sockets: as fast as the rate limit allows, and no faster.
#[derive(Debug, Parser)]
#[command(name = "embed_corpus", after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Files and folders of text, - for standard input [default: the text of the repository it was built from]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// File for the vectors, one JSON object a line. A text that has its vector there is not embedded again
    #[arg(short, long, value_name = "FILE", default_value = "embeddings.jsonl")]
    pub(crate) output: PathBuf,

    /// Delete the vectors that are there, with the first new one
    #[arg(long)]
    pub(crate) restart: bool,

    /// At most so many requests, of 20 texts each [default: all of PATH; without PATH 320, or 1000
    /// with --moving]
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<NonZeroUsize>,

    /// Requests under way at a time, those included that wait for their turn
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) concurrency: NonZeroUsize,

    /// The model to embed with
    #[arg(
        long,
        value_name = "ID",
        default_value = "intfloat/multilingual-e5-large-instruct"
    )]
    pub(crate) model: String,

    /// The API's address [default: Together's with TOGETHER_API_KEY, else a stand-in's]
    #[arg(long, value_name = "URL", value_parser = address)]
    pub(crate) base_url: Option<String>,

    /// Leave the layers out, to see what they do
    #[arg(long)]
    pub(crate) without_limiter: bool,

    /// Have the stand-in fail requests in every way that is retried, as a seed decides
    #[arg(
        long,
        value_name = "SEED",
        num_args = 0..=1,
        default_missing_value = "1",
        conflicts_with = "base_url"
    )]
    pub(crate) chaos: Option<u64>,

    /// Have the stand-in move its limit: 300, 150, 600 a minute, the first two for 60 s each
    #[arg(long, conflicts_with = "base_url")]
    pub(crate) moving: bool,
}

impl Args {
    /// Whether this file is the one we write, and so none to read text from.
    pub(crate) fn writes(&self, path: &Path) -> bool {
        match (self.output.canonicalize(), path.canonicalize()) {
            (Ok(output), Ok(path)) => output == path,
            _ => false,
        }
    }
}

fn address(text: &str) -> Result<String, &'static str> {
    let uri: Uri = text.parse().map_err(|_| WRONG_ADDRESS)?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err(WRONG_ADDRESS),
    }
}

const WRONG_ADDRESS: &str = "write it as https://HOST/v1";
const AFTER_HELP: &str = "\
With TOGETHER_API_KEY in the environment it embeds with Together AI, which costs money; without,
with a stand-in inside the program, which costs nothing, and whose vectors mean nothing.

With --chaos it is always the stand-in, which says in the end in which ways it failed. The output is
complete all the same: the layers retry transient failures.

With --moving it is always the stand-in, too: every response names its limit, and the layers are
told nothing of it beforehand. The share of the quota is that of the whole run then.

Each vector is a line of FILE as soon as it has come, with its source, text, model, server
and embedding.
The same command embeds what has no line there yet: what failed, what a crash or Ctrl-C left, and what is new or was
edited. Nothing is embedded twice, and nothing that was embedded is deleted, other than by --restart. The vectors
of the stand-in, which mean nothing, are replaced: once they are whole, and by the first of another server. A file
of vectors of another model or server is rejected, and so is one that another run writes. A text that occurs more
than once is embedded once.

An error that concerns all requests ends the run early: a wrong key, no money, no such model.

A proxy is taken from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl does.

The last line is for scripts. It counts this run alone: the texts embedded, the requests and
429s (as the stand-in counted them, where it is used; retries count too), the texts
that failed in the end, the share of the quota used in the first 60 s, and the time it took. Of a short run without
the layers that share is above 100 %: the server lets a second's worth through at once, before it rejects any.

The exit status is 0; 1 if a text failed; 2 if it could not work at all; 130 after Ctrl-C.";
