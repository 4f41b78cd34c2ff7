//! Schedules drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use testing::table::{Cap, EXEMPT, Lane, Line, Table};
use tower_together::{Endpoint, Quota};

use crate::{
    replies::reply,
    schedule::{Handling, Inner, Schedule, Visit},
};

/// The schedule of a seed.
pub(crate) fn schedule(seed: u64) -> Schedule {
    let rng = &mut Rng::with_seed(seed);
    let lanes = lanes(rng);
    let span = *rng.choice(&[100, 4_000, 60_000]).unwrap();
    let learning = rng.bool();
    let visits = 1 << rng.u32(2..8);
    let dearest = *rng.choice(&[40, 300]).unwrap();
    Schedule {
        tables: tables(rng, &lanes, span),
        over_default: rng.u8(..4) == 0,
        reserves: rng.u8(..4) == 0,
        learning,
        max_wait: (rng.u8(..6) == 0).then(|| rng.u64(..=span)),
        max_waiting: (rng.u8(..8) == 0).then(|| rng.usize(..visits)),
        inner: inner(rng),
        visits: (0..rng.usize(visits / 2..visits))
            .map(|_| visit(rng, &lanes, span, dearest))
            .collect(),
    }
}

/// The schedule of a seed for several threads on the real clock: limits of which only those of slots
/// make a request wait for longer than a moment.
pub(crate) fn quick_schedule(seed: u64) -> Schedule {
    let mut schedule = schedule(seed);
    schedule.learning = false;
    schedule.over_default = false;
    schedule.max_wait = None;
    for (at, table) in &mut schedule.tables {
        *at = (*at).min(20);
        for line in &mut table.lines {
            if let Cap::Requests(quota) | Cap::Tokens(quota) = &mut line.cap {
                *quota = Quota::new(10_000_000, Duration::from_secs(1)).unwrap();
            }
        }
    }
    if let Inner::Flapping(times) = &mut schedule.inner {
        times.iter_mut().for_each(|time| *time = 1 + *time % 3);
    }
    for visit in &mut schedule.visits {
        visit.at %= 20;
        visit.reply.after %= 3;
        visit.reply.body_after %= 3;
        // A pause lasts for a second at least.
        if matches!(visit.reply.status, Some(429 | 503)) {
            visit.reply.status = Some(500);
        }
        // An absurd usage is believed up to ten windows' worth.
        visit.reply.body = String::new();
        match &mut visit.fate {
            Handling::Awaited => {}
            Handling::Dropped(after) => *after %= 20,
            Handling::Unpolled(pauses) => pauses.iter_mut().for_each(|pause| *pause %= 20),
        }
    }
    schedule
}

fn lanes(rng: &mut Rng) -> Vec<Lane> {
    let lane = |rng: &mut Rng| {
        (
            *rng.choice(&ENDPOINTS).unwrap(),
            *rng.choice(&MODELS).unwrap(),
        )
    };
    (0..rng.usize(1..=6)).map(|_| lane(rng)).collect()
}

/// A table, and up to three that follow it, each of which keeps some lines of the one before.
fn tables(rng: &mut Rng, lanes: &[Lane], span: u64) -> Vec<(u64, Table)> {
    let mut tables = vec![(0, table(rng, lanes))];
    let mut at = 0;
    for _ in 0..rng.u32(..4).saturating_sub(rng.u32(..2)) {
        at += rng.u64(1..=span);
        let next = followed(rng, &tables[tables.len() - 1].1, lanes);
        tables.push((at, next));
    }
    tables
}

fn followed(rng: &mut Rng, before: &Table, lanes: &[Lane]) -> Table {
    let mut next = Table { lines: Vec::new() };
    for line in &before.lines {
        match rng.u8(..4) {
            0 => {}
            1 => next.lines.push(Line {
                cap: cap(rng, Some(line.cap)),
                ..line.clone()
            }),
            _ => next.lines.push(line.clone()),
        }
    }
    for line in table(rng, lanes).lines {
        if rng.bool() && !next.lines.iter().any(|kept| kept.is_about(&line)) {
            next.lines.push(line);
        }
    }
    next
}

pub(crate) fn table(rng: &mut Rng, lanes: &[Lane]) -> Table {
    let mut table = Table { lines: Vec::new() };
    // With many limits, only the strictest is ever full.
    let most = if rng.bool() { 3 } else { 7 };
    for _ in 0..rng.u32(..most) {
        let line = line(rng, lanes);
        if !table.lines.iter().any(|other| other.is_about(&line)) {
            table.lines.push(line);
        }
    }
    table
}

/// A line of one lane's endpoint or several, for any model or one.
fn line(rng: &mut Rng, lanes: &[Lane]) -> Line {
    let (endpoint, model) = *rng.choice(lanes).unwrap();
    let cap = cap(rng, None);
    let slots = matches!(cap, Cap::InFlight(_));
    let others = ENDPOINTS.into_iter().filter(|_| !slots && rng.u8(..3) == 0);
    let mut endpoints: Vec<_> = others.chain([endpoint]).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Line {
        endpoints,
        model: model.filter(|model| *model != EXEMPT && rng.u8(..3) == 0),
        cap,
    }
}

/// A limit; in place of another one it is of the same kind, and mostly of the same window.
fn cap(rng: &mut Rng, before: Option<Cap>) -> Cap {
    let per = match before {
        Some(Cap::Requests(quota) | Cap::Tokens(quota)) if rng.u8(..3) > 0 => Some(quota.per()),
        _ => None,
    };
    let kind = match before {
        Some(Cap::Requests(_)) => 0,
        Some(Cap::Tokens(_)) => 1,
        Some(Cap::InFlight(_)) => 2,
        None => rng.u8(..3),
    };
    match kind {
        0 => Cap::Requests(quota(rng, 12, per)),
        1 => {
            let most = if rng.bool() { 500 } else { 2_000 };
            Cap::Tokens(quota(rng, most, per))
        }
        _ => Cap::InFlight(rng.u32(1..=3)),
    }
}

fn quota(rng: &mut Rng, most: u64, per: Option<Duration>) -> Quota {
    let max = rng.u64(most.div_ceil(10)..=most);
    let lengths = [100..1_000, 1_000..10_000, 10_000..120_000];
    let per = per.unwrap_or_else(|| {
        let lengths = rng.choice(lengths).unwrap();
        Duration::from_millis(rng.u64(lengths))
    });
    let mut quota = Quota::new(max, per).unwrap();
    if rng.u8(..3) == 0 {
        // One as large as the quota takes a window for each.
        let most = if max > 12 { max / 2 } else { max };
        quota = quota.with_burst(rng.u64(1..=most)).unwrap();
    }
    match rng.u8(..6) {
        0 => quota = quota.with_margin(Duration::ZERO).unwrap(),
        1 => quota = quota.with_margin(per.mul_f64(rng.f64() / 2.0)).unwrap(),
        _ => {}
    }
    if rng.u8(..4) == 0 {
        quota.unpaced()
    } else {
        quota
    }
}

fn inner(rng: &mut Rng) -> Inner {
    match rng.u8(..6) {
        0 => Inner::Ready,
        1 => Inner::SecondPoll,
        2 => Inner::Limited(1),
        3 => Inner::Limited(3),
        4 => Inner::Buffered(rng.choice([None, Some(1), Some(3)]).unwrap()),
        _ => {
            let most = *rng.choice(&[20, 200, 3_000]).unwrap();
            Inner::Flapping((0..8).map(|_| rng.u64(1..most)).collect())
        }
    }
}

fn visit(rng: &mut Rng, lanes: &[Lane], span: u64, dearest: u64) -> Visit {
    let lane = *rng.choice(lanes).unwrap();
    let fate = match rng.u8(..8) {
        0 | 1 => Handling::Dropped(rng.u64(..=span)),
        2 => Handling::Unpolled((0..rng.u32(1..4)).map(|_| rng.u64(..=span)).collect()),
        _ => Handling::Awaited,
    };
    Visit {
        at: if rng.bool() { 0 } else { rng.u64(..=span) },
        lane,
        caller: rng.choice(["a", "b", "c"]).unwrap(),
        cost: (rng.u8(..4) > 0).then(|| rng.u64(..=dearest)),
        deadline: (rng.u8(..8) == 0).then(|| rng.u64(..=span)),
        fate,
        reply: reply(rng, span),
        body_dropped: (rng.u8(..8) == 0).then(|| rng.u64(..=span)),
    }
}

const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Rerank,
];
const MODELS: [Option<&str>; 4] = [None, Some("slow"), Some("other"), Some(EXEMPT)];
