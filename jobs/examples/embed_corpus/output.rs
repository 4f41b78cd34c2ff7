//! Vectors, one JSON object a line.

use std::{borrow::Cow, future::ready, io};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tower_together_jobs::Results;

use crate::{
    args::Args,
    passages::{Passage, Passages},
    target::{STAND_IN, Target},
};

/// A line that is written.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) source: &'a str,
    pub(crate) text: &'a str,
    pub(crate) model: &'a str,
    pub(crate) from: &'a str,
    pub(crate) embedding: &'a [f32],
}

/// A line that an earlier run has written.
#[derive(Deserialize)]
struct Old<'a> {
    text: Cow<'a, str>,
    model: Cow<'a, str>,
    from: Cow<'a, str>,
    embedding: Option<IgnoredAny>,
}

/// Opens the file. What the stand-in has embedded means nothing: it is embedded anew once it is whole.
pub(crate) async fn open(args: &Args, corpus: &Passages, target: &Target) -> io::Result<Results> {
    if args.restart {
        return Results::restart(&args.output);
    }
    let results = read(args, target)?;
    if target.is_stand_in() && !results.is_empty() && corpus.len().is_some() {
        let is_there =
            |passage: io::Result<Passage>| passage.is_ok_and(|(_, text)| results.has(&text));
        if corpus
            .passages()
            .all(|passage| ready(is_there(passage)))
            .await
        {
            drop(results);
            return Results::restart(&args.output);
        }
    }
    Ok(results)
}

/// Reads which texts have a vector. They are of one model and server.
fn read(args: &Args, target: &Target) -> io::Result<Results> {
    let (model, from) = (&args.model, &target.name);
    let mut stand_ins = false;
    let results = Results::open(&args.output, |line: Old<'static>| {
        if line.from == STAND_IN && !target.is_stand_in() {
            stand_ins = true;
            return Ok(None);
        }
        match line.model == *model && line.from == *from {
            true => Ok(line.embedding.map(|_| line.text)),
            false => Err(format!(
                "a vector of {} from {}, and not of {model} from {from}: name another file with \
                 --output, or delete what is there with --restart",
                line.model, line.from
            )),
        }
    })?;
    // They mean nothing.
    if stand_ins && results.is_empty() {
        drop(results);
        return Results::restart(&args.output);
    }
    Ok(results)
}
