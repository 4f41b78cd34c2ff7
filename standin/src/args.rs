//! The command line.

use std::{ops::RangeInclusive, time::Duration};

use clap::{Parser, ValueEnum};
use together_standin::{Builder, Headers, Limit, Route, Rules, StandIn};

/// A strict stand-in for Together AI's HTTP API, on loopback.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Address to listen on; loopback only, port 0 is any free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8017")]
    listen: String,

    /// How requests are counted
    #[arg(long, value_enum, default_value_t = Rule::Gcra)]
    rule: Rule,

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

    /// Refused requests count as well
    #[arg(long)]
    count_refused: bool,

    /// Which answers carry rate limit headers
    #[arg(long, value_enum, default_value_t = When::On429)]
    headers: When,

    /// How long answers take, as 2..20 or 5
    #[arg(long, value_name = "A..B", default_value = "2..20", value_parser = latency)]
    latency_ms: RangeInclusive<Duration>,

    /// Time between the chunks of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    chunk_delay_ms: u64,

    /// Fails about one request in 20 on purpose, in all ways there are, drawn from this seed
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rule {
    /// A bucket of one second's worth that refills evenly
    Gcra,
    /// Windows of a minute
    Fixed,
    /// Any stretch of a minute
    Sliding,
    /// Windows of a second
    PerSecond,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    #[value(name = "on-429")]
    On429,
    Never,
    Always,
}

impl Args {
    /// The server these arguments ask for.
    pub(crate) fn builder(&self) -> Builder {
        let headers = match self.headers {
            When::On429 => Headers::On429,
            When::Never => Headers::Never,
            When::Always => Headers::Always,
        };
        let builder = StandIn::builder()
            .rules(self.rules())
            .headers(headers)
            .count_refused(self.count_refused)
            .latency(self.latency_ms.clone())
            .chunk_delay(Duration::from_millis(self.chunk_delay_ms))
            .listen(&self.listen);
        match self.chaos {
            Some(seed) => builder.chaos(seed),
            None => builder,
        }
    }

    fn rules(&self) -> Rules {
        use Route::{Chat, Completions, Embeddings, Images};
        let table: [(&[Route], u32); 5] = [
            (&[Chat], self.chat),
            (&[Completions], self.chat),
            (&[Embeddings], self.embeddings),
            (&[Images], self.images),
            (&[Chat, Completions, Embeddings], self.shared),
        ];
        let table = table.into_iter().filter(|(_, per_minute)| *per_minute > 0);
        table.fold(Rules::none(), |rules, (routes, per_minute)| {
            rules.shared(routes, self.rule.limit(per_minute))
        })
    }
}

impl Rule {
    fn limit(self, per_minute: u32) -> Limit {
        match self {
            Self::Gcra => Limit::gcra(per_minute, MINUTE, (per_minute / 60).max(1)),
            Self::Fixed => Limit::fixed(per_minute, MINUTE),
            Self::Sliding => Limit::sliding(per_minute, MINUTE),
            Self::PerSecond => Limit::per_second(per_minute),
        }
    }
}

/// Reads `2..20`, or `5` for always the same.
fn latency(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => {
            Ok(Duration::from_millis(from)..=Duration::from_millis(to))
        }
        _ => Err("write the shorter and the longer in milliseconds, as 2..20, or one".to_owned()),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
