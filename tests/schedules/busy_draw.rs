//! Tables and busy lanes drawn from a seed.
//!
//! No schedule is such that its fair shares cannot be met, whatever goes first. A paced limit has no use for
//! a wait between two requests that another limit makes longer than its own. So lanes that share two limits
//! cost the same in proportion, and requests to one endpoint take the same time.

use std::time::Duration;

use fastrand::Rng;
use testing::table::{Cap, Lane, Line, Table};
use tower_together::{Endpoint, Quota};

use crate::busy::{Busy, BusyLane};

impl Busy {
    pub(crate) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let lanes = lanes(rng);
        let mut busy = Self {
            table: table(rng, &lanes),
            lanes,
            second_poll: rng.bool(),
            buffered: rng.bool(),
        };
        if busy.any_share_two() {
            let cost = busy.lanes[0].cost;
            busy.lanes.iter_mut().for_each(|lane| lane.cost = cost);
        }
        busy
    }

    /// Whether any two lanes share two limits.
    pub(crate) fn any_share_two(&self) -> bool {
        let mut pairs = self.lanes.iter().flat_map(|one| {
            let others = self.lanes.iter().filter(|other| other.lane != one.lane);
            others.map(|other| (one.lane, other.lane))
        });
        pairs.any(|(one, other)| {
            let lines = self.table.of(other);
            let shared = self
                .table
                .of(one)
                .into_iter()
                .filter(|line| lines.contains(line));
            shared.count() > 1
        })
    }
}

fn lanes(rng: &mut Rng) -> Vec<BusyLane> {
    let endpoints = ENDPOINTS.map(|endpoint| {
        let cost = *rng.choice(&[100, 300, 1_000, 3_000]).unwrap();
        let takes = *rng.choice(&[0, 0, 90, 500, 2_000]).unwrap();
        (endpoint, cost, takes)
    });
    let mut lanes: Vec<BusyLane> = Vec::new();
    for _ in 0..rng.usize(2..=5) {
        let (endpoint, cost, takes) = *rng.choice(&endpoints).unwrap();
        let lane = (endpoint, *rng.choice(&MODELS).unwrap());
        if !lanes.iter().any(|other| other.lane == lane) {
            lanes.push(BusyLane { lane, cost, takes });
        }
    }
    lanes
}

fn table(rng: &mut Rng, lanes: &[BusyLane]) -> Table {
    let mut table = Table { lines: Vec::new() };
    let mut add = |line: Line| {
        if !table.lines.iter().any(|other| other.is_about(&line)) {
            table.lines.push(line);
        }
    };
    for _ in 0..rng.u32(1..=4) {
        add(shared(rng, lanes));
    }
    for busy in lanes {
        if rng.u8(..4) == 0 {
            add(own(busy.lane, Cap::InFlight(rng.u32(1..=3)), rng.bool()));
        }
        if rng.u8(..4) == 0 {
            add(own(busy.lane, Cap::Requests(quota(rng, 1)), rng.bool()));
        }
    }
    // A lane that nothing paces is never busy for long.
    for busy in lanes {
        let paces = |line: &&Line| !matches!(line.cap, Cap::InFlight(_));
        if !table.of(busy.lane).iter().any(paces) {
            let cap = Cap::Requests(quota(rng, 1));
            table.lines.push(own(busy.lane, cap, true));
        }
    }
    table
}

/// A line that some lanes share.
fn shared(rng: &mut Rng, lanes: &[BusyLane]) -> Line {
    let mut endpoints = Vec::new();
    for busy in lanes {
        if rng.bool() && !endpoints.contains(&busy.lane.0) {
            endpoints.push(busy.lane.0);
        }
    }
    if endpoints.is_empty() {
        endpoints.push(lanes[0].lane.0);
    }
    endpoints.sort_unstable();
    let (_, model) = rng.choice(lanes).unwrap().lane;
    let tokens = rng.u8(..3) == 0;
    Line {
        endpoints,
        model: model.filter(|_| rng.u8(..4) == 0),
        cap: match tokens {
            true => Cap::Tokens(quota(rng, 1_000)),
            false => Cap::Requests(quota(rng, 1)),
        },
    }
}

fn own((endpoint, model): Lane, cap: Cap, for_model: bool) -> Line {
    Line {
        endpoints: vec![endpoint],
        model: model.filter(|_| for_model),
        cap,
    }
}

/// A quota of up to three requests a second, each of `unit`.
fn quota(rng: &mut Rng, unit: u64) -> Quota {
    let seconds = *rng.choice(&[5, 15, 30]).unwrap();
    let max = rng.u64(4..=3 * seconds) * unit;
    let quota = Quota::new(max, Duration::from_secs(seconds)).unwrap();
    match rng.u8(..8) {
        0 | 1 => quota.with_burst(rng.u64(1..=max / 4)).unwrap(),
        2 => quota.unpaced(),
        _ => quota,
    }
}

const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Rerank,
];
const MODELS: [Option<&str>; 3] = [None, Some("slow"), Some("other")];
