//! The command line.

use std::{ops::RangeInclusive, time::Duration};

use clap::Parser;
use together_standin::{Builder, Jobs, Route, Rules, StandIn};

use crate::values::{HeadersArg, RuleArg, latency};

/// A strict stand-in for Together AI's HTTP API, on loopback.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Address to listen on; loopback only, port 0 is any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8017")]
    listen: String,

    /// How requests are counted
    #[arg(long, value_enum, default_value_t = RuleArg::Gcra)]
    rule: RuleArg,

    /// Chat completions a minute per key and model, and as many completions; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 600)]
    chat: u32,

    /// Embedding requests a minute; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 300)]
    embeddings: u32,

    /// Image generations a minute; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 60)]
    images: u32,

    /// Chat, completions and embeddings together a minute; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 600)]
    shared: u32,

    /// Tokens of chat completions a minute; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    chat_tokens: u32,

    /// Limits that move: embeddings 300, 150, 600 a minute, the first two for 60 s each, with
    /// headers on every response
    #[arg(long, conflicts_with_all = ["rule", "chat", "embeddings", "images", "shared", "chat_tokens", "headers"])]
    moving: bool,

    /// Rejected requests count as well
    #[arg(long)]
    count_refused: bool,

    /// Which responses carry rate limit headers
    #[arg(long, value_enum, default_value_t = HeadersArg::On429)]
    headers: HeadersArg,

    /// How long responses take, as 2..20 or 5
    #[arg(long, value_name = "A..B", default_value = "2..20", value_parser = latency)]
    latency_ms: RangeInclusive<Duration>,

    /// Time between the chunks of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    chunk_delay_ms: u64,

    /// Fine-tunes at a time for each key; 0 is any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    fine_tunes: usize,

    /// Batches at a time for each key; 0 is any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    batches: usize,

    /// How long jobs run [default: fine-tunes an hour, batches 10 minutes]
    #[arg(long, value_name = "SECONDS")]
    job_seconds: Option<u64>,

    /// Fails about one request in 20 on purpose, in all ways there are, drawn from this seed
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
}

impl Args {
    /// The server these arguments ask for.
    pub(crate) fn builder(&self) -> Builder {
        let builder = if self.moving {
            StandIn::builder().moving()
        } else {
            StandIn::builder().headers(self.headers.into())
        };
        let builder = builder
            .rules(self.rules())
            .count_refused(self.count_refused)
            .latency(self.latency_ms.clone())
            .chunk_delay(Duration::from_millis(self.chunk_delay_ms))
            .jobs(self.jobs())
            .listen(&self.listen);
        match self.chaos {
            Some(seed) => builder.chaos(seed),
            None => builder,
        }
    }

    fn jobs(&self) -> Jobs {
        let mut jobs = Jobs::default();
        if self.fine_tunes > 0 {
            jobs = jobs.fine_tunes(self.fine_tunes);
        }
        if self.batches > 0 {
            jobs = jobs.batches(self.batches);
        }
        match self.job_seconds.map(Duration::from_secs) {
            Some(time) => jobs.fine_tune_time(time).batch_time(time),
            None => jobs,
        }
    }

    fn rules(&self) -> Rules {
        use Route::{Chat, Completions, Embeddings, Images};
        if self.moving {
            return Rules::moving();
        }
        let table: [(&[Route], u32); 5] = [
            (&[Chat], self.chat),
            (&[Completions], self.chat),
            (&[Embeddings], self.embeddings),
            (&[Images], self.images),
            (&[Chat, Completions, Embeddings], self.shared),
        ];
        let table = table.into_iter().filter(|(_, per_minute)| *per_minute > 0);
        let rules = table.fold(Rules::none(), |rules, (routes, per_minute)| {
            rules.shared(routes, self.rule.limit(per_minute))
        });
        match self.chat_tokens {
            0 => rules,
            tokens => rules.tokens(Chat, self.rule.limit(tokens)),
        }
    }
}
