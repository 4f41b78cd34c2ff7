//! Properties of every story, checked naively.

use std::{collections::HashMap, time::Duration};

use testing::table::{Cap, Lane, Line, Table};

use crate::play::{Event, Story, Visit};

/// No window of a quota's length, wherever it starts, sees more than its maximum leave while the
/// number is in force; and of in-flight slots no more are taken at a time.
///
/// A paced window may see more tokens by the cost of its last request.
pub(crate) fn assert_never_over(tables: &[Table], visits: &[Visit], story: &Story) {
    let mut lines: Vec<&Line> = Vec::new();
    for line in tables.iter().flat_map(|table| &table.lines) {
        if !lines.iter().any(|other| other.is_about(line)) {
            lines.push(line);
        }
    }
    for line in lines {
        assert_line_never_over(line, tables, visits, story);
    }
}

fn assert_line_never_over(line: &Line, tables: &[Table], visits: &[Visit], story: &Story) {
    let mut table = &tables[0];
    let is_under = |table: &Table, n: &usize| {
        let mut under = table.of(visits[*n].lane).into_iter();
        under.any(|under| under.is_about(line))
    };
    // The requests that left under this line while its number was in force, and those in flight.
    let mut left: Vec<(Duration, usize)> = Vec::new();
    let mut under_way: Vec<usize> = Vec::new();
    for &(at, event) in story {
        match event {
            Event::Table(next) => {
                assert_within(table.cap_of(line), visits, &left);
                let stands = tables[next].cap_of(line) == table.cap_of(line);
                table = &tables[next];
                left.retain(|(_, n)| stands && is_under(table, n));
                under_way.retain(|n| stands && is_under(table, n));
            }
            Event::Left(n) if is_under(table, &n) => {
                left.push((at, n));
                under_way.push(n);
                if let Some(Cap::InFlight(max)) = table.cap_of(line) {
                    assert!(under_way.len() <= max as usize, "{under_way:?} at {at:?}");
                }
            }
            Event::Ended(n) => under_way.retain(|other| *other != n),
            Event::Came(_)
            | Event::Left(_)
            | Event::Rejected(..)
            | Event::Dropped(_)
            | Event::Paused(..) => {}
        }
    }
    assert_within(table.cap_of(line), visits, &left);
}

/// Each request leaves at the first instant that all its limits allow, to the nanosecond. Holds for one
/// request at a time, if nothing but the limits delays it.
pub(crate) fn assert_never_late(table: &Table, visits: &[Visit], story: &Story) {
    let mut left: Vec<(Duration, usize)> = Vec::new();
    let mut came = Duration::ZERO;
    for &(at, event) in story {
        match event {
            Event::Came(_) => came = at,
            Event::Left(n) => {
                let lines = table.of(visits[n].lane).into_iter();
                let due = lines.map(|line| first_instant(line, n, table, visits, &left));
                assert_eq!(at, due.fold(came, Duration::max), "{n} is late");
                left.push((at, n));
            }
            _ => {}
        }
    }
}

/// The first instant at which a line lets request `n` leave, after the requests in `left`.
fn first_instant(
    line: &Line,
    n: usize,
    table: &Table,
    visits: &[Visit],
    left: &[(Duration, usize)],
) -> Duration {
    let (Cap::Requests(quota) | Cap::Tokens(quota)) = line.cap else {
        return Duration::ZERO;
    };
    let cost = line.cap.cost(visits[n].tokens);
    let counted = left.iter().map(|(at, n)| (at, &visits[*n]));
    let counted = counted.filter(|(_, visit)| table.of(visit.lane).contains(&line));
    let mut counted: Vec<_> = counted
        .map(|(at, visit)| (*at, line.cap.cost(visit.tokens)))
        .filter(|(_, cost)| *cost > 0)
        .collect();
    if cost == 0 || counted.is_empty() {
        return Duration::ZERO;
    }
    let window = quota.per() + quota.margin();
    if quota == quota.unpaced() {
        let mut used: u64 = counted.iter().map(|(_, cost)| cost).sum();
        let mut room = Duration::ZERO;
        for (at, cost_before) in counted {
            if used + cost <= quota.max() {
                break;
            }
            used -= cost_before;
            room = at + window;
        }
        return room;
    }
    // From each earlier departure on, everything that left since has to be paid for, less the burst.
    let paced = u128::from(quota.max() - quota.burst() + 1);
    let interval = u64::try_from(window.as_nanos().div_ceil(paced)).unwrap();
    let mut behind = 0;
    counted.reverse();
    let due = counted.into_iter().map(|(at, cost)| {
        behind += cost;
        let apart = Duration::from_nanos(interval * behind);
        (at + apart).saturating_sub(Duration::from_nanos(interval * (quota.burst() - 1)))
    });
    due.max().unwrap_or_default()
}

fn assert_within(cap: Option<Cap>, visits: &[Visit], left: &[(Duration, usize)]) {
    let (quota, paced_tokens) = match cap {
        Some(Cap::Requests(quota)) => (quota, false),
        Some(Cap::Tokens(quota)) => (quota, quota != quota.unpaced()),
        Some(Cap::InFlight(_)) | None => return,
    };
    let costs = left
        .iter()
        .map(|(at, n)| (at, cap.map_or(0, |cap| cap.cost(visits[*n].tokens))));
    // A request that costs nothing does not count.
    let costs: Vec<_> = costs.filter(|(_, cost)| *cost > 0).collect();
    for (first, (start, _)) in costs.iter().enumerate() {
        let mut used = 0;
        for (at, cost) in &costs[first..] {
            if **at >= **start + quota.per() {
                break;
            }
            let counted = if paced_tokens { used } else { used + cost };
            used += cost;
            assert!(
                counted <= quota.max(),
                "{used} from {start:?} to {at:?} under {quota:?}"
            );
        }
    }
}

/// In each lane, requests that the server rejected go first. Then callers take turns, each one's requests in the order
/// of their arrival. Holds if every waiting request is polled.
pub(crate) fn assert_in_turn(visits: &[Visit], story: &Story) {
    let mut lanes: HashMap<Lane, Vec<usize>> = HashMap::new();
    let mut passed = Passed::default();
    for (_, event) in story {
        match *event {
            Event::Came(n) => lanes.entry(visits[n].lane).or_default().push(n),
            Event::Rejected(n, _) | Event::Dropped(n) => {
                lanes
                    .get_mut(&visits[n].lane)
                    .unwrap()
                    .retain(|other| *other != n);
            }
            Event::Left(n) => {
                let (lane, caller) = (visits[n].lane, visits[n].caller);
                let waiting = lanes.get_mut(&lane).unwrap();
                let again = waiting.iter().find(|other| visits[**other].again);
                let own = |other: &&usize| visits[**other].caller == caller;
                match again {
                    Some(first) => assert_eq!(*first, n, "a retried request is passed"),
                    None => assert_eq!(waiting.iter().find(own), Some(&n), "of one caller"),
                }
                waiting.retain(|other| *other != n);
                if !visits[n].again {
                    let others = waiting.iter().map(|other| (*other, visits[*other].caller));
                    passed.by(
                        (lane, caller),
                        others.map(|(n, caller)| (n, (lane, caller))),
                    );
                }
            }
            Event::Ended(_) | Event::Paused(..) | Event::Table(_) => {}
        }
    }
}

/// Lanes that wait for one shared quota, and nothing else, go in turn.
pub(crate) fn assert_lanes_in_turn(visits: &[Visit], story: &Story) {
    let mut waiting: Vec<usize> = Vec::new();
    let mut passed = Passed::default();
    for (_, event) in story {
        match *event {
            Event::Came(n) => waiting.push(n),
            Event::Rejected(n, _) | Event::Dropped(n) => waiting.retain(|other| *other != n),
            Event::Left(n) => {
                waiting.retain(|other| *other != n);
                let others = waiting.iter().map(|other| (*other, visits[*other].lane));
                passed.by(visits[n].lane, others);
            }
            Event::Ended(_) | Event::Paused(..) | Event::Table(_) => {}
        }
    }
}

/// The callers or lanes that passed each waiting request since it arrived or one of its own kind left.
struct Passed<K>(HashMap<usize, Vec<K>>);

impl<K> Default for Passed<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: PartialEq + Copy + std::fmt::Debug> Passed<K> {
    fn by(&mut self, who: K, waiting: impl Iterator<Item = (usize, K)>) {
        for (n, kind) in waiting {
            let passed = self.0.entry(n).or_default();
            if kind == who {
                passed.clear();
            } else {
                assert!(!passed.contains(&who), "{n} is passed twice by {who:?}");
                passed.push(who);
            }
        }
    }
}

/// The departure of each request.
pub(crate) fn departures(story: &Story) -> HashMap<usize, Duration> {
    let left = story.iter().filter_map(|(at, event)| match event {
        Event::Left(n) => Some((*n, *at)),
        _ => None,
    });
    left.collect()
}
