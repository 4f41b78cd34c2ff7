//! No window of a limit that the user wrote exceeds it, counted where the inner service is called.

use std::time::Duration;

use testing::table::{Cap, Line, Table};

use crate::{
    schedule::{Schedule, Usage},
    story::{Event, Events},
};

pub(crate) fn assert_never_over(schedule: &Schedule, events: &Events) {
    let mut lines: Vec<&Line> = Vec::new();
    for line in schedule.tables.iter().flat_map(|(_, table)| &table.lines) {
        if !lines.iter().any(|other| other.is_about(line)) {
            lines.push(line);
        }
    }
    for line in lines {
        Account::new(line, schedule).assert_kept(events);
    }
}

/// The account of one line of the tables.
struct Account<'a> {
    line: &'a Line,
    schedule: &'a Schedule,
    table: &'a Table,
    /// The line's caps, each with the time from which it was in force. Empty while the line is in no table.
    caps: Vec<(Duration, Cap)>,
    sent: Vec<Sent>,
    /// Requests that hold slots of lanes under the line.
    in_flight: Vec<usize>,
}

/// A request sent under the line.
#[derive(Debug)]
struct Sent {
    n: usize,
    at: Duration,
    /// The tokens that the limiter knows it to cost, at least.
    tokens: u64,
    /// Whether another table has been put in force since.
    under_another: bool,
}

impl<'a> Account<'a> {
    fn new(line: &'a Line, schedule: &'a Schedule) -> Self {
        let mut account = Self {
            line,
            schedule,
            table: &schedule.tables[0].1,
            caps: Vec::new(),
            sent: Vec::new(),
            in_flight: Vec::new(),
        };
        account.change(Duration::ZERO, 0);
        account
    }

    fn assert_kept(mut self, events: &Events) {
        for &(at, event) in events {
            match event {
                Event::Table(n) => self.change(at, n),
                Event::Called(n) => self.call(at, n),
                Event::Head(n) => self.hear(n),
                Event::Ended(n, whole) => self.end(n, whole),
                Event::Dropped(n) => self.end(n, false),
                _ => {}
            }
        }
    }

    fn change(&mut self, at: Duration, n: usize) {
        self.table = &self.schedule.tables[n].1;
        self.sent
            .iter_mut()
            .for_each(|sent| sent.under_another = true);
        match self.table.cap_of(self.line) {
            Some(cap) if self.caps.last().is_some_and(|(_, last)| *last == cap) => {}
            Some(cap) => self.caps.push((at, cap)),
            None => {
                self.caps.clear();
                self.sent.clear();
            }
        }
    }

    fn call(&mut self, at: Duration, n: usize) {
        let visit = &self.schedule.visits[n];
        let lines = self.table.of(visit.lane);
        let slots = |line: &&Line| matches!(line.cap, Cap::InFlight(_));
        if lines.iter().any(slots) {
            self.in_flight.push(n);
        }
        if !lines.iter().any(|line| line.is_about(self.line)) {
            return;
        }
        self.sent.push(Sent {
            n,
            at,
            tokens: visit.cost.unwrap_or(0),
            under_another: false,
        });
        match self.caps[self.caps.len() - 1].1 {
            Cap::InFlight(max) => self.assert_slots(max, at),
            // A request that costs nothing may always leave.
            Cap::Tokens(_) if visit.cost == Some(0) => {}
            Cap::Requests(_) | Cap::Tokens(_) => self.assert_windows(at),
        }
    }

    /// The response's head may settle what an error cost.
    fn hear(&mut self, n: usize) {
        match self.schedule.visits[n].reply.usage {
            Usage::Untold => {}
            Usage::Told(told) => self.settle(n, |tokens| tokens.min(told)),
            Usage::Absurd => self.settle(n, |_| 0),
        }
    }

    fn end(&mut self, n: usize, whole: bool) {
        self.in_flight.retain(|other| *other != n);
        match self.schedule.visits[n].reply.usage {
            // A cost of 0 says that nothing is to be counted.
            Usage::Told(told) if whole && self.schedule.visits[n].cost != Some(0) => {
                self.settle(n, |_| told);
            }
            _ => {}
        }
    }

    fn settle(&mut self, n: usize, cost: impl Fn(u64) -> u64) {
        for sent in self.sent.iter_mut().filter(|sent| sent.n == n) {
            let tokens = cost(sent.tokens);
            // Nothing comes back once another table is in force.
            if tokens > sent.tokens || !sent.under_another {
                sent.tokens = tokens;
            }
        }
    }

    fn assert_slots(&self, max: u32, at: Duration) {
        let lane = |n: &&usize| self.schedule.visits[**n].lane;
        let under = |n: &&usize| {
            let mut lines = self.table.of(lane(n)).into_iter();
            lines.any(|line| line.is_about(self.line))
        };
        let taken = self.in_flight.iter().filter(under).count();
        assert!(
            taken <= max as usize,
            "{taken} in flight at {at:?}: {:?}",
            self.line
        );
    }

    /// The window that ends now, of the quota in force. One that began under another may hold what that allowed.
    fn assert_windows(&self, now: Duration) {
        let (_, Cap::Requests(quota) | Cap::Tokens(quota)) = self.caps[self.caps.len() - 1] else {
            return;
        };
        let most = self.most(now.saturating_sub(quota.per()), now, quota.per());
        let (used, last) = self.used(now, quota.per());
        let last = if self.is_paced_in_tokens() { last } else { 0 };
        assert!(
            used - last <= most,
            "{used} in {:?} until {now:?}, not {most}: {:?}, {:?}",
            quota.per(),
            self.caps,
            self.sent
        );
    }

    /// The most that the caps allow in a window, each while it was in force: the largest, if their windows are as long.
    fn most(&self, start: Duration, now: Duration, per: Duration) -> u64 {
        let mut most: Vec<(Duration, u64)> = Vec::new();
        for (n, (from, cap)) in self.caps.iter().enumerate() {
            let until = self.caps.get(n + 1).map_or(now, |(until, _)| *until);
            if until <= start && n + 1 < self.caps.len() {
                continue;
            }
            let length = until.saturating_sub(*from.max(&start)).min(per);
            let (own, allowed) = most_in(*cap, length);
            match most.iter_mut().find(|(other, _)| *other == own) {
                Some((_, most)) => *most = allowed.max(*most),
                None => most.push((own, allowed)),
            }
        }
        most.into_iter().map(|(_, most)| most).sum()
    }

    /// Whether a window may exceed its limit by its last request.
    fn is_paced_in_tokens(&self) -> bool {
        self.caps
            .iter()
            .any(|(_, cap)| matches!(cap, Cap::Tokens(quota) if *quota != quota.unpaced()))
    }

    /// The amount used in a window that ends now, and by the last request.
    fn used(&self, now: Duration, per: Duration) -> (u64, u64) {
        let window = self.sent.iter().filter(|sent| sent.at + per > now);
        let costs = window.map(|sent| self.line.cap.cost(sent.tokens));
        let last = self
            .sent
            .last()
            .map_or(0, |sent| self.line.cap.cost(sent.tokens));
        (costs.sum(), last)
    }
}

/// The length of a limit's own windows, and the most that it allows in a time of any length.
fn most_in(cap: Cap, length: Duration) -> (Duration, u64) {
    let (Cap::Requests(quota) | Cap::Tokens(quota)) = cap else {
        unreachable!("a line keeps its kind")
    };
    let windows = length.as_nanos().div_ceil(quota.per().as_nanos()).max(1);
    let windows = u64::try_from(windows).expect("a few");
    (quota.per(), quota.max() * windows)
}
