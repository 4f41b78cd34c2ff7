//! The servers and the work, each a row of the comparison.

use std::time::Duration;

use simulation::{
    counter::Kind,
    limit::Moves,
    server::{Fails, Rules, Says, Shares, Tenant},
    setting::{MOVING, STEADY, Setting, alone, rules},
};

use crate::{
    clients::{Given, Tokens},
    wire::MAX_TOKENS,
};

/// A server, and the work that its clients have.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rules: Rules,
    pub(crate) says: Says,
    pub(crate) network: Network,
    pub(crate) work: Work,
    /// Processes that do not know each other, with an equal part of the work each.
    pub(crate) processes: usize,
    /// The limits that the user of a client has read.
    pub(crate) given: Given,
}

/// The network and the time for responses, both in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) delay: (u64, u64),
    pub(crate) thinks: (u64, u64),
}

/// The calls.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// In each process this many callers, which send one call after the other until all are done.
    Steady { calls: usize, callers: usize },
    /// Ten times this many calls at once, a minute apart.
    Bursts(usize),
}

impl Work {
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Steady { calls, .. } => calls,
            Self::Bursts(each) => BURSTS * each,
        }
    }

    /// The number of times at which calls arrive.
    pub(crate) fn batches(self) -> usize {
        match self {
            Self::Steady { .. } => 1,
            Self::Bursts(_) => BURSTS,
        }
    }
}

/// The time at which a burst arrives, or all calls if there is but one.
pub(crate) fn arrival(burst: usize) -> Duration {
    Duration::from_secs(60) * burst as u32
}

impl Server {
    /// The simulation of the server for at most four hours.
    pub(crate) fn setting(&self) -> Setting<()> {
        Setting {
            servers: vec![self.rules],
            delay: self.network.delay,
            thinks: self.network.thinks,
            clients: vec![(); self.processes],
            seconds: 4 * 3_600,
            ..alone((), self.rules.kind, self.rules.moves, self.says)
        }
    }
}

/// All servers, in the order of the table.
pub(crate) fn all() -> Vec<Server> {
    let minutes = [
        steady(
            "fixed-minute",
            "600 in each minute of its clock",
            Kind::FixedMinute,
        ),
        steady("sliding-minute", "600 in any 60 s", Kind::SlidingMinute),
        steady("bucket", "10 a second, from a bucket of 10", Kind::Bucket),
        Server {
            says: Says::Limits,
            ..steady(
                "bucket-told",
                "the same, with the limit per second in headers",
                Kind::Bucket,
            )
        },
        Server {
            says: Says::PerMinute,
            ..steady(
                "bucket-other-unit",
                "the same, with the limit per minute in headers",
                Kind::Bucket,
            )
        },
        Server {
            says: Says::PerMinute,
            ..steady(
                "sliding-other-unit",
                "600 in any 60 s, with the limit per minute in headers",
                Kind::SlidingMinute,
            )
        },
        Server {
            network: FAR,
            ..steady(
                "seconds",
                "10 in each second of its clock, 150 ms of jitter",
                Kind::FixedSecond,
            )
        },
    ];
    let mut all = Vec::from(minutes);
    all.extend(moving());
    all.extend(harder());
    all.extend(sizes());
    all
}

fn moving() -> [Server; 4] {
    let moving = |name, about, kind, says| Server {
        rules: rules(kind, MOVING),
        says,
        ..steady(name, about, kind)
    };
    let neighbour = |name, about, kind| Server {
        rules: Rules {
            tenant: Tenant::Untold(NEIGHBOUR),
            ..rules(kind, STEADY)
        },
        work: Work::Steady {
            calls: 4_500,
            callers: 64,
        },
        ..steady(name, about, kind)
    };
    [
        moving(
            "moving",
            "a bucket of 600 a minute, then 300, then 1,200",
            Kind::Bucket,
            Says::Wait,
        ),
        moving(
            "moving-told",
            "the same, with the limit per second in headers",
            Kind::Bucket,
            Says::Limits,
        ),
        neighbour(
            "neighbour-bucket",
            "a bucket of 600 a minute, of which a neighbour takes 0 to 70 %",
            Kind::Bucket,
        ),
        neighbour(
            "neighbour-sliding",
            "600 in any 60 s, of which a neighbour takes 0 to 70 %",
            Kind::SlidingMinute,
        ),
    ]
}

fn harder() -> [Server; 8] {
    let tokens = |name, about, says| Server {
        rules: Rules {
            tokens: Some(f64::from(TOKENS.per_minute)),
            ..rules(Kind::Bucket, STEADY)
        },
        says,
        work: Work::Steady {
            calls: 3_750,
            callers: 64,
        },
        given: Given {
            requests: 600,
            tokens: Some(TOKENS),
        },
        ..steady(name, about, Kind::Bucket)
    };
    let bursts = |name, about, kind| Server {
        work: Work::Bursts(200),
        ..steady(name, about, kind)
    };
    [
        tokens(
            "tokens",
            "600 requests and 60,000 tokens a minute, heavy tails",
            Says::Wait,
        ),
        tokens(
            "tokens-told",
            "the same, with both limits per second in headers",
            Says::Limits,
        ),
        Server {
            rules: Rules {
                counts_rejected: true,
                ..rules(Kind::SlidingMinute, STEADY)
            },
            ..steady(
                "counts-rejected",
                "600 in any 60 s, rejected calls count",
                Kind::SlidingMinute,
            )
        },
        Server {
            rules: Rules {
                out: Some((120, 1_320)),
                ..rules(Kind::Bucket, STEADY)
            },
            ..steady(
                "out",
                "a bucket of 600 a minute, no quota for 20 minutes (`Retry-After: 600`)",
                Kind::Bucket,
            )
        },
        bursts(
            "bursts-bucket",
            "200 calls at once each minute, a bucket of 600 a minute",
            Kind::Bucket,
        ),
        bursts(
            "bursts-minute",
            "200 calls at once each minute, 600 in any 60 s",
            Kind::SlidingMinute,
        ),
        Server {
            processes: 4,
            work: Work::Steady {
                calls: 9_000,
                callers: 64,
            },
            ..steady(
                "processes",
                "four processes with one key, a bucket of 600 a minute",
                Kind::Bucket,
            )
        },
        Server {
            rules: Rules {
                fails: Fails {
                    busy: 0.05,
                    reset: 0.01,
                },
                ..rules(Kind::Bucket, Moves::Plan(&[(0, 300.0)]))
            },
            network: Network {
                thinks: (300, 20_000),
                ..NEAR
            },
            work: Work::Steady {
                calls: 3_000,
                callers: 128,
            },
            given: requests(300),
            ..steady(
                "failing",
                "a bucket of 300 a minute, 5 % 503, 1 % resets, responses of 0.3 to 20 s",
                Kind::Bucket,
            )
        },
    ]
}

fn sizes() -> [Server; 4] {
    let three = |name, about, says| Server {
        rules: rules(Kind::SlidingMinute, Moves::Plan(&[(0, 3.0)])),
        says,
        work: Work::Steady {
            calls: 60,
            callers: 8,
        },
        given: requests(3),
        ..steady(name, about, Kind::SlidingMinute)
    };
    let many = |name, about, kind| Server {
        rules: rules(kind, Moves::Plan(&[(0, 3_000.0)])),
        work: Work::Steady {
            calls: 30_000,
            callers: 256,
        },
        given: requests(3_000),
        ..steady(name, about, kind)
    };
    [
        three("3-a-minute", "3 in any 60 s", Says::Wait),
        three(
            "3-told",
            "the same, with the limit per second in headers",
            Says::Limits,
        ),
        many(
            "3000-bucket",
            "50 a second, from a bucket of 50",
            Kind::Bucket,
        ),
        many(
            "3000-seconds",
            "50 in each second of its clock",
            Kind::FixedSecond,
        ),
    ]
}

/// 600 a minute for ten minutes, without headers but `Retry-After`.
fn steady(name: &'static str, about: &'static str, kind: Kind) -> Server {
    Server {
        name,
        about,
        rules: rules(kind, STEADY),
        says: Says::Wait,
        network: NEAR,
        work: Work::Steady {
            calls: 6_000,
            callers: 64,
        },
        processes: 1,
        given: requests(600),
    }
}

fn requests(requests: u32) -> Given {
    Given {
        requests,
        tokens: None,
    }
}

const BURSTS: usize = 10;
const NEAR: Network = Network {
    delay: (10, 90),
    thinks: (500, 3_500),
};
const FAR: Network = Network {
    delay: (10, 160),
    ..NEAR
};
const NEIGHBOUR: Shares = &[(0, 0.0), (120, 0.7), (240, 0.3), (360, 0.5), (480, 0.1)];
const TOKENS: Tokens = Tokens {
    per_minute: 60_000,
    mean: 100,
    most: MAX_TOKENS,
};
