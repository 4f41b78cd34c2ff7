//! All servers, in the order of the table.

use simulation::{
    counter::Kind::{self, Bucket, FixedMinute, FixedSecond, SlidingMinute},
    limit::Moves,
    server::{Fails, Says, Shares, Tenant},
    setting::{MOVING, STEADY, rules},
};

use super::{Network, Server, Work};
use crate::{
    clients::{Given, Tokens},
    wire::MAX_TOKENS,
};

pub(crate) fn all() -> Vec<Server> {
    let mut all = Vec::from(steady());
    all.extend(moving());
    all.extend(tokens());
    all.extend(harder());
    all.extend(sizes());
    all
}

fn steady() -> [Server; 7] {
    let mut seconds = server(
        "seconds",
        "10 in each second of its clock, 150 ms of jitter",
        FixedSecond,
    );
    seconds.network = Network {
        delay: (10, 160),
        ..NEAR
    };
    [
        server(
            "fixed-minute",
            "600 in each minute of its clock",
            FixedMinute,
        ),
        server("sliding-minute", "600 in any 60 s", SlidingMinute),
        server("bucket", "10 a second, from a bucket of 10", Bucket),
        server(
            "bucket-told",
            "the same, with the limit per second in headers",
            Bucket,
        )
        .says(Says::Limits),
        server(
            "bucket-other-unit",
            "the same, with the limit per minute in headers",
            Bucket,
        )
        .says(Says::PerMinute),
        server(
            "sliding-other-unit",
            "600 in any 60 s, with the limit per minute in headers",
            SlidingMinute,
        )
        .says(Says::PerMinute),
        seconds,
    ]
}

fn moving() -> [Server; 4] {
    let moving = |name, about| server(name, about, Bucket).moves(MOVING);
    let neighbour = |name, about, kind| {
        let mut server = server(name, about, kind).work(4_500, 64);
        server.rules.tenant = Tenant::Untold(NEIGHBOUR);
        server
    };
    [
        moving("moving", "a bucket of 600 a minute, then 300, then 1,200"),
        moving(
            "moving-told",
            "the same, with the limit per second in headers",
        )
        .says(Says::Limits),
        neighbour(
            "neighbour-bucket",
            "a bucket of 600 a minute, of which a neighbour takes 0 to 70 %",
            Bucket,
        ),
        neighbour(
            "neighbour-sliding",
            "600 in any 60 s, of which a neighbour takes 0 to 70 %",
            SlidingMinute,
        ),
    ]
}

fn tokens() -> [Server; 2] {
    let tokens = |name, about| {
        let mut server = server(name, about, Bucket).work(3_750, 64);
        server.rules.tokens = Some(TOKENS.per_minute.into());
        server.given.tokens = Some(TOKENS);
        server
    };
    [
        tokens(
            "tokens",
            "600 requests and 60,000 tokens a minute, heavy tails",
        ),
        tokens(
            "tokens-told",
            "the same, with both limits per second in headers",
        )
        .says(Says::Limits),
    ]
}

fn harder() -> [Server; 6] {
    let mut counts_rejected = server(
        "counts-rejected",
        "600 in any 60 s, rejected calls count",
        SlidingMinute,
    );
    counts_rejected.rules.counts_rejected = true;

    let about = "a bucket of 600 a minute, no quota for 20 minutes (`Retry-After: 600`)";
    let mut out = server("out", about, Bucket);
    out.rules.out = Some((120, 1_320));

    let bursts = |name, about, kind| Server {
        work: Work::Bursts(200),
        ..server(name, about, kind)
    };

    let about = "four processes with one key, a bucket of 600 a minute";
    let mut processes = server("processes", about, Bucket).work(9_000, 64);
    processes.processes = 4;

    let about = "a bucket of 300 a minute, 5 % 503, 1 % resets, responses of 0.3 to 20 s";
    let mut failing = server("failing", about, Bucket).work(3_000, 128);
    failing = failing.allows(300, Moves::Plan(&[(0, 300.0)]));
    failing.rules.fails = Fails {
        busy: 0.05,
        reset: 0.01,
    };
    failing.network.thinks = (300, 20_000);

    [
        counts_rejected,
        out,
        bursts(
            "bursts-bucket",
            "200 calls at once each minute, a bucket of 600 a minute",
            Bucket,
        ),
        bursts(
            "bursts-minute",
            "200 calls at once each minute, 600 in any 60 s",
            SlidingMinute,
        ),
        processes,
        failing,
    ]
}

fn sizes() -> [Server; 4] {
    let three = |name, about| {
        let server = server(name, about, SlidingMinute).work(60, 8);
        server.allows(3, Moves::Plan(&[(0, 3.0)]))
    };
    let many = |name, about, kind| {
        let server = server(name, about, kind).work(30_000, 256);
        server.allows(3_000, Moves::Plan(&[(0, 3_000.0)]))
    };
    [
        three("3-a-minute", "3 in any 60 s"),
        three("3-told", "the same, with the limit per second in headers").says(Says::Limits),
        many("3000-bucket", "50 a second, from a bucket of 50", Bucket),
        many(
            "3000-seconds",
            "50 in each second of its clock",
            FixedSecond,
        ),
    ]
}

/// 600 a minute for ten minutes, without headers but `Retry-After`.
fn server(name: &'static str, about: &'static str, kind: Kind) -> Server {
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
        given: Given {
            requests: 600,
            tokens: None,
        },
    }
}

impl Server {
    fn says(self, says: Says) -> Self {
        Self { says, ..self }
    }

    fn work(self, calls: usize, callers: usize) -> Self {
        let work = Work::Steady { calls, callers };
        Self { work, ..self }
    }

    fn moves(mut self, moves: Moves) -> Self {
        self.rules.moves = moves;
        self
    }

    /// Allows `requests` a minute, as `moves` says too.
    fn allows(mut self, requests: u32, moves: Moves) -> Self {
        self.given.requests = requests;
        self.moves(moves)
    }
}

const NEAR: Network = Network {
    delay: (10, 90),
    thinks: (500, 3_500),
};
const NEIGHBOUR: Shares = &[(0, 0.0), (120, 0.7), (240, 0.3), (360, 0.5), (480, 0.1)];
const TOKENS: Tokens = Tokens {
    per_minute: 60_000,
    mean: 100,
    most: MAX_TOKENS,
};
