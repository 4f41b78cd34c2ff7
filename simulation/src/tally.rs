//! The outcomes of the requests to one server, second by second.

use std::time::Duration;

use crate::server::Tokens;

#[derive(Clone, Debug)]
pub struct Tally {
    /// The second from which requests used and rejected are counted.
    pub from: usize,
    /// The number that the server would have allowed in each second.
    pub allowed: Vec<f64>,
    pub sent: Vec<u32>,
    pub rejected: Vec<u32>,
    pub accepted: Vec<u32>,
    /// The number of accepted requests of each client.
    pub of_client: Vec<u32>,
    /// The tokens of all accepted requests, responses included.
    pub tokens: u64,
    /// The instant at which the last request was accepted.
    pub last: Duration,
}

impl Tally {
    pub fn new(from: u64, seconds: u64, clients: usize) -> Self {
        let seconds = seconds as usize;
        Self {
            from: from as usize,
            allowed: vec![0.0; seconds],
            sent: vec![0; seconds],
            rejected: vec![0; seconds],
            accepted: vec![0; seconds],
            of_client: vec![0; clients],
            tokens: 0,
            last: Duration::ZERO,
        }
    }

    pub fn sent(&mut self, now: Duration) {
        add(&mut self.sent, now);
    }

    pub fn arrived(&mut self, now: Duration, client: usize, tokens: Tokens, accepted: bool) {
        if accepted {
            add(&mut self.accepted, now);
            self.of_client[client] += 1;
            self.tokens += u64::from(tokens.prompt + tokens.output);
            self.last = now;
        } else {
            add(&mut self.rejected, now);
        }
    }

    /// The share used of what the server would have allowed, in percent.
    pub fn used(&self) -> f64 {
        self.used_from(self.from)
    }

    /// The share used from `second` on, in percent.
    pub fn used_from(&self, second: usize) -> f64 {
        let accepted = total(&self.accepted[second..]);
        100.0 * f64::from(accepted) / self.allowed[second..].iter().sum::<f64>()
    }

    /// The share of requests that got a 429, in percent.
    pub fn rejected_share(&self) -> f64 {
        let rejected = f64::from(total(&self.rejected[self.from..]));
        100.0 * rejected / (rejected + f64::from(total(&self.accepted[self.from..])))
    }

    /// The mean sent in the ten seconds before `second`, as a share of the limit in it.
    pub fn pace(&self, second: usize) -> f64 {
        let sent = f64::from(total(&self.sent[second - 10..second])) / 10.0;
        sent / self.allowed[second - 1]
    }

    /// The number of seconds after `second` until the pace is within a tenth of the limit.
    pub fn settled(&self, second: usize) -> Option<usize> {
        let close = |second: &usize| (self.pace(*second) - 1.0).abs() <= 0.1;
        let found = (second + 10..self.sent.len()).find(close);
        found.map(|found| found - second)
    }

    /// The second in which the server first allowed `per_second`.
    pub fn reached(&self, per_second: f64) -> Option<usize> {
        self.allowed
            .iter()
            .position(|allowed| *allowed >= per_second)
    }

    /// Fairness: 1 if every client got the same, 1 / n if one of n got all.
    pub fn fairness(&self) -> f64 {
        let each = self.of_client.iter().map(|count| f64::from(*count));
        let squares: f64 = each.clone().map(|count| count * count).sum();
        each.clone().sum::<f64>().powi(2) / (self.of_client.len() as f64 * squares)
    }

    /// A line for each ten seconds: allowed, sent, rejected.
    pub fn story(&self) -> String {
        let line = |second: usize| {
            let end = (second + 10).min(self.sent.len());
            let allowed: f64 = self.allowed[second..end].iter().sum();
            let sent = total(&self.sent[second..end]);
            let rejected = total(&self.rejected[second..end]);
            format!("{second:>6} s {allowed:>6.0} allowed {sent:>6} sent {rejected:>5} 429s\n")
        };
        (0..self.sent.len()).step_by(10).map(line).collect()
    }
}

pub fn total(counts: &[u32]) -> u32 {
    counts.iter().sum()
}

fn add(counts: &mut [u32], now: Duration) {
    // A request that arrives as the run ends is not counted.
    if let Some(count) = counts.get_mut(now.as_secs() as usize) {
        *count += 1;
    }
}
