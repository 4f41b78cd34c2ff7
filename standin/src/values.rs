//! The values of arguments.

use std::{ops::RangeInclusive, time::Duration};

use clap::ValueEnum;
use together_standin::{Headers, Limit};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RuleArg {
    /// A bucket of one second's worth that refills evenly
    Gcra,
    /// Windows of a minute
    Fixed,
    /// Any stretch of a minute
    Sliding,
    /// Windows of a second
    PerSecond,
}

impl RuleArg {
    pub(crate) fn limit(self, per_minute: u32) -> Limit {
        match self {
            Self::Gcra => Limit::gcra(per_minute, MINUTE, (per_minute / 60).max(1)),
            Self::Fixed => Limit::fixed(per_minute, MINUTE),
            Self::Sliding => Limit::sliding(per_minute, MINUTE),
            Self::PerSecond => Limit::per_second(per_minute),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum HeadersArg {
    /// Rejections, nothing but x-ratelimit-reset: the newest documents
    #[value(name = "reset-on-429")]
    ResetOn429,
    /// Rejections, as they were seen on the wire
    #[value(name = "on-429")]
    On429,
    /// None
    Never,
    /// All responses
    Always,
    /// All responses, in all spellings that there have been
    Everything,
}

impl From<HeadersArg> for Headers {
    fn from(when: HeadersArg) -> Self {
        match when {
            HeadersArg::ResetOn429 => Self::ResetOn429,
            HeadersArg::On429 => Self::On429,
            HeadersArg::Never => Self::Never,
            HeadersArg::Always => Self::Always,
            HeadersArg::Everything => Self::Everything,
        }
    }
}

/// Reads `2..20`, or `5` for always the same.
pub(crate) fn latency(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => {
            Ok(Duration::from_millis(from)..=Duration::from_millis(to))
        }
        _ => Err("write the shorter and the longer in milliseconds, as 2..20, or one".to_owned()),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
