//! The lanes of a ledger: their pauses, their paces, and the events for the process that learns.

use super::ask::{Event, Pace, Report, ReportReply, Stamp, What, micros};
use crate::{
    quota::News,
    words::{Each, Unit},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    paused: f64,
    since: f64,
    /// The process that learns the pace for all, and the instant until which it does.
    learner: u64,
    learns_until: f64,
    departed: Each<f64>,
    paces: Each<Pace>,
    /// Events that the learner has not heard of yet.
    events: Vec<Event>,
}

impl Lane {
    /// Takes a report, and hands out what others have reported to the process that learns.
    pub(super) fn take(&mut self, report: &Report, process: Option<u64>, now: f64) -> ReportReply {
        if self.paused > now + HOUR {
            self.paused = 0.0;
        }
        let departed = &mut self.departed;
        departed.requests = (departed.requests + report.requests as f64).min(MOST);
        departed.tokens = (departed.tokens + report.tokens as f64).clamp(0.0, MOST);
        for unit in Unit::BOTH {
            if report.paces[unit].epoch > self.paces[unit].epoch {
                self.paces[unit] = report.paces[unit];
            }
        }
        for event in &report.events {
            self.hear(event, now);
        }
        let is_free = now >= self.learns_until || self.learns_until > now + LEARNS;
        let process = process.filter(|_| report.learns);
        let process = process.filter(|process| is_free || self.learner == *process);
        let mut events = Vec::new();
        if let Some(process) = process {
            (self.learner, self.learns_until) = (process, now + LEARNS);
            events = std::mem::take(&mut self.events);
        }
        ReportReply {
            learns: process.is_some(),
            paused: Stamp(self.paused as u64),
            since: Stamp(self.since as u64),
            departed: Each {
                requests: self.departed.requests as u64,
                tokens: self.departed.tokens as u64,
            },
            paces: self.paces,
            events,
        }
    }

    /// Takes an event. A rejection is news only if its sender knew of the newest pause.
    fn hear(&mut self, event: &Event, now: f64) {
        let mut event = *event;
        if event.what != What::Named {
            let wait = micros(event.wait).min(HOUR);
            self.paused = self.paused.max(now + wait);
        }
        match event.what {
            What::Overloaded => return,
            What::Rejected(News::Nothing) | What::Named => {}
            What::Rejected(_) => match event.since.0 as f64 >= self.since {
                true => self.since = now.max(self.since + 1.0),
                false => event.what = What::Rejected(News::Nothing),
            },
        }
        if self.events.len() < MOST_EVENTS {
            self.events.push(event);
        }
    }
}

/// The time for which a process learns the pace of a lane, after its last report.
const LEARNS: f64 = 2e6;
/// The events that wait for the process that learns, at most.
const MOST_EVENTS: usize = 32;
const MOST: f64 = 1e15;
const HOUR: f64 = 3_600e6;
