//! The servers and clients that can be simulated.

use clap::ValueEnum;
use simulation::{
    counter::Kind,
    run::Client,
    server::Says,
    setting::{EARNED, MOVING, Setting, alone},
    tally::Tally,
};

/// A server whose limit moves. The clients are not told beforehand.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Case {
    Bucket,
    FixedMinute,
    SlidingMinute,
    FixedSecond,
    Earned,
}

impl Case {
    /// The way it counts, and its limit.
    pub(crate) fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Bucket => (
                "Bucket",
                "that holds a second's worth; 600, 300, 1,200 a minute",
            ),
            Self::FixedMinute => ("Fixed minutes", "of the server's clock; 600, 300, 1,200"),
            Self::SlidingMinute => (
                "Sliding minute",
                "the last 60 s at any time; 600, 300, 1,200",
            ),
            Self::FixedSecond => ("Fixed seconds", "10, 5, 20 in each"),
            Self::Earned => (
                "Earned",
                "twice what it accepted in the last hour, 60 to 1,200 a minute",
            ),
        }
    }

    /// The labels under the time axis, from its start to its end.
    pub(crate) fn times(self) -> &'static [&'static str] {
        match self {
            Self::Earned => &["0", "1", "2", "3", "4 h"],
            _ => &["0", "4", "8", "12 min"],
        }
    }

    pub(crate) fn run(self, client: usize, seed: u64) -> Tally {
        let (_, client, says) = CLIENTS[client];
        let moving = |kind| alone(client, kind, MOVING, says);
        let setting = match self {
            Self::Bucket => moving(Kind::Bucket),
            Self::FixedMinute => moving(Kind::FixedMinute),
            Self::SlidingMinute => moving(Kind::SlidingMinute),
            Self::FixedSecond => moving(Kind::FixedSecond),
            Self::Earned => Setting {
                seconds: 4 * 3_600,
                ..alone(client, Kind::Bucket, EARNED, says)
            },
        };
        setting.run(seed).tallies.remove(0)
    }
}

/// The clients, and the headers that the server sends about its limit.
pub(crate) const CLIENTS: [(&str, Client, Says); 3] = [
    (
        "TogetherLayer, limit in headers",
        Client::Default,
        Says::Limits,
    ),
    ("TogetherLayer, 429s alone", Client::Default, Says::Wait),
    ("Plain token bucket and retries", Client::Plain, Says::Wait),
];
