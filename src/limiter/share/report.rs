//! Reports of a key on its lanes, and the lessons from those of other processes.

use super::errand::Errand;
use crate::{
    limiter::{LaneIndex, key::Key, lane::Lane, rules::Rules},
    quota::{
        Restart,
        shared::{Event, Offset, Reply, Report, ReportReply, Stamp, What},
    },
    words::{Each, Instant, Span, Unit, Weight},
};

impl Key {
    /// Whether the server has asked for a pause that the ledger has not heard of.
    pub(super) fn has_news(&self) -> bool {
        let mut shares = self.lanes.iter().filter_map(|lane| lane.share.as_ref());
        shares.any(|share| share.has_news())
    }

    /// Adds a report on a lane, without what is reported once.
    pub(super) fn report_on(&self, lane: LaneIndex, errand: &mut Errand) {
        let (Some(key), Some(share)) = (&self.share, &self.lanes[lane].share) else {
            return;
        };
        errand.reported.push(lane);
        errand.ask.reports.push(Report {
            lane: share.name,
            learns: key.is_adaptive,
            paces: Each {
                requests: share.paces.requests.known,
                tokens: share.paces.tokens.known,
            },
            ..Report::default()
        });
    }

    /// Adds what is reported once: departures, statements of the server, and a pace that this process has
    /// learned for all.
    pub(super) fn fill_reports(&mut self, errand: &mut Errand, now: Instant) {
        let Some(key) = &self.share else { return };
        let stamp_of = |at: Instant| {
            let ago = (now - at).as_nanos() / 1_000;
            let latest = key.clock.latest(now).unwrap_or_default();
            Stamp(latest.0.saturating_sub(ago))
        };
        for (lane, report) in errand.reported.iter().zip(&mut errand.ask.reports) {
            let Lane { share, learned, .. } = &mut self.lanes[*lane];
            let share = share.as_mut().expect(REPORTED);
            (report.requests, report.tokens) = std::mem::take(&mut share.unreported);
            report.events = share
                .events
                .drain(..)
                .map(|said| said.event(stamp_of, now))
                .collect();
            for unit in Unit::BOTH {
                let pace = &mut share.paces[unit].known;
                if let (true, Some(rate)) = (share.learns, &learned[unit].rate) {
                    *pace = pace.then(rate.published());
                }
                report.paces[unit] = *pace;
            }
        }
    }

    /// Takes what the ledger knows of the lanes that were reported on.
    pub(super) fn take_reports(
        &mut self,
        errand: &Errand,
        reply: &Reply,
        clock: &Offset,
        rules: &Rules,
        now: Instant,
    ) {
        let reports = errand.ask.reports.iter().zip(&reply.reports);
        for (lane, (report, of)) in errand.reported.iter().zip(reports) {
            self.take_pause(*lane, report, of, clock, now);
            self.take_departures(*lane, report, of, now);
            if report.learns {
                self.take_paces(*lane, of, rules, now);
            }
            if of.learns {
                for event in &of.events {
                    self.learn(*lane, event, clock, rules, now);
                }
            }
        }
    }

    fn take_pause(
        &mut self,
        lane: LaneIndex,
        report: &Report,
        reply: &ReportReply,
        clock: &Offset,
        now: Instant,
    ) {
        let Lane { share, gate, .. } = &mut self.lanes[lane];
        let Some(share) = share.as_mut().filter(|_| reply.paused > Stamp(0)) else {
            return;
        };
        let until = clock.surely_after(reply.paused.as_nanos(), now);
        let until = until.unwrap_or(now).min(now + AN_HOUR);
        let own = report.events.iter().any(|event| event.what != What::Named);
        let is_news = reply.since > share.since;
        share.since = share.since.max(reply.since);
        let gate = gate.get_or_insert_default();
        match is_news && !own && until > now {
            true => gate.paused_elsewhere(until, now),
            false => drop(gate.pause(until - now, now)),
        }
    }

    /// Counts what other processes have sent.
    fn take_departures(
        &mut self,
        lane: LaneIndex,
        report: &Report,
        reply: &ReportReply,
        now: Instant,
    ) {
        let Lane {
            share,
            gate,
            learned,
            ..
        } = &mut self.lanes[lane];
        let Some(share) = share else { return };
        let own = Each {
            requests: report.requests,
            tokens: u64::try_from(report.tokens).unwrap_or(0),
        };
        let before = share.departed_of_all.replace(reply.departed);
        for unit in Unit::BOTH {
            let before = before.map_or(reply.departed[unit], |before| before[unit]);
            let others = reply.departed[unit]
                .saturating_sub(before)
                .saturating_sub(own[unit]);
            if let (Some(rate), true) = (&mut learned[unit].rate, others > 0) {
                rate.others(Weight(others), now);
            }
            if let Some(remaining) = &mut learned[unit].remaining {
                remaining.depart(Weight(others));
            }
            if let (Some(gate), Unit::Requests) = (&mut *gate, unit) {
                gate.others(others);
            }
        }
    }

    /// Takes the paces that another process has learned.
    fn take_paces(&mut self, lane: LaneIndex, reply: &ReportReply, rules: &Rules, now: Instant) {
        for unit in Unit::BOTH {
            let Some(share) = &mut self.lanes[lane].share else {
                return;
            };
            share.learns = reply.learns;
            let (known, new) = (&mut share.paces[unit].known, reply.paces[unit]);
            if new.epoch > known.epoch {
                *known = new;
                self.rate(lane, unit, rules, now)
                    .follow(new.per_second(), now);
            }
        }
        let Lane { gate, learned, .. } = &mut self.lanes[lane];
        // Once the pace is known, the lane needs no slow restart.
        if let (Some(gate), true) = (gate, learned.requests.leads() && !learned.tokens.leads()) {
            gate.restart(Restart::Quick);
        }
    }

    /// Learns from what the server has said to any process.
    fn learn(
        &mut self,
        lane: LaneIndex,
        event: &Event,
        clock: &Offset,
        rules: &Rules,
        now: Instant,
    ) {
        let at = clock
            .maybe_at(event.at.as_nanos(), now)
            .unwrap_or(now)
            .min(now);
        let rate = self.rate(lane, event.of, rules, now);
        match event.what {
            What::Overloaded => {}
            What::Named => rate.named(event.amount as f64 / MILLION, at, now),
            What::Rejected(news) => {
                rate.rejected(at, Weight(event.amount), event.wait, news, now);
            }
        }
    }
}

const MILLION: f64 = 1e6;
const AN_HOUR: Span = Span::secs(3_600);
const REPORTED: &str = "only lanes that share are reported on";
